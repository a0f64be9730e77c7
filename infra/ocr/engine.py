"""What reads the screens here: the engine, its version, the languages that it is asked to read.

Never loads a model: it tells what would be loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.errors import ConfigError

LANGUAGES = ("eng",)
"""What `infra.ocr.recognizer` reads."""


@dataclass(frozen=True, slots=True)
class OcrEngine:
    """`languages` are those whose data is installed, as Tesseract names them."""

    name: str
    version: str
    languages: tuple[str, ...]


def describe_engine() -> OcrEngine:
    """The engine on this node."""
    import tesserocr

    from infra.ocr.recognizer import find_tessdata

    installed = []
    for language in LANGUAGES:
        try:
            find_tessdata(language)
        except ConfigError:
            continue
        installed.append(language)
    version = str(tesserocr.tesseract_version()).splitlines()[0].removeprefix("tesseract ").strip()
    return OcrEngine("tesseract", version, tuple(installed))

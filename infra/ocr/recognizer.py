"""Tesseract in this process, reading one line at a time.

Never runs more than one thread: the environment says so before the library is loaded.
"""

from __future__ import annotations

import os

os.environ["OMP_THREAD_LIMIT"] = "1"

from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import tesserocr
from PIL import Image

from infra.ocr.rules import erase_rules
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

_LINE_HEIGHT = 52
_SQUEEZE = 0.8
"""Narrower letters read as well, and the time goes with the width."""

_MARGIN_X, _MARGIN_Y = 10, 6
_MAX_WIDTH = 8192
_HIGH, _SURE = 36, 75
_DOUBTFUL = ((2, 70), (6, 40))
"""Number of letters and digits, and the confidence below which so few are not believed."""

_VARIABLES = {
    "invert_threshold": "0.0",
    "tessedit_do_invert": "0",
    "load_system_dawg": "1",
    "user_defined_dpi": "96",
}


class Recognizer:
    """Reads strips; holds Tesseract's model, about 30 MB, until it is closed."""

    def __init__(self, language: str = "eng", tessdata: Path | None = None) -> None:
        folder = tessdata or find_tessdata(language)
        self._api = tesserocr.PyTessBaseAPI(
            path=str(folder), lang=language, psm=tesserocr.PSM.SINGLE_LINE, oem=tesserocr.OEM.LSTM_ONLY,
            variables=_VARIABLES,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the model."""
        self._api.End()

    def read(self, strip: NDArray[np.uint8]) -> str:
        """The text of a strip (height x width, dark on white), without surrounding blanks.

        A high strip that is no line, such as a small table whose rules hold its rows together, is read as scattered
        text. A few letters that Tesseract is not sure of are none: scraps of pictures look like that.
        """
        text = self._text(_enlarge(strip))
        if strip.shape[0] > _HIGH and self._api.MeanTextConf() < _SURE:
            self._api.SetPageSegMode(tesserocr.PSM.SPARSE_TEXT)
            try:
                scattered = self._text(_doubled(erase_rules(strip)))
            finally:
                self._api.SetPageSegMode(tesserocr.PSM.SINGLE_LINE)
            return scattered if len(scattered) > len(text) else text
        return text if self._api.MeanTextConf() >= _least_confidence(text) else ""

    def _text(self, image: NDArray[np.uint8]) -> str:
        height, width = image.shape
        self._api.SetImageBytes(image.tobytes(), width, height, 1, width)
        text: str = self._api.GetUTF8Text()
        return " ".join(text.split())


def _least_confidence(text: str) -> int:
    """What a reading must reach, the less the longer it is: dropping long ones costs more words than it saves."""
    letters = sum(character.isalnum() for character in text)
    return next((least for length, least in _DOUBTFUL if letters <= length), 0)


def find_tessdata(language: str) -> Path:
    """The folder of Tesseract's data; raises `ConfigError` that says what to install."""
    wanted = f"{language}.traineddata"
    folders = [Path(os.environ["TESSDATA_PREFIX"])] if "TESSDATA_PREFIX" in os.environ else []
    folders += sorted(Path("/usr/share/tesseract-ocr").glob("*/tessdata"), reverse=True)
    folders += [
        Path(name) for name in ("/usr/share/tessdata", "/usr/local/share/tessdata", "/opt/homebrew/share/tessdata")
    ]
    for folder in folders:
        if (folder / wanted).is_file():
            return folder
    raise ConfigError(f"Tesseract's {wanted} was not found: install tesseract-ocr-{language}, or set TESSDATA_PREFIX")


def _enlarge(strip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The strip at the height that Tesseract reads best, with a white margin."""
    height, width = strip.shape
    scale = _LINE_HEIGHT * _SQUEEZE / height
    size = (min(_MAX_WIDTH, max(1, round(width * scale))), _LINE_HEIGHT)
    grown = np.asarray(Image.fromarray(strip).resize(size, Image.Resampling.BICUBIC))
    return np.pad(grown, ((_MARGIN_Y, _MARGIN_Y), (_MARGIN_X, _MARGIN_X)), constant_values=255)


def _doubled(strip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = strip.shape
    image = Image.fromarray(strip).resize((width * 2, height * 2), Image.Resampling.BICUBIC)
    return np.pad(np.asarray(image), 16, constant_values=255)

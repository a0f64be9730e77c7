"""Reading a picture as whoever looks at it would: by Debian's tesseract.

Never the product's own reading: this is the witness.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from schemas.errors import UnavailableError


def read_picture(path: Path) -> list[str]:
    """The lines of text on a picture, seen at twice its size; raises `UnavailableError` without tesseract."""
    from io import BytesIO

    from PIL import Image

    enlarged = BytesIO()
    with Image.open(path) as picture:
        picture.convert("L").resize((picture.width * 2, picture.height * 2)).save(enlarged, "PNG")
    try:
        done = subprocess.run(
            ["tesseract", "-", "-", "--psm", "11"], input=enlarged.getvalue(), capture_output=True, check=False
        )
    except FileNotFoundError:
        raise UnavailableError("tesseract is not installed: `apt-get install tesseract-ocr`") from None
    return [line for line in done.stdout.decode("utf-8", "replace").splitlines() if line.strip()]

"""What the first version said, as it said it."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def recorded(name: str) -> dict[str, Any]:
    """One of the files here."""
    return dict(json.loads((resources.files(__name__) / f"{name}.json").read_text("utf-8")))

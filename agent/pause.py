"""A person's pause: kept in the agent directory, so that a restart does not record against their word.

Never ends by itself unless it was given an end.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import structlog

from infra.files import write_whole

PAUSE = "pause.json"

log = structlog.get_logger()


class Pause(NamedTuple):
    """Since when, and until when if that was said, microseconds."""

    since_us: int
    until_us: int | None = None

    def over(self, now_us: int) -> bool:
        """Whether its end has come."""
        return self.until_us is not None and now_us >= self.until_us


def load_pause(directory: Path | None) -> Pause | None:
    """The pause that was asked for, if there is one; a file that nobody can read is a pause too."""
    path = directory / PAUSE if directory is not None else None
    if path is None or not path.exists():
        return None
    try:
        body = json.loads(path.read_text("utf-8"))
        return Pause(int(body["since_us"]), None if body["until_us"] is None else int(body["until_us"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("pause_unreadable", error=type(error).__name__)
        return Pause(0)


def save_pause(directory: Path | None, pause: Pause | None) -> None:
    """Keep the pause, or forget it."""
    if directory is None:
        return
    path = directory / PAUSE
    if pause is None:
        path.unlink(missing_ok=True)
    else:
        write_whole(path, json.dumps(pause._asdict()).encode() + b"\n", mode=0o644)

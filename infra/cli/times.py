"""Times as people write them on a command line: `2h`, `30m`, `2026-11-23`, `2026-11-23T14:00`.

Never guesses: what is not one of these is refused with the forms there are.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from schemas.errors import ConfigError

_AGO = re.compile(r"^(\d+)\s*(ms|s|m|h|d|w)$")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_time_ms(text: str, now: datetime | None = None) -> int:
    """Milliseconds since the epoch: so long before `now`, or a moment in ISO 8601, local unless it names its zone."""
    written, now = text.strip(), now or datetime.now(UTC)
    ago = _AGO.match(written)
    try:
        if ago:
            moment = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            moment = now if written == "now" else datetime.fromisoformat(written)
        return int(moment.astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ConfigError(
            f"{text!r} is not a time: write how long ago (30m, 2h, 7d), or 2026-11-23, or 2026-11-23T14:00"
        ) from None

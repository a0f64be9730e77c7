"""Which processors can read their topics again, and which topics those are.

Never lists `gaps`: its facts would be told twice.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.kinds import StreamKind
from schemas.topics import envelope_topic

REPLAYABLE: Mapping[str, frozenset[str]] = {
    "mine": frozenset(
        envelope_topic(kind)
        for kind in (StreamKind.SCREEN, StreamKind.KEYSTROKES, StreamKind.EMAIL, StreamKind.ACTIVITY, StreamKind.INDEX)
    ),
    "activity": frozenset({envelope_topic(StreamKind.ACTIVITY)}),
}
"""Processor to the topics that it reads."""

RUN_ID = r"\d{8}-\d{6}-[0-9a-f]{4}"
"""What the id of a replay looks like."""

"""The messages of an answer with segments: what each says of itself, and its bytes.

Never says more of a segment than its envelope does in the clear.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from schemas.kinds import ContentType, StreamKind

if TYPE_CHECKING:
    from gateway.recordings.library import Group

LENGTH_BYTES = 4
_CONTENT_TYPE_AT = 3


def about_group(group: Group, number: int, *, sealed: bool, before: bool) -> dict[str, Any]:
    """Of record `number` of a segment. `before`: it is from before the time asked for, which builds on it."""
    entry = group.entries[number]
    return {
        "agent": entry.id.agent,
        "stream": group.kind.label,
        "epoch": entry.id.epoch_id.hex(),
        "sequence": entry.id.sequence,
        "capture_ms": entry.capture_ms,
        "content_type": entry.record[_CONTENT_TYPE_AT],
        "end_to_end": sealed,
        "sealed": sealed,
        "before": before,
        "composed": False,
    }


def about_composed(last: Group, since_ms: int) -> dict[str, Any]:
    """Of whole frames that were made of what came before `since_ms`, up to segment `last`."""
    return {
        "agent": last.first.id.agent,
        "stream": StreamKind.SCREEN.label,
        "epoch": last.first.id.epoch_id.hex(),
        "sequence": last.first.id.sequence,
        "capture_ms": since_ms,
        "content_type": int(ContentType.SEGMENT),
        "end_to_end": False,
        "sealed": False,
        "before": False,
        "composed": True,
    }


def encode_message(about: dict[str, Any], body: bytes = b"") -> bytes:
    """A message: its length, the length of the JSON, the JSON, the body."""
    head = json.dumps(about, separators=(",", ":")).encode()
    length = LENGTH_BYTES + len(head) + len(body)
    return b"".join((length.to_bytes(LENGTH_BYTES, "big"), len(head).to_bytes(LENGTH_BYTES, "big"), head, body))

"""What a blind index sends: roots sealed to the readers of a stream, and entries for the server.

Never puts a word into an entry, and never seals a root to anybody but the stream's own recipients.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.blind_index import Root, build_root
from schemas.identity import EnvelopeId
from schemas.keys import Recipient
from schemas.kinds import ContentType, StreamKind
from schemas.records import Record
from schemas.seal import Epoch

_PLACE = ("time_us", "until_us", "kind", "origin_epoch", "origin_sequence", "ordinal")


def seal_root(root: Root, agent_id: bytes, recipients: Sequence[Recipient], now_ms: int) -> tuple[bytes, bytes]:
    """Epoch id and envelope of a root, in an epoch of its own: who re-wraps epoch headers re-wraps it too."""
    epoch = Epoch.begin(
        agent_id=agent_id, kind=StreamKind.INDEX, recipients=recipients, created_ms=now_ms, end_to_end=True
    )
    envelope = epoch.seal(build_root(root), capture_ms=now_ms, content_type=ContentType.INDEX_ROOT, final=True)
    return epoch.epoch_id, envelope


def make_entry(stream: StreamKind, passage: Record, source: EnvelopeId | None, tokens: Sequence[bytes]) -> Record:
    """The entry of a passage whose text stands at `source`, or where it began."""
    return {
        **{name: passage[name] for name in _PLACE},
        "stream": stream.label,
        "source_epoch": source.epoch_id if source else passage["origin_epoch"],
        "source_sequence": source.sequence if source else passage["origin_sequence"],
        "tokens": b"".join(tokens),
    }

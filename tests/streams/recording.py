"""Makes envelopes as an agent would, and events to put into them."""

from __future__ import annotations

from functools import cache
from uuid import UUID, uuid5

from schemas.envelope import ZERO_LINK
from schemas.keys import Identity, Recipient
from schemas.kinds import StreamKind
from schemas.records import Record, encode_segment
from schemas.seal import Epoch, split_segment
from schemas.topics import envelope_topic
from streams.incoming import Incoming
from streams.memory import MemoryBroker

START_MS = 1_790_000_000_000
_AGENTS = UUID("0e8a2f7c-5d0e-4a51-9d2c-7a3ad0e2f100")


@cache
def server_identity() -> Identity:
    return Identity.generate(2048)


@cache
def stranger() -> Recipient:
    return Identity.generate(2048).recipient


class Recorder:
    """One stream of one agent; each `record` is a segment, a second after the one before."""

    def __init__(self, name: str, kind: StreamKind, *, end_to_end: bool = False, recipient=None) -> None:
        self.agent = uuid5(_AGENTS, name)
        self.kind = kind
        self.time_ms = START_MS
        self._end_to_end = end_to_end
        self._recipient = recipient or server_identity().recipient
        self._link = ZERO_LINK
        self.renew()

    def renew(self) -> None:
        """Begin a new epoch."""
        self.epoch = Epoch.begin(
            agent_id=self.agent.bytes,
            kind=self.kind,
            recipients=[self._recipient],
            created_ms=self.time_ms,
            end_to_end=self._end_to_end,
            previous=self._link,
        )

    def end_epoch(self) -> None:
        self._link = self.epoch.link
        self.renew()

    def record(self, events: list[Record], *, max_part: int = 1_000_000) -> list[bytes]:
        self.time_ms += 1000
        parts = split_segment(encode_segment(self.kind, events), max_part)
        return [self.epoch.seal(part, capture_ms=self.time_ms, more_parts=part is not parts[-1]) for part in parts]

    @property
    def topic(self) -> str:
        return envelope_topic(self.kind)

    @property
    def key(self) -> bytes:
        return str(self.agent).encode()

    def push(self, broker: MemoryBroker, events: list[Record], **options) -> None:
        for envelope in self.record(events, **options):
            self.append(broker, envelope)

    def append(self, broker: MemoryBroker, envelope: bytes) -> None:
        headers = [("user", b"ada"), ("computer", b"desk-7")]
        broker.append(self.topic, envelope, self.key, headers=headers, timestamp_ms=self.time_ms)

    def incoming(self, envelope: bytes, offset: int = 0) -> Incoming:
        return Incoming(
            self.topic, 0, offset, self.key, envelope, self.time_ms, {"user": b"ada", "computer": b"desk-7"}
        )


def terminal(kind: str, data: bytes = b"", *, at_ms: int = START_MS, session: str = "s-1", **fields) -> Record:
    return {
        "time_us": at_ms * 1000,
        "session": session,
        "kind": kind,
        "data": data,
        "masked": False,
        "columns": 0,
        "rows": 0,
        "exit_code": None,
        "title": "",
        "alternate": False,
        **fields,
    }


def frame(text: str, *, key_frame: bool = False, display: int = 0, at_ms: int = START_MS) -> Record:
    """A frame whose title stands for the words that it adds to the screen, for `CanvasPool`."""
    return {
        "time_us": at_ms * 1000,
        "display": display,
        "width": 640,
        "height": 480,
        "key_frame": key_frame,
        "tiles": [],
        "pixels": b"",
        "application": "editor",
        "title": text,
        "scrolled": [],
        "moved": [],
    }


def message(subject: str, text: str) -> Record:
    return {
        "time_us": START_MS * 1000,
        "message_id": f"<{subject}@example.com>",
        "folder": "INBOX",
        "sender": "ada@example.com",
        "recipients": ["bob@example.com"],
        "subject": subject,
        "sent_ms": START_MS,
        "text": text,
        "attachments": [{"name": "plan.pdf", "content_type": "application/pdf", "size": 9, "sha256": b"\1" * 32}],
        "size": len(text),
    }


def span(application: str, title: str, *, at_us: int, for_us: int, kind: str = "focus") -> Record:
    return {
        "time_us": at_us,
        "duration_us": for_us,
        "kind": kind,
        "application": application,
        "title": title,
        "path": "",
        "pid": None,
    }

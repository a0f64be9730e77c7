"""What a process that opens and the one that started it say to each other: frames over a pipe.

Never carries a passphrase, and of an unlock no plaintext but sealed for the other end of the channel.

A frame is 4 bytes of length, big endian, one of `Kind`, and its body: JSON, or a sealed message.
"""

from __future__ import annotations

import json
from enum import IntEnum
from typing import Any, BinaryIO, NamedTuple

from schemas.errors import MalformedError
from schemas.unlock_channel import MAX_PIECE_BYTES

HEAD_BYTES = 5
MAX_BODY_BYTES = 4 * MAX_PIECE_BYTES


class Kind(IntEnum):
    """What a frame is."""

    BEGIN = 1
    """To the opener: settings, scope, session, names of KEKs."""
    SURVEY = 2
    """From it: what is in scope, and the opener's public key."""
    PASSPHRASE = 3
    """To it: the viewer's public key and a sealed passphrase; again for more KEKs."""
    OPENED = 4
    """From it: the KEKs that the passphrase opened, those that another may open, and why not where one did nothing."""
    RELEASE = 5
    """To it: the audit has it, plaintext may go to the viewer."""
    SEALED = 6
    """From it: a message for the viewer."""
    DONE = 7
    """From it, the last: what was released, in numbers."""
    REFUSED = 8
    """From it, the last: why not."""
    READY = 9
    """From a reader (`gateway.recordings`): it has its KEKs."""
    ASK = 10
    """To a reader: a number, and what is asked for under it. The number begins the body of all that follows."""
    CREDIT = 11
    """To it: so many bytes more may come under that number."""
    CANCEL = 12
    """To it: nobody waits for that number any more."""
    PIECE = 13
    """From it: bytes of an answer."""
    FINISHED = 14
    """From it, the last under that number: what there is to say of the answer."""
    FAILED = 15
    """From it, the last under that number: why not."""


class Frame(NamedTuple):
    """One frame."""

    kind: Kind
    body: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The body as JSON; raises `MalformedError`."""
        try:
            return dict(json.loads(self.body))
        except ValueError:
            raise MalformedError("a frame's body is not JSON", "bad_frame") from None


def encode_frame(kind: Kind, body: bytes | dict[str, Any]) -> bytes:
    """A frame's bytes."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    return len(data).to_bytes(4, "big") + bytes((kind,)) + data


def parse_head(head: bytes) -> tuple[int, Kind]:
    """Length of the body and kind; raises `MalformedError`."""
    length = int.from_bytes(head[:4], "big")
    try:
        kind = Kind(head[4])
    except ValueError:
        raise MalformedError("a frame of no known kind", "bad_frame") from None
    if length > MAX_BODY_BYTES:
        raise MalformedError("a frame is too large", "bad_frame")
    return length, kind


class FrameSplitter:
    """Frames out of bytes as they come."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes; raises `MalformedError`."""
        self._held += data
        frames: list[Frame] = []
        while len(self._held) >= HEAD_BYTES:
            length, kind = parse_head(bytes(self._held[:HEAD_BYTES]))
            end = HEAD_BYTES + length
            if len(self._held) < end:
                break
            frames.append(Frame(kind, bytes(self._held[HEAD_BYTES:end])))
            del self._held[:end]
        return frames


def read_frame(stream: BinaryIO, *wanted: Kind) -> Frame:
    """The next frame, which must be of one of those kinds; raises `EOFError` when the other side is gone."""
    head = stream.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        raise EOFError
    length, kind = parse_head(head)
    body = stream.read(length)
    if len(body) < length:
        raise EOFError
    if kind not in wanted:
        names = " or ".join(one.name for one in wanted)
        raise MalformedError(f"a frame {kind.name} came in place of {names}", "bad_frame")
    return Frame(kind, body)

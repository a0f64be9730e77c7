"""Which sequences of which epochs are stored: what makes storing exactly once.

Never forgets a sequence that it was told of, and keeps an epoch without holes in one number.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right

from schemas.errors import MalformedError
from sinks.archive.container import decode_long, encode_long

KEY_BYTES = 48
_MAGIC = b"MRK1"


class Marks:
    """Sets of sequences by epoch; a key is the 16 bytes of an agent id and the 32 of an epoch id."""

    def __init__(self) -> None:
        self._epochs: dict[bytes, int | list[int]] = {}

    def __len__(self) -> int:
        return len(self._epochs)

    def add(self, key: bytes, sequence: int) -> bool:
        """Remember `sequence`; whether it was new."""
        seen = self._epochs.get(key, 0)
        if isinstance(seen, int):
            if sequence < seen:
                return False
            if sequence == seen:
                self._epochs[key] = seen + 1
                return True
            seen = [0, seen] if seen else []
        if not _insert(seen, sequence):
            return False
        self._epochs[key] = seen[1] if len(seen) == 2 and seen[0] == 0 else seen
        return True

    def has(self, key: bytes, sequence: int) -> bool:
        """Whether `sequence` is remembered."""
        seen = self._epochs.get(key, 0)
        return sequence < seen if isinstance(seen, int) else bisect_right(seen, sequence) % 2 == 1

    def ranges(self, key: bytes) -> list[tuple[int, int]]:
        """First and last sequence of each run that is stored of an epoch, ascending."""
        seen = self._epochs.get(key, 0)
        flat = seen if isinstance(seen, list) else [0, seen] if seen else []
        return [(flat[i], flat[i + 1] - 1) for i in range(0, len(flat), 2)]

    def keys(self) -> list[bytes]:
        """Every epoch."""
        return list(self._epochs)

    def update(self, other: Marks) -> None:
        """Remember what `other` remembers."""
        for key in other.keys():  # noqa: SIM118  # not a mapping
            if key not in self._epochs:
                seen = other._epochs[key]
                self._epochs[key] = list(seen) if isinstance(seen, list) else seen
                continue
            for first, last in other.ranges(key):
                for sequence in range(first, last + 1):
                    self.add(key, sequence)

    def encode(self) -> bytes:
        """All of it, with a check."""
        pieces = [_MAGIC, encode_long(len(self._epochs))]
        for key, seen in self._epochs.items():
            flat = seen if isinstance(seen, list) else [0, seen]
            pieces += [key, encode_long(len(flat)), *map(encode_long, flat)]
        body = b"".join(pieces)
        return body + zlib.crc32(body).to_bytes(4, "big")

    @classmethod
    def decode(cls, data: bytes) -> Marks:
        """What `encode` wrote; raises `MalformedError`."""
        body, check = data[:-4], data[-4:]
        if not body.startswith(_MAGIC) or zlib.crc32(body).to_bytes(4, "big") != check:
            raise MalformedError("not a file of marks, or damaged", "bad_check")
        marks = cls()
        count, at = decode_long(body, len(_MAGIC))
        for _ in range(count):
            key = body[at : at + KEY_BYTES]
            length, at = decode_long(body, at + KEY_BYTES)
            flat = []
            for _ in range(length):
                value, at = decode_long(body, at)
                flat.append(value)
            marks._epochs[key] = flat[1] if length == 2 and flat[0] == 0 else flat
        return marks


def _insert(flat: list[int], sequence: int) -> bool:
    """Put `sequence` into ascending half-open ranges ``[start, end, start, end, …]``; whether it was new."""
    at = bisect_right(flat, sequence)
    if at % 2:
        return False
    joins_before = at > 0 and flat[at - 1] == sequence
    joins_after = at < len(flat) and flat[at] == sequence + 1
    if joins_before and joins_after:
        del flat[at - 1 : at + 1]
    elif joins_before:
        flat[at - 1] = sequence + 1
    elif joins_after:
        flat[at] = sequence
    else:
        flat[at:at] = [sequence, sequence + 1]
    return True

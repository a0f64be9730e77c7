"""Which release of Kafka a broker is, asked by the protocol itself (ApiVersions, KIP-35, KIP-584).

Never guesses: a broker that tells no features is older than any that we know.
"""

from __future__ import annotations

import asyncio
import struct
from bisect import bisect_right

from schemas.errors import UnavailableError

_TIMEOUT_S = 5.0
_CORRELATION = 0x5EA1
_FEATURE = "metadata.version"
_SUPPORTED_FEATURES = 0
"""Number of the tagged field in the answer."""

_FIRST_LEVELS = ((7, "3.3"), (8, "3.4"), (9, "3.5"), (12, "3.6"), (15, "3.7"), (20, "3.8"), (21, "3.9"), (22, "4.0"),
                 (26, "4.1"), (28, "4.2 or later"))  # fmt: skip
"""The first level of `metadata.version` that each release has (Kafka's MetadataVersion)."""


class Answer:
    """Reads what a broker answered, from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next bytes; raises `UnavailableError` where there are fewer."""
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise UnavailableError("the broker's answer is cut short: does Kafka listen there?")
        self._at += count
        return taken

    def number(self, size: int) -> int:
        """A number of so many bytes."""
        return int.from_bytes(self.take(size), "big", signed=True)

    def varint(self) -> int:
        """An unsigned number of seven bits a byte."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def skip_tags(self) -> None:
        """Pass over fields that we have no use for."""
        for _ in range(self.varint()):
            self.varint()
            self.take(self.varint())


async def ask_release(host: str, port: int) -> str:
    """The release of the broker, such as `4.1`; raises `UnavailableError`, or `OSError` where nobody answers."""
    body = struct.pack(">hhih", 18, 3, _CORRELATION, -1) + b"\0" + b"\x0bsealstream" + b"\x021" + b"\0"
    async with asyncio.timeout(_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(struct.pack(">i", len(body)) + body)
            size = int.from_bytes(await reader.readexactly(4), "big")
            return read_release(await reader.readexactly(min(size, 1 << 20)))
        except asyncio.IncompleteReadError:
            raise UnavailableError("the broker closed the connection: does it want TLS there?") from None
        finally:
            writer.close()


def read_release(data: bytes) -> str:
    """The release that an answer to ApiVersions (version 3) tells of."""
    answer = Answer(data)
    answer.take(4)
    if fault := answer.number(2):
        raise UnavailableError(f"the broker refuses to tell its versions (error {fault}): Kafka before 2.4?")
    for _ in range(answer.varint() - 1):
        answer.take(6)
        answer.skip_tags()
    answer.take(4)
    for _ in range(answer.varint()):
        tag, field = answer.varint(), Answer(answer.take(answer.varint()))
        if tag == _SUPPORTED_FEATURES:
            return _release_of(_levels(field).get(_FEATURE, 0))
    return _release_of(0)


def _levels(field: Answer) -> dict[str, int]:
    levels = {}
    for _ in range(field.varint() - 1):
        name = field.take(field.varint() - 1).decode("utf-8", "replace")
        field.take(2)
        levels[name] = field.number(2)
        field.skip_tags()
    return levels


def _release_of(level: int) -> str:
    at = bisect_right([first for first, _ in _FIRST_LEVELS], level)
    return _FIRST_LEVELS[at - 1][1] if at else "before 3.3"

"""The kinds of stream that an agent records, by the number that the envelope carries.

A number is never reused and never changes its meaning: archives outlive releases.
"""

from __future__ import annotations

from enum import IntEnum


class StreamKind(IntEnum):
    """One kind of recording of one agent."""

    SCREEN = 1
    KEYSTROKES = 2
    EMAIL = 3
    ACTIVITY = 4
    AUDIO = 5
    GAP = 6
    INDEX = 7

    @property
    def label(self) -> str:
        """The kind's name in topics, settings and commands, such as ``screen``."""
        return self.name.lower()

    @classmethod
    def from_label(cls, label: str) -> StreamKind:
        """The kind of that name; raises `ValueError` that lists the names there are."""
        try:
            return cls[label.upper()]
        except KeyError:
            known = ", ".join(kind.label for kind in cls)
            raise ValueError(f"no stream is called {label!r}; there are {known}") from None


class ContentType(IntEnum):
    """How the plaintext of a sealed record is encoded (the envelope's content-type byte)."""

    SEGMENT = 1
    """Avro in Confluent framing (0, 4-byte schema id), compressed as one zstd frame."""

    TEXT = 2
    """What was read in a stream that is sealed end to end: a `text_segment`, framed and compressed likewise."""

    INDEX_ROOT = 3
    """The root of a blind index's tokens, 53 bytes as `BLIND_INDEX.md` says."""

"""Re-wrapping epoch headers in the archive: other KEKs open, records stay as they are.

Never leaves an agent's day half done, and never touches a header that it cannot open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.envelope import parse_epoch_header
from schemas.errors import MalformedError, OpenError
from schemas.identity import agent_bytes
from schemas.keys import Recipient, Unwrapper
from schemas.opening import exchange_recipient
from sinks.archive.headers import HeaderStore, load_day
from sinks.archive.layout import Layout


@dataclass(slots=True)
class Progress:
    """How far it is. A day is one of one agent."""

    days: int
    done: int = 0
    rewrapped: int = 0
    failed: int = 0


def rewrap_archive(layout: Layout, identity: Unwrapper, recipients: Sequence[Recipient]) -> Iterator[Progress]:
    """Put `recipients` in the place of `identity` in every header, a day at a time; what is done already is left."""
    store = HeaderStore(layout)
    files = key_files(layout)
    progress = Progress(len(files))
    for path in files:

        def exchange(header: bytes) -> bytes | None:
            try:
                if identity.key_id not in parse_epoch_header(header).key_ids:
                    return None
                return exchange_recipient(header, identity, recipients)
            except (OpenError, MalformedError):
                progress.failed += 1
                return None

        progress.rewrapped += store.rewrap(agent_bytes(path.stem), path.parent.name, exchange)
        progress.done += 1
        yield progress


def count_epochs(layout: Layout, key_id: bytes, others: Collection[bytes]) -> int:
    """Epochs that open with this KEK and with none of the others."""
    count = 0
    for path in key_files(layout):
        for headers in load_day(path).headers.values():
            names = [frozenset(_key_ids(header)) for header in headers]
            count += any(key_id in one and not one & frozenset(others) for one in names)
    return count


def key_files(layout: Layout) -> list[Path]:
    """The file of every agent's day, oldest day first."""
    return sorted(layout.keys.glob("*/*.avro"))


def _key_ids(header: bytes) -> tuple[bytes, ...]:
    try:
        return tuple(parse_epoch_header(header).key_ids)
    except MalformedError:
        return ()

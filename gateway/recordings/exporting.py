"""The text of an export: its head, what a reader makes of mails, terminals and windows, what was read on screens.

Never has a word of what is end to end, and says so when there was such in the time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from gateway.recordings.asking import Job
from gateway.recordings.places import Wish, find_places, parse_kinds
from gateway.recordings.text_lines import entry
from schemas.identity import agent_text
from schemas.kinds import StreamKind
from sinks.elasticsearch.blind import count_end_to_end
from sinks.elasticsearch.search import MARK_END, MARK_START, Question, search

if TYPE_CHECKING:
    from gateway.api.services import Services

_READ = (StreamKind.EMAIL, StreamKind.KEYSTROKES, StreamKind.ACTIVITY)
_TITLES = {StreamKind.EMAIL: "Mails", StreamKind.KEYSTROKES: "Terminals", StreamKind.ACTIVITY: "Windows"}
_PAGE = 500
_WINDOW_MS = 6 * 3_600_000


class Export(NamedTuple):
    """What is exported, for whom and why. `agents`: 16-byte ids."""

    reference: str
    actor: str
    person: str
    agents: tuple[bytes, ...]
    streams: tuple[str, ...]
    since_ms: int
    until_ms: int
    purpose: str
    issued_at_ms: int


async def write_text(services: Services, export: Export) -> AsyncIterator[bytes]:
    """The file, in UTF-8."""
    yield head_of(export).encode()
    kinds = parse_kinds(export.streams)
    for kind in _READ:
        if kind in kinds:
            yield f"\n## {_TITLES[kind]}\n\n".encode()
            async for piece in _read(services, export, kind):
                yield piece
    if StreamKind.SCREEN in kinds:
        yield b"\n## Text on screens, as it was read\n\n"
        async for piece in _screens(services, export):
            yield piece
    sealed = await count_end_to_end(
        services.elasticsearch, services.settings.elasticsearch.index_prefix, _question(export, export.streams)
    )
    if sealed:
        yield f"\n{sealed} texts of this time are end to end and are not in this file.\n".encode()
    yield f"\nEnd of {export.reference}\n".encode()


def head_of(export: Export) -> str:
    """The file's first lines."""
    rows = (
        ("Reference", export.reference),
        ("Person", export.person),
        ("Agents", ", ".join(agent_text(agent) for agent in export.agents)),
        ("Streams", ", ".join(export.streams)),
        ("From", _when(export.since_ms)),
        ("Until", _when(export.until_ms)),
        ("Exported", f"{_when(export.issued_at_ms)} by {export.actor}"),
        ("Purpose", export.purpose),
    )
    return "# Text of recordings\n\n" + "".join(f"{name + ':':<11}{text}\n" for name, text in rows)


async def _read(services: Services, export: Export, kind: StreamKind) -> AsyncIterator[bytes]:
    wish = Wish(export.agents, (kind,), export.since_ms, export.until_ms)
    for since_ms, until_ms in wish.windows(_WINDOW_MS):
        async with services.database() as connection:
            ask = await find_places(connection, wish._replace(since_ms=since_ms, until_ms=until_ms), Job.TEXT)
        async with services.recordings.readers.stream(ask) as (pieces, _):
            async for piece in pieces:
                yield piece


async def _screens(services: Services, export: Export) -> AsyncIterator[bytes]:
    question = _question(export, ("screen",))
    while True:
        answer = await search(services.elasticsearch, services.settings.elasticsearch.index_prefix, question)
        for hit in answer.hits:
            title = "  ".join(filter(None, (hit.application, _plain(hit.title))))
            yield entry(int(hit.time.timestamp() * 1000), "screen", f"{title}\n{hit.source['text']}".strip("\n"))
        if answer.after is None:
            return
        question = replace(question, after=answer.after)


def _question(export: Export, streams: tuple[str, ...]) -> Question:
    return Question(
        "",
        agents=[agent_text(agent) for agent in export.agents],
        streams=streams,
        since_ms=export.since_ms,
        until_ms=export.until_ms,
        order="oldest",
        limit=_PAGE,
        persons=[export.person],
    )


def _plain(text: str) -> str:
    return text.replace(MARK_START, "").replace(MARK_END, "")


def _when(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

"""`sealstream search`: find text that was mined, with agent, stream, time and the words in their place.

Never prints a control character that mined text may hold: it was written by somebody else.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.exits import Exit
from infra.cli.plain import plain_json, plain_line
from infra.cli.times import parse_time_ms
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from infra.settings import Settings
    from sinks.elasticsearch.search import Answer, Hit, Question

HELP = """\
Find text that was seen on screens, typed, shown in terminals, or in mails.

All words must be there. "Quotes" make a phrase, `inv*` finds beginnings. Exit code 1: nothing found, 3: Elasticsearch
does not answer.

Text that is sealed end to end is found with --unlock alone: it asks for the passphrase of the KEK, and needs a reason,
which goes into the audit trail. Whole words and phrases, no beginnings.

Examples:

    sealstream search invoice overdue --since 2h

    sealstream search '"wire transfer"' --user ann --stream screen

    sealstream search pasword --fuzzy --newest --limit 5

    sealstream search invoice --json | jq '.hits[].agent_id'

    sealstream search --unlock --reason "case 17" '"wire transfer"' --since 7d
"""


def register(app: typer.Typer) -> None:
    """Add `sealstream search`."""
    app.command("search", help=HELP)(search)


def search(  # noqa: PLR0917  # typer calls it by names
    words: Annotated[list[str], typer.Argument(help="What to find; quote phrases for the shell: '\"so and so\"'.")],
    agent: Annotated[list[str] | None, typer.Option(help="Agent id, the beginning of it, or the computer.")] = None,
    user: Annotated[list[str] | None, typer.Option(help="User name; * stands for anything.")] = None,
    computer: Annotated[list[str] | None, typer.Option(help="Computer; * stands for anything.")] = None,
    stream: Annotated[list[str] | None, typer.Option(help="screen, keystrokes, email, activity.")] = None,
    application: Annotated[list[str] | None, typer.Option(help="Application; * stands for anything.")] = None,
    since: Annotated[str, typer.Option(help="30m, 2h, 7d ago, or 2026-11-23T14:00.")] = "",
    until: Annotated[str, typer.Option(help="Likewise.")] = "",
    fuzzy: Annotated[bool, typer.Option("--fuzzy", help="Also words that differ by a letter or two.")] = False,
    newest: Annotated[bool, typer.Option("--newest", help="Newest first, not best first.")] = False,
    oldest: Annotated[bool, typer.Option("--oldest", help="Oldest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many hits.")] = 20,
    unlock: Annotated[bool, typer.Option("--unlock", help="Search end-to-end text; asks for a passphrase.")] = False,
    key: Annotated[list[str] | None, typer.Option(help="With --unlock: KEK to use; any that opens otherwise.")] = None,
    reason: Annotated[str, typer.Option(help="With --unlock: why, for the audit trail.")] = "",
    passphrase_file: Annotated[Path | None, typer.Option(help="With --unlock: do not ask, read it here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, for scripts.")] = False,
) -> None:
    """Find text that was mined."""
    from infra.settings import load_settings
    from sinks.elasticsearch.search import Question

    if newest and oldest:
        raise ConfigError("--newest and --oldest exclude each other")
    question = Question(
        text=" ".join(words),
        agents=agent or (),
        users=user or (),
        computers=computer or (),
        streams=_streams(stream or []),
        applications=application or (),
        since_ms=parse_time_ms(since) if since else None,
        until_ms=parse_time_ms(until) if until else None,
        fuzzy=fuzzy,
        limit=limit,
        order="newest" if newest else "oldest" if oldest else "score",
    )
    if unlock:
        from infra.cli.unlocked_search import search_unlocked

        asked = search_unlocked(
            load_settings(), question, keys=key or (), passphrase_file=passphrase_file, reason=reason.strip()
        )
    elif key or reason or passphrase_file:
        raise ConfigError("--key, --reason and --passphrase-file belong to --unlock")
    else:
        asked = _ask(load_settings(), question)
    answer = asyncio.run(asked)
    if as_json:
        print(plain_json(_as_json(answer), indent=2))
    elif answer.hits:
        _show(answer)
    else:
        print("nothing found", file=sys.stderr)
    if not answer.hits:
        raise typer.Exit(Exit.NOTHING)


def _streams(labels: list[str]) -> list[str]:
    """Stream labels, or kinds of document, as the person wrote them."""
    known = ("screen", "keystrokes", "email", "activity", "terminal", "window")
    for label in labels:
        if label not in known:
            raise ConfigError(f"no stream is called {label!r}; there are {', '.join(known)}")
    return labels


async def _ask(settings: Settings, question: Question) -> Answer:
    from sinks.elasticsearch.blind import count_end_to_end
    from sinks.elasticsearch.client import connect
    from sinks.elasticsearch.search import search as ask

    client = connect(settings.elasticsearch, timeout_s=30.0)
    prefix = settings.elasticsearch.index_prefix
    try:
        answer = await ask(client, prefix, question)
        if not answer.hits and (sealed := await count_end_to_end(client, prefix, question)):
            print(f"{sealed} texts are sealed end to end and were not searched: --unlock does", file=sys.stderr)
        return answer
    finally:
        await client.close()


def _show(answer: Answer) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    for hit in answer.hits:
        local, utc = hit.time.astimezone(), hit.time.astimezone(UTC)
        console.print(
            Text.assemble(
                (f"{local:%Y-%m-%d %H:%M:%S}", "bold cyan"),
                f" ({utc:%H:%M:%SZ})  ",
                (hit.stream if hit.kind == hit.stream else f"{hit.stream}/{hit.kind}", "green"),
                f"  {plain_line(hit.user)} on {plain_line(hit.computer)}  agent {hit.agent_id}",
            )
        )
        heading = "  ".join(part for part in (plain_line(hit.application), plain_line(hit.title)) if part)
        if heading:
            console.print(Text.assemble("  ", _marked(heading, plain=not console.is_terminal)))
        for fragment in hit.fragments:
            console.print(Text.assemble("    ", _marked(plain_line(fragment), plain=not console.is_terminal)))
    shown, total = len(answer.hits), answer.total
    of = f"{total}{' or more' if answer.at_least else ''}"
    summary = f"{of} found" if shown == total else f"{shown} of {of} shown; --limit shows more"
    print(f"{summary}, {answer.took_ms} ms", file=sys.stderr)


def _marked(text: str, *, plain: bool) -> Any:
    """Text with the words that were found in bold, or, where there is no colour, between »«."""
    from rich.text import Text

    from sinks.elasticsearch.search import MARK_END, MARK_START

    marked = Text()
    for number, piece in enumerate(text.split(MARK_START)):
        found, end, rest = piece.partition(MARK_END)
        if number == 0 or not end:
            marked.append(piece.replace(MARK_END, ""))
            continue
        marked.append(f"»{found}«" if plain else found, style="bold yellow")
        marked.append(rest)
    return marked


def _as_json(answer: Answer) -> dict[str, Any]:
    return {
        "total": answer.total,
        "at_least": answer.at_least,
        "took_ms": answer.took_ms,
        "hits": [_hit_as_json(hit) for hit in answer.hits],
    }


def _hit_as_json(hit: Hit) -> dict[str, Any]:
    from sinks.elasticsearch.search import MARK_END, MARK_START

    fragments = [_spans(fragment, MARK_START, MARK_END) for fragment in hit.fragments]
    return {
        "document_id": hit.document_id,
        "index": hit.index,
        "score": hit.score,
        "time": hit.time.isoformat(),
        "until": hit.until.isoformat(),
        "agent_id": hit.agent_id,
        "user": hit.user,
        "computer": hit.computer,
        "stream": hit.stream,
        "kind": hit.kind,
        "application": hit.application,
        "title": hit.source["title"],
        "text": hit.source["text"],
        "fragments": fragments,
    }


def _spans(fragment: str, start: str, end: str) -> dict[str, Any]:
    """A fragment's text, and the words in it that were found."""
    words = [piece.partition(end)[0] for piece in fragment.split(start)[1:]]
    return {"text": fragment.replace(start, "").replace(end, ""), "found": words}

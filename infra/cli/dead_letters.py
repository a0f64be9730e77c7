"""`sealstream dead-letters`: what could not be processed, why, and what becomes of it.

Never loses one: retrying publishes the record again before the letter is called settled.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.exits import Exit
from infra.cli.table import render_table
from schemas.errors import ConfigError, MalformedError, RemoteError

if TYPE_CHECKING:
    from infra.settings import Settings
    from sinks.letters import Letter, Letters

app = typer.Typer(no_args_is_help=True, help="Records that could not be processed: list, look, try again, give up.")

AsJson = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids as `list` shows them.", metavar="ID...")]

_PREVIEW_BYTES = 256


@app.command("list")
def list_letters(
    everything: Annotated[bool, typer.Option("--all", help="Also those that were settled.")] = False,
    reason: Annotated[str, typer.Option(help="Only with this reason.")] = "",
    as_json: AsJson = False,
) -> None:
    """List dead letters, oldest first. Exit code 1: there are none.

    Examples: `sealstream dead-letters list`, `sealstream dead-letters list --all --json | jq length`
    """
    letters = asyncio.run(_read(_settings()))
    shown = [letter for letter in (letters.all() if everything else letters.open()) if reason in ("", letter.reason)]
    if as_json:
        print(json.dumps([_summary(letter) for letter in shown], indent=2))
    elif shown:
        head = ("ID", "WHEN", "STAGE", "REASON", "BYTES", "STATE", "DETAIL")
        print(render_table(head, [_row(letter) for letter in shown]))
    else:
        print("no dead letters")
    if not shown:
        raise typer.Exit(Exit.NOTHING)


@app.command()
def show(letter_id: Annotated[str, typer.Argument(help="Id as `list` shows it.", metavar="ID")]) -> None:
    """Show one dead letter: where it stood, why it is dead, and what its record holds, as JSON.

    Example: `sealstream dead-letters show envelopes.email-4-0`
    """
    settings = _settings()
    letter = _find(asyncio.run(_read(settings)), letter_id)
    value = letter.value or asyncio.run(_fetch(settings, letter)) or b""
    print(json.dumps({**_summary(letter), **_content(letter, value)}, indent=2, default=_plain))


@app.command()
def retry(
    ids: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    reason: Annotated[str, typer.Option(help="All that are open, with this reason.")] = "",
) -> None:
    """Publish dead letters' records to their topics again, for everyone who reads these.

    Who had processed such a record before knows it by its identity and changes nothing. What fails again becomes a
    dead letter again, as does a piece of a screen recording that builds on what came before it: `sealstream replay`
    its time instead.

    Examples: `sealstream dead-letters retry envelopes.email-4-0`,
    `sealstream dead-letters retry --reason does_not_open`
    """
    _settle(ids, everything=everything, reason=reason, again=True)


@app.command()
def drop(
    ids: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    reason: Annotated[str, typer.Option(help="All that are open, with this reason.")] = "",
    purpose: Annotated[str, typer.Option(help="Why; goes into the audit.")] = "",
) -> None:
    """Give dead letters up: they are no longer listed as open. The audit keeps who did it.

    Example: `sealstream dead-letters drop envelopes.email-4-0 --purpose 'sent by a port scanner'`
    """
    _settle(ids, everything=everything, reason=reason, again=False, purpose=purpose)


def _settle(ids: list[str] | None, *, everything: bool, reason: str, again: bool, purpose: str = "") -> None:
    if bool(ids) + everything + bool(reason) != 1:
        raise ConfigError("name the dead letters by their ids, or with --reason, or all of them with --all")
    settings = _settings()
    letters = asyncio.run(_read(settings))
    chosen = (
        [_find(letters, letter_id) for letter_id in ids]
        if ids
        else [letter for letter in letters.open() if reason in ("", letter.reason)]
    )
    gone = asyncio.run(_settle_all(settings, chosen, again=again, purpose=purpose))
    print(f"{len(chosen) - len(gone)} {'published again' if again else 'dropped'}")
    if gone:
        raise RemoteError(f"Kafka keeps these records no longer: {', '.join(gone)}; the archive may")
    if not chosen:
        raise typer.Exit(Exit.NOTHING)


async def _settle_all(settings: Settings, chosen: list[Letter], *, again: bool, purpose: str) -> list[str]:
    from infra.audit import audit_trail
    from sinks.letters import DROP, RETRY

    gone: list[str] = []
    async with audit_trail(settings) as write:
        for letter in chosen:
            if again and not await _publish(settings, letter):
                gone.append(letter.id)
                continue
            await write(RETRY if again else DROP, letter.id, purpose=purpose, detail={"reason": letter.reason})
    return gone


async def _publish(settings: Settings, letter: Letter) -> bool:
    """Publish the record again under its key; whether it was still to be had."""
    from infra.kafka import producer, topic_name
    from schemas.topics import HEADER_RETRY

    value = letter.value or await _fetch(settings, letter)
    if value is None:
        return False
    sending = producer(settings)
    await sending.start()
    try:
        headers = list({**letter.headers, HEADER_RETRY: "+".join(letter.stages).encode()}.items())
        await sending.send_and_wait(topic_name(settings, letter.topic), value, key=letter.key, headers=headers)
    finally:
        await sending.stop()
    return True


async def _read(settings: Settings) -> Letters:
    """All dead letters, with what became of them."""
    from infra.reading import Stretch, read_records
    from schemas.records import decode_record
    from schemas.topics import AUDIT, DEAD_LETTERS
    from sinks.letters import Letters

    letters = Letters()
    async for record in read_records(settings, DEAD_LETTERS.name, Stretch()):
        letters.add(decode_record(record.value, "dead_letter"))
    async for record in read_records(settings, AUDIT.name, Stretch()):
        letters.settle(decode_record(record.value, "audit_entry"))
    return letters


async def _fetch(settings: Settings, letter: Letter) -> bytes | None:
    """The record's value from where it stood, if Kafka still has it."""
    from infra.reading import Stretch, read_records

    stretch = Stretch(offset=letter.offset, partition=letter.partition, limit=1)
    async for record in read_records(settings, letter.topic, stretch):
        if record.offset == letter.offset:
            return bytes(record.value or b"")
    return None


def _find(letters: Letters, letter_id: str) -> Letter:
    letter = letters.find(letter_id)
    if letter is None:
        raise ConfigError(f"no dead letter has the id {letter_id!r}: see `sealstream dead-letters list --all`")
    return letter


def _row(letter: Letter) -> tuple[object, ...]:
    when = datetime.fromtimestamp(letter.time_ms / 1000, UTC).astimezone()
    state = letter.settled or "open"
    detail = letter.detail if letter.detail.isprintable() else ascii(letter.detail)
    return (
        letter.id,
        f"{when:%Y-%m-%d %H:%M:%S}",
        "+".join(letter.stages),
        letter.reason,
        len(letter.value),
        state,
        detail,
    )


def _summary(letter: Letter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "time": datetime.fromtimestamp(letter.time_ms / 1000, UTC).isoformat(timespec="milliseconds"),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "stages": list(letter.stages),
        "reason": letter.reason,
        "detail": letter.detail,
        "state": letter.settled or "open",
        "bytes": len(letter.value),
    }


def _content(letter: Letter, value: bytes) -> dict[str, Any]:
    from infra.reading import describe_value, find_topic

    content: dict[str, Any] = {
        "key": (letter.key or b"").decode("utf-8", "replace"),
        "headers": {name: data.decode("utf-8", "replace") for name, data in letter.headers.items()},
    }
    try:
        return {**content, **describe_value(find_topic(letter.topic), value)}
    except (MalformedError, ConfigError) as error:
        return {**content, "malformed": str(error), "begins_with_hex": value[:_PREVIEW_BYTES].hex()}


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else str(value)


def _settings() -> Settings:
    from infra.settings import load_settings

    return load_settings()


def register(root: typer.Typer) -> None:
    """Add `sealstream dead-letters`."""
    root.add_typer(app, name="dead-letters")

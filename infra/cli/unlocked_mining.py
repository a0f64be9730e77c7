"""`sealstream streams unlock`: an officer's passphrase lets a miner read end-to-end streams for a while (R6.9).

Never leaves a key behind: it is in this process alone, which ends when the time is over.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.exits import Exit
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from gateway.unlock.scope import Scope
    from infra.settings import Settings
    from schemas.envelope import EpochHeader
    from schemas.keys import Recipient, Unwrapper
    from schemas.kinds import StreamKind
    from streams.unlocked import Publish, Sealed, UnlockedMiner

ACTION = "mine_unlocked"
HELP = """\
Read end-to-end streams with an officer's passphrase, as endpoint OCR would have, until a time.

Text is sealed to the stream's own KEKs and indexed by hashes: `sealstream search --unlock` finds it, the server cannot
read it. The key is in this process's memory alone, and gone when it ends: at the time given, or on Ctrl-C. Recordings
that came already are read first. Exit code 1: nothing was in scope.

Examples:

    sealstream streams unlock --agent 6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1 --since 2h --for 1h --reason "case 17"

    sealstream streams unlock --agent 6f1c… --stream screen --since 2026-11-20 --until-time now --reason "case 17"
"""

_ROUND_S = 3.0
_LATE_MS = 20 * 60 * 1000
"""How long after its recording an envelope may come, and be met before the last round."""

_AT_ONCE = 200

_TOLD = {"texts": "texts indexed", "segments": "segments read", "not_opened": "not opened", "not_read": "not read"}


def unlock(  # noqa: PLR0917  # typer calls it by names
    agent: Annotated[list[str], typer.Option(help="Agent (UUID); may be given again.")],
    since: Annotated[str, typer.Option(help="What was recorded from then on: 2h, 7d ago, or 2026-11-23T14:00.")],
    reason: Annotated[str, typer.Option(help="Why; goes into the audit.")],
    stream: Annotated[list[str] | None, typer.Option(help="screen (the default), keystrokes, email.")] = None,
    for_: Annotated[str, typer.Option("--for", help="How long: 30m, 1h.")] = "",
    until_time: Annotated[str, typer.Option(help="Or until when: 2026-11-23T18:00, or now: what there is.")] = "",
    key: Annotated[list[str] | None, typer.Option(help="KEK to use; any that the passphrase opens otherwise.")] = None,
    passphrase_file: Annotated[Path | None, typer.Option(help="File with the passphrase; asked for otherwise.")] = None,
) -> None:
    """Mine end-to-end streams for a while."""
    from infra.cli.times import parse_time_ms
    from infra.logging import configure_logging
    from infra.settings import load_settings

    if bool(for_) == bool(until_time):
        raise ConfigError("say how long with --for, or until when with --until-time")
    now_ms = time.time_ns() // 1_000_000
    end_ms = 2 * now_ms - parse_time_ms(for_) if for_ else max(parse_time_ms(until_time), now_ms)
    configure_logging("unlocked-miner", level=30)
    scope = _scope(agent, stream or ["screen"], parse_time_ms(since), end_ms)
    counts = asyncio.run(_mine(load_settings(), scope, reason, key or [], passphrase_file))
    parts = (
        ("texts", "texts indexed"),
        ("segments", "segments read"),
        ("not_opened", "not opened"),
        ("not_read", "not read"),
    )
    print(", ".join(f"{counts.get(name, 0)} {words}" for name, words in parts))
    if not counts.get("segments"):
        raise typer.Exit(Exit.NOTHING)


def _scope(agents: list[str], streams: list[str], since_ms: int, end_ms: int) -> Scope:
    from gateway.unlock.scope import Scope
    from streams.unlocked import READERS

    scope = Scope.from_json({"agents": agents, "streams": streams, "since_ms": since_ms, "until_ms": end_ms})
    if others := set(scope.kinds) - set(READERS):
        raise ConfigError(f"{', '.join(kind.label for kind in others)} has no text to read")
    return scope


async def _mine(
    settings: Settings, scope: Scope, reason: str, keys: Sequence[str], passphrase_file: Path | None
) -> Mapping[str, int]:
    """Read until the scope's end, or until interrupted; what was done, in numbers."""
    import signal

    from infra.cli.unlocking import unlocking
    from schemas.opening import Opener
    from streams.unlocked import UnlockedMiner

    stop = asyncio.Event()
    async with (
        unlocking(settings, ACTION, str(scope), reason=reason, names=keys, passphrase_file=passphrase_file) as unlocked,
        AsyncExitStack() as stack,
    ):
        for how in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(how, stop.set)
        publish = await _publisher(settings, stack)
        recipients, server = _recipients(settings, unlocked.identities)
        miner = UnlockedMiner(
            Opener(unlocked.identities), publish, recipients=recipients, server=server, wanted=scope.holds
        )
        stack.push_async_callback(miner.close)
        try:
            await _rounds(settings, scope, miner, stop)
        finally:
            unlocked.told |= {name: str(count) for name, count in miner.counts.items()}
    return miner.counts


async def _rounds(settings: Settings, scope: Scope, miner: UnlockedMiner, stop: asyncio.Event) -> None:
    """All there is, then what comes, and at the end all again for what came late."""
    async for some in _read(settings, scope):
        miner.survey(some)
    await _round(settings, scope, miner, stop)
    while not stop.is_set() and (left_s := scope.until_ms / 1000 - time.time()) > 0:
        try:
            await asyncio.wait_for(stop.wait(), min(_ROUND_S, left_s))
        except TimeoutError:
            since_ms = max(scope.since_ms, time.time_ns() // 1_000_000 - _LATE_MS)
            await _round(settings, replace(scope, since_ms=min(since_ms, scope.until_ms - 1)), miner, stop)
            print(f"\r{dict(miner.counts)}", end="", file=sys.stderr) if sys.stderr.isatty() else None
    if not stop.is_set():
        await _round(settings, scope, miner, stop)


async def _round(settings: Settings, scope: Scope, miner: UnlockedMiner, stop: asyncio.Event) -> None:
    async for some in _read(settings, scope):
        for one in some:
            if stop.is_set():
                break
            await miner.take(one)
    await miner.flush()


async def _read(settings: Settings, scope: Scope) -> AsyncIterator[list[Sealed]]:
    """The archive's envelopes in scope, some at a time, in the order of their recording."""
    from itertools import islice

    from gateway.unlock.finding import find, read
    from streams.unlocked import Sealed

    found = await find(settings, scope)
    envelopes = read(found, scope)
    while some := await asyncio.to_thread(lambda: list(islice(envelopes, _AT_ONCE))):
        yield [Sealed(one.value, dict(one.headers)) for one in some]


async def _publisher(settings: Settings, stack: AsyncExitStack) -> Publish:
    from infra.kafka import producer, topic_name
    from schemas.identity import agent_text
    from schemas.topics import envelope_topic

    sending: Any = producer(settings)
    await sending.start()
    stack.push_async_callback(sending.stop)

    async def publish(kind: StreamKind, agent_id: bytes, envelope: bytes, headers: Mapping[str, bytes]) -> None:
        topic, key = topic_name(settings, envelope_topic(kind)), agent_text(agent_id).encode()
        await sending.send_and_wait(topic, envelope, key=key, headers=list(headers.items()))

    return publish


def _recipients(
    settings: Settings, identities: Sequence[Unwrapper]
) -> tuple[Callable[[EpochHeader], list[Recipient]], list[Recipient]]:
    """Who an epoch is sealed to, as far as their public halves are here; and the server's own KEKs."""
    from gateway.unlock.naming import key_ids
    from infra.keys.registry import Purpose, State
    from infra.keys.table import registered

    rows = key_ids(settings, registered(settings))
    folder = settings.keys.dir
    public = {key_id: row.recipient(folder) for key_id, row in rows.items()}
    ours = {identity.key_id for identity in identities}
    server = [public[i] for i, row in rows.items() if row.purpose is Purpose.SERVER and row.state is State.ACTIVE]
    if not server:
        raise ConfigError("the server's own KEK is not registered here: `sealstream keys list`")

    def recipients(epoch: EpochHeader) -> list[Recipient]:
        known = [public[key_id] for key_id in epoch.key_ids if key_id in public]
        if not ours & {one.key_id for one in known}:
            raise ConfigError("the public half of the KEK that opens this is not in the folder of keys")
        return known

    return recipients, server

"""`sealstream miner run`, and `sealstream miners`: what mining nodes do, replays on them, draining them (R2.6).

Never speaks to a miner but as this node, with its certificate.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.exits import Exit
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from infra.settings import Settings
    from streams.miner.client import MinerClient

AsJson = Annotated[bool, typer.Option("--json", help="For scripts.")]
Node = Annotated[str, typer.Argument(help="The node's `node.id`; this one when not given.", metavar="[NODE]")]
OnNode = Annotated[str, typer.Option("--node", help="The node's `node.id`; this one when not given.")]
Address = Annotated[str, typer.Option(help="HOST:PORT of the miner, where the database is not to be asked.")]
Run = Annotated[str, typer.Argument(help="As `miners replays` shows it.", metavar="RUN")]
Why = Annotated[str, typer.Option("--reason", help="Why; goes into the audit.")]


def register(app: typer.Typer) -> None:
    """Add `miner` and `miners` with their commands."""
    miner = typer.Typer(no_args_is_help=True, help="The gRPC service of a mining node.")
    miner.callback()(_group)
    miner.command("run")(run)
    app.add_typer(miner, name="miner")
    miners = typer.Typer(no_args_is_help=True, help="Mining nodes by gRPC: status, replays, draining.")
    for name, command in (
        *(("list", show), ("status", status), ("capabilities", capabilities), ("submit", submit)),
        *(("replays", replays), ("watch", watch), ("cancel", cancel), ("drain", drain), ("resume", resume)),
    ):
        miners.command(name)(command)
    app.add_typer(miners, name="miners")


def _group() -> None:
    """The gRPC service of a mining node."""


def run() -> None:
    """Run the gRPC service of this node in the foreground until SIGTERM.

    Example: `sealstream miner run --data /var/lib/sealstream`
    """
    from infra.logging import configure_logging
    from infra.settings import load_settings
    from streams.miner.process import run_miner

    settings = load_settings()
    configure_logging("miner", node=settings.node.id)
    asyncio.run(run_miner(settings))


def show(as_json: AsJson = False) -> None:
    """List the miners that there are, and whether each serves.

    Example: `sealstream miners list --json | jq '.[] | select(.serves | not)'`
    """
    from infra.cli.miners_view import print_miners
    from infra.settings import load_settings

    rows = asyncio.run(_survey(load_settings()))
    print_miners(rows, as_json=as_json)
    if not rows:
        raise typer.Exit(Exit.NOTHING)


def status(node: Node = "", address: Address = "", as_json: AsJson = False) -> None:
    """Show what a miner does: its workers, what they hold, how far behind they are; 1 when something is wrong.

    Example: `sealstream miners status miner-2`
    """
    from infra.cli.miners_view import print_status

    async def ask(client: MinerClient) -> Any:
        from streams.miner.contract import messages

        return await client.ask("Status", messages.StatusRequest())

    told = _call(node, address, ask)
    print_status(told, as_json=as_json)
    if told.faults:
        raise typer.Exit(Exit.NOTHING)


def capabilities(node: Node = "", address: Address = "", as_json: AsJson = False) -> None:
    """Show what a miner can do: streams, OCR, processors that read again, rules in force.

    Example: `sealstream miners capabilities miner-2 --json | jq .ocr`
    """
    from infra.cli.miners_view import print_capabilities

    async def ask(client: MinerClient) -> Any:
        from streams.miner.contract import messages

        return await client.ask("Capabilities", messages.CapabilitiesRequest())

    print_capabilities(_call(node, address, ask), as_json=as_json)


def submit(  # noqa: PLR0917 - typer makes options of them
    topic: Annotated[str, typer.Argument(help="Envelope topic, such as envelopes.screen.")],
    purpose: Annotated[str, typer.Option(help="Why; goes into the audit.")],
    since: Annotated[str, typer.Option(help="From this time on.")] = "",
    until: Annotated[str, typer.Option(help="Before this time.")] = "",
    agent: Annotated[list[str] | None, typer.Option(help="Only this agent; may be given again.")] = None,
    offset: Annotated[list[str] | None, typer.Option(help="PARTITION:FIRST or PARTITION:FIRST-END.")] = None,
    processor: Annotated[str, typer.Option(help="mine or activity.")] = "mine",
    source: Annotated[str, typer.Option("--from", help="kafka or archive.")] = "kafka",
    throttle: Annotated[float, typer.Option(min=0, help="Records a second at most; 0: no limit.")] = 0.0,
    node: OnNode = "",
    address: Address = "",
    as_json: AsJson = False,
) -> None:
    """Have a miner process a range again; it goes on whoever watches. Times are as `sealstream replay` takes them.

    Example: `sealstream miners submit envelopes.screen --since 2h --node miner-2 --purpose 'a new language'`
    """
    from infra.cli.miners_view import print_replay
    from infra.cli.replay import parse_offset
    from infra.cli.times import parse_time_ms

    if source not in {"kafka", "archive"}:
        raise ConfigError("--from is kafka or archive")
    times = {name: parse_time_ms(text) for name, text in (("since_ms", since), ("until_ms", until)) if text}
    spans = [parse_offset(text) for text in offset or ()]

    async def ask(client: MinerClient) -> Any:
        from streams.miner.contract import messages

        request = messages.SubmitReplayRequest(
            topic=topic,
            processor=processor,
            source=source.upper(),
            agents=agent or (),
            records_per_s=throttle,
            purpose=purpose,
            person=_person(),
            **times,
        )
        for partition, (first, end) in spans:
            known = {"end": end} if end >= 0 else {}
            request.offsets.append(messages.OffsetRange(partition=partition, first=first, **known))
        return await client.ask("SubmitReplay", request)

    print_replay(_call(node, address, ask), as_json=as_json)


def replays(
    node: Node = "",
    address: Address = "",
    everywhere: Annotated[bool, typer.Option("--everywhere", help="Those of all nodes.")] = False,
    as_json: AsJson = False,
) -> None:
    """List replays that a miner, or the console on its node, was asked for.

    Example: `sealstream miners replays miner-2`
    """
    from infra.cli.miners_view import print_replays

    async def ask(client: MinerClient) -> Any:
        from streams.miner.contract import messages

        return await client.ask("ListReplays", messages.ListReplaysRequest(everywhere=everywhere))

    print_replays(_call(node, address, ask).replays, as_json=as_json)


def watch(run_id: Run, node: OnNode = "", address: Address = "", as_json: AsJson = False) -> None:
    """Follow a replay to its end; Ctrl-C stops the watching alone. Ends with 1 when the replay did not finish.

    Example: `sealstream miners watch 20261127-090000-1a2b --json | jq .done`
    """
    from infra.cli.miners_view import print_replay

    async def follow(client: MinerClient) -> Any:
        from streams.miner.contract import messages

        told = None
        async for told in client.follow("WatchReplay", messages.WatchReplayRequest(run_id=run_id)):
            print_replay(told, as_json=as_json)
        return told

    told = _call(node, address, follow)
    if told is None or told.state != "done":
        raise typer.Exit(Exit.NOTHING)


def cancel(run_id: Run, node: OnNode = "", address: Address = "", as_json: AsJson = False) -> None:
    """End a replay in order: what it has done stays.

    Example: `sealstream miners cancel 20261127-090000-1a2b`
    """
    from infra.cli.miners_view import print_replay

    async def ask(client: MinerClient) -> Any:
        from streams.miner.contract import messages

        return await client.ask("CancelReplay", messages.CancelReplayRequest(run_id=run_id, person=_person()))

    print_replay(_call(node, address, ask), as_json=as_json)


def drain(node: Node = "", address: Address = "", reason: Why = "", as_json: AsJson = False) -> None:
    """Have a miner's workers finish what they have and let go; returns when they hold no partition any more.

    They stay drained, also over a restart and after Ctrl-C, until `sealstream miners resume`.

    Example: `sealstream miners drain miner-2 --reason 'new memory'`
    """
    from infra.cli.miners_view import print_progress

    async def follow(client: MinerClient) -> Any:
        from streams.miner.contract import messages

        told = None
        async for told in client.follow("Drain", messages.DrainRequest(reason=reason, person=_person())):
            print_progress(told, as_json=as_json)
        return told

    told = _call(node, address, follow)
    if told is None or not told.drained:
        raise typer.Exit(Exit.NOTHING)


def resume(node: Node = "", address: Address = "", reason: Why = "") -> None:
    """Have a miner's workers work again.

    Example: `sealstream miners resume miner-2`
    """

    async def ask(client: MinerClient) -> Any:
        from streams.miner.contract import messages

        return await client.ask("Resume", messages.ResumeRequest(reason=reason, person=_person()))

    for worker in _call(node, address, ask).workers:
        print(f"{worker} is wished serving: it follows within seconds")


def _call(node: str, address: str, ask: Callable[[MinerClient], Coroutine[Any, Any, Any]]) -> Any:
    """What `ask` gets of the miner of `node`, or of the one at `address`."""
    from infra.settings import load_settings
    from streams.miner.client import MissingError

    async def connect() -> Any:
        async with _miner(load_settings(), node, address) as client:
            return await ask(client)

    try:
        return asyncio.run(connect())
    except MissingError as error:
        typer.echo(f"sealstream: {error}", err=True)
        raise typer.Exit(Exit.NOTHING) from None


@asynccontextmanager
async def _miner(settings: Settings, node: str, address: str) -> AsyncIterator[MinerClient]:
    from streams.miner.client import open_miner

    if not address and node in {"", settings.node.id}:
        address = f"{settings.node.address}:{settings.miner.port}"
    if not address:
        address = await _find(settings, node)
    async with open_miner(settings, address) as client:
        yield client


async def _find(settings: Settings, node: str) -> str:
    from infra.nodes.miners import find_miners

    found = {one.node: one.address for one in await find_miners(settings)}
    if node not in found:
        raise ConfigError(
            f"no miner of {node!r} is known (there are: {', '.join(found) or 'none'}): name its --address"
        )
    return found[node]


async def _survey(settings: Settings) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from infra.nodes.miners import find_miners
    from schemas.errors import SealstreamError
    from streams.miner.client import open_miner

    async def ask(address: str) -> tuple[bool, str]:
        try:
            async with open_miner(settings, address) as client:
                return await client.serves(), ""
        except SealstreamError as error:
            return False, str(error)

    found = await find_miners(settings)
    told = await asyncio.gather(*(ask(one.address) for one in found))
    return [{**asdict(one), "serves": serves, "fault": fault} for one, (serves, fault) in zip(found, told, strict=True)]


def _person() -> str:
    from infra.audit import this_person

    return this_person()

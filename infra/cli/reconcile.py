"""`sealstream archive reconcile`: what the archive holds and nobody mined is mined now.

Never touches a document that is there: it compares before it delivers.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.exits import Exit
from infra.cli.times import parse_time_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elasticsearch import AsyncElasticsearch

    from infra.settings import Settings
    from schemas.kinds import StreamKind
    from sinks.archive.survey import EpochSurvey

STREAMS = ("screen", "keystrokes", "email", "activity", "index")


def reconcile(  # noqa: PLR0917 - typer makes options of them
    stream: Annotated[list[str] | None, typer.Option(help="Only this stream; may be given again.")] = None,
    agent: Annotated[list[str] | None, typer.Option(help="Only this agent (UUID); may be given again.")] = None,
    since: Annotated[str, typer.Option(help="Captured since: 2h, 7d ago, or 2026-11-23T14:00.")] = "",
    until: Annotated[str, typer.Option(help="Captured before; what is newer may still be on its way.")] = "10m",
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Mine all of the range again and compare every document.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which epochs have no documents.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    """Compare the archive with the documents in Elasticsearch, and mine what never was. The safety net of mining.

    An epoch without any document, and a mail without one, is mined again from the archive; so is all of the range with
    `--thorough`, which finds single documents that are missing, and takes as long as mining takes. Only documents that
    are missing, or of an older version, are delivered. Some epochs have nothing to say, such as those of an idle
    window: they are looked at and bring nothing. Exit code 1 when there was nothing to look at.

    Examples: `sealstream archive reconcile --since 7d --dry-run`,
    `sealstream archive reconcile --stream email --since 2026-11-01`
    """
    import uvloop

    from infra.logging import configure_logging
    from infra.settings import load_settings
    from schemas.errors import UnavailableError

    settings = load_settings()
    if not settings.archive.dir.is_dir():
        raise UnavailableError(f"there is no archive at {settings.archive.dir}")
    configure_logging("reconcile", level=30)
    since_ms = parse_time_ms(since) if since else 0
    scope = _Scope(settings, agent or [], since_ms, parse_time_ms(until), thorough=thorough, dry_run=dry_run)
    told = uvloop.run(_reconcile(scope, stream or STREAMS, as_json=as_json))
    print(json.dumps({"streams": told}, indent=2) if as_json else "\n".join(map(_line, told)))
    if not any(row["epochs"] for row in told):
        raise typer.Exit(Exit.NOTHING)


def _line(row: dict[str, Any]) -> str:
    text = f"{row['stream']:<11} {row['epochs']} epochs, {row['envelopes']} envelopes; suspected: {row['suspected']}"
    if "missing" in row:
        text += f": {row['missing']} documents were missing and are mined, {row['present']} were there"
    return text


class _Scope:
    """What was asked for."""

    def __init__(
        self, settings: Settings, agents: list[str], since_ms: int, until_ms: int, *, thorough: bool, dry_run: bool
    ) -> None:
        from schemas.errors import ConfigError
        from schemas.identity import agent_bytes

        self.settings = settings
        self.since_ms = since_ms
        self.until_ms = until_ms
        self.thorough = thorough
        self.dry_run = dry_run
        try:
            self.agents = [agent_bytes(agent) for agent in agents] or None
        except ValueError:
            raise ConfigError("--agent wants an agent's id (a UUID)") from None
        if until_ms <= since_ms:
            raise ConfigError("--until is not after --since: the range is empty")

    def survey(self, kind: StreamKind) -> list[EpochSurvey]:
        """What the archive has of the stream."""
        from sinks.archive.reading import read_envelopes
        from sinks.archive.survey import survey

        return survey(
            read_envelopes(
                self.settings.archive.dir, kinds=[kind], agents=self.agents, since_ms=self.since_ms,
                until_ms=self.until_ms,
            )
        )  # fmt: skip


async def _reconcile(scope: _Scope, streams: Sequence[str], *, as_json: bool) -> list[dict[str, Any]]:
    from schemas.errors import ConfigError
    from schemas.kinds import StreamKind
    from sinks.elasticsearch.client import connect

    unknown = sorted(set(streams) - set(STREAMS))
    if unknown:
        raise ConfigError(f"no documents are made of {', '.join(unknown)}; there are {', '.join(STREAMS)}")
    told = []
    async with connect(scope.settings.elasticsearch) as client:
        for label in streams:
            epochs = await asyncio.to_thread(scope.survey, StreamKind.from_label(label))
            suspected = epochs if scope.thorough else await _suspect(client, scope.settings, label, epochs)
            row: dict[str, Any] = {
                "stream": label,
                "epochs": len(epochs),
                "envelopes": sum(len(epoch.sequences) for epoch in epochs),
                "suspected": len(suspected),
            }
            if suspected and not scope.dry_run:
                row |= await _mine(scope, client, label, suspected, as_json=as_json)
            told.append(row)
    return told


async def _suspect(
    client: AsyncElasticsearch, settings: Settings, label: str, epochs: Sequence[EpochSurvey]
) -> list[EpochSurvey]:
    """Epochs without documents; of mail, of which every envelope has one, those in which one lacks; all of an index."""
    from schemas.identity import EnvelopeId, agent_bytes, document_id
    from sinks.elasticsearch.presence import find_silent_epochs, read_versions

    prefix = settings.elasticsearch.index_prefix
    if label == "index":  # its documents are those of the envelopes that it speaks of: only mining tells which
        return list(epochs)
    if label != "email":
        silent = await find_silent_epochs(client, prefix, [epoch.epoch for epoch in epochs])
        return [epoch for epoch in epochs if epoch.epoch in silent]
    suspected = []
    for epoch in epochs:
        sources = (EnvelopeId(agent_bytes(epoch.agent), bytes.fromhex(epoch.epoch), n) for n in epoch.sequences)
        wanted = [document_id(source) for source in sources]
        if len(await read_versions(client, prefix, wanted)) < len(wanted):
            suspected.append(epoch)
    return suspected


async def _mine(
    scope: _Scope, client: AsyncElasticsearch, label: str, suspected: Sequence[EpochSurvey], *, as_json: bool
) -> dict[str, Any]:
    """Mine the epochs from the archive, and deliver what lacks."""
    from infra.cli.replay import archive_reader
    from infra.cli.replay_view import RunBar
    from sinks.elasticsearch.presence import read_versions
    from streams.replay.ledger import Ledger
    from streams.replay.request import Request
    from streams.replay.session import Session

    settings = scope.settings
    request = Request(
        topic=f"envelopes.{label}",
        since_ms=min(epoch.first_capture_ms for epoch in suspected),
        until_ms=scope.until_ms,
        agents=frozenset(epoch.agent for epoch in suspected),
        from_archive=True,
        epochs=frozenset(epoch.epoch for epoch in suspected),
    )

    async def versions(ids: Sequence[str]) -> dict[str, int]:
        return await read_versions(client, settings.elasticsearch.index_prefix, ids)

    ledger = Ledger(settings.data.store("replay"))
    run = ledger.begin(request)
    with RunBar(run, silent=as_json) as bar:
        async with Session(settings, request, archive_reader(settings, request)) as session:
            await session.run(run, ledger, bar.show, read_versions=versions)
            comparing = session.comparing
    assert comparing is not None
    return {"run": run.id, "missing": len(comparing.missing), "present": comparing.present}

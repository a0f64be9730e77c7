"""The whole agent in one process, against a gateway of real TLS: what is recorded arrives, sealed, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent.agent import Agent
from agent.cache import PolicyCache
from agent.clock import SystemClock
from agent.control import ask
from agent.enrolment import enrol
from agent.guest import visit
from agent.installation import open_installation, read_notice
from agent.settings import RecorderSettings, SourceSettings, SpoolSettings, UplinkSettings
from agent.source import CurrentPolicy, Emit, Source
from schemas.envelope import peek
from schemas.errors import ConfigError, UnavailableError
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.opening import Opener
from schemas.records import Record, decode_segment
from tests.agent.fake_gateway import FakeGateway
from tests.agent.patience import wait_until


@pytest.fixture(scope="module")
def identity() -> Identity:
    """The server's KEK."""
    return Identity.generate(2048)


@pytest.fixture
async def gateway(tmp_path: Path, identity: Identity) -> AsyncIterator[FakeGateway]:
    """A gateway."""
    async with FakeGateway(tmp_path / "pki", identity) as gateway:
        yield gateway


class Windows:
    """A source that emits the titles it is given, while the policy allows."""

    kind = StreamKind.ACTIVITY
    name = "activity"

    def __init__(self) -> None:
        self.titles: asyncio.Queue[str] = asyncio.Queue()
        self.fails_with: Exception | None = None
        self.runs = 0

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        self.runs += 1
        if self.fails_with:
            raise self.fails_with
        while True:
            title = await self.titles.get()
            if policy().allows(self.kind):
                await emit(window(title))

    def renew(self) -> None:
        """Each event stands by itself."""


def window(title: str) -> Record:
    return {
        "time_us": SystemClock().now_us(),
        "duration_us": 1,
        "kind": "focus",
        "application": "editor",
        "title": title,
        "path": "",
        "pid": None,
    }


class Stage:
    """An agent that runs in `directory`."""

    def __init__(self, agent: Agent, directory: Path, running: asyncio.Task[None], stop: asyncio.Event) -> None:
        self.agent = agent
        self.directory = directory
        self.running = running
        self.stop = stop


@contextlib.asynccontextmanager
async def running(gateway: FakeGateway, directory: Path, sources: Sequence[Source]) -> AsyncIterator[Stage]:
    """Enrolled if need be, connected, and ended in order."""
    if not (directory / "identity.json").exists():
        gateway.secrets.add("one-time secret")
        made, policy = await enrol(gateway.token(), directory, SystemClock())
        PolicyCache(directory, made.agent_id).accept(policy.to_json())
    parts = await open_installation(directory, SystemClock())
    settings = replace(
        parts.settings,
        spool=SpoolSettings(commit_ms=1),
        recorder=RecorderSettings(segment_ms=20),
        uplink=UplinkSettings(backoff_first_s=0.01, backoff_max_s=0.05),
        sources=SourceSettings(retry_s=0.1),
    )
    agent = Agent(replace(parts, settings=settings), sources)
    stop = asyncio.Event()
    task = asyncio.create_task(agent.run(until=stop.wait()))
    try:
        yield Stage(agent, directory, task, stop)
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


def told(gateway: FakeGateway, kind: StreamKind) -> list[Record]:
    """What the server can read of a stream, each envelope once."""
    opener = Opener([gateway.identity])
    envelopes = {peek(one).id: one for one in gateway.received if peek(one).record.kind is kind}
    return [event for one in envelopes.values() for event in decode_segment(kind, opener.open(one).plaintext)]


def titles(gateway: FakeGateway) -> list[str]:
    return [event["title"] for event in told(gateway, StreamKind.ACTIVITY)]


async def test_what_is_recorded_arrives_sealed_and_the_last_second_too(gateway: FakeGateway, tmp_path: Path) -> None:
    """From a source to the server, and what was emitted just before the end is not lost."""
    source = Windows()
    async with running(gateway, tmp_path / "agent", [source]) as stage:
        source.titles.put_nowait("first")
        await wait_until(lambda: titles(gateway) == ["first"])
        source.titles.put_nowait("last")
        await wait_until(source.titles.empty)
        await asyncio.sleep(0)
        agent_id = stage.agent.status()["agent_id"]
    assert titles(gateway) == ["first", "last"]
    assert peek(gateway.received[0]).id.agent == agent_id
    assert b"first" not in b"".join(gateway.received)


async def test_what_could_not_be_sent_is_sent_by_the_next_run(gateway: FakeGateway, tmp_path: Path) -> None:
    """Recorded offline, it waits in the spool across an end and a start."""
    gateway.assigned = ""
    source = Windows()
    async with running(gateway, tmp_path / "agent", [source]):
        source.titles.put_nowait("offline")
        await wait_until(source.titles.empty)
        await asyncio.sleep(0.05)
    assert gateway.received == []
    gateway.assigned = None
    async with running(gateway, tmp_path / "agent", [Windows()]):
        await wait_until(lambda: titles(gateway) == ["offline"])
    assert told(gateway, StreamKind.GAP) == []


async def test_a_pause_records_nothing_and_is_told_from_its_begin_to_its_end(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    """A person's pause holds across a restart, and leaves a gap; what was emitted meanwhile is not kept."""
    source = Windows()
    directory = tmp_path / "agent"
    async with running(gateway, directory, [source]):
        await wait_until((directory / "control.sock").exists)
        await ask(directory, "pause")
        source.titles.put_nowait("private")
        await wait_until(source.titles.empty)
    second = Windows()
    async with running(gateway, directory, [second]):
        await wait_until((directory / "control.sock").exists)
        assert (await ask(directory, "status"))["pause"]
        second.titles.put_nowait("private too")
        await wait_until(second.titles.empty)
        await ask(directory, "resume")
        second.titles.put_nowait("public")
        await wait_until(lambda: titles(gateway) == ["public"])
        await wait_until(lambda: len(told(gateway, StreamKind.GAP)) == 2)
    begin, end = told(gateway, StreamKind.GAP)
    assert (begin["stream"], begin["reason"], begin["until_us"]) == ("activity", "paused", None)
    assert (end["from_us"], end["reason"]) == (begin["from_us"], "paused")
    assert end["until_us"] > end["from_us"]


async def test_a_pause_ends_by_itself_when_it_was_given_an_end(gateway: FakeGateway, tmp_path: Path) -> None:
    """Nobody has to remember it."""
    source = Windows()
    directory = tmp_path / "agent"
    async with running(gateway, directory, [source]):
        await wait_until((directory / "control.sock").exists)
        await ask(directory, "pause", for_s=0.2)
        await wait_until(lambda: not (directory / "pause.json").exists())
        source.titles.put_nowait("after")
        await wait_until(lambda: titles(gateway) == ["after"])


async def test_a_policy_without_pause_refuses_it(gateway: FakeGateway, tmp_path: Path) -> None:
    """The person is told why."""
    gateway.policy["pause_allowed"] = False
    directory = tmp_path / "agent"
    async with running(gateway, directory, [Windows()]):
        await wait_until((directory / "control.sock").exists)
        with pytest.raises(ConfigError, match="does not allow a pause"):
            await ask(directory, "pause")


async def test_a_policy_takes_effect_at_once_and_an_older_one_never(gateway: FakeGateway, tmp_path: Path) -> None:
    """A stream that is taken from the list ends there and then; the refusal of an old policy shows in the status."""
    source = Windows()
    async with running(gateway, tmp_path / "agent", [source]) as stage:
        source.titles.put_nowait("allowed")
        await wait_until(lambda: titles(gateway) == ["allowed"])
        gateway.connections[-1].tell_policy({"version": 6, "streams": ["email"]})
        await wait_until(lambda: stage.agent.recorder.policy.version == 6)
        source.titles.put_nowait("not allowed")
        await wait_until(source.titles.empty)
        gateway.connections[-1].tell_policy({"version": 4, "streams": ["activity"]})
        await wait_until(lambda: bool(stage.agent.policy_problem))
        assert stage.agent.recorder.policy.version == 6
    assert titles(gateway) == ["allowed"]


async def test_a_server_without_keys_changes_nothing(
    gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy that comes without a KEK to seal to is refused as a whole: recording goes on as before."""
    source = Windows()
    async with running(gateway, tmp_path / "agent", [source]) as stage:
        await wait_until(lambda: bool(gateway.hellos))
        monkeypatch.setattr(FakeGateway, "recipients", [])
        gateway.connections[-1].tell_policy({"version": 9, "streams": []})
        await wait_until(lambda: bool(stage.agent.policy_problem))
        source.titles.put_nowait("as before")
        await wait_until(lambda: titles(gateway) == ["as before"])
        assert PolicyCache(stage.directory, stage.agent.status()["agent_id"]).policy.version == 5


async def test_a_source_that_fails_is_tried_again_and_told_as_a_gap(gateway: FakeGateway, tmp_path: Path) -> None:
    """One source's fault is its own: the other goes on, the gap says since when and until when."""
    broken, works = Windows(), Windows()
    broken.fails_with = UnavailableError("no display")
    async with running(gateway, tmp_path / "agent", [broken, works]):
        works.titles.put_nowait("beside")
        await wait_until(lambda: titles(gateway) == ["beside"] and broken.runs >= 3)
        broken.fails_with = None
        broken.titles.put_nowait("back")
        await wait_until(lambda: len(told(gateway, StreamKind.GAP)) == 2)
    first, second = told(gateway, StreamKind.GAP)
    assert (first["reason"], first["detail"], first["until_us"]) == ("capture_failed", "no display", None)
    assert second["until_us"] > second["from_us"]
    assert sorted(titles(gateway)) == ["back", "beside"]


async def test_a_guests_events_go_through_the_agent_that_runs(gateway: FakeGateway, tmp_path: Path) -> None:
    """`agent record` beside a running agent: same spool, same epoch rules, durable when the guest leaves."""
    directory = tmp_path / "agent"
    async with running(gateway, directory, [Windows()]) as stage:
        await wait_until((directory / "control.sock").exists)
        host = await visit(directory, Windows())
        await host.emit(window("from a guest"))
        await host.close()
        assert stage.agent.recorder.sealed()["activity"] == 1
        await wait_until(lambda: titles(gateway) == ["from a guest"])


async def test_the_notice_is_there_with_and_without_a_running_agent(gateway: FakeGateway, tmp_path: Path) -> None:
    """Whoever asks is told, from the cached policy when nobody runs."""
    directory = tmp_path / "agent"
    async with running(gateway, directory, [Windows()]):
        await wait_until((directory / "control.sock").exists)
        during = await read_notice(directory)
    after = await read_notice(directory)
    for text in (during, after):
        assert "being recorded" in text
        assert "email" in text
    with pytest.raises(UnavailableError, match="agent run"):
        await ask(directory, "status")


async def test_a_directory_with_a_long_path_has_a_control_socket_too(gateway: FakeGateway, tmp_path: Path) -> None:
    """The system's limit of 107 bytes for a socket's path is no limit for the directory."""
    directory = tmp_path / ("long" * 40)
    async with running(gateway, directory, [Windows()]):
        await wait_until((directory / "control.sock").exists)
        assert (await ask(directory, "status"))["computer"]

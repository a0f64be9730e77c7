"""Uplink and link against a gateway of real TLS that drops, refuses, drains, stalls and says nothing."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.endpoint import make_hello
from agent.enrolment import enrol
from agent.gap import GapReason, Mark
from agent.memory_spool import MemorySpool
from agent.settings import UplinkSettings
from agent.trust import Trust
from agent.uplink import Uplink
from schemas.frames import Backlog, GoodbyeCode, Policy, Welcome
from schemas.keys import Identity
from schemas.kinds import StreamKind
from tests.agent.fake_gateway import FakeGateway
from tests.agent.patience import wait_until

FAST = UplinkSettings(backoff_first_s=0.01, backoff_max_s=0.03, connect_timeout_s=5, ping_s=0.5, silence_s=2)


@pytest.fixture(scope="module")
def identity() -> Identity:
    """The server's KEK."""
    return Identity.generate(2048)


@pytest.fixture
async def gateway(tmp_path: Path, identity: Identity) -> AsyncIterator[FakeGateway]:
    """A gateway that does as it should, until told otherwise."""
    async with FakeGateway(tmp_path / "pki", identity) as gateway:
        yield gateway


class Stage:
    """An enrolled agent's uplink over a spool in memory."""

    def __init__(self, directory: Path, gateway: FakeGateway, agent_id: str, settings: UplinkSettings) -> None:
        self.spool = MemorySpool()
        self.welcomes: list[Welcome] = []
        self.policies: list[Policy] = []
        self.count = 0
        self.uplink = Uplink(
            address=gateway.address,
            agent_id=agent_id,
            trust=Trust(directory, "modern"),
            hello=lambda: make_hello(agent_id, ["screen"], 1, user="ana", computer="desk-7"),
            spool=self.spool,
            settings=settings,
            clock=SystemClock(),
            welcome=self.welcomes.append,
            policy=self.policies.append,
            chance=random.Random(2),
        )

    def append(self, count: int, size: int = 1000) -> None:
        for _ in range(count):
            self.spool.append(numbered(self.count, size), Mark(StreamKind.SCREEN, b"u" * 32, self.count, 0, 0))
            self.count += 1

    async def delivered(self, seconds: float = 30) -> None:
        await wait_until(lambda: self.spool.backlog().envelopes == 0, seconds)


def numbered(number: int, size: int = 1000) -> bytes:
    return (b"%d " % number).ljust(size, b"e")


def number_of(envelope: bytes) -> int:
    return int(envelope.split()[0])


@contextlib.asynccontextmanager
async def connected(gateway: FakeGateway, directory: Path, settings: UplinkSettings = FAST) -> AsyncIterator[Stage]:
    """An agent that enrolled and runs."""
    identity, _ = await enrol(gateway.token(), directory, SystemClock())
    stage = Stage(directory, gateway, identity.agent_id, settings)
    running = asyncio.create_task(stage.uplink.run())
    try:
        yield stage
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_envelopes_arrive_in_order_and_are_released_by_their_acks(gateway: FakeGateway, tmp_path: Path) -> None:
    """The straight way: hello names the agent, every envelope comes once, the spool is empty after."""
    async with connected(gateway, tmp_path / "agent") as stage:
        stage.append(500)
        await stage.delivered()
    assert gateway.received == [numbered(number) for number in range(500)]
    (hello,) = gateway.hellos
    assert (hello.user, hello.computer, hello.streams) == ("ana", "desk-7", ["screen"])
    assert stage.uplink.status.counts.acked == 500
    await wait_until(lambda: [goodbye.code for goodbye in gateway.goodbyes] == [GoodbyeCode.DONE])


@pytest.mark.parametrize("seed", range(6))
async def test_connections_that_drop_at_random_points_lose_nothing(
    gateway: FakeGateway, tmp_path: Path, seed: int
) -> None:
    """Dropped before storing, before the ack and after it: each envelope arrives at least once, in order."""
    gateway.faults.chance = random.Random(seed)
    gateway.faults.drop_before_store = gateway.faults.drop_before_ack = gateway.faults.drop_after_ack = 0.12
    settings = replace(FAST, push_bytes=5_000)
    async with connected(gateway, tmp_path / "agent", settings) as stage:
        for _ in range(20):
            stage.append(10, 600)
            await asyncio.sleep(0.01)
        await stage.delivered(60)
    numbers = [number_of(envelope) for envelope in gateway.received]
    assert list(dict.fromkeys(numbers)) == list(range(200))
    for connection in gateway.connections:
        stored = [number_of(envelope) for envelope in connection.stored]
        assert stored == list(range(stored[0], stored[0] + len(stored))) if stored else True


async def test_no_more_is_pushed_than_the_credit(gateway: FakeGateway, tmp_path: Path) -> None:
    """A gateway that does not acknowledge gets its credit's worth and no byte more; the rest stays in the spool."""
    gateway.window = 10_500
    gateway.faults.acks = False
    async with connected(gateway, tmp_path / "agent") as stage:
        stage.append(50)
        await wait_until(lambda: len(gateway.received) == 10)
        await asyncio.sleep(0.1)
        assert len(gateway.received) == 10
        assert stage.spool.backlog().envelopes == 50
        gateway.faults.acks = True
        gateway.connections[0].ack()
        await stage.delivered()
    assert gateway.received == [numbered(number) for number in range(50)]


async def test_a_refused_envelope_is_a_gap_and_the_rest_goes_on(gateway: FakeGateway, tmp_path: Path) -> None:
    """A nack settles: the envelope is quarantined, never sent again, and told as not storable."""
    gateway.faults.refuse = lambda envelope: number_of(envelope) in {3, 7}
    async with connected(gateway, tmp_path / "agent") as stage:
        stage.append(10)
        await stage.delivered()
    assert [number_of(envelope) for envelope in gateway.received] == [0, 1, 2, 4, 5, 6, 8, 9]
    gaps = [owed.gap for owed in stage.spool.owed()]
    assert [(gap.reason, gap.first_sequence) for gap in gaps] == [
        (GapReason.NOT_STORABLE, 3),
        (GapReason.NOT_STORABLE, 7),
    ]


async def test_a_drained_agent_goes_where_it_is_sent(gateway: FakeGateway, tmp_path: Path, identity: Identity) -> None:
    """It begins no push after the drain, waits for its acks, says goodbye, and connects to the server named."""
    async with connected(gateway, tmp_path / "agent") as stage:
        stage.append(5)
        await stage.delivered()
        gateway.faults.acks = False
        stage.append(2)
        await wait_until(lambda: len(gateway.received) == 7)
        first = gateway.connections[0]
        asked = gateway.asked
        first.drain(gateway.agent_address)
        stage.append(3)
        await asyncio.sleep(0.1)
        assert len(first.stored) == 7
        gateway.faults.acks = True
        first.ack()
        await stage.delivered()
    assert gateway.asked == asked
    assert [number_of(envelope) for envelope in gateway.connections[1].stored] == [7, 8, 9]
    assert gateway.goodbyes[0].code == GoodbyeCode.DRAINING


async def test_a_silent_gateway_is_given_up(gateway: FakeGateway, tmp_path: Path) -> None:
    """A connection on which nothing comes is no connection: another is tried, and what was pushed comes again."""
    gateway.faults.silent = True
    settings = replace(FAST, connect_timeout_s=0.3, ping_s=0.1, silence_s=0.3)
    async with connected(gateway, tmp_path / "agent", settings) as stage:
        stage.append(3)
        await wait_until(lambda: len(gateway.hellos) >= 2)
        gateway.faults.silent = False
        await stage.delivered()
    assert gateway.received == [numbered(number) for number in range(3)]


async def test_pings_keep_a_quiet_connection(gateway: FakeGateway, tmp_path: Path) -> None:
    """Nothing to send is no reason to reconnect."""
    settings = replace(FAST, ping_s=0.05, silence_s=0.5)
    async with connected(gateway, tmp_path / "agent", settings) as stage:
        await wait_until(lambda: bool(stage.welcomes))
        await asyncio.sleep(1.2)
    assert len(gateway.connections) == 1


async def test_who_asks_is_told_what_waits_in_the_spool(gateway: FakeGateway, tmp_path: Path) -> None:
    """At once, again while something waits, once more when nothing does, and then no more."""
    gateway.asks, gateway.faults.acks = ["backlog", "something newer"], False
    async with connected(gateway, tmp_path / "agent", replace(FAST, ping_s=0.05)) as stage:
        stage.append(3)
        await wait_until(lambda: len(gateway.backlogs) >= 3 and gateway.backlogs[-1].envelopes == 3)
        waiting = gateway.backlogs[-1]
        assert waiting.bytes == sum(len(numbered(number)) for number in range(3))
        await wait_until(lambda: gateway.backlogs[-1].oldest_ms > waiting.oldest_ms)
        gateway.faults.acks = True
        stage.append(1)
        await wait_until(lambda: gateway.backlogs[-1] == Backlog(0, 0, 0))
        told = len(gateway.backlogs)
        await asyncio.sleep(0.3)
        assert len(gateway.backlogs) == told


async def test_who_does_not_ask_is_told_nothing(gateway: FakeGateway, tmp_path: Path) -> None:
    """An older gateway would take the frame for a mistake."""
    async with connected(gateway, tmp_path / "agent", replace(FAST, ping_s=0.05)) as stage:
        stage.append(3)
        await stage.delivered()
        await asyncio.sleep(0.2)
    assert gateway.backlogs == []


async def test_an_agent_that_was_offline_delivers_all_once_there_is_a_server(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    """No server for however long: recording goes on, and everything arrives after."""
    gateway.assigned = ""
    async with connected(gateway, tmp_path / "agent") as stage:
        stage.append(2000)
        await wait_until(lambda: gateway.asked >= 5)
        assert stage.uplink.status.state != "connected"
        assert "assigns no server" in stage.uplink.status.problem
        gateway.assigned = None
        await stage.delivered()
    assert [number_of(envelope) for envelope in gateway.received] == list(range(2000))


async def test_the_server_that_served_last_is_used_while_nobody_can_be_asked(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    """The assigning listener is away, the agent port is not: agents go on (R1.4)."""
    async with connected(gateway, tmp_path / "agent") as stage:
        await wait_until(lambda: bool(stage.welcomes))
        gateway._https.close()
        gateway.connections[0].abort()
        stage.append(3)
        await stage.delivered()
    assert len(gateway.connections) == 2


async def test_policies_are_passed_on_as_they_come(gateway: FakeGateway, tmp_path: Path) -> None:
    """Welcome brings the first, a policy frame each later one."""
    async with connected(gateway, tmp_path / "agent") as stage:
        await wait_until(lambda: bool(stage.welcomes))
        gateway.connections[0].tell_policy({"version": 6, "streams": []})
        await wait_until(lambda: bool(stage.policies))
    assert stage.welcomes[0].policy["version"] == 5
    assert stage.policies[0].policy == {"version": 6, "streams": []}


async def test_junk_from_the_gateway_ends_that_connection_alone(gateway: FakeGateway, tmp_path: Path) -> None:
    """A gateway that breaks the protocol is told so, and tried again."""
    async with connected(gateway, tmp_path / "agent") as stage:
        await wait_until(lambda: bool(stage.welcomes))
        gateway.connections[0]._writer.write(b"\x00\x00\x00\x05\xff junk")
        await wait_until(lambda: len(stage.welcomes) == 2)
        stage.append(3)
        await stage.delivered()
    assert gateway.goodbyes[0].code == GoodbyeCode.PROTOCOL


async def test_waits_are_random_under_a_ceiling_that_doubles(gateway: FakeGateway, tmp_path: Path) -> None:
    """Full jitter: from nothing to twice the time before, never beyond the longest."""
    identity, _ = await enrol(gateway.token(), tmp_path / "agent", SystemClock())
    uplink = Stage(tmp_path / "agent", gateway, identity.agent_id, UplinkSettings()).uplink
    from agent.link import Ended

    pauses: Callable[[int], list[float]] = lambda n: [uplink._pause(n, Ended("x")) for _ in range(400)]  # noqa: E731
    for failures, ceiling in ((1, 1.0), (3, 4.0), (6, 32.0), (50, 60.0)):
        drawn = pauses(failures)
        assert max(drawn) <= ceiling
        assert max(drawn) > ceiling * 0.9
        assert min(drawn) < ceiling * 0.1
    refused = [uplink._pause(1, Ended("x", GoodbyeCode.REFUSED)) for _ in range(400)]
    assert max(refused) > 50


async def test_many_agents_live_in_one_process(gateway: FakeGateway, tmp_path: Path) -> None:
    """Nothing is global: thirty agents push beside each other."""
    async with contextlib.AsyncExitStack() as stack:
        stages = []
        for number in range(30):
            gateway.secrets.add("one-time secret")
            stages.append(await stack.enter_async_context(connected(gateway, tmp_path / str(number))))
        for stage in stages:
            stage.append(20)
        for stage in stages:
            await stage.delivered()
    assert sorted(number_of(envelope) for envelope in gateway.received) == sorted(list(range(20)) * 30)
    assert len({hello.agent_id for hello in gateway.hellos}) == 30

"""Simulated agents: a trace played by many, through the real recorder, sealing and uplink."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.fleet import Fleet, enrol_fleet, make_member
from agent.settings import AgentSettings, UplinkSettings
from agent.sources.trace import Trace, write_trace
from agent.sources.tracing import simulate_agents
from schemas.envelope import peek
from schemas.errors import ConfigError
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.opening import Opener
from schemas.records import Record, decode_segment
from tests.agent.fake_gateway import FakeGateway


def focus(at_us: int, title: str) -> tuple[StreamKind, Record]:
    return StreamKind.ACTIVITY, {
        "time_us": at_us,
        "duration_us": 1,
        "kind": "focus",
        "application": "editor",
        "title": title,
        "path": "",
        "pid": None,
    }


async def test_every_simulated_agent_delivers_the_whole_trace(tmp_path: Path) -> None:
    """Each is an agent of its own, with its own id, user and computer; nothing is lost or mixed up."""
    write_trace(tmp_path / "t.trace", [focus(10**15 + n * 100_000, f"title {n}") for n in range(10)], started_us=10**15)
    trace = Trace.load(tmp_path / "t.trace")
    settings = AgentSettings(tmp_path, uplink=UplinkSettings(backoff_first_s=0.01))
    async with FakeGateway(tmp_path / "pki", Identity.generate(2048)) as gateway:
        gateway.secrets = Reusable({"one-time secret"})
        members = await enrol_fleet(tmp_path / "fleet", 5, gateway.token(), SystemClock())
        sources = [list(one) for one in simulate_agents(trace, 5, speed=10)]
        agents = [make_member(m, settings, s, SystemClock(), 30) for m, s in zip(members, sources, strict=True)]
        fleet = Fleet(agents, sources)
        await asyncio.wait_for(fleet.run(), 60)
        opener = Opener([gateway.identity])
        told: dict[str, list[str]] = {}
        for one in gateway.received:
            if peek(one).record.kind is StreamKind.ACTIVITY:
                events = decode_segment(StreamKind.ACTIVITY, opener.open(one).plaintext)
                told.setdefault(peek(one).id.agent, []).extend(event["title"] for event in events)
        assert sorted(map(len, told.values())) == [10] * 5
        assert all(titles == [f"title {n}" for n in range(10)] for titles in told.values())
        assert {(hello.user, hello.computer) for hello in gateway.hellos} == {
            (f"user-{n:04d}", f"simulated-{n:04d}") for n in range(1, 6)
        }
        progress = fleet.progress()
        assert (progress.waiting, progress.refused, progress.acked) == (0, 0, len(gateway.received))
        assert await enrol_fleet(tmp_path / "fleet", 5, None, SystemClock()) == members


async def test_agents_that_are_not_enrolled_need_a_token(tmp_path: Path) -> None:
    """And are told how to get one."""
    with pytest.raises(ConfigError, match="--uses 3"):
        await enrol_fleet(tmp_path, 3, None, SystemClock())


class Reusable(set[str]):
    """A secret with as many uses as wanted."""

    def remove(self, element: str) -> None:
        """Stays."""

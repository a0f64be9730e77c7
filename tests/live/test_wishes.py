"""A sink is stopped and started by the API: in order, by its node's supervisor, and nothing is lost meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from infra.kafka import producer, topic_name
from infra.settings import Settings
from infra.stack.child import Mark
from infra.stack.processes import our_components
from infra.stack.state import Phase, StackState
from infra.stack.supervisor import Supervisor
from infra.stack.wishes import Wishes, WishFollower
from tests.api.ground import Ground
from tests.api.operations import execute, open_operations
from tests.sinks.envelopes import as_records, begin, seal

pytestmark = [pytest.mark.live, pytest.mark.slow]

SINK = "sinks-postgresql"
LOOK_S = 0.3


@asynccontextmanager
async def supervised(settings: Settings) -> AsyncIterator[StackState]:
    """The node's supervisor with the one sink, following wishes."""
    settings.data.run.mkdir(exist_ok=True)
    state, wishes, stop = StackState(supervisor=Mark.of(os.getpid())), Wishes(settings.data), asyncio.Event()
    [sink] = [replace(one, after=frozenset()) for one in our_components(settings) if one.name == SINK]
    supervisor = Supervisor(settings.data, [sink], state, lambda: None, os.environ, wishes=wishes)
    running = asyncio.create_task(supervisor.run(stop))
    following = asyncio.create_task(WishFollower(settings, wishes, state).follow())
    try:
        yield state
    finally:
        stop.set()
        await running
        following.cancel()


async def until(what: str, fact: Callable[[], Awaitable[bool]], within_s: float = 120) -> None:
    for _ in range(int(within_s / LOOK_S)):
        if await fact():
            return
        await asyncio.sleep(LOOK_S)
    raise AssertionError(f"not within {within_s:.0f} s: {what}")


async def publish(settings: Settings, sealed: list[bytes]) -> None:
    """Envelopes, as the gateway publishes them."""
    sending = producer(settings)
    await sending.start()
    for record in as_records(sealed):
        topic = topic_name(settings, record.topic)
        await sending.send_and_wait(topic, record.value, key=record.key, headers=list(record.headers))
    await sending.stop()


async def stored(ground: Ground) -> int:
    [row] = await execute(ground, "SELECT count(*), count(DISTINCT sequence) AS distinct FROM envelope")
    assert row["count"] == row["distinct"]
    return int(row["count"])


async def test_a_sink_is_stopped_and_started_and_nothing_is_lost(backing: Settings, tmp_path: Path) -> None:
    """What came before is there, what came meanwhile waits, across a new start too; then all of it is there."""
    sealed = seal(begin(), 60)
    async with open_operations(backing, tmp_path / "data") as ground:
        path = f"/processors/components/{ground.settings.node.id}/{SINK}"

        async def phase() -> str:
            await ground.services.overview.read_again()
            told = (await ground.get("/processors"))["components"]
            return next((one["phase"] for one in told if one["component"] == SINK), "")

        async def is_phase(wanted: Phase) -> None:
            async def fact() -> bool:
                return await phase() == wanted

            await until(f"{SINK} is {wanted}", fact)

        async def has(count: int) -> None:
            async def fact() -> bool:
                return await stored(ground) == count

            await until(f"{count} are stored", fact)

        async with supervised(ground.settings) as state:
            await is_phase(Phase.READY)
            await publish(ground.settings, sealed[:20])
            await ground.post(path, wanted="stopped", purpose="a test")
            await is_phase(Phase.STOPPED)
            assert state.components[SINK].stopped_by == "operator@console"
            await publish(ground.settings, sealed[20:40])
            before = await stored(ground)
            assert before <= 20
        async with supervised(ground.settings):
            await is_phase(Phase.STOPPED)
            await publish(ground.settings, sealed[40:])
            assert await stored(ground) == before
            await ground.post(path, wanted="running")
            await has(60)

"""Wishes: what an operator wished stopped is stopped in order, stays so across restarts, and runs again when let."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from infra.datadir import DataDir
from infra.stack.child import Mark
from infra.stack.state import Phase, StackState, load_state
from infra.stack.supervisor import Supervisor
from infra.stack.wishes import Wish, Wishes, is_stoppable
from tests.infra.test_supervisor import Bench, component

ANN = Wish("ann@console", 1_700_000_000_000)


class WishBench(Bench):
    """A bench whose supervisor follows wishes."""

    def __init__(self, data: DataDir, *names: str, **options: object) -> None:
        data.run.mkdir(parents=True, exist_ok=True)
        self.data = data
        self.state = StackState(supervisor=Mark.of(os.getpid()))
        self.stop = asyncio.Event()
        self.history = []
        self.wishes = Wishes(data)
        self._moved = asyncio.Event()
        parts = [component(name, **options) for name in names]
        supervisor = Supervisor(data, parts, self.state, self._changed, os.environ, wishes=self.wishes)
        self.running = asyncio.create_task(supervisor.run(self.stop))

    def phase(self, name: str) -> Phase:
        return self.state.components[name].phase


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path)


async def test_a_wish_stops_a_component_and_another_lets_it_run(data: DataDir) -> None:
    """The others go on; the state says by whom; back again it is another process."""
    bench = WishBench(data, "gateway", "sinks-disk")
    await bench.until(bench.all_ready)
    first, gateway = bench.mark("sinks-disk"), bench.mark("gateway")
    bench.wishes.put({"sinks-disk": ANN})
    await bench.until(lambda: bench.phase("sinks-disk") is Phase.STOPPED)
    assert (first.alive, gateway.alive) == (False, True)
    told = load_state(data)
    assert told is not None
    assert told.components["sinks-disk"].detail == "stopped by ann@console"
    assert told.components["sinks-disk"].stopped_by == "ann@console"
    bench.wishes.put({})
    await bench.until(lambda: bench.phase("sinks-disk") is Phase.READY)
    assert bench.mark("sinks-disk").alive
    assert bench.mark("sinks-disk") != first
    assert bench.state.components["sinks-disk"].stopped_by == ""
    assert bench.state.components["sinks-disk"].restarts == 0
    await bench.end()


async def test_a_wish_outlives_the_stack(data: DataDir) -> None:
    """The next start leaves it stopped, without a database, and is ready all the same."""
    Wishes(data).put({"streams-1": ANN})
    bench = WishBench(data, "gateway", "streams-1")
    await bench.until(bench.all_ready)
    assert bench.phase("streams-1") is Phase.STOPPED
    assert bench.state.components["streams-1"].mark is None
    await bench.end()


async def test_stores_and_the_gateway_are_not_stopped_by_wishes(data: DataDir) -> None:
    """Whatever the table says."""
    bench = WishBench(data, "gateway", "kafka")
    bench.wishes.put({"gateway": ANN, "kafka": ANN})
    await bench.until(bench.all_ready)
    assert bench.mark("gateway").alive
    assert bench.mark("kafka").alive
    await bench.end()
    assert [name for name in ("kafka", "gateway", "streams-2", "sinks-disk") if is_stoppable(name)] == [
        "streams-2",
        "sinks-disk",
    ]


async def test_a_node_that_is_held_stops_all_that_may_be_stopped(data: DataDir) -> None:
    """What was stopped by a wish of its own stays so when the hold ends."""
    bench = WishBench(data, "gateway", "streams-1", "sinks-disk")
    bench.wishes.put({"sinks-disk": ANN})
    await bench.until(bench.all_ready)
    bench.wishes.hold(Wish("bob", 0))
    await bench.until(lambda: bench.phase("streams-1") is Phase.STOPPED)
    bench.wishes.hold(None)
    await bench.until(lambda: bench.phase("streams-1") is Phase.READY)
    assert bench.phase("sinks-disk") is Phase.STOPPED
    await bench.end()


async def test_a_wish_in_the_middle_of_starting(data: DataDir) -> None:
    """It does not wait until the component serves."""
    waits = asyncio.Event()

    async def never(_pid: int) -> str:
        waits.set()
        await asyncio.sleep(60)
        return ""

    bench = WishBench(data, "streams-1", probe=never)
    await bench.until(waits.is_set)
    mark = bench.mark("streams-1")
    bench.wishes.put({"streams-1": ANN})
    await bench.until(lambda: bench.phase("streams-1") is Phase.STOPPED)
    assert not mark.alive
    await bench.end()


@pytest.mark.parametrize("junk", ["", "[]", "{", '{"streams-1": 5}', '{"streams-1": {"by": "x"}}'])
def test_a_damaged_file_of_wishes_stops_nothing(data: DataDir, junk: str) -> None:
    """Recording goes on where it is not known what was wished."""
    data.run.mkdir()
    (data.run / "wishes.json").write_text(junk)
    assert Wishes(data).stops("streams-1") is None

"""The supervisor on real processes: order, readiness, restarts, stopping, and what a killed one leaves behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.datadir import DataDir
from infra.stack.child import Child, Mark, carriers, end_processes, members
from infra.stack.component import Component, NotReadyError, start_order
from infra.stack.local import end_orphans
from infra.stack.state import Phase, StackState, load_state, save_state
from infra.stack.supervisor import Supervisor
from schemas.errors import UnavailableError

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('stubborn', 'w'); time.sleep(600)",
]
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])",
]


class Bench:
    """A supervisor with what a test needs to see of it."""

    def __init__(self, data: DataDir, *components: Component) -> None:
        data.run.mkdir(parents=True, exist_ok=True)
        self.data = data
        self.state = StackState(supervisor=Mark.of(os.getpid()))
        self.stop = asyncio.Event()
        self.history: list[tuple[str, Phase]] = []
        self._moved = asyncio.Event()
        supervisor = Supervisor(data, components, self.state, self._changed, os.environ)
        self.running = asyncio.create_task(supervisor.run(self.stop))

    def _changed(self) -> None:
        save_state(self.data, self.state)
        for name, component in self.state.components.items():
            if (name, component.phase) not in self.history[-1:]:
                self.history.append((name, component.phase))
        self._moved.set()

    async def until(self, fact: Callable[[], bool], within_s: float = 20) -> None:
        """Wait for a fact, looked at after every change."""
        async with asyncio.timeout(within_s):
            while not fact():
                if self.running.done():
                    await self.running
                    raise AssertionError("the supervisor has ended")
                self._moved.clear()
                await self._moved.wait()

    def all_ready(self) -> bool:
        return self.state.phase is Phase.READY

    def mark(self, name: str) -> Mark:
        mark = self.state.components[name].mark
        assert mark is not None
        return mark

    async def end(self) -> None:
        self.stop.set()
        await self.running


async def always_ready(_pid: int) -> str:
    return "1.0"


def component(name: str, command: list[str] = SLEEPS, *, after: str = "", **options: object) -> Component:
    return Component(name=name, command=command, after=frozenset(after.split()), **{"probe": always_ready, **options})


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path)


def test_start_order_puts_needs_first() -> None:
    """Tiers hold what may start together."""
    tiers = start_order([component("c", after="a b"), component("a"), component("b", after="a")])
    assert [[it.name for it in tier] for tier in tiers] == [["a"], ["b"], ["c"]]


async def test_components_start_after_what_they_need_and_stop_before_it(data: DataDir) -> None:
    """`b` waits until `a` serves; `a` stops when `b` has stopped; nobody is left."""
    bench = Bench(data, component("a"), component("b", after="a"))
    await bench.until(bench.all_ready)
    marks = [bench.mark("a"), bench.mark("b")]
    await bench.end()
    history = bench.history
    assert history.index(("a", Phase.READY)) < history.index(("b", Phase.STARTING))
    assert history.index(("b", Phase.STOPPED)) < history.index(("a", Phase.STOPPING))
    assert not any(mark.alive for mark in marks)


async def test_started_is_not_ready(data: DataDir) -> None:
    """A component counts when its probe says so, and says what it waits for until then."""
    asked = 0

    async def slow(_pid: int) -> str:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise NotReadyError("warms up")
        return "2.0"

    bench = Bench(data, component("a", probe=slow))
    await bench.until(lambda: bench.state.components["a"].detail == "warms up")
    assert not bench.all_ready()
    await bench.until(bench.all_ready)
    assert bench.state.components["a"].version == "2.0"
    await bench.end()


async def test_what_ends_is_started_again(data: DataDir) -> None:
    """A component killed from outside is back, with another pid, and the restart is counted."""
    bench = Bench(data, component("a"))
    await bench.until(bench.all_ready)
    first = bench.mark("a")
    os.kill(first.pid, signal.SIGKILL)
    await bench.until(lambda: bench.state.components["a"].restarts == 1 and bench.mark("a") != first)
    await bench.until(lambda: bench.state.components["a"].phase is Phase.READY)
    assert bench.mark("a").alive
    await bench.end()


async def test_what_never_starts_is_told_with_its_last_words(data: DataDir) -> None:
    """After three tries the stack gives up, says what the log says, and stops the rest."""
    bench = Bench(
        data,
        component("good"),
        component("bad", [sys.executable, "-c", "raise SystemExit('no such thing')"], probe=never),
    )
    with pytest.raises(UnavailableError, match=r"bad does not start.*no such thing"):
        await asyncio.wait_for(bench.running, 30)
    assert not bench.mark("good").alive
    assert bench.state.components["bad"].phase is Phase.FAILED


async def test_what_cannot_be_prepared_again_stops_nothing_else(data: DataDir) -> None:
    """A component that served and whose files a full disk refuses now is tried again; the others go on."""
    refusals = [OSError("No space left on device")]

    async def prepare() -> None:
        if bench.state.components["a"].mark is not None and refusals:
            raise refusals.pop()

    bench = Bench(data, component("a", prepare=prepare), component("b"))
    await bench.until(bench.all_ready)
    first, other = bench.mark("a"), bench.mark("b")
    os.kill(first.pid, signal.SIGKILL)
    await bench.until(lambda: bench.state.components["a"].phase is Phase.READY and bench.mark("a") != first)
    assert not refusals
    assert bench.state.components["a"].restarts == 2
    assert bench.mark("b") == other
    assert other.alive
    await bench.end()


async def never(_pid: int) -> str:
    raise NotReadyError("never")


async def test_what_ignores_sigterm_is_killed(data: DataDir) -> None:
    """Stopping ends in time whatever a program thinks of it."""

    async def deaf(_pid: int) -> str:
        if not (data.root / "stubborn").exists():
            raise NotReadyError("not deaf yet")
        return "1"

    bench = Bench(data, component("a", STUBBORN, probe=deaf, stop_within_s=0.5))
    await bench.until(bench.all_ready)
    mark, began = bench.mark("a"), time.monotonic()
    await bench.end()
    assert not mark.alive
    assert time.monotonic() - began < 5


async def test_children_of_a_component_end_with_it(data: DataDir) -> None:
    """What a component started itself does not outlive it, even when the component is killed."""

    async def has_child(pid: int) -> str:
        mark = Mark.of(pid)
        if mark is None or len(list(members(mark, data.root))) < 2:
            raise NotReadyError("no child yet")
        return "1"

    bench = Bench(data, component("a", PARENT, probe=has_child))
    await bench.until(bench.all_ready)
    mark = bench.mark("a")
    family = list(members(mark, data.root))
    os.kill(mark.pid, signal.SIGKILL)
    await bench.until(lambda: bench.state.components["a"].restarts == 1)
    assert not any(it.alive for it in family)
    await bench.end()


async def test_a_program_whose_start_was_not_written_down_never_runs(data: DataDir) -> None:
    """A child waits at its gate: when its supervisor dies before opening it, it goes without having run."""
    child = await Child.start(
        [sys.executable, "-c", "open('ran', 'w')"], data=data.root, log=data.log("x"), environment=os.environ
    )
    child._process.stdin.close()
    await asyncio.wait_for(child.wait(), 10)
    assert not (data.root / "ran").exists()


async def test_orphans_are_found_and_ended(data: DataDir) -> None:
    """What a killed supervisor left behind is ended by the next one, whether or not it was written down."""
    noted = await Child.start(SLEEPS, data=data.root, log=data.log("noted"), environment=os.environ)
    unknown = await Child.start(SLEEPS, data=data.root, log=data.log("unknown"), environment=os.environ)
    noted.release()
    unknown.release()
    state = StackState()
    Supervisor(data, [component("noted")], state, lambda: None, os.environ)
    state.components["noted"].mark = noted.mark
    reaping = asyncio.gather(noted.wait(), unknown.wait())
    assert await end_orphans(data, state, lambda _: None) == 2
    await asyncio.wait_for(reaping, 60)
    assert list(carriers(data.root)) == []


async def test_a_pid_that_is_somebody_elses_now_is_left_alone(data: DataDir) -> None:
    """A mark with another start time is another process: it is neither alive nor ended."""
    innocent = await asyncio.create_subprocess_exec(*SLEEPS)
    try:
        real = Mark.of(innocent.pid)
        assert real is not None
        stale = Mark(real.pid, real.start_ticks - 1, real.boot)
        assert not stale.alive
        assert await end_processes([stale], signal.SIGTERM, 1)
        assert list(members(stale, data.root)) == []
        assert real.alive
    finally:
        innocent.kill()
        await innocent.wait()


def test_the_state_reads_back_as_it_was_written(data: DataDir) -> None:
    """Who reads the file sees what the supervisor saw."""
    data.run.mkdir()
    state = StackState(supervisor=Mark.of(os.getpid()), phase=Phase.READY, detail="x")
    Supervisor(data, [component("a")], state, lambda: None, os.environ)
    save_state(data, state)
    assert load_state(data) == state


@pytest.mark.parametrize("junk", ["", "{", "[]", '{"phase": "odd", "components": {}}'])
def test_a_damaged_state_counts_as_none(data: DataDir, junk: str) -> None:
    """A file that is not a state stops no command."""
    data.run.mkdir()
    (data.run / "stack.json").write_text(junk)
    assert load_state(data) is None

"""Runs components: in the order of their needs, again with back-off when one ends, and stops them in reverse.

Never leaves a process behind when it stops, and never takes "it was started" for "it serves". What an operator wished
stopped is stopped in order and stays so.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import structlog

from infra.datadir import DataDir
from infra.lifecycle import wall_clock_ms
from infra.stack.child import Child
from infra.stack.component import Component, NotReadyError, start_order
from infra.stack.probe import is_open
from infra.stack.state import ComponentState, Phase, StackState
from infra.stack.wishes import Wish, Wishes
from schemas.errors import UnavailableError

log = structlog.get_logger()

T = TypeVar("T")

_PROBE_EVERY_S = 0.2
_REACH_EVERY_S = 1.0
_PROBE_TIMEOUT_S = 10.0
_WATCH_EVERY_S = 5.0
_HUNG_AFTER_S = 60.0
_STABLE_AFTER_S = 60.0
_FIRST_BACKOFF_S = 1.0
_LONGEST_BACKOFF_S = 30.0
_TAIL_CHARS = 4000
_FIRST_TRIES = 3
"""A component that was never ready is given up after so many starts: that is a fault of the installation."""


class _EndedError(Exception):
    """A start did not succeed, or what ran has ended; the text says how."""


class Supervisor:
    """Keeps `components` running until `stop` is set. `changed` is called after every change of `state`.

    A patient one goes on trying what does not start: it may need another node, which is not there yet.
    """

    def __init__(
        self,
        data: DataDir,
        components: Sequence[Component],
        state: StackState,
        changed: Callable[[], None],
        environment: Mapping[str, str],
        *,
        wishes: Wishes | None = None,
        patient: bool = False,
    ) -> None:
        self._data = data
        self._components = components
        self._state = state
        self._changed = changed
        self._environment = environment
        self._wishes = wishes or Wishes(data)
        self._patient = patient
        self._ready = {component.name: asyncio.Event() for component in components}
        self._settled = {component.name: asyncio.Event() for component in components}
        self._children: dict[str, Child] = {}
        state.components = {it.name: ComponentState(it.name, address=it.address) for it in components}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, or a component cannot be started: then raise what is wrong, after stopping all."""
        keeping = [asyncio.create_task(self._keep(component), name=component.name) for component in self._components]
        ends = [
            asyncio.create_task(stop.wait()),
            asyncio.create_task(self._announce_ready()),
        ]
        try:
            await asyncio.wait([ends[0], *keeping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*keeping, *ends):
                task.cancel()
            outcomes = await asyncio.gather(*keeping, return_exceptions=True)
            await self._stop_all()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _announce_ready(self) -> None:
        """All have been ready once, or are not to run."""
        for event in self._settled.values():
            await event.wait()
        self._state.phase = Phase.READY
        self._changed()

    async def _keep(self, component: Component) -> None:
        """One component's life: run while it is wanted, stay stopped while somebody wishes so."""
        if (wish := self._wishes.stops(component.name)) is not None:
            await self._rest(component, wish)
        while True:
            await self._wishes.until_running(component.name)
            self._state.components[component.name].stopped_by = ""
            living = asyncio.create_task(self._live(component))
            stopping = asyncio.create_task(self._wishes.until_stopped(component.name))
            try:
                await asyncio.wait([living, stopping], return_when=asyncio.FIRST_COMPLETED)
                if living.done():
                    living.result()  # it only ends by raising
            finally:
                living.cancel()
                stopping.cancel()
                await asyncio.gather(living, stopping, return_exceptions=True)
            await self._rest(component, stopping.result())

    async def _rest(self, component: Component, wish: Wish) -> None:
        """Stop it in order, and say by whose wish."""
        state = self._state.components[component.name]
        state.stopped_by = wish.by
        log.info("component_stopped_by_wish", component_name=component.name, by=wish.by)
        await self._stop(component, f"stopped by {wish.by}")
        self._settled[component.name].set()

    async def _live(self, component: Component) -> None:
        """Start, serve, end, back off, start again."""
        failures = 0
        while True:
            await self._wait_for_needs(component)
            began = time.monotonic()
            try:
                await self._start(component)
                await self._serve(component)
            except _EndedError as error:
                why = str(error)
            was_ready = self._ready[component.name].is_set()
            failures = 1 if was_ready and time.monotonic() - began > _STABLE_AFTER_S else failures + 1
            hopeless = failures >= _FIRST_TRIES and not self._patient
            if not was_ready and hopeless and self._state.phase is Phase.STARTING:
                self._note(component, Phase.FAILED, why)
                raise UnavailableError(f"{component.name} does not start: {why}; {self._last_words(component)}")
            delay_s = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** (failures - 1)) * random.uniform(0.8, 1.2)  # noqa: S311
            self._note(component, Phase.RESTARTING, f"{why}; starts again in {delay_s:.0f} s")
            log.warning("component_ended", component_name=component.name, why=why, failures=failures)
            await asyncio.sleep(delay_s)
            self._state.components[component.name].restarts += 1

    async def _wait_for_needs(self, component: Component) -> None:
        for need in sorted(component.after):
            if not self._ready[need].is_set():
                self._note(component, Phase.WAITING, f"waits for {need}")
                await self._ready[need].wait()
        for name, addresses in component.reach.items():
            while not await is_open(addresses):
                self._note(component, Phase.WAITING, f"waits for {name}, which another node runs")
                await asyncio.sleep(_REACH_EVERY_S)

    async def _start(self, component: Component) -> None:
        """Prepare, start, and wait until it serves."""
        self._note(component, Phase.STARTING, "prepares its files")
        try:
            await component.prepare()
        except (OSError, UnavailableError) as error:  # a disk that is full, or another node that is away
            if not self._patient and not self._settled[component.name].is_set():
                raise
            raise _EndedError(f"cannot be prepared: {error}") from None
        self._note(component, Phase.STARTING, "starts")
        child = await Child.start(
            component.command,
            data=self._data.root,
            log=self._data.log(component.name),
            environment={**self._environment, **component.environment},
            account=component.account,
        )
        self._children[component.name] = child
        self._state.components[component.name].mark = child.mark
        self._changed()  # written down before it runs, so that whoever comes after us can end it
        child.release()
        version = await self._race(child, self._until_ready(component, child))
        self._note(component, Phase.STARTING, "sets up what others need in it")
        try:
            await component.finish()
        except UnavailableError as error:
            await child.stop(component.stop_signal, component.stop_within_s)
            raise _EndedError(str(error)) from None
        self._state.components[component.name].version = version
        self._note(component, Phase.READY, "")
        self._ready[component.name].set()
        self._settled[component.name].set()

    async def _until_ready(self, component: Component, child: Child) -> str:
        deadline = time.monotonic() + component.ready_within_s
        while True:
            try:
                return await asyncio.wait_for(component.probe(child.mark.pid), _PROBE_TIMEOUT_S)
            except NotReadyError as error:
                waits = str(error)
            except (OSError, TimeoutError):
                waits = "does not answer yet"
            self._note(component, Phase.STARTING, waits)
            if time.monotonic() > deadline:
                await child.stop(component.stop_signal, component.stop_within_s)
                raise _EndedError(f"not ready within {component.ready_within_s:.0f} s ({waits})")
            await asyncio.sleep(_PROBE_EVERY_S)

    async def _serve(self, component: Component) -> None:
        """Until it ends, or hangs."""
        child = self._children[component.name]
        if component.watched:
            await self._race(child, self._until_hung(component, child))
        raise _EndedError(_ending(await child.wait()))

    async def _until_hung(self, component: Component, child: Child) -> None:
        """Return after stopping what has not answered for long; an answer that is not "healthy" is an answer."""
        answered = time.monotonic()
        while time.monotonic() - answered < _HUNG_AFTER_S:
            await asyncio.sleep(_WATCH_EVERY_S)
            try:
                await asyncio.wait_for(component.probe(child.mark.pid), _PROBE_TIMEOUT_S)
                fault = ""
            except NotReadyError as error:
                fault = str(error)
            except (OSError, TimeoutError):
                continue
            answered = time.monotonic()
            if self._state.components[component.name].detail != fault:
                self._note(component, Phase.READY, fault)
        log.error("component_hung", component_name=component.name, silent_s=_HUNG_AFTER_S)
        await child.stop(component.stop_signal, component.stop_within_s)

    async def _race(self, child: Child, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, unless the child ends before it."""
        working, ending = asyncio.ensure_future(work), asyncio.ensure_future(child.wait())
        try:
            await asyncio.wait([working, ending], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise _EndedError(_ending(ending.result()))
        finally:
            working.cancel()
            ending.cancel()
            await asyncio.gather(working, ending, return_exceptions=True)

    async def _stop_all(self) -> None:
        """In reverse order, what does not need each other at once."""
        if self._state.phase is not Phase.FAILED:
            self._state.phase = Phase.STOPPING
        for tier in reversed(start_order(self._components)):
            await asyncio.gather(*(self._stop(component) for component in tier))

    async def _stop(self, component: Component, told: str = "") -> None:
        child = self._children.pop(component.name, None)
        failed = self._state.components[component.name].phase is Phase.FAILED
        if child is not None:
            if not failed:
                self._note(component, Phase.STOPPING, "stops")
            if not await child.stop(component.stop_signal, component.stop_within_s):
                log.warning("component_killed", component_name=component.name, waited_s=component.stop_within_s)
        if not failed:
            self._note(component, Phase.STOPPED, told)

    def _note(self, component: Component, phase: Phase, detail: str) -> None:
        """Say where a component stands; losing readiness holds back what starts after it."""
        state = self._state.components[component.name]
        if phase is not Phase.READY:
            self._ready[component.name].clear()
        if (state.phase, state.detail) != (phase, detail):
            state.phase, state.detail, state.since_ms = phase, detail, wall_clock_ms()
            self._changed()

    def _last_words(self, component: Component) -> str:
        """The end of its log, where the cause mostly stands."""
        path = self._data.log(component.name)
        try:
            lines = path.read_text("utf-8", "replace")[-_TAIL_CHARS:].splitlines()
        except OSError:
            lines = []
        told = [line.strip()[:300] for line in lines if line.strip() and not line.startswith(("\tat ", "  at "))]
        return f"its log {path} ends: " + " | ".join(told[-3:])


def _ending(code: int) -> str:
    return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"

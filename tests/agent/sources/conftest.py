"""A person at a terminal, and what a source told about them."""

from __future__ import annotations

import asyncio
import os
import termios
import time
from typing import TYPE_CHECKING, Self

import pytest

from agent.policy import Policy
from agent.sources.terminal import TerminalSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from schemas.records import Record

EVERYTHING = Policy(streams=frozenset({"screen", "keystrokes", "email", "activity"}), max_frames_per_second=2.0)
PATIENCE_S = 20.0


class Told:
    """Events of a source, kept in order; `until` waits for what is expected of them."""

    def __init__(self) -> None:
        self.events: list[Record] = []
        self.policy = EVERYTHING
        self._changed = asyncio.Event()

    async def emit(self, event: Record) -> None:
        self.events.append(event)
        self._changed.set()

    def current_policy(self) -> Policy:
        return self.policy

    def shown(self) -> str:
        """What there is, for whoever waits in vain."""
        return f"{self.events[-3:]}"

    async def until(self, condition: Callable[[], object], what: str = "the events") -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self._changed.clear()
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"waited in vain for {what}: {self.shown()}")
            try:
                await asyncio.wait_for(self._changed.wait(), min(left, 0.05))
            except TimeoutError:
                continue


class Person(Told):
    """Types at a real terminal (a PTY), under which a `TerminalSource` runs a command, and reads what it shows."""

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        super().__init__()
        self.keyboard, self.terminal = os.openpty()
        termios.tcsetwinsize(self.terminal, (24, 80))
        os.set_blocking(self.keyboard, False)
        environment = {"TERM": "xterm", "PS1": "ready> ", "PATH": os.environ["PATH"], **(environment or {})}
        self.source = TerminalSource(command, stdin=self.terminal, stdout=self.terminal, environment=environment)
        self.screen = b""
        self.running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self.keyboard, self._look)
        self.running = asyncio.create_task(self.source.run(self.emit, self.current_policy))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.running is not None
        self.running.cancel()
        await asyncio.wait([self.running], timeout=PATIENCE_S)
        asyncio.get_running_loop().remove_reader(self.keyboard)
        os.close(self.keyboard)
        os.close(self.terminal)

    def _look(self) -> None:
        try:
            self.screen += os.read(self.keyboard, 65536)
        except OSError:
            return
        self._changed.set()

    def shown(self) -> str:
        return f"{self.screen[-200:]!r} {super().shown()}"

    async def type(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.keyboard, view) :]
            except BlockingIOError:
                await asyncio.sleep(0)

    async def sees(self, text: bytes, times: int = 1) -> None:
        await self.until(lambda: self.screen.count(text) >= times, f"{text!r} on the screen")

    async def leaves(self) -> int | None:
        assert self.running is not None
        await asyncio.wait_for(asyncio.shield(self.running), PATIENCE_S)
        return self.source.exit_code

    def told(self, kind: str) -> bytes:
        return b"".join(event["data"] for event in self.events if event["kind"] == kind)

    @property
    def everything(self) -> bytes:
        return b"".join(event["data"] for event in self.events)

    @property
    def masked(self) -> int:
        return sum(event["masked"] for event in self.events)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def person() -> Iterator[type[Person]]:
    return Person

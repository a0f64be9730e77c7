"""Terminal sessions: the person's shell, or a command, under a terminal of its own, with all that passes recorded.

Never stands between the person and the command: what cannot be recorded is handed through all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import threading
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from agent.sources.handover import Handover
from agent.sources.pseudoterminal import PersonsTerminal, PseudoTerminal
from agent.sources.standing import Standing
from schemas.kinds import StreamKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from agent.source import CurrentPolicy, Emit
    from schemas.records import Record

HELD_BYTES = 8 * 1024 * 1024
"""Events that may wait for the recorder; beyond it the terminal waits."""


class TerminalSource:
    """Records one session from `start` to `end`; `run` returns when the command has ended, with `exit_code` set.

    Without a command it runs the person's shell. While it runs in the main thread it takes SIGWINCH, SIGHUP and SIGTERM
    for itself: the last two hang the command up, and the session ends in order.
    """

    kind = StreamKind.KEYSTROKES
    name = "terminal"

    def __init__(
        self,
        command: Sequence[str] = (),
        *,
        stdin: int = 0,
        stdout: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command = list(command) or [os.environ.get("SHELL") or "/bin/sh"]
        self.session = str(uuid.uuid4())
        self.exit_code: int | None = None
        self._descriptors = (stdin, stdout)
        self._environment = environment
        self._standing = Standing()
        self._renewed = False

    def renew(self) -> None:
        """Tell the start again before the next event: whoever reads from there on knows how things stand."""
        self._renewed = True

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        """Run the command to its end. Cancelled, it hangs the command up, and still tells all until its end."""
        person = PersonsTerminal(*self._descriptors)
        size = person.size()
        terminal = PseudoTerminal(self.command, size=size, attributes=person.attributes, environment=self._environment)
        events = _Events(asyncio.get_running_loop(), self.session, size.columns, size.rows)
        handover = Handover(terminal, person, events.tell)
        person.make_raw()
        events.tell("start", {"data": _command_line(self.command)})
        thread = threading.Thread(target=self._hand_over, args=(handover, events), name="terminal", daemon=True)
        thread.start()
        try:
            with _signals(handover, person):
                await self._tell_all(events, handover, emit, policy)
        finally:
            person.restore()

    def _hand_over(self, handover: Handover, events: _Events) -> None:
        try:
            self.exit_code = handover.run()
            events.tell("end", {"exit_code": self.exit_code})
            events.finish()
        except BaseException as fault:  # noqa: BLE001 - it belongs to `run`, not to this thread
            events.finish(fault)

    async def _tell_all(self, events: _Events, handover: Handover, emit: Emit, policy: CurrentPolicy) -> None:
        cancelled: asyncio.CancelledError | None = None
        while True:
            try:
                event = await events.next()
                if event is None:
                    break
                if policy().allows(self.kind):
                    await self._tell(event, emit)
                else:
                    self._renewed = True  # what follows must not build on an event that is not kept
                self._standing.take(event["data"] if event["kind"] == "output" else b"")
            except asyncio.CancelledError as error:
                if cancelled is not None:
                    raise
                cancelled = error
                handover.hang_up()
            except Exception:
                handover.hang_up()
                raise
        if cancelled is not None:
            raise cancelled

    async def _tell(self, event: Record, emit: Emit) -> None:
        renewed, self._renewed = self._renewed, False
        if renewed and event["kind"] != "start":
            await emit(self._start_again(event))
        await emit(event)

    def _start_again(self, event: Record) -> Record:
        """The start, with how things stand before `event`."""
        return {
            **event,
            "kind": "start",
            "data": _command_line(self.command),
            "masked": False,
            "exit_code": None,
            "title": self._standing.title,
            "alternate": self._standing.alternate,
        }


def _command_line(command: Sequence[str]) -> bytes:
    return shlex.join(command).encode(errors="surrogateescape")


class _Events:
    """Events on their way from the handover's thread to the event loop, bounded by bytes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, session: str, columns: int, rows: int) -> None:
        self._loop = loop
        self._base = {
            "session": session, "data": b"", "masked": False, "exit_code": None, "title": "", "alternate": False,
        }  # fmt: skip
        self._size = {"columns": columns, "rows": rows}
        self._waiting: deque[Record] = deque()
        self._bytes = 0
        self._room = threading.Condition()
        self._arrived = asyncio.Event()
        self._finished = False
        self._fault: BaseException | None = None
        self._last_us = 0

    def tell(self, kind: str, fields: dict[str, Any]) -> None:
        """Take one event, from any thread; blocks while too much waits, unless the loop itself is calling."""
        if kind == "resize":
            self._size = {"columns": fields["columns"], "rows": fields["rows"]}
        self._last_us = max(self._last_us, fields.get("time_us") or time.time_ns() // 1000)
        event = {**self._base, **fields, **self._size, "kind": kind, "time_us": self._last_us}
        with self._room:
            self._room.wait_for(lambda: self._bytes < HELD_BYTES or self._loop.is_closed(), timeout=60)
            self._waiting.append(event)
            self._bytes += len(event["data"])
        self._notify()

    def finish(self, fault: BaseException | None = None) -> None:
        """No event will follow; `next` raises the fault, if there was one."""
        self._fault = fault
        self._finished = True
        self._notify()

    async def next(self) -> Record | None:
        """The next event, or None after the last."""
        while not self._waiting:
            if self._finished:
                if self._fault is not None:
                    raise self._fault
                return None
            self._arrived.clear()
            if not self._waiting and not self._finished:
                await self._arrived.wait()
        with self._room:
            event = self._waiting.popleft()
            self._bytes -= len(event["data"])
            self._room.notify()
        return event

    def _notify(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._arrived.set)


@contextlib.contextmanager
def _signals(handover: Handover, person: PersonsTerminal) -> Iterator[None]:
    """While this lasts, a new window size and the person's leaving reach the command."""
    loop = asyncio.get_running_loop()
    handlers: dict[int, Callable[[], None]] = {
        signal.SIGWINCH: lambda: handover.resize(person.size()),
        signal.SIGHUP: handover.hang_up,
        signal.SIGTERM: handover.hang_up,
    }
    taken = []
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):  # not the main thread
            loop.add_signal_handler(number, handler)
            taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
            if callable(before[number]) or before[number] is signal.SIG_IGN:
                signal.signal(number, before[number])

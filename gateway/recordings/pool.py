"""The reader processes as the gateway has them: started when somebody asks, and again when one died.

Never holds more of an answer than its credit, and tells a reader at once when nobody waits for an answer any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from gateway.recordings.places import MANY
from gateway.recordings.reading import CREDIT_BYTES, NUMBER_BYTES, AnswerError
from gateway.unlock.pipe import HEAD_BYTES, MAX_BODY_BYTES, Frame, Kind, encode_frame, parse_head
from schemas.errors import LocalError, MalformedError, UnavailableError

if TYPE_CHECKING:
    from gateway.recordings.asking import Ask
    from infra.settings import Settings

log = structlog.get_logger(__name__)

_START_S = 30.0
_END_S = 2.0
_RESTART_S = 1.0
_LOOK_S = 15.0


@dataclass(slots=True)
class Answer:
    """An answer as it comes: iterate over its bytes to the end, then `result` says what there is to say of it."""

    result: dict[str, Any] = field(default_factory=dict)
    _queue: asyncio.Queue[Frame | None] = field(default_factory=asyncio.Queue)


class _Child:
    """One reader process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.answers: dict[int, Answer] = {}
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.listening = asyncio.create_task(self._listen(), name="reader")
        self.used_s = time.monotonic()

    @property
    def alive(self) -> bool:
        return self.process.returncode is None and not self.listening.done()

    async def say(self, kind: Kind, body: bytes) -> None:
        if self.process.stdin is None:
            raise LocalError("the reader has no pipe")
        self.process.stdin.write(encode_frame(kind, body))
        with contextlib.suppress(ConnectionError):  # whoever waits is told that it ended
            await self.process.stdin.drain()

    async def end(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), _END_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
        self.listening.cancel()

    async def _listen(self) -> None:
        reading = self.process.stdout
        if reading is None:
            raise LocalError("the reader has no pipe")
        try:
            while True:
                length, kind = parse_head(await reading.readexactly(HEAD_BYTES))
                self._hear(Frame(kind, await reading.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError, MalformedError):
            pass
        finally:
            if not self.ready.done():
                self.ready.set_exception(
                    UnavailableError("the process that opens recordings did not start: see the log")
                )
                self.ready.exception()
            for answer in self.answers.values():
                answer._queue.put_nowait(None)  # noqa: SLF001 - of this module

    def _hear(self, frame: Frame) -> None:
        if frame.kind is Kind.READY:
            self.ready.set_result(None)
        elif frame.kind is Kind.REFUSED:
            self.ready.set_exception(UnavailableError(frame.fields["message"]))
            self.ready.exception()
        else:
            number = int.from_bytes(frame.body[:NUMBER_BYTES], "big")
            if answer := self.answers.get(number):
                answer._queue.put_nowait(frame._replace(body=frame.body[NUMBER_BYTES:]))  # noqa: SLF001


class Readers:
    """The reader processes of this gateway. An agent's requests go to the same one, which knows its screens."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._children: list[_Child | None] = [None] * settings.recordings.readers
        self._starting: dict[int, asyncio.Task[_Child]] = {}
        self._numbers = itertools.count(1)
        self._failed_s = 0.0
        self._ending: asyncio.Task[None] | None = None
        self._warming: set[asyncio.Task[None]] = set()

    @property
    def pids(self) -> list[int]:
        """The process ids of those that run."""
        return [child.process.pid for child in self._children if child is not None and child.alive]

    def warm(self) -> None:
        """Have readers started, for who is going to ask soon; returns at once."""
        for place, child in enumerate(self._children):
            if child is None or not child.alive:
                task = asyncio.create_task(self._warm(place), name="reader start")
                self._warming.add(task)
                task.add_done_callback(self._warming.discard)

    async def collect(self, wish: Ask) -> tuple[bytes, dict[str, Any]]:
        """A whole answer, and what there is to say of it. Raises `AnswerError` and `UnavailableError`."""
        answer = Answer()
        async with self._asked(wish, answer) as pieces:
            body = b"".join([piece async for piece in pieces])
        return body, answer.result

    @contextlib.asynccontextmanager
    async def stream(self, wish: Ask) -> AsyncIterator[tuple[AsyncIterator[bytes], Answer]]:
        """The bytes of the answer, and the answer itself, whose `result` is there after the last of them.

        What is not read to its end is cancelled.
        """
        answer = Answer()
        async with self._asked(wish, answer) as pieces:
            yield pieces, answer

    async def close(self) -> None:
        """End them all."""
        if self._ending is not None:
            self._ending.cancel()
        for task in (*self._warming, *self._starting.values()):
            task.cancel()
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        children = [child for child in self._children if child is not None]
        self._children = [None] * len(self._children)
        await asyncio.gather(*(child.end() for child in children))

    @contextlib.asynccontextmanager
    async def _asked(self, wish: Ask, answer: Answer) -> AsyncIterator[AsyncIterator[bytes]]:
        child = await self._child(hash(wish.agents[0]) % len(self._children))
        number = next(self._numbers)
        body = await _encode(wish)
        child.answers[number] = answer
        ended = False
        try:
            await child.say(Kind.ASK, number.to_bytes(NUMBER_BYTES, "big") + body)

            async def pieces() -> AsyncIterator[bytes]:
                nonlocal ended
                taken = 0
                while True:
                    frame = await answer._queue.get()  # noqa: SLF001
                    if frame is None:
                        raise UnavailableError("the process that opens recordings ended: ask again")
                    if frame.kind is Kind.PIECE:
                        yield frame.body
                        taken += len(frame.body)
                        if taken >= CREDIT_BYTES // 4:
                            await child.say(
                                Kind.CREDIT, number.to_bytes(NUMBER_BYTES, "big") + taken.to_bytes(4, "big")
                            )
                            taken = 0
                        continue
                    ended = True
                    if frame.kind is Kind.FAILED:
                        raise AnswerError(frame.fields["reason"], frame.fields["message"])
                    answer.result = frame.fields
                    return

            yield pieces()
        finally:
            child.answers.pop(number, None)
            child.used_s = time.monotonic()
            if not ended and child.alive:
                await child.say(Kind.CANCEL, number.to_bytes(NUMBER_BYTES, "big"))

    async def _warm(self, place: int) -> None:
        with contextlib.suppress(UnavailableError):  # who asks is told
            await self._child(place)

    async def _child(self, place: int) -> _Child:
        child = self._children[place]
        if child is None or not child.alive:
            child = await asyncio.shield(self._start_once(place))  # who goes away leaves it to who comes next
        child.used_s = time.monotonic()
        return child

    def _start_once(self, place: int) -> asyncio.Task[_Child]:
        """The start that is under way, or a new one."""

        def started(task: asyncio.Task[_Child]) -> None:
            del self._starting[place]
            if not task.cancelled() and task.exception() is None:
                self._children[place] = task.result()

        task = self._starting.get(place)
        if task is None:
            if time.monotonic() - self._failed_s < _RESTART_S:
                raise UnavailableError("the process that opens recordings does not start: see the log")
            task = self._starting[place] = asyncio.create_task(self._start(), name=f"reader {place}")
            task.add_done_callback(started)
        return task

    async def _start(self) -> _Child:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.recordings.reader",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=dict(os.environ),
            limit=1 << 20,
        )
        child = _Child(process)
        begin = {
            "settings": self._settings.model_dump(mode="json"),
            "cache_bytes": self._settings.recordings.cache_bytes,
        }
        try:
            await child.say(Kind.BEGIN, json.dumps(begin).encode())
            await asyncio.wait_for(asyncio.shield(child.ready), _START_S)
        except BaseException as error:
            self._failed_s = time.monotonic()
            await child.end()
            if isinstance(error, TimeoutError):
                raise UnavailableError("the process that opens recordings does not answer") from None
            raise
        log.info("reader_started", pid=process.pid)
        if self._ending is None:
            self._ending = asyncio.create_task(self._end_idle(), name="readers")
        return child

    async def _end_idle(self) -> None:
        """End readers that nobody has used for a while: keys and plaintext go with them."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for place, child in enumerate(self._children):
                idle_s = time.monotonic() - child.used_s if child is not None else 0.0
                if child is not None and not child.answers and idle_s > self._settings.recordings.idle_s:
                    self._children[place] = None
                    await child.end()
                    log.info("reader_ended", pid=child.process.pid)


async def _encode(wish: Ask) -> bytes:
    """A request's body; beside the event loop where it is a long one. Raises `AnswerError` when it is too long."""

    def encode() -> bytes:
        return json.dumps({"ask": wish.to_json(), "credit": CREDIT_BYTES}).encode()

    body = await asyncio.to_thread(encode) if len(wish.near) > MANY else encode()
    if len(body) + NUMBER_BYTES > MAX_BODY_BYTES:
        raise AnswerError("too_much", "this is too much at once: ask for a shorter time")
    return body

"""A source in another process: `sealstream agent record` hands its events to the agent that runs already.

Never a way round the policy: a guest's events go through the same recorder as all others.

After the line of JSON with the stream's name come events, each a length (4 bytes, big-endian) and a segment of one
event; a length of 0 ends them, and is answered by a line once all is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.clock import Clock
from agent.control import Streams, connect
from agent.gap import Gap, GapReason
from agent.policy import Policy
from agent.recorder import Recorder
from agent.source import CurrentPolicy, Emit, Source
from agent.spool import Spool
from schemas.errors import MalformedError, UnavailableError
from schemas.kinds import StreamKind
from schemas.records import Record, decode_segment, encode_segment

MAX_EVENT_BYTES = 4 * 1024 * 1024


class Guest:
    """The source as the recorder knows it: its events come over the control socket."""

    def __init__(self, kind: StreamKind) -> None:
        self.kind = kind
        self.name = "guest"

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        """Nothing runs here."""

    def renew(self) -> None:
        """Guests' events stand by themselves."""


class Guests:
    """All guests of an agent. `changed` is called when one comes or goes."""

    def __init__(self, recorder: Recorder, spool: Spool, clock: Clock, *, changed: Callable[[], None]) -> None:
        self._recorder = recorder
        self._spool = spool
        self._clock = clock
        self._changed = changed
        self._present: Counter[StreamKind] = Counter()
        self._emits: dict[StreamKind, Emit] = {}

    @property
    def count(self) -> int:
        """How many there are."""
        return self._present.total()

    @property
    def kinds(self) -> set[StreamKind]:
        """What they record."""
        return set(+self._present)

    def admit(self, kind: StreamKind) -> Emit:
        """A guest has come: what it calls with each event."""
        if kind not in self._emits:
            self._emits[kind] = self._recorder.emit_for(Guest(kind))
        self._present[kind] += 1
        self._changed()
        return self._emits[kind]

    def leave(self, kind: StreamKind) -> None:
        """A guest has gone."""
        self._present[kind] -= 1
        self._changed()

    async def serve(self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a guest's events until it ends."""
        kind = _kind(request)
        writer.write(json.dumps({"ok": self._recorder.policy.to_json()}).encode() + b"\n")
        await writer.drain()
        emit = self.admit(kind)
        last_us = self._clock.now_us()
        try:
            while (event := await _read_event(reader, kind)) is not None:
                last_us = event["time_us"]
                await emit(event)
            await self._recorder.flush()
            writer.write(b'{"ok": null}\n')
            await writer.drain()
        except asyncio.IncompleteReadError:
            self._tell_gap(kind, last_us)
        finally:
            self.leave(kind)

    def _tell_gap(self, kind: StreamKind, last_us: int) -> None:
        """Guest or agent ended in mid-session: what was on its way between them is lost."""
        if self._recorder.policy.allows(kind):
            detail = "a session and the agent lost each other"
            reason, now_us = GapReason.CAPTURE_FAILED, self._clock.now_us()
            self._spool.owe(Gap(kind.label, reason, from_us=last_us, until_us=now_us, detail=detail))


class Host:
    """The agent that runs, as a guest sees it."""

    def __init__(self, streams: Streams, kind: StreamKind, policy: Policy) -> None:
        self.policy = policy
        self._reader, self._writer = streams
        self._kind = kind

    async def emit(self, event: Record) -> None:
        """Hand an event over; waits while the agent is full."""
        body = encode_segment(self._kind, [event])
        if self._writer.is_closing():
            raise UnavailableError("the agent that takes the recording has ended")
        try:
            self._writer.write(len(body).to_bytes(4, "big") + body)
            await self._writer.drain()
        except OSError:
            raise UnavailableError("the agent that takes the recording has ended") from None

    async def close(self) -> None:
        """All events were handed over; returns when they are sealed and durable."""
        answer = b""
        with contextlib.suppress(OSError):
            if not self._writer.is_closing():
                self._writer.write(bytes(4))
                answer = await self._reader.readline()
        self._writer.close()
        if not answer:
            raise UnavailableError("the agent that takes the recording has ended")


async def visit(directory: Path, source: Source) -> Host:
    """Become a guest of the agent that runs in `directory`; raises `UnavailableError` when none does."""
    reader, writer = await connect(directory)
    writer.write(json.dumps({"command": "record", "stream": source.kind.label}).encode() + b"\n")
    answer = json.loads(await reader.readline() or b"{}")
    if "ok" not in answer:
        writer.close()
        raise UnavailableError(str(answer.get("error", "the agent takes no guests")))
    return Host((reader, writer), source.kind, Policy.from_json(answer["ok"]))


async def _read_event(reader: asyncio.StreamReader, kind: StreamKind) -> Record | None:
    length = int.from_bytes(await reader.readexactly(4), "big")
    if length == 0:
        return None
    if length > MAX_EVENT_BYTES:
        raise MalformedError("a guest's event is too long", "too_large")
    (event,) = decode_segment(kind, await reader.readexactly(length))
    return event


def _kind(request: dict[str, Any]) -> StreamKind:
    try:
        return StreamKind.from_label(str(request.get("stream")))
    except ValueError as error:
        raise MalformedError(str(error), "unknown_kind") from None

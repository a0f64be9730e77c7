"""A source in another process: `sealstream agent record` hands its events to the agent that runs already.

Never a way round the policy: a guest's events go through the same recorder as all others.

After the line of JSON with the stream's name come events, each a length (4 bytes, big-endian) and a segment of one
event; a length of 0 ends them, and is answered by a line once all is durable.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from agent.control import Streams, connect
from agent.policy import Policy
from agent.recorder import Recorder
from agent.source import CurrentPolicy, Emit, Source
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
    """All guests of an agent."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
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

    async def serve(
        self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Take a guest's events until it ends."""
        kind = _kind(request)
        emit = self._emits.get(kind) or self._emits.setdefault(kind, self._recorder.emit_for(Guest(kind)))
        writer.write(json.dumps({"ok": self._recorder.policy.to_json()}).encode() + b"\n")
        await writer.drain()
        self._present[kind] += 1
        try:
            while (event := await _read_event(reader, kind)) is not None:
                await emit(event)
            await self._recorder.flush()
            writer.write(b'{"ok": null}\n')
            await writer.drain()
        except asyncio.IncompleteReadError:
            return  # the guest was killed: what it told is kept
        finally:
            self._present[kind] -= 1


class Host:
    """The agent that runs, as a guest sees it."""

    def __init__(self, streams: Streams, kind: StreamKind, policy: Policy) -> None:
        self.policy = policy
        self._reader, self._writer = streams
        self._kind = kind

    async def emit(self, event: Record) -> None:
        """Hand an event over; waits while the agent is full."""
        body = encode_segment(self._kind, [event])
        try:
            self._writer.write(len(body).to_bytes(4, "big") + body)
            await self._writer.drain()
        except OSError:
            raise UnavailableError("the agent that takes the recording has ended") from None

    async def close(self) -> None:
        """All events were handed over; returns when they are sealed and durable."""
        try:
            self._writer.write(bytes(4))
            await self._reader.readline()
        except OSError:
            raise UnavailableError("the agent that takes the recording has ended") from None
        finally:
            self._writer.close()


async def visit(directory: Any, source: Source) -> Host:
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

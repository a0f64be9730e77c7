"""Port 42001: lifecycle events as JSON lines, in clear text, to approved nodes alone (R2.5, R5.1, R5.3).

Never waits for a slow reader beyond its few seconds, and never stops serving because Kafka is away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from gateway.lifecycle import LifecycleLog, ReadBack, event_line
from gateway.peer import address_text
from gateway.snapshot import SnapshotKeeper, read_snapshot
from infra.kafka import consumer, topic_name
from infra.topic_ids import read_topic_ids
from schemas.errors import MalformedError, UnavailableError
from schemas.records import decode_record
from schemas.topics import LIFECYCLE

if TYPE_CHECKING:
    from collections.abc import Container

    from infra.metrics import Metrics
    from infra.settings import Settings

log = structlog.get_logger()

REQUEST_TIMEOUT_S = 1.0
WRITE_TIMEOUT_S = 5.0
ALIVE_INTERVAL_S = 30.0
MAX_READERS = 256
MAX_REQUEST_BYTES = 64
RETRY_S = 2.0
ROUND_S = 10.0
"""Kafka that answers nothing for so long is away."""

AHEAD_S = 1.0
SNAPSHOT = "lifecycle.snapshot"
_WRITE_HIGH_BYTES = 256 * 1024
_BATCH_LINES = 500


class Mirror:
    """Serves `events` to readers. `read_back` reads what is no longer in memory."""

    def __init__(
        self, events: LifecycleLog, read_back: ReadBack, approved: Container[str], metrics: Metrics, *, node_id: str
    ) -> None:
        self._events = events
        self._read_back = read_back
        self._approved = approved
        self._metrics = metrics
        self._node_id = node_id
        self._readers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Open the port; the number it has, for who asked for 0."""
        self._server = await asyncio.start_server(self._receive, host, port, limit=MAX_REQUEST_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Serve nobody any more."""
        if self._server:
            self._server.close()
        readers = list(self._readers)
        for task in readers:
            task.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    def drop_unapproved(self) -> None:
        """Cut off readers whose address has been taken off the list since they came."""
        for task, writer in list(self._readers.items()):
            peername = writer.get_extra_info("peername")
            if peername and peername[0] not in self._approved:
                log.warning("mirror_cut_off", address=address_text(peername))
                writer.transport.abort()  # `wait_for` may swallow a cancellation
                task.cancel()

    def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Close on who is not approved before a byte is said; serve the others, each in a task of its own."""
        peername = writer.get_extra_info("peername")
        host = peername[0] if peername else ""
        if host not in self._approved or len(self._readers) >= MAX_READERS:
            log.warning("mirror_refused", address=address_text(peername), approved=host in self._approved)
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._attend(reader, writer))
        self._readers[task] = writer
        self._metrics.gauge("gateway_mirror_readers").set(len(self._readers))
        task.add_done_callback(self._leave)

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._readers.pop(task, None)
        self._metrics.gauge("gateway_mirror_readers").set(len(self._readers))

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        try:
            await self._serve(await _read_request(reader), writer)
        except (MalformedError, KafkaError) as error:
            with contextlib.suppress(OSError):
                writer.write(f'{{"line":"error","reason":"{type(error).__name__}: see docs/mirror.md"}}\n'.encode())
        except TimeoutError:
            self._metrics.counter("gateway_mirror_dropped_total").inc()
            log.info("mirror_reader_dropped", address=address_text(writer.get_extra_info("peername")))
            writer.transport.abort()
        except OSError:
            pass  # the reader has gone
        finally:
            writer.close()

    async def _serve(self, wish: int | None, writer: asyncio.StreamWriter) -> None:
        """State and what comes after it, or events from an offset on; until the reader goes."""
        events = self._events
        # All of one moment, so that no event falls between the state and what comes after it.
        position = events.next_offset if wish is None or wish == _NOW else wish
        generation, rounds = events.generation, events.rounds
        opening = [events.head_line(self._node_id), *(events.state_lines() if wish is None else ())]
        await _write(writer, opening)
        while True:
            # Another mirror may be ahead of this one by a moment: an offset is too high only if it stays so.
            ahead = position > events.next_offset and generation == events.generation
            if generation != events.generation or (ahead and events.rounds >= rounds + 2):
                generation, position = events.generation, 0
                await _write(writer, [events.reset_line()])
            elif position < events.oldest:
                position = await self._serve_old(position, events.oldest, writer)
            elif lines := events.lines_from(position):
                await _write(writer, [line for _, line in lines])
                position = lines[-1][0] + 1
            elif not await events.wait(AHEAD_S if ahead else ALIVE_INTERVAL_S):
                await _write(writer, [events.alive_line()])

    async def _serve_old(self, start: int, end: int, writer: asyncio.StreamWriter) -> int:
        lines: list[bytes] = []
        async for offset, value in self._read_back(start, end):
            with contextlib.suppress(MalformedError):
                lines.append(event_line(offset, decode_record(value, "lifecycle_event")))
            if len(lines) >= _BATCH_LINES:
                await _write(writer, lines)
                lines = []
        await _write(writer, lines)
        return end


_NOW = -1


async def _read_request(reader: asyncio.StreamReader) -> int | None:
    """The offset that the reader names within a second, `_NOW`, or none; raises `MalformedError`."""
    try:
        line = await asyncio.wait_for(reader.readline(), REQUEST_TIMEOUT_S)
    except TimeoutError:
        return None
    except ValueError:  # longer than the limit
        raise MalformedError("the request is too long", "bad_request") from None
    match line.split():
        case []:
            return None
        case [b"from", b"start"]:
            return 0
        case [b"from", b"now"]:
            return _NOW
        case [b"from", offset] if offset.isdigit() and len(offset) < 19:
            return int(offset)
    raise MalformedError("the request is not `from OFFSET`, `from start` or `from now`", "bad_request")


async def _write(writer: asyncio.StreamWriter, lines: list[bytes]) -> None:
    """Write in batches; raises `TimeoutError` for a reader that does not take one in time."""
    for first in range(0, len(lines), _BATCH_LINES):
        writer.write(b"".join(lines[first : first + _BATCH_LINES]))
        await asyncio.wait_for(writer.drain(), WRITE_TIMEOUT_S)


class LifecycleReader:
    """Reads the lifecycle topic into a `LifecycleLog`: from where a snapshot ends, else from its beginning."""

    def __init__(self, settings: Settings, events: LifecycleLog) -> None:
        self._settings = settings
        self._events = events
        topic = topic_name(settings, LIFECYCLE.name)
        self._partition = TopicPartition(topic, 0)
        path = settings.data.run / SNAPSHOT
        self._keeper = SnapshotKeeper(path, lambda: events.snapshot(topic))
        if (known := read_snapshot(path, topic)) is not None:
            events.restore(known)
            log.info("lifecycle_restored", next_offset=known.next_offset, age_s=events.age_s())

    async def follow(self) -> None:
        """Read until cancelled, and keep snapshots; Kafka away is waited out."""
        keeping = asyncio.create_task(self._keeper.keep(), name="snapshots")
        try:
            while True:
                try:
                    await self._follow_once()
                except (KafkaError, UnavailableError, TimeoutError) as error:
                    log.warning("lifecycle_unreadable", error=type(error).__name__)
                self._events.lost()
                await asyncio.sleep(RETRY_S)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _follow_once(self) -> None:
        client = consumer(self._settings, None, auto_offset_reset="none")
        client.assign([self._partition])
        try:
            await client.start()
            await self._find_place(client)
            while True:
                async with asyncio.timeout(ROUND_S):
                    await self._read_round(client)
        except OffsetOutOfRangeError:
            self._begin_anew("the offset is out of range", "")
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(client.stop(), ROUND_S)

    async def _find_place(self, client: Any) -> None:
        """Go on where we were, if the topic is still the one that we were in, and has what comes next."""
        events, at = self._events, self._partition
        async with asyncio.timeout(ROUND_S):
            oldest = (await client.beginning_offsets([at]))[at]
            end = (await client.end_offsets([at]))[at]
        told = (await read_topic_ids(self._settings, [LIFECYCLE.name])).get(LIFECYCLE.name)
        topic_id = "" if told is None else told.hex
        if events.next_offset and events.topic_id != topic_id:
            self._begin_anew("the topic was made anew", topic_id)
        elif events.next_offset and not oldest <= events.next_offset <= end:
            self._begin_anew("the topic does not have that offset", topic_id)
        events.topic_id = topic_id
        client.seek(at, max(events.next_offset, oldest))

    def _begin_anew(self, reason: str, topic_id: str) -> None:
        log.warning("lifecycle_read_anew", reason=reason, next_offset=self._events.next_offset)
        self._events.begin_anew(topic_id)

    async def _read_round(self, client: Any) -> None:
        end = (await client.end_offsets([self._partition]))[self._partition]
        batch = await client.getmany(self._partition, timeout_ms=1000, max_records=_BATCH_LINES)
        for record in batch.get(self._partition, ()):
            self._events.take(record.offset, record.value)
        if await client.position(self._partition) >= end:
            self._events.caught_up()

    async def read_back(self, start: int, end: int) -> AsyncIterator[tuple[int, bytes]]:
        """Records from `start` (or the oldest there is) until before `end`, by a client of its own."""
        client = consumer(self._settings, None)
        client.assign([self._partition])
        try:
            await client.start()
            oldest = (await client.beginning_offsets([self._partition]))[self._partition]
            client.seek(self._partition, max(start, oldest))
            while await client.position(self._partition) < end:
                batch = await client.getmany(self._partition, timeout_ms=1000)
                for record in batch.get(self._partition, ()):
                    if record.offset < end:
                        yield record.offset, record.value
        finally:
            await client.stop()

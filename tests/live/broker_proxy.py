"""A TCP proxy before a Kafka broker that can stall: connections stay, new ones are taken, and nothing passes.

A broker tells its clients where it is; the proxy puts itself in that place, so that they do not go round it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType
from typing import Self


class BrokerProxy:
    """Before the broker at `host:port`, on a free port of the loopback, in a thread of its own."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._broker = host, int(port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def address(self) -> str:
        return f"{self._broker[0]}:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    def stall(self) -> None:
        """Let nothing pass any more."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def flow(self) -> None:
        """Let everything pass again, what waited first."""
        self._loop.call_soon_threadsafe(self._flows.set)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._pass, self._broker[0], 0)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            await self._flows.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._broker)
            try:
                await asyncio.gather(self._ask(reader, far_writer), self._answer(far_reader, writer))
            finally:
                far_writer.close()
        except OSError:
            pass  # either end went away
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers are taken whole: four bytes of length, and so many bytes."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                length = await reader.readexactly(4)
                body = await reader.readexactly(int.from_bytes(length))
                await self._flows.wait()
                writer.write(length + body.replace(self._place(self._broker[1]), self._place(self._port)))
                await writer.drain()
        writer.close()

    def _place(self, port: int) -> bytes:
        """Host and port as they stand beside each other in an answer about brokers."""
        return self._broker[0].encode() + port.to_bytes(4)

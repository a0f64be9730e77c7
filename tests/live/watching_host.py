"""`python -m tests.live.watching_host NODE NAME…`: a host with processes of these names, which watches the others.

Ends by a signal: in order by SIGTERM, without a word by SIGKILL.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack

from infra.kafka import consumer, producer
from infra.lifecycle import Reporter
from infra.settings import load_settings
from streams import nodes
from streams.assembly import SESSION_MS
from streams.delivery import Delivery
from streams.nodes import NodeWatcher


async def main(node: str, names: list[str]) -> None:
    """Live until SIGTERM."""
    settings = load_settings()
    settings = settings.model_copy(update={"node": settings.node.model_copy(update={"id": node})})
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        sending = producer(settings)
        await sending.start()
        stack.push_async_callback(sending.stop)
        heartbeats = consumer(settings, nodes.GROUP, auto_offset_reset="latest", session_timeout_ms=SESSION_MS)
        await heartbeats.start()
        stack.push_async_callback(heartbeats.stop)
        for name in names:
            reporter = await stack.enter_async_context(Reporter(settings, name, sending))
            await reporter.ready()
        watcher = NodeWatcher(
            heartbeats,
            lambda: consumer(settings, None),
            Delivery(sending, prefix=settings.kafka.topic_prefix),
            reporter=f"{node}/{names[0]}",
            prefix=settings.kafka.topic_prefix,
        )
        watching = asyncio.create_task(watcher.run())
        while not stop.is_set():
            print("watching" if watcher.watching else "waiting", flush=True)  # noqa: T201  # the test reads it
            await asyncio.wait({watching, asyncio.create_task(stop.wait())}, timeout=1.0)
            if watching.done():
                watching.result()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))

"""The Faust application: its settings, its processors, and the tasks that read for those which Faust would hold back.

Never lets Faust acknowledge by itself: a body's exception or cancellation would commit a record that was not processed.
"""

from __future__ import annotations

import os
from typing import Any

import faust

from infra.kafka import METADATA_MAX_AGE_MS
from infra.settings import Settings, load_settings
from schemas.errors import LocalError
from schemas.topics import MAX_RECORD_BYTES
from streams import activity, gaps
from streams.assembly import FAUST_GROUP, Assembly

TASKS = (
    "mine", "alerts", "nodes", "watch_mine", "watch_alerts", "watch_faust", "held_mine", "held_alerts", "held_faust",
    "held_nodes", "rewind", "measure", "keys", "rules", "sizes", "wishes",
)  # fmt: skip

WORKER_VARIABLE = "SEALSTREAM_WORKER"
"""Environment variable with the worker's number, for workers that faust's own command starts."""


class StreamsApp(faust.App):  # type: ignore[misc]  # faust is not typed
    """A Faust application that starts and stops its assembly with itself."""

    assembly: Assembly

    async def on_first_start(self) -> None:
        """Make the directory that Faust wants, though nothing of ours is kept there."""
        self.conf.datadir.mkdir(parents=True, exist_ok=True)
        await super().on_first_start()

    async def on_start(self) -> None:
        """Connect before the first processor runs."""
        await self.assembly.start(self)
        await super().on_start()

    async def on_shutdown(self) -> None:
        """Disconnect after the last one has stopped."""
        await super().on_shutdown()
        await self.assembly.stop()


def create_app(settings: Settings, worker: int = 1) -> StreamsApp:
    """The application of one worker."""
    name = f"streams-{worker}"
    app = StreamsApp(
        settings.kafka.topic_prefix + FAUST_GROUP,
        broker=[f"kafka://{address.strip()}" for address in settings.kafka.bootstrap.split(",")],
        broker_client_id=f"{settings.node.id}/{name}",
        datadir=settings.data.store("faust") / name,
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=8 * MAX_RECORD_BYTES,
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=3.0,
        broker_commit_interval=0.5,
        stream_wait_empty=False,
        web_enabled=bool(settings.streams.web_port),
        web_host="127.0.0.1",
        web_port=settings.streams.web_port + worker - 1 if settings.streams.web_port else 6066,
        worker_redirect_stdouts=False,
    )
    app.assembly = Assembly(settings, name)
    _add_processor(app, "activity", activity.TOPIC)
    _add_processor(app, "gaps", gaps.TOPIC)
    for task in TASKS:
        _add_task(app, task)
    return app


def _add_processor(app: StreamsApp, stage: str, topic: str) -> None:
    """A Faust processor over a topic: acknowledged by hand, once the results are durable."""
    source = app.topic(app.assembly.prefix + topic, key_type=bytes, value_type=bytes)

    async def process(stream: Any) -> None:
        await app.assembly.started.wait()
        intake = app.assembly.intakes[stage]
        try:
            async for event in stream.noack().events():
                await intake.take(event)
        except LocalError as error:
            await app.crash(error)
            raise
        finally:
            await intake.finish()

    app.agent(source, name=stage, concurrency=1)(process)


def _add_task(app: StreamsApp, name: str) -> None:
    async def run() -> None:
        await app.assembly.started.wait()
        await app.assembly.tasks[name]()

    run.__name__ = run.__qualname__ = name
    app.task(run)


def __getattr__(name: str) -> StreamsApp:
    """`faust -A streams.app worker` finds `app` here; importing the module alone reads no settings."""
    if name != "app":
        raise AttributeError(name)
    app = globals()["app"] = create_app(load_settings(), int(os.environ.get(WORKER_VARIABLE, "1")))
    return app

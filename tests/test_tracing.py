"""Traces: one links gateway, worker and sink; nothing is traced, imported or told that should not be."""

from __future__ import annotations

import asyncio
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from gateway.memory import MemoryPublisher
from gateway.publisher import Outcome
from gateway.tracing import trace_publisher, trace_requests
from infra import tracing as own
from infra.settings import NodeSettings, Settings, TracingSettings
from infra.tracing import ATTRIBUTES, TRACEPARENT, Tracing, tracing_of
from schemas.errors import ConfigError, LocalError, UnavailableError
from schemas.kinds import StreamKind
from sinks.archive.reading import read_envelopes
from sinks.archive.sink import ArchiveSink
from sinks.loop import Loop
from sinks.memory import MemoryBroker as SinkBroker
from sinks.memory import MemoryConsumer as SinkConsumer
from sinks.memory import MemoryDeadLetters, MemorySink
from sinks.sink import SinkRecord
from sinks.tracing import SPANS, TracedSink, trace_sink
from streams.incoming import Incoming
from streams.memory import MemoryBroker
from tests.sinks.test_loop import P0
from tests.streams.recording import Recorder, message
from tests.streams.rig import Worker, until

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

SCREEN = "envelopes.screen"


class Traces:
    """What one process after another hands over; `of` makes a process's tracing."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def of(self, process: str, ratio: float = 1.0) -> Tracing:
        return Tracing(self.exporter, ratio, {"service.instance.id": process}, at_once=True)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def one(self, name: str) -> ReadableSpan:
        [span] = [span for span in self.spans if span.name == name]
        return span


@pytest.fixture
def traces() -> Traces:
    return Traces()


def said(span: ReadableSpan) -> dict[str, Any]:
    return {name.removeprefix("sealstream."): value for name, value in (span.attributes or {}).items()}


async def publish(tracing: Tracing | None, topic: str = SCREEN, value: bytes = b"envelope") -> MemoryPublisher:
    """What a gateway's publisher stores of one envelope."""
    publisher = MemoryPublisher()
    settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    trace_publisher(publisher, tracing).publish(topic, b"key", value, [("user", b"ana")], settled.set_result)
    await settled
    return publisher


async def mine(traces: Traces, record: Any) -> list[Any]:
    """What a worker delivers of a record that a gateway stored, with the records of its other topics."""
    broker = MemoryBroker()
    worker = Worker(broker)
    worker.body.tracing = traces.of("worker")
    broker.append(record.topic, record.value, record.key, headers=record.headers)
    await worker.start()
    await until(lambda: worker.body.settled == 1)
    await worker.stop()
    return [*broker.records("documents"), *broker.records("dead-letters")]


async def store(traces: Traces, records: list[Any], sink: MemorySink | None = None) -> MemorySink:
    """A sink that has stored these records."""
    broker, sink = SinkBroker(), sink or MemorySink()
    broker.logs = {P0: []}
    for record in records:
        broker.append(P0.topic, record.value, partition=0, headers=record.headers)
    loop = Loop(SinkConsumer(broker), trace_sink(sink, traces.of("sink")), MemoryDeadLetters(), topic_prefix="x-")
    broker.on_idle = loop.stop
    await loop.run()
    return sink


async def test_one_trace_links_gateway_worker_and_sink(traces: Traces) -> None:
    """From an envelope's receipt over what was mined of it to the store, each hop the child of the one before."""
    recorder = Recorder("a", StreamKind.EMAIL)
    [envelope] = recorder.record([message("Salary", "what nobody may read in a trace")])
    publisher = MemoryPublisher()
    settled = asyncio.get_running_loop().create_future()
    headers = [("user", b"ana"), ("computer", b"desk-7")]
    gateway = trace_publisher(publisher, traces.of("gateway"))
    gateway.publish(recorder.topic, recorder.key, envelope, headers, settled.set_result)
    await settled
    documents = await mine(traces, publisher.records[0])
    sink = await store(traces, documents)
    assert len(sink.stored) == len(documents) == 1
    hops = [traces.one(name) for name in ("gateway.store", "worker.mine", "sink.memory")]
    assert len({span.context.trace_id for span in hops if span.context}) == 1
    assert [span.parent and span.parent.span_id for span in hops[1:]] == [
        span.context and span.context.span_id for span in hops[:2]
    ]
    assert [span.resource.attributes["service.instance.id"] for span in hops] == ["gateway", "worker", "sink"]
    assert said(hops[0]) == {"stream": "email", "bytes": len(envelope), "outcome": "delivered"}
    assert said(hops[1])["results"] == 1
    assert said(hops[2]) == {"sink": "memory", "records": 1, "topic": "documents", "partition": 0, "offset": 0}
    told = "".join(span.to_json() for span in hops)
    for secret in ("ana", "desk-7", "Salary", "nobody", recorder.key.decode()):
        assert secret not in told.replace("sealstream.sink", "")


async def test_the_archive_keeps_the_header_with_the_others_of_its_record(traces: Traces, tmp_path: Path) -> None:
    """The disk sink goes on with the gateway's span, and what is read back is the record as it came."""
    recorder = Recorder("a", StreamKind.EMAIL)
    [envelope] = recorder.record([message("s", "t")])
    publisher = await publish(traces.of("gateway"), recorder.topic, envelope)
    headers = tuple(publisher.records[0].headers)
    sink = TracedSink(ArchiveSink(tmp_path), traces.of("sink"))
    await sink.open()
    assert await sink.write([SinkRecord(recorder.topic, 0, 0, 1, recorder.key, envelope, headers)]) == []
    await sink.flush()
    await sink.close()
    [kept] = read_envelopes(tmp_path)
    assert kept.headers == headers
    assert [name for name, _ in headers] == ["user", TRACEPARENT]
    parent, own_context = traces.one("sink.disk").parent, traces.one("gateway.store").context
    assert parent
    assert own_context
    assert parent.span_id == own_context.span_id


async def test_without_a_collector_nothing_is_put_between(traces: Traces) -> None:
    """Publisher, sink and application are themselves, and a record's trace is passed over."""
    publisher, sink, app = MemoryPublisher(), MemorySink(), Starlette()
    assert trace_publisher(publisher, None) is publisher
    assert trace_sink(sink, None) is sink
    assert trace_requests(app, None) is app
    assert tracing_of(Settings(), "gateway") is None
    assert [name for name, _ in (await publish(None)).records[0].headers] == ["user"]


def test_nothing_of_opentelemetry_is_imported_without_a_collector() -> None:
    """It is an extra, and costs no start; what other libraries import of it where it is installed is theirs."""
    code = "import gateway.run, sinks.process, streams.assembly, sys; print(*sys.modules, sep='\\n')"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "opentelemetry.sdk.trace" not in ran.stdout
    assert "opentelemetry.exporter" not in ran.stdout


async def test_what_is_not_sampled_is_not_traced(traces: Traces) -> None:
    """By the ratio; other records than envelopes never are."""
    chances = iter([0.5, 0.005, 0.0])
    tracing = Tracing(traces.exporter, 0.01, {}, at_once=True, chance=lambda: next(chances))
    for topic in (SCREEN, SCREEN, "lifecycle"):
        publisher = await publish(tracing, topic)
        assert (TRACEPARENT in dict(publisher.records[0].headers)) is (len(traces.spans) == 1 and topic == SCREEN)
    assert len(traces.spans) == 1


@pytest.mark.parametrize(
    "header",
    [b"", b"junk", b"\xff" * 55, b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01",
     b"00-" + b"1" * 32 + b"-" + b"1" * 16 + b"-00"],
)  # fmt: skip
async def test_a_header_that_is_no_sampled_trace_is_passed_over(traces: Traces, header: bytes) -> None:
    """Whoever wrote it; the record is mined and stored all the same."""
    tracing = traces.of("worker")
    assert tracing.follow("worker.mine", header) is None
    sink = TracedSink(MemorySink(), tracing)
    record = Incoming(SCREEN, 0, 0, b"", b"", 0, {TRACEPARENT: header})
    batch = [SinkRecord("documents", 0, 0, 0, b"", b"value", tuple(record.headers.items()))]
    assert await sink.write(batch) == []
    await sink.flush()
    assert traces.spans == []


@pytest.mark.parametrize(("value", "topic"), [(b"junk", "dead-letters"), (b"", "documents")])
async def test_results_and_dead_letters_carry_the_trace_on(traces: Traces, value: bytes, topic: str) -> None:
    """Whatever becomes of a record, its span ends, and who reads what came of it goes on with the trace."""
    recorder = Recorder("a", StreamKind.EMAIL)
    [envelope] = recorder.record([message("s", "t")])
    publisher = await publish(traces.of("gateway"), recorder.topic, value or envelope)
    stored = publisher.records[0]._replace(key=recorder.key)
    [made] = await mine(traces, stored)
    assert made.topic == topic
    assert dict(made.headers)[TRACEPARENT].split(b"-")[1] == dict(stored.headers)[TRACEPARENT].split(b"-")[1]
    assert traces.one("worker.mine").end_time


async def test_what_is_not_stored_is_a_failure_of_its_span(traces: Traces) -> None:
    """Kafka refused it, or lost it."""
    publisher = MemoryPublisher(max_record=3)
    settled = asyncio.get_running_loop().create_future()
    trace_publisher(publisher, traces.of("gateway")).publish(SCREEN, b"k", b"large", [], settled.set_result)
    assert await settled is Outcome.REFUSED
    assert traces.one("gateway.store").status.description == "not_stored"
    assert said(traces.one("gateway.store"))["outcome"] == "refused"


async def test_a_store_away_has_a_failed_span_for_each_attempt(traces: Traces) -> None:
    """And of a batch a bounded number of records."""
    sink = MemorySink()
    traced = TracedSink(sink, traces.of("sink"))
    span = traces.of("gateway").begin("gateway.store")
    batch = [
        SinkRecord("documents", 0, offset, 0, b"", b"v", ((TRACEPARENT, span.traceparent),)) for offset in range(99)
    ]
    sink.away_for = 1
    with pytest.raises(UnavailableError):
        await traced.write(batch)
    await traced.write(batch)
    await traced.flush()
    found = [span for span in traces.spans if span.name == "sink.memory"]
    assert [span.status.description for span in found] == ["written_again"] * SPANS + [None] * SPANS


async def test_a_request_is_told_by_its_route_and_never_by_its_path(traces: Traces) -> None:
    """Paths, queries and callers may name people; a trace that a caller names is not gone on with."""

    async def show(request: Request) -> Response:
        return PlainTextResponse("fine", 203)

    async def fail(_request: Request) -> Response:
        raise RuntimeError

    app = FastAPI()
    app.get("/people/{name}")(show)
    app.router.routes += [Route("/fail", fail), Route("/healthz", show), Mount("/pages", Starlette())]
    transport = httpx.ASGITransport(trace_requests(app, traces.of("gateway")), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        named = {"traceparent": f"00-{'1' * 32}-{'1' * 16}-01"}
        assert (await client.get("/people/ana?text=salary", headers=named)).status_code == 203
        await client.get("/fail")
        await client.get("/healthz")
        await client.get("/pages/ana")
        await client.request("SALARY", "/none/ana")
    shown, failed, healthy, page, unknown = traces.spans
    assert said(shown) == {"method": "GET", "route": "/people/{name}", "status": 203}
    assert shown.parent is None
    assert failed.status.description == "raised"
    assert (said(healthy)["route"], said(page)["route"]) == ("/healthz", "")
    assert said(unknown) == {"method": "other", "route": "", "status": 404}
    told = "".join(span.to_json() for span in traces.spans)
    assert "ana" not in told
    assert "salary" not in told.lower()


def test_a_span_says_nothing_that_is_not_in_the_table(traces: Traces) -> None:
    """No names, titles or texts, and no long text under any name."""
    assert not {"user", "computer", "title", "text", "agent", "path", "address"} & ATTRIBUTES
    tracing = traces.of("gateway")
    with pytest.raises(LocalError):
        tracing.begin("gateway.store", user="ana")
    with pytest.raises(LocalError):
        tracing.begin("gateway.store").note(stream="x" * 129)


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes OTLP over HTTP, as protobuf."""

    taken: list[bytes]

    def do_POST(self) -> None:
        assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
        self.taken.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    taken: list[bytes] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Collector,), {"taken": taken}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", taken
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_collector_gets_spans_by_otlp(collector: tuple[str, list[bytes]]) -> None:
    """What the settings name gets them over HTTP, with which process of which node they are of."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    address, taken = collector
    settings = Settings(node=NodeSettings(id="app-1"), tracing=TracingSettings(endpoint=address, ratio=1))
    tracing = tracing_of(settings, "gateway-10002")
    assert tracing is not None
    assert tracing_of(settings, "gateway-10002") is tracing
    await publish(tracing)
    await asyncio.to_thread(tracing.close)
    [told] = ExportTraceServiceRequest.FromString(taken[0]).resource_spans
    resource = {one.key: one.value.string_value for one in told.resource.attributes}
    assert (resource["service.name"], resource["service.instance.id"]) == ("sealstream", "app-1/gateway-10002")
    [span] = told.scope_spans[0].spans
    assert span.name == "gateway.store"
    assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano


def test_a_collector_without_opentelemetry_is_a_mistake_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said at the start, with what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    own._make.cache_clear()
    with pytest.raises(ConfigError, match=r"sealstream\[tracing\]"):
        tracing_of(Settings(tracing=TracingSettings(endpoint="http://127.0.0.1:1/v1/traces")), "gateway")

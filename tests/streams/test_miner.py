"""The miner's gRPC service on a real port: who gets in, what strangers see, what it says without Kafka."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from infra import pki
from infra.pki.certificates import reissue
from infra.pki.revocations import Revocations
from infra.settings import Settings
from infra.stack.ports import choose_port
from infra.tls.profile import SUITES_1_3
from infra.tls.survey import ask_address, survey
from schemas.errors import ConfigError, RemoteError, UnavailableError
from streams.miner.client import MissingError, open_miner
from streams.miner.contract import SERVICE, messages
from streams.miner.metrics import METRICS
from streams.miner.process import MinerProcess

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
"""What a miner says whose Kafka is away."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, two nodes, an agent; and a CA of somebody else with a node of its own."""
    root = tmp_path_factory.mktemp("authority")
    for name in ("pki", "foreign"):
        (root / name).mkdir()
        pki.make_ca(root / name)
        pki.issue(root / name, "gateway", server=True, hosts=["127.0.0.1"])
    pki.issue(root / "pki", "other", server=True, hosts=["127.0.0.1"])
    pki.issue(root / "pki", "agent", server=False)
    return root


@dataclass
class Site:
    """A miner that runs, and who calls it."""

    settings: Settings
    process: MinerProcess

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.settings.miner.port}"

    @asynccontextmanager
    async def calling(self, name: str | None = "gateway", folder: str = "pki") -> AsyncIterator[grpc.aio.Channel]:
        """A channel with that certificate, or with none."""
        place = self.settings.node.data_dir / folder
        shown = [(place / f"{name}.{end}").read_bytes() for end in ("key", "pem")] if name else []
        credentials = grpc.ssl_channel_credentials((self.settings.data.pki / "ca.pem").read_bytes(), *shown)
        async with grpc.aio.secure_channel(self.address, credentials) as channel:
            yield channel

    async def refusal(self, name: str | None, folder: str = "pki") -> tuple[grpc.StatusCode, str]:
        """How a health check ends for who shows that certificate."""
        async with self.calling(name, folder) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask_health(channel)
        return caught.value.code(), caught.value.details() or ""

    def counted(self, metric: str, **labels: str) -> float:
        return float(self.process.metrics.counter(metric).labels(**labels)._value.get())


@asynccontextmanager
async def running(authority: Path, root: Path, *, approved: tuple[str, ...] = ("127.0.0.1",), **miner: Any):
    """A miner on a free port without Kafka and PostgreSQL."""
    shutil.copytree(authority, root)
    settings = Settings(
        node={"data_dir": root, "id": "miner-1", "approved": list(approved)},
        miner={"port": choose_port("miner"), **miner},
        kafka={"bootstrap": "127.0.0.1:1"},
        postgresql={"password_file": None, "dsn": "postgresql://nobody@127.0.0.1:1/nothing"},
    )
    settings.data.run.mkdir(parents=True)
    stop, process = asyncio.Event(), MinerProcess(settings)
    task = asyncio.create_task(process.run(stop))
    try:
        await until(lambda: task.done() or (settings.data.run / "miner.json").exists())
        if task.done():
            await task
        yield Site(settings, process)
    finally:
        stop.set()
        await task


async def until(fact: Callable[[], object]) -> None:
    """Wait for a fact that nothing announces."""
    async with asyncio.timeout(30):
        while not fact():  # noqa: ASYNC110  # nothing announces it
            await asyncio.sleep(0.02)


async def ask_health(channel: grpc.aio.Channel, service: str = SERVICE) -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
    return int(answer.status)


async def read_to_the_end(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass


async def services_of(channel: grpc.aio.Channel) -> set[str]:
    """What reflection names."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    answers = [answer async for answer in stub.ServerReflectionInfo(asked, timeout=20)]
    return {one.name for one in answers[0].list_services_response.service}


async def test_a_node_gets_in_and_sees_what_there_is(authority: Path, tmp_path: Path) -> None:
    """Health of the whole and of the service, reflection of all services, and what it says of itself."""
    async with running(authority, tmp_path / "site") as site, site.calling("other") as channel:
        assert [await ask_health(channel, name) for name in ("", SERVICE)] == [NOT_SERVING, NOT_SERVING]
        health, mirror = "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"
        assert await services_of(channel) == {SERVICE, health, mirror}
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await ask_health(channel, "nobody.Knows")
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.aio.AioRpcError) as missing:
            await channel.unary_unary(f"/{SERVICE}/Nothing")(b"")
        assert missing.value.code() is grpc.StatusCode.UNIMPLEMENTED
        async with open_miner(site.settings, site.address) as client:
            assert not await client.serves()
            told = await client.ask("Status", messages.StatusRequest())
            able = await client.ask("Capabilities", messages.CapabilitiesRequest())
    assert (told.node, told.drained, list(told.workers), list(told.lag)) == ("miner-1", False, [], [])
    assert any("Kafka" in fault for fault in told.faults)
    assert told.load.cores == able.cores > 0
    assert set(able.kinds) == {"screen", "keystrokes", "email", "activity", "index"}
    assert (able.ocr.engine, list(able.ocr.languages)) == ("tesseract", ["eng"])
    assert {one.processor for one in able.replayable} == {"mine", "activity"}
    assert site.counted("miner_calls_total", method="Status", code="OK") == 1
    assert site.counted("miner_calls_total", method="Check", code="NOT_FOUND") == 1


async def test_who_shows_no_nodes_certificate_gets_nothing(authority: Path, tmp_path: Path) -> None:
    """No certificate and another CA's end in the handshake; an agent's and a revoked one before any answer."""
    denied = grpc.StatusCode.PERMISSION_DENIED
    async with running(authority, tmp_path / "site") as site:
        assert (await site.refusal(None))[0] is grpc.StatusCode.UNAVAILABLE
        assert (await site.refusal("gateway", "foreign"))[0] is grpc.StatusCode.UNAVAILABLE
        assert await site.refusal("agent") == (denied, "this is not the certificate of a node")
        async with site.calling("other") as channel:
            await ask_health(channel)
            certificate = x509.load_pem_x509_certificate((site.settings.data.pki / "other.pem").read_bytes())
            Revocations(site.settings.node.data_dir / "enrol").add(f"serial:{certificate.serial_number:X}")
            await until(lambda: site.process._revocations.all)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask_health(channel)
        assert caught.value.details() == "this certificate is revoked"
        async with site.calling() as channel:
            assert await ask_health(channel) == NOT_SERVING


async def test_the_port_itself_is_known_by_the_sites_ca(authority: Path, tmp_path: Path) -> None:
    """Who trusts another CA does not speak to it."""
    async with running(authority, tmp_path / "site") as site:
        foreign = site.settings.miner.model_copy(update={"ca_file": site.settings.node.data_dir / "foreign" / "ca.pem"})
        elsewhere = site.settings.model_copy(update={"miner": foreign})
        async with open_miner(elsewhere, site.address) as client:
            with pytest.raises(UnavailableError, match=site.address):
                await client.serves()


async def test_an_address_that_is_not_approved_gets_nothing(authority: Path, tmp_path: Path) -> None:
    """Not health, not reflection, not even that a method is unknown; with whatever certificate."""
    async with running(authority, tmp_path / "site", approved=("10.9.9.9",)) as site:
        assert await site.refusal("gateway") == (grpc.StatusCode.PERMISSION_DENIED, "")
        async with site.calling() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as reflected:
                await services_of(channel)
            with pytest.raises(grpc.aio.AioRpcError) as unknown:
                await channel.unary_unary(f"/{SERVICE}/Nothing")(b"")
        for caught in (reflected, unknown):
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.PERMISSION_DENIED, "")
        async with open_miner(site.settings, site.address) as client:
            with pytest.raises(RemoteError, match="approved"):
                await client.ask("Status", messages.StatusRequest())
        assert site.counted("miner_calls_refused_total", reason="unapproved") == 4


async def test_a_call_that_goes_on_ends_when_its_address_is_taken_off(authority: Path, tmp_path: Path) -> None:
    """At once, with the code that a stranger gets."""
    async with running(authority, tmp_path / "site", approved=()) as site:
        listed = site.settings.node.data_dir / "approved"
        listed.write_text("127.0.0.1\n")
        site.process.approved.reload()
        async with site.calling() as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            watching = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
            assert (await watching.read()).status == NOT_SERVING
            listed.write_text("")
            site.process.approved.reload()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await watching.read()
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_call_ends_though_it_is_writing_when_its_address_is_taken_off(authority: Path, tmp_path: Path) -> None:
    """At whatever turn of the loop that falls: what is being written gets there, and the code behind it."""
    for turns in range(6):
        async with running(authority, tmp_path / f"site-{turns}", approved=()) as site, site.calling() as channel:
            listed = site.settings.node.data_dir / "approved"
            listed.write_text("127.0.0.1\n")
            site.process.approved.reload()
            stub: Any = health_pb2_grpc.HealthStub(channel)
            watching = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
            reading = asyncio.ensure_future(read_to_the_end(watching))
            while not site.process._admission._calls:  # noqa: ASYNC110  # a write takes but a few turns of the loop
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            listed.write_text("")
            site.process.approved.reload()
            async with asyncio.timeout(30):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await reading
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_site_may_go_without_callers_certificates(authority: Path, tmp_path: Path) -> None:
    """Then the address alone decides; the port is TLS all the same."""
    async with running(authority, tmp_path / "site", client_certificates=False) as site:
        async with site.calling(None) as channel:
            assert await ask_health(channel) == NOT_SERVING
        async with grpc.aio.insecure_channel(site.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask_health(channel)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_port_speaks_modern_tls_alone(authority: Path, tmp_path: Path) -> None:
    """All that it agrees to: 1.3, and 1.2 with two forward-secret suites; nothing older; it asks for a certificate."""
    async with running(authority, tmp_path / "site") as site:
        offer = await asyncio.to_thread(survey, ask_address("127.0.0.1", site.settings.miner.port))
    assert offer.versions == ("TLSv1.2", "TLSv1.3")
    assert set(offer.suites) == {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"}
    assert set(offer.modern_suites) == set(SUITES_1_3)
    assert (offer.compresses, offer.asks_certificate, offer.primes) == (False, True, frozenset())


async def test_a_renewed_certificate_holds_from_the_next_handshake_on(authority: Path, tmp_path: Path) -> None:
    """Without a restart; files that do not fit each other leave what was there."""
    async with running(authority, tmp_path / "site", client_certificates=False) as site:
        place = site.settings.data.pki

        def shown() -> int:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(place / "ca.pem")
            context.set_alpn_protocols(["h2"])
            where = "127.0.0.1", site.settings.miner.port
            with (
                socket.create_connection(where, 10) as plain,
                context.wrap_socket(plain, server_hostname=where[0]) as secure,
            ):
                der = secure.getpeercert(binary_form=True)
            assert der
            return x509.load_der_x509_certificate(der).serial_number

        first = await asyncio.to_thread(shown)
        reissue(place, "gateway")
        second = await asyncio.to_thread(shown)
        shutil.copy(place / "other.key", place / "gateway.key")
        assert first != second == await asyncio.to_thread(shown)


async def test_replays_wait_for_the_database_and_say_so(authority: Path, tmp_path: Path) -> None:
    """What cannot be asked for is refused in words before any store is asked."""
    wish = {"topic": "envelopes.screen", "source": "ARCHIVE", "purpose": "a new language"}
    async with running(authority, tmp_path / "site") as site, open_miner(site.settings, site.address) as client:
        for wrong in (
            {"topic": "audit"},
            {"purpose": "x"},
            {"purpose": "with a \x00 in it"},
            {"agents": ["ann"]},
            {"since_ms": 5, "until_ms": 5},
            {"records_per_s": -1.0},
            {"processor": "gaps"},
            {"offsets": [messages.OffsetRange(partition=0, first=1)]},
        ):
            with pytest.raises(ConfigError):
                await client.ask("SubmitReplay", messages.SubmitReplayRequest(**{**wish, **wrong}))
        with pytest.raises(ConfigError, match="called like"):
            await client.ask("CancelReplay", messages.CancelReplayRequest(run_id="../x"))
        for method, request in (
            ("SubmitReplay", messages.SubmitReplayRequest(**wish)),
            ("ListReplays", messages.ListReplaysRequest()),
            ("CancelReplay", messages.CancelReplayRequest(run_id="20260101-000000-abcd")),
            ("Resume", messages.ResumeRequest()),
        ):
            with pytest.raises(UnavailableError):
                await client.ask(method, request)
        for method, request in (
            ("WatchReplay", messages.WatchReplayRequest(run_id="20260101-000000-abcd")),
            ("Drain", messages.DrainRequest()),
        ):
            with pytest.raises(UnavailableError):
                _ = [one async for one in client.follow(method, request)]


async def test_a_port_that_is_taken_is_named(authority: Path, tmp_path: Path) -> None:
    """A second miner on the same port does not start."""
    async with running(authority, tmp_path / "first") as site:
        with pytest.raises(ConfigError, match=str(site.settings.miner.port)):
            async with running(authority, tmp_path / "second", port=site.settings.miner.port):
                raise AssertionError("it started")


def test_metrics_are_counted_by_what_is_bounded() -> None:
    """No label holds what a caller may choose."""
    assert {label for metric in METRICS for label in metric.labels} == {"method", "code", "reason"}


def test_missing_things_are_no_faults() -> None:
    """What is not there is told apart from a refusal."""
    assert issubclass(MissingError, RemoteError)

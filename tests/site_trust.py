"""A whole gateway in this process whose keys change, agents that enrolled at it, and a tap on the wire between them."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from agent.clock import SystemClock
from agent.endpoint import make_hello
from agent.enrolment import enrol
from agent.identity import AgentIdentity
from agent.memory_spool import MemorySpool
from agent.settings import UplinkSettings
from agent.trust import Trust
from agent.uplink import Uplink
from gateway.enrol import make_token
from gateway.memory import MemoryPublisher
from gateway.run import Gateway
from infra import pki
from infra.pki.server_pins import prepare_pins
from infra.settings import PostgresqlSettings, Settings
from infra.stack.ports import choose_port
from infra.tls import Profile
from schemas.enrolment import EnrolmentToken
from schemas.keys import Identity

PATIENCE_S = 30.0
CLOCK = SystemClock()
QUICK = UplinkSettings(backoff_first_s=0.01, backoff_max_s=0.05, trust_check_s=0.2, silence_s=5, ping_s=1)


@dataclass
class Site:
    """A gateway that runs."""

    settings: Settings
    gateway: Gateway
    publisher: MemoryPublisher

    @property
    def pki(self) -> Path:
        return self.settings.gateway.ca_file.parent

    @property
    def https(self) -> str:
        return f"127.0.0.1:{self.settings.gateway.https_port}"

    async def enrol(self, directory: Path) -> Member:
        identity, policy = await enrol(EnrolmentToken.parse(make_token(self.settings)), directory, CLOCK)
        return Member(directory, identity, policy.streams, self.settings.gateway.tls_profile)


@dataclass
class Member:
    """An agent that enrolled. `connect` makes it one that is connected."""

    directory: Path
    identity: AgentIdentity
    streams: object
    profile: Profile
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def trust(self, pinning: str = "told") -> Trust:
        return Trust(self.directory, self.profile, pinning=pinning)

    def hello(self):
        return make_hello(self.identity.agent_id, self.streams, 1, user="ana", computer="desk-7")

    def connect(self, settings: UplinkSettings = QUICK, *, at: str = "") -> Uplink:
        uplink = Uplink(
            address=at or self.identity.server,
            agent_id=self.identity.agent_id,
            trust=self.trust(),
            hello=self.hello,
            spool=MemorySpool(),
            settings=settings,
            clock=CLOCK,
            welcome=lambda _: None,
            policy=lambda _: None,
        )
        self.tasks.append(asyncio.create_task(uplink.run()))
        return uplink

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@cache
def made_once() -> Path:
    """A CA, a gateway's keys and a KEK: making them takes longer than most tests."""
    root = Path(tempfile.mkdtemp(prefix="sealstream-site-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    pki.make_ca(root / "pki")
    pki.issue(root / "pki", "gateway", server=True, hosts=["127.0.0.1"])
    prepare_pins(root / "pki", "gateway")
    (root / "keys").mkdir()
    (root / "keys" / "server.pub.pem").write_bytes(Identity.generate(2048).recipient.to_pem())
    return root


@asynccontextmanager
async def running_site(
    directory: Path,
    *,
    profile: Profile = Profile.MODERN,
    node: Mapping[str, object] | None = None,
    database: PostgresqlSettings | None = None,
    **gateway: object,
) -> AsyncIterator[Site]:
    """A gateway on free ports, Kafka in memory, with a KEK to enrol agents by; by default without a database."""
    shutil.copytree(made_once(), directory)
    ports = {f"{name}_port": choose_port(name) for name in ("agent", "https", "mirror")}
    settings = Settings(
        node={"data_dir": directory, **(node or {})},
        gateway={"tls_profile": profile, **ports, **gateway},
        kafka={"bootstrap": "127.0.0.1:1"},
        redis={"url": "redis://127.0.0.1:1/0"},
        postgresql=database or {"password_file": None, "dsn": "postgresql://nobody@127.0.0.1:1/nothing"},
    )
    settings.data.run.mkdir(parents=True, exist_ok=True)
    stop, publisher = asyncio.Event(), MemoryPublisher()
    made = Gateway(settings, publisher)
    running = asyncio.create_task(made.run(stop))
    try:
        await until(lambda: running.done() or bool(list(settings.data.run.glob("gateway*.json"))))
        if running.done():
            await running
        yield Site(settings, made, publisher)
    finally:
        stop.set()
        await running


async def until(fact: Callable[[], object]) -> None:
    """Wait for a fact that nothing announces."""
    async with asyncio.timeout(PATIENCE_S):
        while not fact():  # noqa: ASYNC110  # nothing announces it
            await asyncio.sleep(0.02)


class Tap:
    """A TCP relay that keeps what went over it each way, and reads the kinds of TLS records in it."""

    APPLICATION_DATA = 23

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self.up, self.down = bytearray(), bytearray()
        self.closed = asyncio.Event()
        self._ways: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for way in self._ways:
                way.cancel()
            await asyncio.gather(*self._ways, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server = await asyncio.open_connection("127.0.0.1", self._target)
        ways = [
            asyncio.create_task(self._carry(reader, to_server[1], self.up)),
            asyncio.create_task(self._carry(to_server[0], writer, self.down)),
        ]
        self._ways += ways
        await asyncio.wait(ways, return_when=asyncio.ALL_COMPLETED)
        self.closed.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytearray) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                seen += data
                writer.write(data)
        writer.close()

    @staticmethod
    def kinds(data: bytes) -> list[int]:
        """The kinds of the records: 22 handshake, 20 change of cipher, 21 alert, 23 application data."""
        kinds, place = [], 0
        while place + 5 <= len(data):
            kinds.append(data[place])
            place += 5 + int.from_bytes(data[place + 3 : place + 5])
        return kinds

    @property
    def application_data(self) -> tuple[int, int]:
        """How many records of application data went up, and down."""
        return tuple(self.kinds(bytes(way)).count(self.APPLICATION_DATA) for way in (self.up, self.down))

"""Unlocks over HTTPS at several masters behind one name: whichever is asked, the one that has the unlock does it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from gateway.api.app import create_app
from gateway.api.services import Services
from gateway.facts import Facts
from gateway.https import listen
from gateway.kafka import KafkaPublisher
from gateway.marks import Marks
from gateway.metrics import TABLE
from gateway.unlock.tokens import ApiTokens
from gateway.visits import Visits
from gateway.webserver import WebServer, make_server
from infra.metrics import Metrics
from infra.settings import RedisSettings, Settings
from infra.stack.ports import choose_port
from infra.tls import Profile, client_context, server_context
from schemas.unlock_channel import Viewing, answer
from tests.live.test_stores import dsn  # noqa: F401  # a fixture
from tests.live.unlocking import PASSPHRASE, Site, mail, make_site, subjects  # noqa: F401  # a fixture
from tests.redis_server import open_redis_server
from tests.sinks.envelopes import NOON_MS

pytestmark = pytest.mark.live

WISH = {
    "agents": ["00000000-0000-0000-0000-000000000001"],
    "streams": ["email"],
    "since_ms": NOON_MS,
    "until_ms": NOON_MS + 60_000,
    "reason": "case 4711",
}


@dataclass
class Master:
    """One of several, and a client of it that has a person's token."""

    services: Services
    server: WebServer
    serving: asyncio.Task[None]
    client: httpx.AsyncClient

    async def begin(self) -> dict[str, Any]:
        """An unlock that begins here."""
        answered = await self.client.post("/api/v1/unlock", json=WISH)
        assert answered.status_code == 201, answered.text
        return dict(answered.json())

    async def ask(self, method: str, session: str, part: str = "", **options: Any) -> tuple[int, str, str]:
        """Status, word and message of a refusal."""
        if part == "/passphrase":
            options = {"json": {"public_key": "eA==", "sealed": "eA=="}, **options}
        answered = await self.client.request(method, f"/api/v1/unlock/{session}{part}", **options)
        told = answered.json() if answered.content else {"error": "", "message": ""}
        return answered.status_code, told["error"], told["message"]

    async def stop(self) -> None:
        """It answers nobody any more."""
        self.server.should_exit = True
        await self.serving


@asynccontextmanager
async def open_master(
    site: Site, redis: RedisSettings, publisher: KafkaPublisher, number: int, *, token: str
) -> AsyncIterator[Master]:
    """On a port of its own, over TLS with the node's certificate."""
    settings, metrics = settings_of(site, redis), Metrics(TABLE)
    gateway = settings.gateway
    facts = Facts(publisher, reporter=f"node-{number}/gateway", incarnation="0")
    services = Services(settings, facts, metrics, Marks(settings.redis))
    services.approved = {"127.0.0.1"}
    context = server_context(Profile.MODERN, gateway.cert_file, gateway.key_file, listener="https")
    listener = listen("127.0.0.1", gateway.https_port)
    server = make_server(create_app(services), Visits(64, metrics), listener, context, 30.0, ws="none")
    serving = asyncio.create_task(server.serve())
    client = httpx.AsyncClient(
        verify=client_context(Profile.MODERN, gateway.ca_file, listener="https"),
        base_url=f"https://127.0.0.1:{gateway.https_port}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    )
    master = Master(services, server, serving, client)
    try:
        async with client:
            yield master
    finally:
        await master.stop()
        await services.marks.close()
        await services.close()


def settings_of(site: Site, redis: RedisSettings) -> Settings:
    """Those of one master."""
    settings = site.settings
    accounts = settings.accounts.model_copy(update={"key_file": settings.node.data_dir / "accounts.key"})
    gateway = settings.gateway.model_copy(update={"https_port": choose_port("https")})
    node = settings.node.model_copy(update={"advertise": "127.0.0.1", "private": ""})
    return settings.model_copy(update={"accounts": accounts, "gateway": gateway, "node": node, "redis": redis})


@pytest.fixture
async def masters(site: Site, tmp_path: Path) -> AsyncIterator[list[Master]]:
    """Two that share stores, Redis and keys."""
    await site.mails("first", "second")
    token = ApiTokens(site.settings.unlock.tokens_file).issue("ann", 1)
    kafka = site.settings.kafka
    publisher = KafkaPublisher(kafka.bootstrap, topic_prefix=kafka.topic_prefix)
    with open_redis_server(tmp_path) as redis:
        async with (
            open_master(site, redis.settings, publisher, 1, token=token) as one,
            open_master(site, redis.settings, publisher, 2, token=token) as other,
        ):
            yield [one, other]
    await publisher.close()


def seal(begun: dict[str, Any], passphrase: bytes) -> tuple[Viewing, dict[str, str]]:
    """The viewer's end, and what it sends."""
    public, channel = answer(base64.b64decode(begun["public_key"]), bytes.fromhex(begun["session"]))
    sealed = channel.seal(passphrase)
    texts = {"public_key": base64.b64encode(public).decode(), "sealed": base64.b64encode(sealed).decode()}
    return Viewing(channel), texts


async def test_any_master_goes_on_with_an_unlock(site: Site, masters: list[Master]) -> None:
    """It begins at one; the other takes the passphrase and gives what was opened, and has seen nothing of it."""
    one, other = masters
    begun = await one.begin()
    viewing, texts = seal(begun, PASSPHRASE)
    where = f"/api/v1/unlock/{begun['session']}"
    assert (await other.client.get(f"{where}/segments")).json()["error"] == "out_of_turn"
    opened = await other.client.post(f"{where}/passphrase", json=texts)
    assert (opened.status_code, opened.json()) == (200, {"keys": ["officers"], "closed": []})
    stream = (await other.client.get(f"{where}/segments")).content
    assert not any(mail(subject) in stream for subject in ("first", "second"))
    released, at = [], 0
    while at < len(stream):
        length = int.from_bytes(stream[at : at + 4], "big")
        released.append(viewing.take(stream[at + 4 : at + 4 + length]))
        at += 4 + length
    assert subjects([piece for piece in released if piece]) == ["first", "second"]
    assert viewing.summary == {"segments": 2, "email": 2}
    for master in masters:
        assert (await master.ask("GET", begun["session"], "/segments"))[:2] == (404, "nothing_found")
    assert [outcome for _, outcome, _, _ in await site.audit()] == ["asked", "granted", "done"]


@pytest.mark.slow
async def test_what_is_refused_there_is_refused_here(masters: list[Master]) -> None:
    """In the same words: a wrong passphrase, which ends it; and it is its person's alone, who ends it anywhere."""
    one, other = masters
    begun = await one.begin()
    _, texts = seal(begun, PASSPHRASE[::-1])
    status, word, message = await other.ask("POST", begun["session"], "/passphrase", json=texts)
    assert (status, word) == (403, "wrong_passphrase")
    assert "node-1" not in message
    assert (await one.ask("POST", begun["session"], "/passphrase"))[:2] == (404, "nothing_found")
    session = (await one.begin())["session"]
    bob = ApiTokens(one.services.settings.unlock.tokens_file).issue("bob", 1)
    for method, part in (("POST", "/passphrase"), ("GET", "/segments"), ("DELETE", "")):
        refused = await other.ask(method, session, part, headers={"Authorization": f"Bearer {bob}"})
        assert refused[:2] == (404, "nothing_found")
    assert (await other.ask("DELETE", session))[0] == 204
    assert (await one.ask("DELETE", session))[:2] == (404, "nothing_found")


@pytest.mark.slow
async def test_a_master_that_is_away_is_named(masters: list[Master]) -> None:
    """Whatever is asked of the other one."""
    one, other = masters
    session = (await one.begin())["session"]
    await one.stop()
    for method, part in (("POST", "/passphrase"), ("GET", "/segments"), ("DELETE", "")):
        status, word, message = await other.ask(method, session, part)
        assert (status, word) == (409, "elsewhere")
        assert "node-1/gateway" in message
        assert "does not answer" in message


@pytest.mark.slow
async def test_masters_without_the_same_key_say_so(masters: list[Master], tmp_path: Path) -> None:
    """Neither does the other's unlock then; at its own master it goes on."""
    one, other = masters
    begun = await one.begin()
    other.services.desk.key = type(other.services.desk.key)(tmp_path / "another.key")
    _, texts = seal(begun, PASSPHRASE)
    status, word, message = await other.ask("POST", begun["session"], "/passphrase", json=texts)
    assert (status, word) == (409, "elsewhere")
    assert "takes no requests from this one" in message
    opened = await one.client.post(f"/api/v1/unlock/{begun['session']}/passphrase", json=texts)
    assert opened.json() == {"keys": ["officers"], "closed": []}

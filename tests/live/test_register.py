"""The register that masters share in a real PostgreSQL: no use is spent twice, and all know what one did."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509

import gateway.run
import infra.sharing
from gateway.enrol import Enrolment, EnrolmentRequest, keep_token, make_token
from gateway.facts import Facts
from gateway.gate import Gate
from gateway.memory import MemoryPublisher
from gateway.throttle import Throttle
from gateway.trust import TrustApi
from infra.keys.table import connected
from infra.pki import issue
from infra.pki.follow import RegisterFollower, exchange_now
from infra.pki.register import Register
from infra.pki.revocations import Revocations
from infra.pki.server_pins import load_pins
from infra.pki.tokens import TokenStore
from infra.settings import PostgresqlSettings, Settings
from infra.site_follow import SiteFollower
from schemas.errors import ConfigError, MalformedError, RemoteError, UnavailableError
from tests.gateway.site import make_csr
from tests.live.shared_nodes import away, make_node, own_database
from tests.site_trust import CLOCK, running_site, until

pytestmark = pytest.mark.live


@pytest.fixture
async def database(backing: Settings) -> AsyncIterator[PostgresqlSettings]:
    async with own_database(backing) as made:
        yield made


@pytest.fixture
def masters(database: PostgresqlSettings, tmp_path: Path) -> tuple[Settings, Settings]:
    """Two masters of one installation."""
    return make_node(tmp_path / "one", database), make_node(tmp_path / "two", database)


@pytest.fixture
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.run, "CHECK_INTERVAL_S", 0.05)
    monkeypatch.setattr(infra.sharing, "INTERVAL_S", 0.05)


def wish(secret: str) -> EnrolmentRequest:
    return EnrolmentRequest(secret, make_csr(), "desk", "ana", "test")


def issued(settings: Settings) -> list[str]:
    """The agents in the register of a node, by its file."""
    return [it.name for it in Register(settings.gateway.ca_file.parent).read() if it.kind == "agent"]


async def exchange(*nodes: Settings) -> None:
    for settings in nodes:
        async with connected(settings) as connection:
            await RegisterFollower(settings).exchange(connection)


async def test_a_use_is_spent_once_by_two_masters(masters: tuple[Settings, Settings]) -> None:
    """Twelve agents ask two masters at once with a token of five uses: five get certificates, which both know."""
    await asyncio.to_thread(keep_token, masters[0], "secret", uses=5, expires_s=60)
    await exchange(*masters)
    desks = [Enrolment(settings) for settings in masters]
    agents: set[str] = set()
    unanswered = 0

    async def ask(desk: Enrolment) -> bool:
        """Until it is answered, as agents do: a machine that is busy may let the database's time run out."""
        nonlocal unanswered
        while True:
            try:
                answer = await desk.redeem(wish("secret"))
            except UnavailableError:
                unanswered += 1
                continue
            agents.update([answer[0]] if answer else [])
            return answer is not None

    await asyncio.gather(*(ask(desks[number % 2]) for number in range(12)))
    assert 5 - unanswered <= len(agents) <= 5
    assert [await ask(desk) for desk in desks] == [False, False]
    await exchange(*masters, *masters)
    for settings in masters:
        assert agents <= set(issued(settings))
        assert len(issued(settings)) <= 5 + unanswered
    assert sorted(issued(masters[0])) == sorted(issued(masters[1]))
    for settings in masters:
        assert await desks[0].redeem(wish("another")) is None
        assert TokenStore(settings.node.data_dir / "enrol").moved


async def test_a_bad_request_spends_nothing(masters: tuple[Settings, Settings]) -> None:
    """Neither one that is not usable, nor one for which the certificate cannot be issued."""
    one, two = masters
    await asyncio.to_thread(keep_token, one, "secret", uses=1, expires_s=60)
    await exchange(two)
    with pytest.raises(MalformedError):
        await Enrolment(one).redeem(EnrolmentRequest("secret", "no request", "desk", "ana", "test"))
    register = two.gateway.ca_file.parent / "issued.jsonl"
    register.rename(register.with_suffix(".away"))
    register.mkdir()  # what cannot be registered is not issued
    with pytest.raises(ConfigError, match="directory"):
        await Enrolment(two).redeem(wish("secret"))
    assert await Enrolment(one).redeem(wish("secret"))


async def test_the_tokens_of_a_file_are_taken_over_once(masters: tuple[Settings, Settings]) -> None:
    """With the uses that are left; a file that comes back from a backup brings no use back."""
    one, two = masters
    folder = one.node.data_dir / "enrol"
    store = TokenStore(folder)
    store.add("secret", uses=3, expires_s=60)
    assert await Enrolment(one).redeem(wish("secret")), "before a database ever answered the file holds"
    shutil.copy(folder / "tokens.json", folder / "backup.json")
    await exchange(one, two)
    assert not (folder / "tokens.json").exists()
    assert await Enrolment(two).redeem(wish("secret"))
    shutil.copy(folder / "backup.json", folder / "tokens.json")
    await exchange(one)
    assert await Enrolment(one).redeem(wish("secret"))
    assert await Enrolment(one).redeem(wish("secret")) is None


async def test_without_its_database_a_node_spends_nothing(masters: tuple[Settings, Settings]) -> None:
    """What the table has taken over is never spent, nor added to, by the file again."""
    one, _ = masters
    await asyncio.to_thread(keep_token, away(one), "first", uses=1, expires_s=60)
    assert not TokenStore(one.node.data_dir / "enrol").moved
    await asyncio.to_thread(keep_token, one, "second", uses=1, expires_s=60)
    for secret in ("first", "second"):
        with pytest.raises(UnavailableError):
            await Enrolment(away(one)).redeem(wish(secret))
    with pytest.raises(UnavailableError):
        await asyncio.to_thread(make_token, away(one))
    for secret in ("first", "second"):
        assert await Enrolment(one).redeem(wish(secret))


async def test_a_token_expires_by_the_tables_clock(masters: tuple[Settings, Settings]) -> None:
    """And is forgotten with the next one."""
    one, two = masters
    await asyncio.to_thread(keep_token, one, "secret", uses=1, expires_s=60)
    await exchange(two)
    async with connected(one) as connection:
        await connection.execute("UPDATE enrolment_token SET expires_at = now() - interval '1 second'")
        assert await Enrolment(two).redeem(wish("secret")) is None
        await asyncio.to_thread(keep_token, one, "next", uses=1, expires_s=60)
        assert await connection.fetchval("SELECT count(*) FROM enrolment_token") == 1


async def test_registers_meet_after_the_database_was_lost(masters: tuple[Settings, Settings]) -> None:
    """An empty database gets all that the nodes know; a row that is none of ours is left out."""
    one, two = masters
    for settings in masters:
        TokenStore(settings.node.data_dir / "enrol").add("secret", uses=2, expires_s=60)
        for _ in range(2):
            assert await Enrolment(settings).redeem(wish("secret"))
    followers = [RegisterFollower(settings) for settings in masters]
    async with connected(one) as connection:
        for follower in followers * 2:
            await follower.exchange(connection)
        everybody = sorted(issued(one))
        assert (len(everybody), sorted(issued(two))) == (4, everybody)
        await connection.execute("TRUNCATE issued_certificate, revocation RESTART IDENTITY")
        await connection.execute(
            "INSERT INTO issued_certificate (serial, kind, name, pin, issuer, issued_ms, expires_ms) "
            "VALUES ('AA', 'agent', 'nobody', '', '', 1, 1)"
        )
        for follower in followers * 2:
            await follower.exchange(connection)
        assert await connection.fetchval("SELECT count(*) FROM issued_certificate WHERE kind = 'agent'") == 5
    assert sorted(issued(two)) == everybody
    Gate(two.gateway.ca_file.parent, Revocations(two.node.data_dir / "enrol"), pin_agents=True)


async def test_commands_tell_and_are_told(masters: tuple[Settings, Settings]) -> None:
    """Without a gateway that runs: one exchange before or after the command."""
    one, two = masters
    agent = "6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1"
    (one.node.data_dir / "enrol").mkdir()
    (one.node.data_dir / "enrol" / "trust-heard.json").write_text(f'{{"{agent}": 7}}')
    Revocations(one.node.data_dir / "enrol").add(agent)
    assert await asyncio.to_thread(exchange_now, one) == {agent: 7}
    (two.node.data_dir / "enrol").mkdir()
    (two.node.data_dir / "enrol" / "revoked.txt").write_text("serial:AB  # lost\n")
    assert await asyncio.to_thread(exchange_now, two) == {agent: 7}
    assert agent in Revocations(two.node.data_dir / "enrol")
    assert "# lost" in (two.node.data_dir / "enrol" / "revoked.txt").read_text()
    await exchange(one)
    assert Revocations(one.node.data_dir / "enrol").has_serial("AB")


@pytest.mark.slow
@pytest.mark.usefixtures("look_often")
async def test_two_gateways_know_each_others_agents(
    database: PostgresqlSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enrolled at one: pinned, renewed and, when revoked at the first, cut off at the other."""
    monkeypatch.setattr("gateway.trust.RENEW_AT_MOST_EVERY_S", 0.0)
    master: dict[str, object] = {"id": "one", "roles": ["master"]}
    app: dict[str, object] = {"id": "two", "roles": ["app"]}
    async with (
        running_site(tmp_path / "one", node=master, database=database, parts=["https", "console"]) as one,
        running_site(tmp_path / "two", node=app, database=database, pin_agents=True) as two,
    ):
        ana = await one.enrol(tmp_path / "ana")
        uplink = ana.connect(at=two.https)
        await until(lambda: uplink.status.state == "connected")
        await ana.trust().rotate_key(two.https, CLOCK, 5)
        renewed = x509.load_pem_x509_certificate((ana.directory / "cert.pem").read_bytes())
        await until(lambda: f"{renewed.serial_number:X}" in (one.pki / "issued.jsonl").read_text())
        Revocations(one.settings.node.data_dir / "enrol").add(ana.identity.agent_id)
        await until(lambda: "revoked" in uplink.status.problem)
        with pytest.raises(RemoteError, match="403"):
            await ana.trust().rotate_key(two.https, CLOCK, 5)
        await ana.close()


async def test_pins_of_two_masters_that_begin_at_once_come_together(
    database: PostgresqlSettings, tmp_path: Path
) -> None:
    """Each has a key of its own and published it without knowing of the other: agents are told both."""
    nodes, apis = [], []
    for name in ("one", "two"):
        settings = make_node(tmp_path / name, database)
        issued_here = issue(settings.gateway.ca_file.parent, name, server=True, hosts=["127.0.0.1"])
        files = {"cert_file": issued_here.cert, "key_file": issued_here.key}
        nodes.append(settings.model_copy(update={"gateway": settings.gateway.model_copy(update=files)}))
        facts = Facts(MemoryPublisher(), reporter=f"{name}/gateway", incarnation="1")
        apis.append(TrustApi(nodes[-1], facts, Throttle()))
    for _ in range(4):
        for settings, api in zip(nodes, apis, strict=True):
            async with connected(settings) as connection:
                await SiteFollower(settings).exchange(connection)
            api.reload()
            api.reload()
    assert apis[0].told == apis[1].told
    known = load_pins(nodes[0].gateway.ca_file.parent)
    assert {one.name for one in known.pins if one.state == "current"} == {"gateway", "one", "two"}

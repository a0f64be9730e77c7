"""Who trusts whom, over real sockets: pins both ways before application data, and new keys without an outage."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

import gateway.run
from agent.https import request
from agent.link import Link, LinkEvents
from agent.memory_spool import MemorySpool
from agent.tls_key import make_key
from agent.trust import UntrustedError
from agent.uplink import Uplink
from infra import pki
from infra.pki.authority import begin_rotation, finish_rotation, load_ca, switch_rotation
from infra.pki.certificates import reissue
from infra.pki.forms import leaf_builder
from infra.pki.progress import measure
from infra.pki.revocations import Revocations
from infra.pki.server_pins import load_pins, publish, retire_keys, rotate_key
from infra.tls import Profile, client_context
from infra.tls.check import differences
from infra.tls.survey import ask_address, survey
from schemas.errors import RemoteError, UnavailableError
from schemas.records import decode_record
from schemas.trust import TRUST_PATH, read_pin
from tests.site_trust import CLOCK, QUICK, Member, Site, Tap, running_site, until


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway looks at its files twenty times a second."""
    monkeypatch.setattr(gateway.run, "CHECK_INTERVAL_S", 0.05)


@pytest.fixture(params=[Profile.DATASHEET_ECDHE, Profile.MODERN])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path / "server", profile=request.param) as made:
        yield made


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Site]:
    """TLS 1.2, where the kind of each record stands in clear."""
    async with running_site(tmp_path / "server", profile=Profile.DATASHEET_ECDHE, pin_agents=True) as made:
        yield made


async def run_link(member: Member, port: int) -> str:
    """Connect an agent to a port; why that ended."""
    trust = member.trust()
    events = LinkEvents(lambda _: None, lambda _: None, check=trust.check)

    def make() -> Link:
        return Link(member.hello(), MemorySpool(), QUICK, CLOCK, events)

    loop = asyncio.get_running_loop()
    _, link = await loop.create_connection(make, "127.0.0.1", port, ssl=trust.context, server_hostname="127.0.0.1")
    async with asyncio.timeout(60):
        return (await link.run()).reason


def put_another_key(site: Site) -> None:
    """Somebody who has the CA puts a key of their own in the gateway's place; agents are not told."""
    (site.pki / "gateway.key").unlink()
    (site.pki / "gateway.pem").unlink()
    pki.issue(site.pki, "gateway", server=True, hosts=["127.0.0.1"])


async def shows(site: Site, port: int) -> bytes:
    """The pin of the key that a port shows now."""
    context = client_context(site.settings.gateway.tls_profile, site.pki / "ca.pem", listener="https")
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return pki.pin_of_certificate(der)


async def until_shown(site: Site, port: int, fits: Callable[[bytes], bool]) -> None:
    """Wait until a port shows a key that fits."""
    async with asyncio.timeout(60):
        while not fits(await shows(site, port)):  # noqa: ASYNC110 - it looks at its files now and then
            await asyncio.sleep(0.05)


async def test_nothing_is_said_to_a_server_whose_key_is_not_pinned(plain: Site, tmp_path: Path) -> None:
    """On the wire are handshakes and no record of application data, either way, on both ports; its CA is right."""
    ana = await plain.enrol(tmp_path / "ana")
    before = await shows(plain, plain.settings.gateway.https_port)
    put_another_key(plain)
    await until_shown(plain, plain.settings.gateway.https_port, lambda pin: pin != before)
    agents, https = Tap(plain.settings.gateway.agent_port), Tap(plain.settings.gateway.https_port)
    async with agents.listening() as agent_port, https.listening() as https_port:
        assert "pinned" in await run_link(ana, agent_port)
        trust = ana.trust()
        with pytest.raises(UntrustedError):
            await request(
                f"127.0.0.1:{https_port}", "GET", TRUST_PATH, trust.context, clock=CLOCK, timeout=60, check=trust.check
            )
        for tap in (agents, https):
            await asyncio.wait_for(tap.closed.wait(), 10)
            assert 22 in tap.kinds(bytes(tap.down)), "the handshake took place"
            assert tap.application_data == (0, 0)


async def test_the_tap_sees_application_data_where_the_key_is_pinned(plain: Site, tmp_path: Path) -> None:
    """What the test above does not find, it would find."""
    ana = await plain.enrol(tmp_path / "ana")
    tap = Tap(plain.settings.gateway.agent_port)
    async with tap.listening() as port:
        running = asyncio.create_task(run_link(ana, port))
        await until(lambda: all(tap.application_data))
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def forge(site: Site, agent_id: str, directory: Path) -> ssl.SSLContext:
    """The credentials of somebody who has the CA's key, and names that agent: the CA's signature is right."""
    ca, ca_key = load_ca(site.pki)
    key, urn = make_key(), UUID(agent_id).urn
    certificate = (
        leaf_builder(agent_id, ca, key.public_key(), server=False)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(urn)]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (directory / "f.pem").write_bytes(certificate.public_bytes(pem))
    (directory / "f.key").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    files = directory / "f.pem", directory / "f.key"
    return client_context(site.settings.gateway.tls_profile, site.pki / "ca.pem", *files)


async def test_an_agent_whose_key_is_not_registered_is_told_nothing(plain: Site, tmp_path: Path) -> None:
    """Its certificate is of our CA and names a real agent: it is closed on without a byte, and audited."""
    ana = await plain.enrol(tmp_path / "ana")
    tap = Tap(plain.settings.gateway.agent_port)
    context = forge(plain, ana.identity.agent_id, tmp_path)
    async with tap.listening() as port:
        with contextlib.suppress(ConnectionError):  # it may be cut off before it knows that its handshake is done
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.transport.abort()
        await asyncio.wait_for(tap.closed.wait(), 10)
        assert tap.application_data == (0, 0)
    told = [decode_record(it.value, "audit_entry") for it in plain.publisher.records if it.topic == "audit"]
    assert ("connect", ana.identity.agent_id, "refused") in {(it["action"], it["target"], it["outcome"]) for it in told}
    uplink = ana.connect()
    await until(lambda: uplink.status.state == "connected")
    await ana.close()


async def test_without_pinning_the_ca_decides(tmp_path: Path) -> None:
    """Both directions are settings (R3.4): off, another key of the same CA is taken by the agent and by the server."""
    async with running_site(tmp_path / "server", pin_server=False) as site:
        ana = await site.enrol(tmp_path / "ana")
        assert ana.trust().held.pins == ()
        put_another_key(site)
        uplink = ana.connect()
        await until(lambda: uplink.status.state == "connected")
        context = forge(site, ana.identity.agent_id, tmp_path)
        port = site.settings.gateway.agent_port
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.5)  # it waits for our Hello
        writer.transport.abort()
        await ana.close()


async def test_a_token_with_pins_enrols_at_that_server_alone(site: Site, tmp_path: Path) -> None:
    """Even the first connection of all, which has no CA to go by, checks the key."""
    put_another_key(site)
    known = {read_pin(it.pin) for it in load_pins(site.pki).pins}
    await until_shown(site, site.settings.gateway.https_port, lambda pin: pin not in known)
    with pytest.raises(UntrustedError):
        await site.enrol(tmp_path / "ana")


def is_connected(uplink: Uplink) -> bool:
    return uplink.status.state == "connected"


def knows(member: Member, version: int) -> bool:
    return member.trust().held.version == version


async def test_each_port_may_have_a_profile_of_its_own(tmp_path: Path) -> None:
    """The settings of one listener leave the other as it is; agents of either profile get through."""
    mixed = {"agent_tls_profile": Profile.DATASHEET_ECDHE, "https_tls_profile": Profile.MODERN}
    async with running_site(tmp_path / "server", profile=Profile.DATASHEET, **mixed) as site:
        gateway_settings = site.settings.gateway
        agents = await asyncio.to_thread(survey, ask_address("127.0.0.1", gateway_settings.agent_port))
        https = await asyncio.to_thread(survey, ask_address("127.0.0.1", gateway_settings.https_port))
        assert differences(agents, Profile.DATASHEET_ECDHE, "agent") == []
        assert differences(https, Profile.MODERN, "https") == []
        for number, profile in enumerate(Profile):
            member = await site.enrol(tmp_path / str(number))
            member.profile = profile
            uplink = member.connect()
            await until(partial(is_connected, uplink))
            await member.close()


async def test_a_servers_key_changes_without_an_outage(site: Site, tmp_path: Path) -> None:
    """Whoever is connected stays; whoever comes gets the backup key that it pinned at enrolment; twice over."""
    ana, ben = await site.enrol(tmp_path / "ana"), await site.enrol(tmp_path / "ben")
    stays = ana.connect()
    await until(lambda: stays.status.state == "connected")
    for _ in range(2):
        before = load_pins(site.pki)
        known = rotate_key(site.pki, "gateway")
        assert known.version == before.version + 1
        await until_shown(site, site.settings.gateway.https_port, partial(operator.eq, read_pin(known.pins[0].pin)))
        comes = ben.connect()
        await until(partial(is_connected, comes))
        await until(partial(knows, ana, known.version))
        await until(partial(knows, ben, known.version))
        await ben.close()
    retired = retire_keys(site.pki)
    assert {one.state for one in retired.pins} == {"current", "backup"}
    await until(lambda: ana.trust().held.pins == tuple(read_pin(one.pin) for one in retired.pins))
    assert stays.status.state == "connected"
    assert stays.status.attempts <= 1, "it never had to come back"
    await ana.close()


async def test_who_slept_through_one_change_of_keys_comes_back_and_who_slept_through_two_does_not(
    site: Site, tmp_path: Path
) -> None:
    """The backup pin is good for one change; after two, with the first key retired, an agent knows no key of ours."""
    ana = await site.enrol(tmp_path / "ana")
    rotate_key(site.pki, "gateway")
    rotate_key(site.pki, "gateway")
    shown = read_pin(load_pins(site.pki).pins[0].pin)
    await until_shown(site, site.settings.gateway.https_port, lambda pin: pin == shown)
    trust = ana.trust()
    with pytest.raises(UntrustedError):
        await trust.refresh(site.https, ana.identity.agent_id, CLOCK, 5)


async def test_a_ca_changes_in_steps_and_the_one_before_is_refused_at_the_end(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begin, switch, finish: an agent that follows stays connected; one that slept is refused."""
    monkeypatch.setattr("gateway.trust.RENEW_AT_MOST_EVERY_S", 0.0)
    ana, ben = await site.enrol(tmp_path / "ana"), await site.enrol(tmp_path / "ben")
    shutil.copytree(site.pki, tmp_path / "before")
    stays = ana.connect()
    await until(lambda: stays.status.state == "connected")
    begin_rotation(site.pki)
    await until(lambda: (ana.directory / "ca.pem").read_text() == (site.pki / "ca.pem").read_text())
    await until(lambda: ana.identity.agent_id not in behind(site).not_told)
    assert ben.identity.agent_id in behind(site).not_told
    switch_rotation(site.pki)
    reissue(site.pki, "gateway")
    publish(site.pki, load_pins(site.pki).pins)
    await until(lambda: ana.identity.agent_id not in behind(site).not_renewed)
    assert behind(site).not_renewed == (ben.identity.agent_id,)
    finish_rotation(site.pki)
    publish(site.pki, load_pins(site.pki).pins)
    await until(lambda: ana.trust().held.ca == (site.pki / "ca.pem").read_text())
    again = ana.connect()
    await until(lambda: again.status.state == "connected")
    shutil.copy(site.pki / "ca.pem", ben.directory / "ca.pem")  # even if it knew us, we do not know its CA any more
    assert "not trusted any more" in await run_link(ben, site.settings.gateway.agent_port)
    await ana.close()


def behind(site: Site):
    """How far agents are."""
    enrolment = site.settings.node.data_dir / "enrol"
    return measure(site.pki, enrolment, Revocations(enrolment))


async def test_a_revoked_certificate_is_cut_off_live(plain: Site, tmp_path: Path) -> None:
    """By serial number, without a restart, and it is not renewed; an agent that is revoked is out altogether."""
    ana = await plain.enrol(tmp_path / "ana")
    uplink = ana.connect()
    await until(lambda: uplink.status.state == "connected")
    serial = x509.load_pem_x509_certificate((ana.directory / "cert.pem").read_bytes()).serial_number
    revocations = Revocations(plain.settings.node.data_dir / "enrol")
    revocations.add(f"serial:{serial:X}" if len(f"{serial:X}") % 2 == 0 else f"serial:0{serial:X}")
    await until(lambda: "revoked certificate" in uplink.status.problem)
    with pytest.raises(RemoteError):
        await ana.trust().rotate_key(plain.https, CLOCK, 5)
    revocations.add(ana.identity.agent_id)
    await until(lambda: "revoked" in uplink.status.problem and "certificate" not in uplink.status.problem)
    await ana.close()


async def test_an_agents_key_changes_by_its_registered_backup(plain: Site, tmp_path: Path, monkeypatch) -> None:
    """With agents pinned: the backup key takes over, the one before is good once more, a foreign key gets nothing."""
    monkeypatch.setattr("gateway.trust.RENEW_AT_MOST_EVERY_S", 0.0)
    ana = await plain.enrol(tmp_path / "ana")
    shutil.copytree(ana.directory, tmp_path / "before")
    old_pin, trust = pinned_key(ana.directory), ana.trust()
    await trust.rotate_key(plain.https, CLOCK, 5)
    assert pinned_key(ana.directory) != old_pin
    uplink = ana.connect()
    await until(lambda: uplink.status.state == "connected")
    await ana.close()
    lost = Member(tmp_path / "before", ana.identity, ana.streams, ana.profile)
    back = lost.connect()
    await until(lambda: back.status.state == "connected")
    await lost.close()
    await trust.rotate_key(plain.https, CLOCK, 5)
    late = lost.connect()
    await until(lambda: late.status.attempts > 2)
    assert late.status.state != "connected"
    await lost.close()
    with pytest.raises(RemoteError, match="403"):
        await trust._renew(plain.https, CLOCK, 5, make_key())


def pinned_key(directory: Path) -> bytes:
    certificate = x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())
    return pki.pin_of_certificate(certificate.public_bytes(serialization.Encoding.DER))


async def test_a_renewal_is_not_granted_twice_a_minute(site: Site, tmp_path: Path) -> None:
    """Nobody fills the register."""
    ana = await site.enrol(tmp_path / "ana")
    with pytest.raises(RemoteError, match="429"):
        await ana.trust().rotate_key(site.https, CLOCK, 5)


async def test_a_server_that_is_away_leaves_the_trust_as_it_is(site: Site, tmp_path: Path) -> None:
    """What is known is kept."""
    ana = await site.enrol(tmp_path / "ana")
    trust = ana.trust()
    with pytest.raises(UnavailableError):
        await trust.refresh("127.0.0.1:1", ana.identity.agent_id, CLOCK, 2)
    assert trust.held == ana.trust().held

"""Enrolment against a gateway of real TLS: what is sent, to whom, and what is believed."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent.clock import SystemClock
from agent.enrolment import RefusedError, enrol
from agent.identity import enrolled, load_identity, load_recipients, tls_context
from infra.tls import Profile, server_context
from schemas.enrolment import EnrolmentToken
from schemas.errors import ConfigError, MalformedError, UnavailableError
from schemas.keys import Identity
from tests.agent.fake_gateway import FakeGateway


@pytest.fixture(scope="module")
def identity() -> Identity:
    """The server's KEK."""
    return Identity.generate(2048)


@pytest.fixture
async def gateway(tmp_path: Path, identity: Identity) -> AsyncIterator[FakeGateway]:
    """A gateway with one token."""
    async with FakeGateway(tmp_path / "pki", identity) as gateway:
        yield gateway


async def test_a_token_becomes_an_identity(gateway: FakeGateway, tmp_path: Path, identity: Identity) -> None:
    """Id, certificate, CA, KEKs and policy are kept; the key is made here, readable by its owner alone."""
    directory = tmp_path / "agent"
    made, policy = await enrol(gateway.token(), directory, SystemClock())
    assert load_identity(directory) == made
    assert (made.server, policy.version) == (gateway.address, 5)
    assert [recipient.key_id for recipient in load_recipients(directory)] == [identity.key_id]
    assert stat.S_IMODE((directory / "key.pem").stat().st_mode) == 0o600
    key = x509.load_pem_x509_csr(gateway.last_csr).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp384r1"
    certificate = x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"urn:uuid:{made.agent_id}"]
    tls_context(directory, "modern")


async def test_the_secret_is_not_shown_to_a_server_of_another_ca(gateway: FakeGateway, tmp_path: Path) -> None:
    """The fingerprint decides before anything secret is sent: the token stays good."""
    token = replace(gateway.token(), fingerprint=bytes(32))
    with pytest.raises(RefusedError, match="nothing was sent"):
        await enrol(token, tmp_path / "agent", SystemClock())
    assert gateway.secrets == {"one-time secret"}
    assert not enrolled(tmp_path / "agent")


async def test_a_used_token_is_refused_in_words(gateway: FakeGateway, tmp_path: Path) -> None:
    """The second use ends with what to do, and leaves nothing behind."""
    await enrol(gateway.token(), tmp_path / "one", SystemClock())
    with pytest.raises(RefusedError, match="make a new one"):
        await enrol(gateway.token(), tmp_path / "two", SystemClock())
    assert not enrolled(tmp_path / "two")


async def test_a_server_that_is_away_is_told_as_such(gateway: FakeGateway, tmp_path: Path) -> None:
    """Nobody listening is no fault of the token."""
    token = gateway.token()
    gateway._https.close()
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await enrol(token, tmp_path / "agent", SystemClock())


async def test_an_answer_that_is_not_usable_changes_nothing(gateway: FakeGateway, tmp_path: Path) -> None:
    """A certificate for another key, or a policy that is not one, is refused before a file is written."""
    gateway.policy = {"streams": ["thoughts"]}
    with pytest.raises(MalformedError):
        await enrol(gateway.token(), tmp_path / "agent", SystemClock())
    assert not (tmp_path / "agent").exists()


async def test_an_agent_directory_cut_short_is_not_enrolled(gateway: FakeGateway, tmp_path: Path) -> None:
    """`identity.json` comes last; a damaged one is told as what it is."""
    with pytest.raises(ConfigError, match="agent token"):
        load_identity(tmp_path)
    directory = tmp_path / "agent"
    await enrol(gateway.token(), directory, SystemClock())
    (directory / "identity.json").write_text(json.dumps({"agent_id": "x"}))
    with pytest.raises(ConfigError, match="--force"):
        load_identity(directory)


def test_a_token_survives_its_text_and_hides_its_secret() -> None:
    """Pasted with line breaks it is the same; its `repr`, which may be logged, has no secret."""
    token = EnrolmentToken("host:443", bytes(range(32)), "very secret")
    text = str(token)
    assert EnrolmentToken.parse(f" {text[:20]}\n{text[20:]} ") == token
    assert "very secret" not in repr(token)


@pytest.mark.parametrize("cut", range(0, 140, 7))
def test_a_cut_token_is_refused(cut: int) -> None:
    """Half a token is told as such."""
    text = str(EnrolmentToken("host:443", bytes(range(32)), "very secret"))
    with pytest.raises(MalformedError):
        EnrolmentToken.parse(text[:cut])


@pytest.mark.parametrize("profile", list(Profile))
async def test_an_agent_connects_under_every_tls_profile(
    gateway: FakeGateway, tmp_path: Path, profile: Profile
) -> None:
    """The certificate's curve is one that each profile's handshake offers."""
    await enrol(gateway.token(), tmp_path / "agent", SystemClock())
    met: list[bytes] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.append(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        writer.write(await reader.read(1))
        writer.close()

    pki = tmp_path / "pki"
    context = server_context(profile, pki / "gateway.pem", pki / "gateway.key", pki / "ca.pem", listener="agent")
    server = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    ours = tls_context(tmp_path / "agent", profile.value)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=ours, server_hostname="127.0.0.1")
    writer.write(b"x")
    assert await reader.read() == b"x"
    assert met[0]
    writer.close()
    server.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"certificate": "junk"}, "not usable"),
        ({"agent_id": "not a uuid"}, "not usable"),
        ({"agent_id": "6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1"}, "not for this agent"),
        ({"recipients": []}, "not usable"),
        ({"recipients": "one"}, "lacks a field"),
        ({"certificate": None}, "lacks a field"),
    ],
)
async def test_what_a_server_grants_is_checked_before_it_is_kept(
    gateway: FakeGateway, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    """An answer that is cut, or about another agent, leaves no half-made identity."""
    gateway.grant = change
    with pytest.raises(MalformedError, match=said):
        await enrol(gateway.token(), tmp_path / "agent", SystemClock())
    assert not (tmp_path / "agent").exists()


@pytest.mark.parametrize(("status", "error"), [(429, UnavailableError), (503, UnavailableError), (400, RefusedError)])
async def test_each_refusal_says_whether_to_try_again(
    gateway: FakeGateway, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    """Busy servers are worth another try, a request that they do not like is not."""
    gateway.enrol_status = status
    with pytest.raises(error, match=str(status)):
        await enrol(gateway.token(), tmp_path / "agent", SystemClock())

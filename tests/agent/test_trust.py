"""What an agent takes from a server about keys, what it refuses, and what a kill while it renews leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from agent.tls_key import BACKUP_KEY, RENEWED, keep_renewal, key_pem, load_key, make_key, write_request
from agent.trust import Trust, UntrustedError, check_pins, load_trust, save_trust
from infra import pki
from infra.pki.server_pins import prepare_pins, publish, rotate_key, trust_set
from schemas.errors import ConfigError, MalformedError
from schemas.trust import TrustSet

AGENT = UUID("6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's PKI, and an agent that enrolled there."""
    root = tmp_path_factory.mktemp("trust")
    pki.make_ca(root / "pki")
    pki.issue(root / "pki", "gateway", server=True, hosts=["localhost"])
    prepare_pins(root / "pki", "gateway")
    agent, key, backup = root / "agent", make_key(), make_key()
    agent.mkdir()
    (agent / "cert.pem").write_bytes(pki.issue_agent(root / "pki", AGENT.bytes, write_request(key).encode()))
    (agent / "key.pem").write_bytes(key_pem(key))
    (agent / BACKUP_KEY).write_bytes(key_pem(backup))
    save_trust(agent, trust_set(root / "pki"))
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "root")


@pytest.fixture
def trust(root: Path) -> Trust:
    return Trust(root / "agent", "modern")


def shown(root: Path) -> bytes:
    """The server's certificate (DER)."""
    certificate = x509.load_pem_x509_certificate((root / "pki" / "gateway.pem").read_bytes())
    return certificate.public_bytes(serialization.Encoding.DER)


class Connection:
    """What a handshake left: the certificate that the other end showed."""

    def __init__(self, certificate: bytes | None) -> None:
        self.certificate = certificate

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self if name == "ssl_object" else default

    def getpeercert(self, *, binary_form: bool) -> bytes | None:
        return self.certificate


def test_a_newer_set_is_kept_over_a_restart(root: Path, trust: Trust) -> None:
    """Pins and CAs, and the next connection goes by them."""
    rotate_key(root / "pki", "gateway")
    told = trust_set(root / "pki")
    assert trust.take(told, shown(root))
    assert Trust(root / "agent", "modern").held == told == load_trust(root / "agent")
    trust.check(Connection(shown(root)))


def test_an_older_set_or_the_same_changes_nothing(root: Path, trust: Trust) -> None:
    """A set that somebody kept, with a key that was stolen since, does not come back."""
    old = trust.held
    rotate_key(root / "pki", "gateway")
    assert trust.take(trust_set(root / "pki"), shown(root))
    held = trust.held
    assert not trust.take(old, shown(root))
    assert not trust.take(TrustSet(held.version, old.ca, ()), shown(root))
    assert trust.held == held


def test_a_set_that_would_lock_us_out_is_refused(root: Path, trust: Trust) -> None:
    """It must name the key, and the CA, of the very server that tells it."""
    held = trust.held
    others = (bytes(32), bytes(range(32)))
    with pytest.raises(MalformedError, match="leave out its own key"):
        trust.take(TrustSet(held.version + 1, held.ca, others), shown(root))
    pki.make_ca(root / "other")
    with pytest.raises(MalformedError, match="leave out the one"):
        trust.take(TrustSet(held.version + 1, (root / "other" / "ca.pem").read_text(), held.pins), shown(root))
    assert load_trust(root / "agent") == held


def test_a_key_that_is_not_pinned_is_not_trusted(root: Path, trust: Trust) -> None:
    """Another certificate of the same CA; and none at all."""
    other = pki.issue(root / "pki", "other", server=True, hosts=["localhost"])
    der = x509.load_pem_x509_certificate(other.cert.read_bytes()).public_bytes(serialization.Encoding.DER)
    for certificate in (der, None, b""):
        with pytest.raises(UntrustedError):
            trust.check(Connection(certificate))
    check_pins(Connection(der), ())
    Trust(root / "agent", "modern", pinning="never").check(Connection(der))


def test_always_means_always(root: Path) -> None:
    """Without pins the agent does not start, and pins are not taken back."""
    always = Trust(root / "agent", "modern", pinning="always")
    publish(root / "pki", (), enforced=False)
    off = TrustSet(always.held.version + 5, always.held.ca, ())
    with pytest.raises(MalformedError, match="takes its pins back"):
        always.take(off, shown(root))
    save_trust(root / "agent", off)
    with pytest.raises(ConfigError, match="pin_server"):
        Trust(root / "agent", "modern", pinning="always")


def test_a_renewal_cut_short_is_finished_at_the_next_start(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the answer was kept: certificate, key and backup come to their places together."""
    agent = root / "agent"
    coming, after = load_key(agent / BACKUP_KEY), make_key()
    renewed = pki.issue_agent(root / "pki", AGENT.bytes, write_request(coming).encode()).decode()
    with monkeypatch.context() as killed:
        killed.setattr("agent.tls_key.finish_renewal", lambda _: None)
        keep_renewal(agent, renewed, coming, after)
    assert json.loads((agent / RENEWED).read_text())["certificate"] == renewed
    assert (agent / "cert.pem").read_text() != renewed
    Trust(agent, "modern")
    assert (agent / "cert.pem").read_text() == renewed
    assert load_key(agent / "key.pem").private_numbers() == coming.private_numbers()
    assert load_key(agent / BACKUP_KEY).private_numbers() == after.private_numbers()
    assert not (agent / RENEWED).exists()


def test_a_certificate_of_a_ca_that_goes_is_renewed_and_others_are_not(root: Path, trust: Trust) -> None:
    """The first CA of the file is the one that signs."""
    assert not trust.must_renew()
    pki.make_ca(root / "other")
    ours = (root / "agent" / "ca.pem").read_text()
    (root / "agent" / "ca.pem").write_text((root / "other" / "ca.pem").read_text() + ours)
    assert trust.must_renew()


def test_an_unusable_set_is_told(root: Path) -> None:
    """Rather than connecting without pins."""
    (root / "agent" / "trust.json").write_text("{")
    with pytest.raises(ConfigError, match="enrol again"):
        Trust(root / "agent", "modern")

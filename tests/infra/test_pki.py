"""The CA: what it issues, to whom, and what it leaves as it is."""

from __future__ import annotations

import stat
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra import pki
from infra.pki.certificates import certify, is_of_node, purposes
from schemas.errors import ConfigError, MalformedError


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    pki.make_ca(directory)
    return directory


def request_for(key: object, name: str = "anyone") -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, algorithm)
    return csr.public_bytes(serialization.Encoding.PEM)


def parse(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def test_making_a_ca_twice_makes_it_once(authority: Path) -> None:
    """The second call changes nothing."""
    before = (authority / "ca.pem").read_bytes()
    assert pki.make_ca(authority).cert.read_bytes() == before


def test_private_keys_are_for_their_owner_alone(authority: Path) -> None:
    """Keys are 0600, certificates may be read by all."""
    issued = pki.issue(authority, "modes", server=True, hosts=["localhost"])
    assert stat.S_IMODE(issued.key.stat().st_mode) == 0o600
    assert stat.S_IMODE((authority / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(issued.cert.stat().st_mode) == 0o644


def test_a_server_certificate_names_its_hosts_and_follows_from_the_ca(authority: Path) -> None:
    """Names and addresses are alternatives; the CA's signature holds; usages are those of a server."""
    issued = pki.issue(authority, "names", server=True, hosts=["localhost", "127.0.0.1", "::1"])
    certificate = parse(issued.cert.read_bytes())
    certificate.verify_directly_issued_by(parse((authority / "ca.pem").read_bytes()))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(it) for it in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, True, False)


def test_a_certificate_is_kept_until_it_must_change(authority: Path) -> None:
    """The same hosts keep the certificate, another host replaces it."""
    first = pki.issue(authority, "kept", server=True, hosts=["localhost"]).cert.read_bytes()
    assert pki.issue(authority, "kept", server=True, hosts=["localhost"]).cert.read_bytes() == first
    assert pki.issue(authority, "kept", server=True, hosts=["localhost", "other"]).cert.read_bytes() != first


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())], ids=["rsa", "p256"]
)
def test_an_agents_certificate_carries_the_id_that_the_server_gave(authority: Path, key: object) -> None:
    """The request's own name counts for nothing."""
    agent = uuid4()
    certificate = parse(pki.issue_agent(authority, agent.bytes, request_for(key, "somebody else")))
    certificate.verify_directly_issued_by(parse((authority / "ca.pem").read_bytes()))
    assert pki.agent_of(certificate.public_bytes(serialization.Encoding.DER)) == agent.bytes
    assert "somebody" not in certificate.subject.rfc4514_string()


def test_weak_and_unknown_keys_are_refused(authority: Path) -> None:
    """RSA-1024 and Ed25519 (which TLS 1.2 clients may lack) get no certificate."""
    for key in (rsa.generate_private_key(65537, 1024), ed25519.Ed25519PrivateKey.generate()):
        with pytest.raises(MalformedError):
            pki.issue_agent(authority, uuid4().bytes, request_for(key))


@pytest.mark.parametrize(
    "junk", [b"", b"junk", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
)
def test_junk_is_no_request(authority: Path, junk: bytes) -> None:
    """What is not a request is malformed."""
    with pytest.raises(MalformedError):
        pki.issue_agent(authority, uuid4().bytes, junk)


def test_a_request_that_was_changed_is_refused(authority: Path) -> None:
    """The signature in the request must hold: who asks has the key."""
    der = x509.load_pem_x509_csr(request_for(ec.generate_private_key(ec.SECP256R1()), "aaaa")).public_bytes(
        serialization.Encoding.DER
    )
    changed = x509.load_der_x509_csr(der.replace(b"aaaa", b"bbbb")).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(MalformedError):
        pki.issue_agent(authority, uuid4().bytes, changed)


def test_a_servers_certificate_names_no_agent(authority: Path) -> None:
    """A certificate without an agent's URN identifies none."""
    certificate = parse(pki.issue(authority, "plain", server=True, hosts=["localhost"]).cert.read_bytes())
    with pytest.raises(MalformedError):
        pki.agent_of(certificate.public_bytes(serialization.Encoding.DER))


def test_a_servers_certificate_is_good_for_both_ends_and_an_agents_for_one(authority: Path) -> None:
    """Nodes call each other; one that was issued for servers alone is issued anew, over the same key."""
    both = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    node = pki.issue(authority, "node", server=True, hosts=["localhost"])
    agent = parse(pki.issue(authority, "desk", server=False).cert.read_bytes())
    assert (is_of_node(parse(node.cert.read_bytes())), is_of_node(agent)) == (True, False)
    assert set(purposes(agent)) == {ExtendedKeyUsageOID.CLIENT_AUTH}
    key = node.key.read_bytes()
    certify(authority, node, server=False, alternatives=[x509.DNSName("localhost")])
    pki.issue(authority, "node", server=True, hosts=["localhost"])
    assert set(purposes(parse(node.cert.read_bytes()))) == both
    assert node.key.read_bytes() == key


def test_without_a_ca_nothing_is_issued(tmp_path: Path) -> None:
    """The error names the directory."""
    with pytest.raises(ConfigError, match=str(tmp_path)):
        pki.issue(tmp_path, "x", server=True, hosts=["localhost"])


def test_a_secret_is_never_overwritten(tmp_path: Path) -> None:
    """Writing a secret again fails and leaves the first."""
    pki.write_secret(tmp_path / "s", b"first")
    with pytest.raises(FileExistsError):
        pki.write_secret(tmp_path / "s", b"second")
    assert (tmp_path / "s").read_bytes() == b"first"

"""TLS profiles: what a listener agrees to is exactly what its list says (R3.1, R3.2, R3.3, R3.5)."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from infra import pki
from infra.tls import SUITES, Profile, client_context, server_context
from tests.infra.handshake import asking_client, shake_hands

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

ALL_SUITES = sorted(
    suite["name"]
    for context in [ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)]
    for _ in [context.set_ciphers("ALL:@SECLEVEL=0")]
    for suite in context.get_ciphers()
    if suite["protocol"] != "TLSv1.3"
)
RSA_ONLY = {suite for suite in ALL_SUITES if "ECDSA" not in suite}

DATASHEET_HTTPS = {
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-AES128-GCM-SHA256",
}
DATASHEET_AGENT = {
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES128-SHA",
    "AES128-SHA256",
    "AES128-GCM-SHA256",
    "AES256-SHA",
    "AES256-SHA256",
    "AES256-GCM-SHA384",
}
ECDHE = {"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    pki.make_ca(directory)
    pki.issue(directory, "server", server=True, hosts=["localhost"])
    pki.issue(directory, "agent", server=False)
    return directory


def listener(directory: Path, profile: Profile, which: str, *, client_ca: bool = False) -> ssl.SSLContext:
    ca = directory / "ca.pem" if client_ca else None
    return server_context(profile, directory / "server.pem", directory / "server.key", ca, listener=which)


@pytest.mark.parametrize(
    ("profile", "which", "expected"),
    [
        (Profile.DATASHEET, "https", DATASHEET_HTTPS),
        (Profile.DATASHEET, "agent", DATASHEET_AGENT),
        (Profile.DATASHEET_ECDHE, "https", DATASHEET_HTTPS),
        (Profile.DATASHEET_ECDHE, "agent", ECDHE),
    ],
)
def test_datasheet_profiles_agree_to_exactly_their_suites(
    certificates: Path, profile: Profile, which: str, expected: set[str]
) -> None:
    """Of every suite that OpenSSL knows, in TLS 1.2, exactly the listed ones are agreed on."""
    server, ca = listener(certificates, profile, which), str(certificates / "ca.pem")
    agreed = {suite for suite in ALL_SUITES if shake_hands(server, asking_client(ca, V12, suite))}
    assert agreed == expected


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
@pytest.mark.parametrize("which", ["https", "agent"])
@pytest.mark.parametrize("profile", [Profile.DATASHEET, Profile.DATASHEET_ECDHE])
def test_datasheet_profiles_speak_tls_1_2_alone(certificates: Path, profile: Profile, which: str) -> None:
    """TLS 1.3 and 1.1 are refused."""
    server, ca = listener(certificates, profile, which), str(certificates / "ca.pem")
    spoken = {
        version for version in (ssl.TLSVersion.TLSv1_1, V12, V13) if shake_hands(server, asking_client(ca, version))
    }
    assert spoken == {V12}


@pytest.mark.parametrize(("group", "agrees"), [("secp384r1", True), ("prime256v1", False), ("X25519", False)])
def test_the_datasheet_has_one_group(certificates: Path, group: str, *, agrees: bool) -> None:
    """ECDHE runs on secp384r1 and on nothing else."""
    server = listener(certificates, Profile.DATASHEET_ECDHE, "agent")
    client = asking_client(str(certificates / "ca.pem"), V12, "ECDHE-RSA-AES128-GCM-SHA256", group)
    assert bool(shake_hands(server, client)) == agrees


def test_modern_speaks_tls_1_3_and_prefers_it(certificates: Path) -> None:
    """A client that can do both gets TLS 1.3."""
    server = listener(certificates, Profile.MODERN, "agent")
    agreed = shake_hands(server, client_context(Profile.MODERN, certificates / "ca.pem"))
    assert agreed is not None
    assert agreed.version == "TLSv1.3"


@pytest.mark.parametrize("group", ["X25519", "prime256v1", "secp384r1"])
def test_modern_has_three_groups(certificates: Path, group: str) -> None:
    """X25519, P-256 and P-384 are each enough."""
    server = listener(certificates, Profile.MODERN, "agent")
    assert shake_hands(server, asking_client(str(certificates / "ca.pem"), V13, group=group))


def test_modern_agrees_to_forward_secret_suites_alone(certificates: Path) -> None:
    """In TLS 1.2 no suite without forward secrecy or without GCM or ChaCha20 is agreed on."""
    server, ca = listener(certificates, Profile.MODERN, "https"), str(certificates / "ca.pem")
    agreed = {suite for suite in ALL_SUITES if shake_hands(server, asking_client(ca, V12, suite))}
    assert agreed == {suite for suite in SUITES[Profile.MODERN, "https"] if "ECDSA" not in suite}


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("which", ["agent", "https"])
def test_our_own_client_and_server_agree(certificates: Path, profile: Profile, which: str) -> None:
    """Each profile's client gets through to its listener, and takes the suite it prefers."""
    client = client_context(profile, certificates / "ca.pem", listener=which)
    agreed = shake_hands(listener(certificates, profile, which), client)
    assert agreed is not None
    assert profile is Profile.MODERN or agreed.suite == "ECDHE-RSA-AES256-GCM-SHA384"


def test_a_listener_with_a_ca_wants_a_certificate_of_it(certificates: Path) -> None:
    """Without a certificate of that CA a client does not get through (TLS 1.2, where it shows at once)."""
    server = listener(certificates, Profile.DATASHEET, "agent", client_ca=True)
    bare = client_context(Profile.DATASHEET, certificates / "ca.pem")
    known = client_context(
        Profile.DATASHEET, certificates / "ca.pem", certificates / "agent.pem", certificates / "agent.key"
    )
    assert shake_hands(server, bare) is None
    assert shake_hands(server, known) is not None


def test_a_client_trusts_its_own_ca_alone(certificates: Path, tmp_path: Path) -> None:
    """A server of another CA is refused."""
    pki.make_ca(tmp_path)
    server = listener(certificates, Profile.MODERN, "agent")
    assert shake_hands(server, client_context(Profile.MODERN, tmp_path / "ca.pem")) is None

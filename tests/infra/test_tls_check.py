"""The start-up check of a listener: it passes each profile, and finds whatever is more or less."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from infra import cli, pki
from infra.cli.exits import Exit
from infra.tls import Profile, server_context
from infra.tls.check import check_listener, differences, ffdhe2048_prime
from infra.tls.hello import Question, flight_is_complete, read_flight, write_hello
from infra.tls.listener import TlsListener
from infra.tls.survey import ask_address, ask_context, survey
from schemas.errors import ConfigError

EVERY = [(profile, listener) for profile in Profile for listener in ("agent", "https")]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    pki.make_ca(directory)
    pki.issue(directory, "server", server=True, hosts=["localhost"])
    return directory


def make(directory: Path, profile: Profile, listener: str, *, client_ca: bool = True) -> ssl.SSLContext:
    ca = directory / "ca.pem" if client_ca and listener == "agent" else None
    return server_context(profile, directory / "server.pem", directory / "server.key", ca, listener=listener)


@pytest.mark.parametrize(("profile", "listener"), EVERY)
def test_each_profile_passes_its_check_at_once(certificates: Path, profile: Profile, listener: str) -> None:
    """Nothing more and nothing less, found in a fraction of a second."""
    context = make(certificates, profile, listener)
    began = time.process_time()
    offer = check_listener(context, profile, listener, wants_certificate=listener == "agent")
    assert time.process_time() - began < 0.5
    assert offer.suites
    assert offer.asks_certificate == (listener == "agent")


def add_cbc(context: ssl.SSLContext) -> None:
    context.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-SHA384:@SECLEVEL=2")


def leave_one_out(context: ssl.SSLContext) -> None:
    context.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384:@SECLEVEL=2")


def mistype(context: ssl.SSLContext) -> None:
    context.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA265:@SECLEVEL=2")


def speak_1_3(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_3


def change_group(context: ssl.SSLContext) -> None:
    context.set_ecdh_curve("prime256v1")


def ask_nobody(context: ssl.SSLContext) -> None:
    context.verify_mode = ssl.CERT_NONE


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (add_cbc, "suite ECDHE-RSA-AES256-SHA384 more"),
        (leave_one_out, "suite ECDHE-RSA-AES128-GCM-SHA256 lacks"),
        (mistype, "suite ECDHE-RSA-AES128-GCM-SHA256 lacks"),
        (speak_1_3, "version TLSv1.3 more"),
        (change_group, "group secp256r1 more; group secp384r1 lacks"),
        (ask_nobody, "asks clients for no certificate"),
    ],
)
def test_a_listener_that_differs_is_not_opened(
    certificates: Path, spoil: Callable[[ssl.SSLContext], None], told: str
) -> None:
    """A suite, version or group too much or too little is told by name."""
    context = make(certificates, Profile.DATASHEET_ECDHE, "agent")
    spoil(context)
    with pytest.raises(ConfigError, match=told):
        check_listener(context, Profile.DATASHEET_ECDHE, "agent", wants_certificate=True)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_old_versions_are_found(certificates: Path) -> None:
    """TLS 1.1 is told, where an OpenSSL still speaks it."""
    context = make(certificates, Profile.MODERN, "https")
    context.minimum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    assert "version TLSv1.1 more" in differences(survey(ask_context(context)), Profile.MODERN, "https")


def test_another_diffie_hellman_group_is_found(certificates: Path, tmp_path: Path) -> None:
    """A group of somebody's own making in place of RFC 7919's, and none at all."""
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    bare.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    bare.maximum_version = ssl.TLSVersion.TLSv1_2
    bare.set_ecdh_curve("secp384r1")
    bare.set_ciphers("ECDHE+AESGCM:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=2")
    told = differences(survey(ask_context(bare)), Profile.DATASHEET, "https")
    assert "suite DHE-RSA-AES256-GCM-SHA384 lacks" in told
    own = tmp_path / "dh.pem"
    own.write_text(MODP_2048)
    bare.load_dh_params(str(own))
    assert differences(survey(ask_context(bare)), Profile.DATASHEET, "https") == [
        "Diffie-Hellman on another group than ffdhe2048"
    ]


MODP_2048 = """-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA///////////JD9qiIWjCNMTGYouA3BzRKQJOCIpnzHQCC76mOxOb
IlFKCHmONATd75UZs806QxswKwpt8l8UN0/hNW1tUcJF5IW1dmJefsb0TELppjft
awv/XLb0Brft7jhr+1qJn6WunyQRfEsf5kkoZlHs5Fs9wgB8uKFjvwWY2kg2HFXT
mmkWP6j9JM9fg2VdI9yjrZYcYvNWIIVSu57VKQdwlpZtZww1Tkq8mATxdGwIyhgh
fDKQXkYuNs474553LBgOhgObJ4Oi7Aeij7XFXfBvTFLJ3ivL9pVYFxg5lUl86pVq
5RXSJhiY+gUQFXKOWoqsqmj//////////wIBAg==
-----END DH PARAMETERS-----
"""
"""RFC 3526's 2048-bit group: sound, and not the one that R3.1 asks for."""


def test_the_prime_is_rfc_7919s() -> None:
    """2^2048 - 2^1984 + ([2^1918 e] + 560316) 2^64 - 1: its ends and its length say so."""
    prime = ffdhe2048_prime()
    assert prime.bit_length() == 2048
    assert prime >> 1984 == (1 << 64) - 1
    assert prime & ((1 << 64) - 1) == (1 << 64) - 1
    assert (prime >> 1920) & ((1 << 64) - 1) == 0xADF85458A2BB4A9A


@contextmanager
def serving(context: ssl.SSLContext) -> Iterator[int]:
    """A listener that does nothing but shake hands; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_listener_on_the_network_is_asked_the_same(certificates: Path) -> None:
    """Over a socket the answer is the one that the context gives in memory."""
    with serving(make(certificates, Profile.DATASHEET, "agent")) as port:
        offer = survey(ask_address("127.0.0.1", port))
    assert differences(offer, Profile.DATASHEET, "agent") == []


def test_the_command_shows_what_a_listener_offers_and_how_it_differs(
    certificates: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exactly its profile ends with 0, another with 1 and every difference; a port that is closed with 3."""
    with serving(make(certificates, Profile.DATASHEET, "https")) as port:
        asked = ["tls", f"127.0.0.1:{port}", "--listener", "https", "--data", str(tmp_path)]
        assert cli.run([*asked, "--profile", "datasheet"]) == Exit.OK
        assert "datasheet: exactly that" in capsys.readouterr().out
        assert cli.run([*asked, "--profile", "modern"]) == Exit.NOTHING
        assert "version TLSv1.3 lacks" in capsys.readouterr().out
        assert cli.run([*asked, "--json"]) == Exit.OK
        assert json.loads(capsys.readouterr().out)[0]["primes"] == ["2048 bits"]
    assert cli.run(asked) == Exit.UNAVAILABLE
    assert cli.run([*asked, "--profile", "tls"]) == Exit.USAGE


@given(st.binary(max_size=300))
def test_no_answer_breaks_the_reader(data: bytes) -> None:
    """Whatever comes back is read as a refusal, or as what it says."""
    framed = b"\x16\x03\x03" + len(data).to_bytes(2) + data
    for answer in (data, framed):
        assert read_flight(answer) is None or read_flight(answer).suite >= 0
        assert flight_is_complete(answer) in (True, False)


def test_a_hello_is_one_record() -> None:
    """Its lengths are right, so that a server reads all of it."""
    hello = write_hello(Question(0x0304, [0x1301], [29], "localhost"))
    assert int.from_bytes(hello[3:5]) == len(hello) - 5
    assert int.from_bytes(hello[6:9]) == len(hello) - 9


def test_files_that_change_hold_for_the_next_handshake(certificates: Path, tmp_path: Path) -> None:
    """A new certificate is shown without a restart; a key that does not fit leaves the one before."""
    directory = tmp_path / "pki"
    shutil.copytree(certificates, directory)
    listener = TlsListener(Profile.MODERN, "https", cert=directory / "server.pem", key=directory / "server.key")
    before, context = shown(listener.context), listener.context
    assert not listener.reload()
    other = pki.issue(directory, "other", server=True, hosts=["localhost"])
    replace(other.cert, directory / "server.pem")
    assert not listener.reload(), "the key is still the one before"
    assert shown(listener.context) == before
    replace(other.key, directory / "server.key")
    assert listener.reload()
    assert listener.context is context
    leaf = x509.load_pem_x509_certificates(other.cert.read_bytes())[0]
    assert shown(context) == leaf.public_bytes(serialization.Encoding.DER)
    assert not listener.reload()


def replace(source: Path, target: Path) -> None:
    """Put a file in another's place, at another time."""
    shutil.copy(source, target)
    later = target.stat().st_mtime_ns + 1_000_000_000
    os.utime(target, ns=(later, later))


def shown(context: ssl.SSLContext) -> bytes:
    """The certificate (DER) that a client gets to see."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server), context.wrap_bio(to_server, to_client, server_side=True)]
    for _ in range(3):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    certificate = ends[0].getpeercert(binary_form=True)
    assert certificate
    return certificate


def test_files_that_cannot_be_used_stop_the_start(tmp_path: Path) -> None:
    """The error names the port."""
    with pytest.raises(ConfigError, match="agent port"):
        TlsListener(Profile.MODERN, "agent", cert=tmp_path / "a", key=tmp_path / "b", client_ca=tmp_path / "c")


def test_an_organisations_own_ecdsa_certificate_serves_modern_alone(tmp_path: Path) -> None:
    """`modern` offers it the ECDSA suites; the datasheet's suites are all RSA, so its listener does not open."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day).sign(
        key, hashes.SHA256()
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "c.pem").write_bytes(certificate.public_bytes(pem))
    plain = serialization.NoEncryption()
    (tmp_path / "c.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    files = {"cert": tmp_path / "c.pem", "key": tmp_path / "c.key"}
    assert TlsListener(Profile.MODERN, "https", **files).context
    with pytest.raises(ConfigError, match="suite ECDHE-RSA-AES256-GCM-SHA384 lacks"):
        TlsListener(Profile.DATASHEET, "https", **files)

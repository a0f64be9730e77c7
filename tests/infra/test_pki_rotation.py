"""Keys and CAs that change: what is published when, what a kill in between leaves, and what is refused."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from infra import pki
from infra.pki.authority import (
    CA_KEY,
    OTHER_KEY,
    begin_rotation,
    finish_rotation,
    load_bundle,
    load_ca,
    signs_newer,
    switch_rotation,
)
from infra.pki.certificates import reissue, verify_agent
from infra.pki.files import read_key
from infra.pki.pins import pin_of_file
from infra.pki.progress import newest
from infra.pki.register import Entry, Register, format_serial
from infra.pki.revocations import Revocations
from infra.pki.server_pins import (
    accept_key,
    add_pin,
    load_pins,
    prepare_pins,
    publish,
    remove_pin,
    retire_keys,
    rotate_key,
    trust_set,
)
from schemas.errors import ConfigError, MalformedError
from schemas.trust import TrustSet, read_pin, write_pin

AGENT = "6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1"
FOREIGN = write_pin(bytes(range(32)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made")
    pki.make_ca(directory)
    pki.issue(directory, "gateway", server=True, hosts=["localhost"])
    prepare_pins(directory, "gateway")
    return directory


@pytest.fixture
def directory(made: Path, tmp_path: Path) -> Path:
    """A CA, a gateway and its pins, for one test alone."""
    return shutil.copytree(made, tmp_path / "pki")


def states(directory: Path) -> list[str]:
    return [one.state for one in load_pins(directory).pins]


def leaf(directory: Path, name: str = "gateway") -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / f"{name}.pem").read_bytes())


# Pins of servers


def test_a_server_has_a_backup_before_anybody_pins_it(directory: Path) -> None:
    """Two pins, of two keys; publishing again changes nothing, not even the version."""
    known = load_pins(directory)
    assert states(directory) == ["current", "backup"]
    assert known.pins[0].pin == pin_of_file(directory / "gateway.pem") != known.pins[1].pin
    assert prepare_pins(directory, "gateway") == known


def test_the_backup_takes_over_and_the_key_before_stays_known_until_it_is_retired(directory: Path) -> None:
    """What was the backup is in use, over the same names; the new backup is told with it."""
    before = load_pins(directory)
    after = rotate_key(directory, "gateway")
    assert after.version == before.version + 1
    assert states(directory) == ["current", "backup", "retired"]
    assert after.pins[0].pin == before.pins[1].pin == pin_of_file(directory / "gateway.pem")
    assert after.pins[2].pin == before.pins[0].pin
    names = leaf(directory).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [one.state for one in retire_keys(directory).pins] == ["current", "backup"]


def test_a_change_of_keys_that_was_cut_short_is_finished_at_the_next_start(directory: Path) -> None:
    """Killed after the key moved: the certificate is made for it, and pins follow."""
    before = load_pins(directory)
    (directory / "gateway.backup.key").rename(directory / "gateway.key")
    pki.issue(directory, "gateway", server=True, hosts=["localhost"])
    assert leaf(directory).public_key() == read_key(directory / "gateway.key").public_key()
    after = prepare_pins(directory, "gateway")
    assert after.pins[0].pin == before.pins[1].pin
    assert states(directory) == ["current", "backup", "retired"]


def test_a_backup_kept_elsewhere_is_not_made_anew(directory: Path, tmp_path: Path) -> None:
    """Its pin stays published without the file; to rotate it must be brought back."""
    shutil.move(directory / "gateway.backup.key", tmp_path / "safe")
    known = load_pins(directory)
    assert prepare_pins(directory, "gateway") == known
    with pytest.raises(ConfigError, match="bring it back"):
        rotate_key(directory, "gateway")
    shutil.move(tmp_path / "safe", directory / "gateway.backup.key")
    assert rotate_key(directory, "gateway").pins[0].pin == known.pins[1].pin


def test_a_key_that_nobody_has_pinned_does_not_serve_unless_accepted(directory: Path) -> None:
    """A file put there by mistake would lock every agent out: the start says so."""
    (directory / "gateway.key").unlink()
    pki.issue(directory, "gateway", server=True, hosts=["localhost"])
    with pytest.raises(ConfigError, match="pki pins accept gateway"):
        prepare_pins(directory, "gateway")
    accept_key(directory, "gateway")
    assert prepare_pins(directory, "gateway").pins[0].pin == pin_of_file(directory / "gateway.pem")


def test_pins_of_others_come_and_go_but_the_key_in_use_stays(directory: Path) -> None:
    """Another node's pin is told beside ours."""
    assert add_pin(directory, "gateway-2", f"sha256/{FOREIGN}").pins[-1].pin == FOREIGN
    assert read_pin(FOREIGN) in trust_set(directory).pins
    assert FOREIGN not in [one.pin for one in remove_pin(directory, FOREIGN).pins]
    with pytest.raises(ConfigError, match="not on the list"):
        remove_pin(directory, FOREIGN)
    with pytest.raises(ConfigError, match="locked out"):
        remove_pin(directory, load_pins(directory).pins[0].pin)
    with pytest.raises(MalformedError):
        add_pin(directory, "x", "c2hvcnQ=")


def test_pinning_that_is_switched_off_is_a_newer_set_without_pins(directory: Path) -> None:
    """Agents take it as they take any set: by its version."""
    before = trust_set(directory)
    off = publish(directory, load_pins(directory).pins, enforced=False)
    assert trust_set(directory).pins == ()
    assert off.version == before.version + 1
    assert trust_set(directory).ca == before.ca


def test_a_list_of_pins_that_cannot_be_read_stops_the_start(directory: Path) -> None:
    """Rather than publishing one that forgets keys."""
    (directory / "pins.json").write_text("{}")
    with pytest.raises(ConfigError, match="restore"):
        prepare_pins(directory, "gateway")


# The CA


def test_a_ca_takes_over_step_by_step_and_back(directory: Path) -> None:
    """Two are trusted meanwhile; the same step leads back; at the end one is trusted, and its key alone is left."""
    first = load_bundle(directory)[0]
    coming = begin_rotation(directory)
    assert coming.subject != first.subject
    assert load_bundle(directory) == [first, coming]
    assert load_ca(directory)[0] == first
    with pytest.raises(ConfigError, match="under way"):
        begin_rotation(directory)
    switch_rotation(directory)
    assert signs_newer(directory)
    assert load_ca(directory)[0] == coming
    switch_rotation(directory)
    assert load_ca(directory)[0] == first
    switch_rotation(directory)
    reissue(directory, "gateway")
    leaf(directory).verify_directly_issued_by(coming)
    assert finish_rotation(directory) == first
    assert load_bundle(directory) == [coming]
    assert not (directory / OTHER_KEY).exists()
    with pytest.raises(ConfigError, match="no rotation"):
        switch_rotation(directory)


def test_certificates_of_either_ca_hold_while_both_are_trusted(directory: Path) -> None:
    """An agent that enrolled before may renew until the end."""
    before = pki.issue(directory, "old", server=False)
    begin_rotation(directory)
    switch_rotation(directory)
    with pytest.raises(MalformedError, match="names no agent"):
        verify_agent(directory, before.cert.read_bytes())
    finish_rotation(directory)
    with pytest.raises(MalformedError, match="no CA of ours"):
        verify_agent(directory, before.cert.read_bytes())


def test_killed_while_keys_change_places_the_ca_still_signs(directory: Path) -> None:
    """Whichever of the two keys is in its place, the certificates it makes follow from a CA that is trusted."""
    begin_rotation(directory)
    shutil.copy(directory / OTHER_KEY, directory / CA_KEY)  # the moment after the keys, before the certificates
    issued = pki.issue(directory, "meanwhile", server=False)
    certificate = x509.load_pem_x509_certificate(issued.cert.read_bytes())
    certificate.verify_directly_issued_by(load_bundle(directory)[1])


def test_a_ca_whose_key_is_another_ones_issues_nothing(directory: Path) -> None:
    """A mixed-up folder is told, not used."""
    shutil.copy(directory / "gateway.key", directory / CA_KEY)
    with pytest.raises(ConfigError, match="is the key of none"):
        pki.issue(directory, "x", server=False)


def test_renewing_a_certificate_keeps_its_key_and_so_its_pin(directory: Path) -> None:
    """Another host is another certificate, over the same key."""
    before = pin_of_file(directory / "gateway.pem")
    pki.issue(directory, "gateway", server=True, hosts=["localhost", "elsewhere"])
    assert pin_of_file(directory / "gateway.pem") == before


def test_a_certificate_of_another_ca_is_left_alone(directory: Path) -> None:
    """An organisation's own, over a key of its own kind: never issued anew, and not rotated by us."""
    key = ec.generate_private_key(ec.SECP256R1())
    theirs, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example Corp")]), dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(theirs, theirs, key.public_key(), 7, now, now + dt.timedelta(days=9))
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(pem)
    (directory / "gateway.pem").write_bytes(certificate)
    (directory / "gateway.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    pki.issue(directory, "gateway", server=True, hosts=["elsewhere"])
    assert (directory / "gateway.pem").read_bytes() == certificate
    accept_key(directory, "gateway")
    with pytest.raises(ConfigError, match="of another CA"):
        rotate_key(directory, "gateway")


# Register and revocations


def test_the_register_has_every_certificate_and_gives_each_line_once(directory: Path) -> None:
    """A reader that comes back gets what is new; half a line waits for its other half."""
    reader = Register(directory)
    assert [entry.name for entry in reader.read()] == ["gateway"]
    pki.issue(directory, "second", server=False)
    assert [(entry.kind, entry.name) for entry in reader.read()] == [("client", "second")]
    line = json.dumps(
        {"kind": "agent", "name": AGENT, "serial": "01", "pin": FOREIGN, "issuer": "", "issued_ms": 1, "expires_ms": 2}
    )
    with reader.path.open("a") as file:
        file.write(line[:20])
    assert list(reader.read()) == []
    with reader.path.open("a") as file:
        file.write(line[20:] + "\n")
    assert list(reader.read()) == [Entry("agent", AGENT, "01", FOREIGN, "", 1, 2)]
    assert newest(directory)[f"agent/{AGENT}"].expires_ms == 2


def test_serial_numbers_are_written_as_tls_shows_them(directory: Path) -> None:
    """Capitals, whole bytes."""
    assert [format_serial(number) for number in (0xABC, 0x10, 0)] == ["0ABC", "10", "00"]
    assert format_serial(leaf(directory).serial_number) == next(iter(Register(directory).read())).serial


def test_agents_and_serials_are_revoked_and_remarks_are_allowed(tmp_path: Path) -> None:
    """However they are written; what is neither is refused, and never dropped from the file."""
    ours, theirs = Revocations(tmp_path), Revocations(tmp_path)
    assert ours.add(AGENT.upper()) == AGENT
    assert ours.add("serial:7a:01:ff") == "serial:7A01FF"
    assert theirs.reload()
    assert AGENT in theirs
    assert theirs.has_serial("7A01FF")
    assert not theirs.has_serial("7A01FE")
    for junk in ("", "serial:", "serial:xyz", "everybody"):
        with pytest.raises(MalformedError):
            ours.add(junk)
    path = tmp_path / "revoked.txt"
    path.write_text(f"# left in May\n{AGENT}  # Ana's\n")
    assert theirs.reload()
    assert not theirs.has_serial("7A01FF")
    path.write_text(f"{AGENT}\nnobody in particular\n")
    assert not theirs.reload()
    assert AGENT in theirs
    with pytest.raises(ConfigError, match="nobody in particular"):
        Revocations(tmp_path)


# The set that agents are told


@given(st.binary(min_size=32, max_size=32))
def test_a_pin_is_read_as_it_is_written(pin: bytes) -> None:
    """With and without the prefix that RFC 7469's readers know."""
    assert read_pin(write_pin(pin)) == pin == read_pin(f"sha256/{write_pin(pin)}")


CA = "-----BEGIN CERTIFICATE-----\n"


def test_a_set_is_read_as_it_is_written() -> None:
    """With pins and without."""
    for pins in ((), (bytes(32), bytes(range(32)))):
        told = TrustSet(7, CA, pins)
        assert TrustSet.from_json(told.to_json()) == told


@pytest.mark.parametrize(
    "junk",
    [
        None, [], {}, {"version": 1, "ca": CA, "pins": [FOREIGN]}, {"version": True, "ca": CA, "pins": []},
        {"version": -1, "ca": CA, "pins": []}, {"version": 2**60, "ca": CA, "pins": []},
        {"version": 1, "ca": "", "pins": []}, {"version": 1, "ca": CA + "x" * 40_000, "pins": []},
        {"version": 1, "ca": CA, "pins": ["short", "short"]}, {"version": 1, "ca": CA, "pins": [FOREIGN] * 33},
    ],
)  # fmt: skip
def test_junk_is_no_set(junk: object) -> None:
    """One pin alone is junk, too: its key could never be changed."""
    with pytest.raises(MalformedError):
        TrustSet.from_json(junk)

"""The pins of our servers' keys (R3.4): the key in use, its backup, and those that were in use before.

Never publishes one pin alone: a key whose backup nobody knows could not be changed without locking every agent out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.pki.authority import CA_CERT, Issued
from infra.pki.certificates import is_foreign, reissue
from infra.pki.files import write_key, write_public
from infra.pki.pins import pin_of
from schemas.errors import ConfigError, MalformedError
from schemas.trust import TrustSet, read_pin, write_pin

PINS_NAME = "pins.json"
BACKUP_SUFFIX = ".backup.key"
STATES = ("current", "backup", "retired", "other")


@dataclass(frozen=True, slots=True)
class ServerPin:
    """One pin. `name` is the server's; `state` current, backup, retired, or other for what somebody added by hand."""

    name: str
    state: str
    pin: str


@dataclass(frozen=True, slots=True)
class ServerPins:
    """All pins, and the version under which agents know them together with the CAs."""

    version: int = 0
    pins: tuple[ServerPin, ...] = ()
    enforced: bool = True
    """Whether agents are told them; where not, they take any key that the CAs certified."""
    ca_digest: str = ""
    """What `ca.pem` was when this version was made: a change of the CAs is a new version, too."""


def load_pins(directory: Path) -> ServerPins:
    """The pins in `directory`, none where there are none yet; raises `ConfigError`."""
    path = directory / PINS_NAME
    try:
        return parse_pins(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return ServerPins()
    except (OSError, ValueError, KeyError, TypeError, MalformedError) as error:
        raise ConfigError(f"{path} cannot be used ({error}): restore it from a backup") from None


def parse_pins(body: Any) -> ServerPins:
    """The pins in the file's JSON; raises `ValueError`, `KeyError`, `TypeError` or `MalformedError`."""
    pins = tuple(ServerPin(**row) for row in body["pins"])
    for one in pins:
        read_pin(one.pin)
    return ServerPins(int(body["version"]), pins, bool(body["enforced"]), str(body["ca_digest"]))


def publish(directory: Path, pins: Sequence[ServerPin], *, enforced: bool | None = None) -> ServerPins:
    """Write these pins, with the CAs as they are, under the next version; the same as before is no new version."""
    before = load_pins(directory)
    unique = {one.pin: one for one in reversed(pins)}  # of a pin that stands twice the first counts
    after = ServerPins(
        before.version,
        tuple(reversed(unique.values())),
        before.enforced if enforced is None else enforced,
        hashlib.sha256((directory / CA_CERT).read_bytes()).hexdigest(),
    )
    if set(before.pins) == set(after.pins) and before == replace(after, pins=before.pins):  # in whatever order
        return before
    after = replace(after, version=before.version + 1)
    write_public(directory / PINS_NAME, json.dumps(asdict(after), indent=2).encode() + b"\n")
    return after


def prepare_pins(directory: Path, name: str, *, enforced: bool | None = None) -> ServerPins:
    """Make the backup key of a server if it has none, and publish what is not published yet.

    Also finishes a change of keys that was cut short. Raises `ConfigError` for a key that agents do not know.
    """
    key, backup = directory / f"{name}.key", directory / f"{name}{BACKUP_SUFFIX}"
    before = load_pins(directory)
    known = {one.state: one.pin for one in before.pins if one.name == name and one.state in ("current", "backup")}
    pin = _pin_in(key)
    if pin not in known.values() and "current" in known:
        raise ConfigError(
            f"{key} is not a key that agents have pinned: put the one before back, or tell agents of this one by "
            f"`sealstream pki pins accept {name}` (those that do not hear of it in time must enrol again)"
        )
    promoted = pin == known.get("backup")
    if not backup.exists() and (promoted or "backup" not in known):  # it may lie elsewhere, once it is published
        write_key(backup, _new_key())
    mine = [ServerPin(name, "current", pin)]
    mine.append(ServerPin(name, "backup", _pin_in(backup) if backup.exists() else known["backup"]))
    rest = [one for one in before.pins if one.name != name or one.state not in ("current", "backup")]
    if promoted and "current" in known:
        mine.append(ServerPin(name, "retired", known["current"]))
    return publish(directory, [*mine, *rest], enforced=enforced)


def accept_key(directory: Path, name: str) -> ServerPins:
    """Publish whatever key is there as the current one: for a key that was put there by hand."""
    before = load_pins(directory)
    rest = [replace(one, state="retired") if (one.name, one.state) == (name, "current") else one for one in before.pins]
    return publish(directory, [ServerPin(name, "current", _pin_in(directory / f"{name}.key")), *rest])


def rotate_key(directory: Path, name: str) -> ServerPins:
    """Let a server's backup key take over, with a new backup after it; the key before stays pinned until `retire`."""
    issued, backup = Issued(directory / f"{name}.pem", directory / f"{name}.key"), directory / f"{name}{BACKUP_SUFFIX}"
    prepare_pins(directory, name)
    if is_foreign(issued):
        raise ConfigError(f"{issued.cert} is of another CA: renew it there, and tell agents by `sealstream pki pins`")
    if not backup.exists():
        raise ConfigError(f"{backup} is not here: bring it back from where it is kept; agents know its pin")
    backup.rename(issued.key)
    reissue(directory, name)
    return prepare_pins(directory, name)


def retire_keys(directory: Path) -> ServerPins:
    """Take keys that were in use before off the list: agents that come back after long refuse them, too."""
    return publish(directory, [one for one in load_pins(directory).pins if one.state != "retired"])


def add_pin(directory: Path, name: str, pin: str) -> ServerPins:
    """Publish a pin that is not of a key here: another node's, or one whose key is kept elsewhere."""
    added = ServerPin(name, "other", write_pin(read_pin(pin)))
    return publish(directory, [*load_pins(directory).pins, added])


def remove_pin(directory: Path, pin: str) -> ServerPins:
    """Take a pin off the list; raises `ConfigError` where it is not on it, or must stay."""
    before, wanted = load_pins(directory), write_pin(read_pin(pin))
    kept = [one for one in before.pins if one.pin != wanted]
    if len(kept) == len(before.pins):
        raise ConfigError(f"{pin} is not on the list")
    if any(one.state == "current" and one.pin == wanted for one in before.pins) or len(kept) < 2:
        raise ConfigError("agents would be locked out: the key in use and one more must stay")
    return publish(directory, kept)


def trust_set(directory: Path) -> TrustSet:
    """What agents are told: without pins where they are not enforced."""
    known = load_pins(directory)
    pins = tuple(read_pin(one.pin) for one in known.pins) if known.enforced and len(known.pins) > 1 else ()
    return TrustSet(known.version, (directory / CA_CERT).read_text("ascii"), pins)


def _pin_in(path: Path) -> str:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        return write_pin(pin_of(key.public_key()))  # type: ignore[arg-type]  # TLS takes no other kinds
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"the key {path} cannot be used: {error}") from None


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)

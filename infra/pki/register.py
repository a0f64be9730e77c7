"""The register of what the CA issued: a line of JSON for each certificate, in the order of issue.

Never changed but at its end, and on disk before the certificate is given out.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography import x509

from infra.files import write_all
from infra.pki.forms import key_id
from infra.pki.pins import pin_of
from schemas.errors import ConfigError
from schemas.trust import write_pin

REGISTER_NAME = "issued.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate. `kind` is agent, server or client; `name` an agent's id; `issuer` the CA's key id in hex.

    `pin` is that of its own key; `backup_pin` that of the key which comes after it, if the holder has one.
    """

    kind: str
    name: str
    serial: str
    pin: str
    issuer: str
    issued_ms: int
    expires_ms: int
    backup_pin: str = ""


class Register:
    """The register of the CA in `directory`. `read` gives what was added since the last time."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / REGISTER_NAME
        self._read_to = 0

    def add(self, entry: Entry) -> None:
        """Append; on disk when this returns."""
        self.add_all([entry])

    def add_all(self, entries: Iterable[Entry]) -> None:
        """The same of several, in their order."""
        lines = b"".join(json.dumps(asdict(entry), separators=(",", ":")).encode() + b"\n" for entry in entries)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            write_all(descriptor, lines)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self) -> Iterator[Entry]:
        """The entries that this object has not given yet; a line that is not whole yet is left for the next time."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read_to)
                lines = file.readlines()
        except FileNotFoundError:
            return
        for line in lines:
            if not line.endswith(b"\n"):
                return
            self._read_to += len(line)
            try:
                yield Entry(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise ConfigError(f"{self.path} has a line that is no entry ({error}): restore it") from None


def entry_of(kind: str, name: str, certificate: x509.Certificate, issuer: x509.Certificate, backup: str = "") -> Entry:
    """What the register keeps of a certificate."""
    return Entry(
        kind=kind,
        name=name,
        serial=format_serial(certificate.serial_number),
        pin=write_pin(pin_of(certificate.public_key())),  # type: ignore[arg-type]  # we issue for such keys alone
        issuer=key_id(issuer).digest.hex(),
        issued_ms=time.time_ns() // 1_000_000,
        expires_ms=int(certificate.not_valid_after_utc.timestamp() * 1000),
        backup_pin=backup,
    )


def format_serial(number: int) -> str:
    """A serial number as we write it: hex, capitals, an even number of digits; `ssl` shows it so too."""
    text = f"{number:X}"
    return text if len(text) % 2 == 0 else f"0{text}"

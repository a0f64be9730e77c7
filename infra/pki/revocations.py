"""What is revoked: agents for good, or single certificates by serial number; read again when the file has changed.

Never forgets a line of it that is not understood: such a file stops a start, and changes nothing while running.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import structlog

from infra.files import write_whole
from schemas.errors import ConfigError, MalformedError

log = structlog.get_logger()

REVOKED_NAME = "revoked.txt"
SERIAL_PREFIX = "serial:"

_SERIAL = re.compile(r"^[0-9A-F]{2,40}$")


class Revocations:
    """The file `revoked.txt` in `directory`: an agent's id, or `serial:` and a serial number in hex, a line."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / REVOKED_NAME
        self._stamp: tuple[int, int] | None = None
        self._lines: frozenset[str] = frozenset()
        self._load()

    def __contains__(self, agent_id: object) -> bool:
        return agent_id in self._lines

    @property
    def all(self) -> list[str]:
        """Every line, sorted."""
        return sorted(self._lines)

    def has_serial(self, serial: str) -> bool:
        """Whether the certificate with that serial number (hex, capitals) is revoked."""
        return SERIAL_PREFIX + serial in self._lines

    def reload(self) -> bool:
        """Read again what has changed; whether it had."""
        try:
            return self._load()
        except ConfigError as error:
            log.error("revocations_unusable", reason=str(error))  # noqa: TRY400 - the message is all there is to say
            return False

    def add(self, what: str) -> str:
        """Revoke an agent by its id, or a certificate by `serial:HEX`; how it stands in the file.

        Raises `MalformedError` for what is neither.
        """
        line = normalise(what)
        self.add_all([line])
        return line

    def add_all(self, lines: Iterable[str]) -> None:
        """Revoke what is not revoked yet of `lines`, each as it stands in the file; other lines and remarks stay."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._path.parent / ".revoked.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._load()
            added = "".join(f"{line}\n" for line in sorted(set(lines) - self._lines))
            if added:
                before = self._path.read_text("utf-8").rstrip("\n") + "\n" if self._path.exists() else ""
                write_whole(self._path, (before + added).lstrip("\n").encode())
                self._load()

    def _load(self) -> bool:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            stamp, lines = None, frozenset[str]()
        else:
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            lines = self._read()
        changed, self._stamp, self._lines = lines != self._lines, stamp, lines
        return changed

    def _read(self) -> frozenset[str]:
        texts = [line.partition("#")[0].strip() for line in self._path.read_text("utf-8").splitlines()]
        try:
            return frozenset(normalise(text) for text in texts if text)
        except MalformedError as error:
            raise ConfigError(f"{self._path}: {error}") from None


def normalise(text: str) -> str:
    """How a line stands in the file; raises `MalformedError` for what is neither an agent's id nor a serial."""
    if text.lower().startswith(SERIAL_PREFIX):
        serial = text[len(SERIAL_PREFIX) :].replace(":", "").upper()
        if _SERIAL.match(serial):
            return SERIAL_PREFIX + serial
    else:
        try:
            return str(UUID(text))
        except ValueError:
            pass
    raise MalformedError(f"{text!r} is neither an agent id nor serial:HEX", "bad_agent")

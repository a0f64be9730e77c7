"""Who may use the API: a file of persons with the hashes of their bearer tokens, read again when it changes.

Never holds a token itself: a person is shown theirs once.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.files import write_whole
from schemas.errors import ConfigError

PREFIX = "sealstream-api."
MAX_PERSON = 64


@dataclass(frozen=True, slots=True)
class Holder:
    """A person with a token."""

    person: str
    sha256: str
    until_ms: int


class ApiTokens:
    """The file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def issue(self, person: str, days: int) -> str:
        """A new token of that person; one that they had before ends. Raises `ConfigError`."""
        if not 0 < len(person) <= MAX_PERSON or not person.isprintable():
            raise ConfigError(f"a person's name has 1 to {MAX_PERSON} characters")
        token = PREFIX + secrets.token_urlsafe(32)
        until_ms = (time.time_ns() // 1_000_000) + days * 86_400_000
        with self._locked():
            others = [holder for holder in self.holders() if holder.person != person]
            self._write([*others, Holder(person, _hash(token), until_ms)])
        return token

    def withdraw(self, person: str) -> bool:
        """End that person's token; whether there was one."""
        with self._locked():
            before = self.holders()
            after = [holder for holder in before if holder.person != person]
            self._write(after)
        return len(after) < len(before)

    def holders(self) -> list[Holder]:
        """Everybody with a token; raises `ConfigError` for a file that is damaged."""
        try:
            return [Holder(**row) for row in json.loads(self._path.read_bytes())]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"the file of API tokens {self._path} cannot be used: {error}") from None

    def person(self, token: str) -> str:
        """Whose token that is, empty when it is nobody's (any more)."""
        wanted, now_ms, found = _hash(token), time.time_ns() // 1_000_000, ""
        for holder in self.holders():
            if hmac.compare_digest(holder.sha256, wanted) and now_ms < holder.until_ms:
                found = holder.person
        return found

    def _write(self, holders: list[Holder]) -> None:
        write_whole(self._path, json.dumps([asdict(holder) for holder in holders], indent=1).encode() + b"\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

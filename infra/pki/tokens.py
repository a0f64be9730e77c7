"""Enrolment tokens of one node, in a file: what holds until the tables of the database have taken them over.

Never keeps a token's secret, only its hash; never goes back to the file once its tokens are in the table.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from infra.files import write_whole
from schemas.errors import ConfigError

TOKENS_NAME = "tokens.json"
MOVED_NAME = "in-database"

_MOVED_TEXT = b"Enrolment tokens of this node are in the table enrolment_token. docs/enrolment.md\n"


@dataclass(frozen=True, slots=True)
class Token:
    """What the server keeps of a token. `secret_hash` is SHA-256 in hex."""

    secret_hash: str
    expires_ms: int
    uses: int


class TokenStore:
    """Tokens in one file, locked while it is changed, so that two processes never spend the same use."""

    def __init__(self, directory: Path, clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._directory = directory
        self._clock_ms = clock_ms

    @property
    def moved(self) -> bool:
        """Whether the table decides from now on."""
        return (self._directory / MOVED_NAME).exists()

    @property
    def to_move(self) -> bool:
        """Whether there is anything to take over, be it only that nothing is."""
        return not self.moved or (self._directory / TOKENS_NAME).exists()

    def add(self, secret: str, *, uses: int, expires_s: float) -> None:
        """Keep a new token; forget those that are over."""
        token = Token(hash_secret(secret), self._clock_ms() + int(expires_s * 1000), uses)
        with self._locked() as tokens:
            tokens.append(token)

    def spend(self, secret: str) -> bool:
        """Take one use of the token, if there is one; on disk before this returns."""
        wanted = hash_secret(secret)
        with self._locked() as tokens:
            for place, token in enumerate(tokens):
                if hmac.compare_digest(token.secret_hash, wanted):
                    tokens[place] = replace(token, uses=token.uses - 1)
                    return True
        return False

    def move(self, take: Callable[[list[Token]], None]) -> int:
        """Hand all tokens to `take`, and forget them here when it has returned; how many there were.

        Nobody spends one meanwhile. Killed in between, they are handed over once more.
        """
        with self._locked() as tokens:
            moving = list(tokens)
            take(moving)
            tokens.clear()
            write_whole(self._directory / MOVED_NAME, _MOVED_TEXT, mode=0o644)
        with self._locked() as tokens:
            if not tokens:
                (self._directory / TOKENS_NAME).unlink(missing_ok=True)
        return len(moving)

    @contextmanager
    def _locked(self) -> Iterator[list[Token]]:
        """The tokens that are good now; what the block leaves is written whole."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._directory / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self._read()
            tokens = [token for token in before if token.uses > 0 and token.expires_ms > self._clock_ms()]
            yield tokens
            if tokens != before:
                write_whole(self._directory / TOKENS_NAME, json.dumps([asdict(token) for token in tokens]).encode())

    def _read(self) -> list[Token]:
        path = self._directory / TOKENS_NAME
        try:
            return [Token(**row) for row in json.loads(path.read_bytes())]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path} cannot be read ({error}); move it away: its tokens are void then") from None


def hash_secret(secret: str) -> str:
    """SHA-256 in hex: a secret of 24 random bytes needs no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()

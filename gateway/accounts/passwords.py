"""Passwords: argon2id in threads of their own, and which ones are too weak to be taken.

Never hashes on the event loop, and never takes less time for an account that does not exist.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.api.errors import ApiError
from schemas.errors import MalformedError

Answer = TypeVar("Answer")

MIN_LENGTH, MAX_LENGTH = 12, 256
MAX_WAITING = 32

HASHER = PasswordHasher(time_cost=2, memory_cost=64 * 1024, parallelism=1)
"""0.12 s of a core and 64 MiB where this was measured: over what RFC 9106 and OWASP ask for at the least."""

DUMMY = HASHER.hash("the password of nobody")
"""Checked where there is no account, for the time that it takes."""

COMMON = frozenset(
    """password passwort passw passwd pass qwerty qwertz azerty asdf asdfgh asdfghjkl zxcvbn zxcvbnm qwertyuiop
    qwertzuiop iloveyou letmein welcome admin administrator root login secret changeme change default sealstream
    sunshine princess dragon monkey football baseball master shadow superman batman trustno hello freedom whatever
    abc abcd abcde abcdef abcdefg abcdefgh abcdefghij abcdefghijkl test testing guest user computer internet
    company summer winter spring autumn january february march april may june july august september october
    november december monday tuesday wednesday thursday friday saturday sunday passphrase correcthorsebatterystaple
    officer operator auditor subject security monitor monitoring""".split()  # noqa: SIM905  # a list of words is read as words
)
"""What the commonest passwords are made of, without digits and marks; a password that is nothing else is refused."""


class Passwords:
    """Hashes and checks, `workers` at a time."""

    def __init__(self, workers: int = 2) -> None:
        self._workers = workers
        self._threads: ThreadPoolExecutor | None = None
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """What is kept of a password."""
        return await self._run(HASHER.hash, prepared(password))

    async def matches(self, kept: str | None, password: str) -> bool:
        """Whether it is that password; takes its time also where nothing is kept."""
        found = await self._run(_verify, kept or DUMMY, prepared(password))
        return found and kept is not None

    async def _run(self, work: Callable[..., Answer], *arguments: str) -> Answer:
        if self._waiting >= MAX_WAITING:
            raise ApiError(503, "busy", "too many sign-ins at once: try again in a moment", retry_after_s=3)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._workers, "password")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


def _verify(kept: str, password: str) -> bool:
    try:
        return HASHER.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False


def outdated(kept: str) -> bool:
    """Whether a hash was made with other costs than today's."""
    return HASHER.check_needs_rehash(kept)


def prepared(password: str) -> str:
    """One form of a text that can be typed in several (NFKC, as RFC 8265 does)."""
    return unicodedata.normalize("NFKC", password)[: 4 * MAX_LENGTH]


def check_strength(password: str, *, name: str = "") -> None:
    """Raises `MalformedError` that says what is wrong with a password that is too weak to be taken."""
    text = prepared(password)
    if len(text) < MIN_LENGTH:
        raise MalformedError(f"a password has at least {MIN_LENGTH} characters: a few words do well", "weak_password")
    if len(text) > MAX_LENGTH:
        raise MalformedError(f"a password has at most {MAX_LENGTH} characters", "weak_password")
    lowered = text.casefold()
    letters = "".join(char for char in lowered if char.isalpha())
    if len(set(lowered)) < 5:
        raise MalformedError("this password repeats a few characters: choose one with more of them", "weak_password")
    if not letters or _is_run(lowered):
        raise MalformedError("this password is a run of digits or keys: choose one with letters", "weak_password")
    if _made_of(letters, COMMON | ({name.casefold()} if name else frozenset())):
        raise MalformedError("this password is among those that are guessed first: choose another", "weak_password")


def _is_run(text: str) -> bool:
    """Whether each character follows the one before, up or down."""
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    return steps <= {1} or steps <= {-1}


def _made_of(letters: str, words: frozenset[str]) -> bool:
    """Whether `letters` is common words in a row."""
    reached = {0}
    for start in range(len(letters)):
        if start in reached:
            reached |= {start + len(word) for word in words if word and letters.startswith(word, start)}
    return len(letters) in reached

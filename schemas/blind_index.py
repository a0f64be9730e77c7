"""The blind index: tokens of words under keys that the server does not have (R6.10), as `BLIND_INDEX.md` says.

Never keeps a key that is over: a ratchet that was advanced has no way back to the days before.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from struct import Struct
from typing import NamedTuple

from schemas.errors import LocalError, MalformedError
from schemas.kinds import StreamKind

TEXT, TITLE, PEOPLE, FILES = "text", "title", "people", "files"
FIELDS = (TEXT, TITLE, PEOPLE, FILES)
"""What a word may stand in: body, title or subject, senders and recipients, names of attachments."""

VARIANTS = 4
"""Tokens that one word of a field may have within an agent's day."""

TOKEN_BYTES = 8
BUCKET = 16
"""A document has a multiple of so many tokens."""

SECRET_BYTES = 32
ROOT_ID_BYTES = 16
SALT_BYTES = 32
SHORTEST, LONGEST = 2, 64
"""Characters of a word."""

MAX_MARKS = 128
"""Of a longer run of marks the beginning: putting marks in order takes quadratic time, and no word is as long."""

MAX_DAYS = 3660
"""The furthest that a ratchet is advanced at once: a clock that is off must not cost hours."""

_STOPPED = (
    "an and are as at be but by for from has have he her his if in into is it its me my no not of on or our she so "
    "that the their them then there these they this to us was we were what when which who will with you your"
)

STOP_WORDS = frozenset(_STOPPED.split())

_VARIANT = tuple(bytes([variant]) for variant in range(VARIANTS))
_ROOT = Struct(">B16sI32s")
_DAY_MS = 86_400_000
_KINDS = {int(kind): kind for kind in StreamKind}

# Where Unicode has letters and marks: the planes that are in use, and the variation selectors.
_ASSIGNED = (range(0x32400), range(0xE0100, 0xE01F0))


class Root(NamedTuple):
    """What opens an agent's index of one stream from `day` on: the plaintext of content type `INDEX_ROOT`."""

    stream: StreamKind
    root_id: bytes
    day: int
    secret: bytes


def build_root(root: Root) -> bytes:
    """The 53 bytes of a root."""
    return _ROOT.pack(root.stream, root.root_id, root.day, root.secret)


def parse_root(data: bytes) -> Root:
    """The root in `data`; raises `MalformedError`."""
    if len(data) != _ROOT.size or data[0] not in _KINDS:
        raise MalformedError("not the root of a blind index", "bad_root")
    stream, root_id, day, secret = _ROOT.unpack(data)
    return Root(_KINDS[stream], root_id, day, secret)


def day_of(time_ms: int) -> int:
    """The day of a time, counted from 1970-01-01 UTC."""
    return time_ms // _DAY_MS


class Ratchet:
    """A root's secret from one day to the next. `erase` it."""

    def __init__(self, secret: bytes, day: int) -> None:
        if len(secret) != SECRET_BYTES:
            raise LocalError(f"a root's secret has {SECRET_BYTES} bytes")
        self.day = day
        self._secret = bytearray(secret)

    @property
    def secret(self) -> bytes:
        """The secret of `day`: whoever has it can follow the ratchet, never go back."""
        return bytes(self._secret)

    @property
    def key(self) -> bytes:
        """The key of `day`'s tokens."""
        return _expand(self._secret, b"sealstream/1 index key")

    def advance(self, day: int) -> bool:
        """Go on to `day`, and forget those before; whether it is another. An earlier one changes nothing."""
        if day <= self.day:
            return False
        for _ in range(min(day - self.day, MAX_DAYS)):
            self._secret[:] = _expand(self._secret, b"sealstream/1 index next")
        self.day = day
        return True

    def erase(self) -> None:
        """Overwrite the secret."""
        self._secret[:] = bytes(SECRET_BYTES)


def _expand(secret: bytes | bytearray, label: bytes) -> bytes:
    """One block of HKDF-Expand (RFC 5869, SHA-256)."""
    return hmac.digest(secret, label + b"\x01", "sha256")


def normalise(text: str) -> str:
    """`text` as words are compared: NFKC, lower case, NFKC again, and one sigma."""
    if text.isascii():
        return text.lower()
    text = _mark_runs().sub(lambda run: run[0][:MAX_MARKS], text)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower()).replace("\u03c2", "\u03c3")


def words_of(text: str) -> Iterator[str]:
    """Each word of `text` that an index has, as often as it stands there."""
    for word in all_words(text):
        if SHORTEST <= len(word) <= LONGEST and word not in STOP_WORDS:
            yield word


def all_words(text: str) -> list[str]:
    """Every run of letters, marks and digits, of whatever length: what a phrase is compared by."""
    plain = normalise(text)
    return _pattern(plain).findall(plain)


def word_spans(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """Where runs stand in `text` as it is written, and the words that they are."""
    for match in _pattern(text).finditer(text):
        yield match.start(), match.end(), all_words(match[0])


def _pattern(text: str) -> re.Pattern[str]:
    return _ascii_words() if text.isascii() else _unicode_words()


@cache
def _ascii_words() -> re.Pattern[str]:
    return re.compile(r"[A-Za-z0-9]+")


@cache
def _unicode_words() -> re.Pattern[str]:
    """Runs of letters, marks and decimal digits (L, M, Nd), by the Unicode version of this Python."""
    return re.compile(f"[{_ranges('LM', 'Nd')}]+")


@cache
def _mark_runs() -> re.Pattern[str]:
    """Runs that are too long of marks, and of the two letters that NFKC makes marks of."""
    return re.compile(f"[{_ranges('M', '')}\uff9e\uff9f]{{{MAX_MARKS + 1},}}")


def _ranges(classes: str, category: str) -> str:
    """What stands between the brackets of a pattern: the characters of some classes, and of one category."""
    runs: list[str] = []
    first = None
    for plane in _ASSIGNED:
        for code in [*plane, plane.stop]:
            found = unicodedata.category(chr(code)) if code in plane else "Cn"
            inside = found[0] in classes or found == category
            if inside and first is None:
                first = code
            elif not inside and first is not None:
                runs.append(f"{chr(first)}-{chr(code - 1)}")
                first = None
    return "".join(runs)


class _Keyed:
    """HMAC-SHA256 under one key, prepared: a third of the cost of `hmac.digest` for messages as short as words."""

    def __init__(self, key: bytes) -> None:
        block = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, message: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


def query_tokens(key: bytes, word: str, fields: Iterable[str] = FIELDS) -> list[bytes]:
    """Every token that a document of that key's day may have for `word`."""
    keyed = _Keyed(key)
    terms = [_term(field, word) + bytes([variant]) for field in fields for variant in range(VARIANTS)]
    return [keyed.digest(term)[:TOKEN_BYTES] for term in terms]


def document_tokens(key: bytes, salt: bytes, texts: Iterable[tuple[str, str]]) -> list[bytes]:
    """The tokens of a document, ascending: those of its words, and dummies up to a multiple of `BUCKET`.

    `texts` are fields with their text. `salt` is random for each document, and chooses variants and dummies: a
    document that grows keeps it, so that what it had already stays as it was.
    """
    keyed, salted = _Keyed(key), _Keyed(salt)
    terms = {_term(field, word) for field, text in texts for word in words_of(text)}
    found = {keyed.digest(term + _VARIANT[salted.digest(term)[0] % VARIANTS])[:TOKEN_BYTES] for term in terms}
    dummies = 0
    while not found or len(found) % BUCKET:
        found.add(salted.digest(b"dummy" + dummies.to_bytes(4, "big"))[:TOKEN_BYTES])
        dummies += 1
    return sorted(found)


def _term(field: str, word: str) -> bytes:
    return field.encode() + b"\0" + word.encode("utf-8", "surrogatepass")


def token_text(value: bytes) -> str:
    """A token as documents carry it: base64url without padding."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def split_tokens(joined: bytes) -> list[bytes]:
    """The tokens of an index entry; raises `MalformedError` unless they are whole, ascending and each once."""
    if not joined or len(joined) % (TOKEN_BYTES * BUCKET):
        raise MalformedError("an entry's tokens are not a multiple of 16", "bad_tokens")
    tokens = [joined[at : at + TOKEN_BYTES] for at in range(0, len(joined), TOKEN_BYTES)]
    if any(first >= second for first, second in pairwise(tokens)):
        raise MalformedError("an entry's tokens are not in ascending order, or one stands twice", "bad_tokens")
    return tokens

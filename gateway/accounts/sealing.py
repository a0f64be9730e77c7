"""Secrets that we hand out: random texts of which only the hash is kept, and the installation's account key.

Never keeps a secret that it hands out; what must be read back (TOTP secrets, challenges) is sealed, each kind
under a label of its own.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import ConfigError, RemoteError

_KEY_BYTES = 32
_NONCE_BYTES = 12


def make_secret(prefix: str = "") -> str:
    """256 random bits, as text."""
    return prefix + secrets.token_urlsafe(32)


def hash_of(secret: str) -> bytes:
    """What is kept of a secret of `make_secret`: it is random, so that nothing slower is needed."""
    return hashlib.sha256(secret.encode()).digest()


class NotOursError(RemoteError):
    """A challenge or a state is not what this installation gave out, or its time is over."""


class AccountKey:
    """The key in the file at `path`, made when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cipher: AESGCM | None = None

    async def seal(self, label: str, plaintext: bytes) -> bytes:
        """Sealed under `label`; raises `ConfigError` when the key cannot be had."""
        cipher, nonce = await self._load(), os.urandom(_NONCE_BYTES)
        return nonce + cipher.encrypt(nonce, plaintext, label.encode())

    async def open(self, label: str, sealed: bytes) -> bytes:
        """The way back; raises `NotOursError`."""
        cipher = await self._load()
        try:
            return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], label.encode())
        except (InvalidTag, ValueError):
            raise NotOursError("this was not sealed with this installation's account key") from None

    async def seal_object(self, label: str, value: dict[str, Any], seconds: float) -> str:
        """A JSON object that is good for so long, as text for a cookie or a body."""
        told = json.dumps({**value, "until": time.time() + seconds}).encode()
        return base64.urlsafe_b64encode(await self.seal(label, told)).decode().rstrip("=")

    async def open_object(self, label: str, text: str) -> dict[str, Any]:
        """The way back; raises `NotOursError`, also when its time is over."""
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            raise NotOursError("this is not what was given out") from None
        value: dict[str, Any] = json.loads(await self.open(label, sealed))
        if time.time() > value["until"]:
            raise NotOursError("its time is over")
        return value

    async def _load(self) -> AESGCM:
        if self._cipher is None:
            self._cipher = AESGCM(await asyncio.to_thread(_read_or_make, self._path))
        return self._cipher


def _read_or_make(path: Path) -> bytes:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _make(path)
        key = base64.b64decode(path.read_bytes(), validate=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the account key {path} cannot be used: {error}") from None
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"the account key {path} is damaged: it is not 32 bytes in base64")
    return key


def _make(path: Path) -> None:
    """Whole or not at all, and the first one wins where two make it at once."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, base64.b64encode(os.urandom(_KEY_BYTES)) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(beside, path)
    except FileExistsError:
        pass
    finally:
        beside.unlink()

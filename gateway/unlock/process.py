"""Starting the process that opens, and speaking with it: the side of whoever serves the viewer.

Never sees a passphrase, a key or plaintext: what passes here is sealed between the viewer and that process.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from gateway.unlock.pipe import HEAD_BYTES, Frame, Kind, encode_frame, parse_head
from gateway.unlock.refusal import RefusedError
from gateway.unlock.scope import Scope
from infra.settings import Settings
from schemas.errors import LocalError

_END_S = 5.0
_ENVIRONMENT = {"PYTHONMALLOC": "malloc", "MALLOC_PERTURB_": "165"}
"""Every freed byte is overwritten at once, by the C library."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is in scope. `keys`: the KEKs that it is sealed to; `trying`: those that a passphrase is tried on."""

    public_key: bytes
    envelopes: int
    keys: list[dict[str, Any]] = field(default_factory=list)
    trying: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OpenedKeys:
    """What a passphrase did: the names of the KEKs that it opened, and of those that another one may open."""

    keys: list[str]
    closed: list[str] = field(default_factory=list)


class Opening:
    """One opener process. Use `end` whatever happened."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.over = False
        """It said its last word, or is gone."""
        self.summary: dict[str, int] | None = None
        """What was released, in numbers; none before the end."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def start(cls, settings: Settings, scope: Scope, session: bytes, keys: Sequence[str] | None = None) -> Self:
        """Start it for a scope; `session` is 16 random bytes, `keys` names KEKs."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.unlock.opener",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **_ENVIRONMENT},
        )
        opening = cls(process)
        begin = {
            "settings": settings.model_dump(mode="json"),
            "scope": scope.to_json(),
            "session": session.hex(),
            "keys": list(keys) if keys else None,
        }
        await opening._say(Kind.BEGIN, begin)
        return opening

    async def survey(self) -> Survey:
        """What is in scope; raises `RefusedError`."""
        fields = (await self._hear(Kind.SURVEY)).fields
        return Survey(base64.b64decode(fields["public_key"]), fields["envelopes"], fields["keys"], fields["trying"])

    async def unlock(self, viewer: bytes, sealed: bytes) -> OpenedKeys:
        """Pass a sealed passphrase on; raises `RefusedError`, and is `over` unless another one opened something."""
        await self._say(Kind.PASSPHRASE, viewer + sealed)
        told = (await self._hear(Kind.OPENED)).fields
        if refused := told.get("refused"):
            raise RefusedError(refused["reason"], refused["message"])
        return OpenedKeys(told["keys"], told["closed"])

    async def release(self) -> AsyncIterator[bytes]:
        """Sealed messages for the viewer, until the end; raises `RefusedError` when it comes too early."""
        await self._say(Kind.RELEASE, {})
        while True:
            frame = await self._hear(Kind.SEALED, Kind.DONE)
            if frame.kind is Kind.DONE:
                self.summary = frame.fields
                return
            yield frame.body

    async def end(self) -> None:
        """End it, at once if need be; when this returns, its memory is gone."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 0 if self.summary is None else _END_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _say(self, kind: Kind, body: bytes | dict[str, Any]) -> None:
        if self._process.stdin is None:
            raise LocalError("the opener has no pipe")
        with contextlib.suppress(ConnectionError):  # it says why it ended
            self._process.stdin.write(encode_frame(kind, body))
            await self._process.stdin.drain()

    async def _hear(self, *wanted: Kind) -> Frame:
        if self._process.stdout is None:
            raise LocalError("the opener has no pipe")
        try:
            length, kind = parse_head(await self._process.stdout.readexactly(HEAD_BYTES))
            frame = Frame(kind, await self._process.stdout.readexactly(length))
        except asyncio.IncompleteReadError:
            self.over = True
            raise RefusedError(
                "failed", "the process that opens ended early: its last words are on standard error"
            ) from None
        if kind is Kind.REFUSED:
            self.over = True
            raise RefusedError(frame.fields["reason"], frame.fields["message"])
        if kind not in wanted:
            raise RefusedError("failed", f"the process that opens said {kind.name} out of turn")
        return frame

"""One unlock from asking to end: who, why and what into the audit, the attempt counted, and only then plaintext.

Never lets a message to the viewer before the audit entry that grants it is with all in-sync replicas.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Self

from gateway.unlock.attempts import Attempts
from gateway.unlock.process import OpenedKeys, Opening, Survey
from gateway.unlock.refusal import RefusedError, refusal_of
from gateway.unlock.scope import Scope
from infra.audit import audit_trail
from schemas.errors import SealstreamError
from schemas.unlock_channel import SESSION_BYTES

if TYPE_CHECKING:
    from infra.audit import Write
    from infra.settings import Settings

ACTION = "unlock"
MIN_REASON, MAX_REASON = 3, 1000


class UnlockSession:
    """Use it as `async with UnlockSession(…) as session`; then `survey`, `open`, `release`, in this order."""

    def __init__(
        self,
        settings: Settings,
        scope: Scope,
        *,
        person: str,
        reason: str,
        keys: Sequence[str] = (),
        via: str = "",
        persons: Sequence[str] = (),
    ) -> None:
        self.id = secrets.token_bytes(SESSION_BYTES)
        self.scope = scope
        self._settings = settings
        self._person, self._reason, self._keys = person, " ".join(reason.split()), tuple(keys)
        about = {"session": self.id.hex(), "via": via, "persons": ",".join(persons)}
        self._detail = {**_flat(scope), **{name: text for name, text in about.items() if text}}
        self._attempts = Attempts(settings)
        self._stack = contextlib.AsyncExitStack()
        self._write: Write | None = None
        self._opening: Opening | None = None
        self._survey: Survey | None = None
        self._open: set[str] = set()
        """Names of the KEKs that are open, as the audit has them."""
        self._granted = False
        """The audit has all that is open: it may be released."""
        self._releasing = False

    async def __aenter__(self) -> Self:
        self._write = await self._stack.enter_async_context(audit_trail(self._settings))
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            if self._opening:
                await self._opening.end()
            if self._open:
                summary = self._opening.summary if self._opening else None
                counts = {name: str(count) for name, count in (summary or {}).items()}
                await self._audit("done" if summary is not None else "broken_off", counts)
        finally:
            await self._stack.aclose()

    @property
    def opener_pid(self) -> int:
        """The process that opens, 0 before it was started."""
        return self._opening.pid if self._opening else 0

    @property
    def goes_on(self) -> bool:
        """Whether more passphrases may be given: one opened something, and nothing is released yet."""
        return self._granted and not self._releasing and self._opening is not None and not self._opening.over

    async def survey(self) -> Survey:
        """What is in scope; raises `RefusedError`."""
        async with self._told():
            if not MIN_REASON <= len(self._reason) <= MAX_REASON:
                raise RefusedError("no_reason", f"say why, in {MIN_REASON} to {MAX_REASON} characters: it is kept")
            await self._audit("asked", {"keys": ",".join(self._keys)})
            self._opening = await Opening.start(self._settings, self.scope, self.id, self._keys)
            self._survey = await self._opening.survey()
            return self._survey

    async def open(self, viewer: bytes, sealed: bytes) -> OpenedKeys:
        """Try the viewer's sealed passphrase on the KEKs that are closed; raises `RefusedError`.

        A first one that opens none ends the unlock; see `goes_on` for those that come later.
        """
        async with self._told():
            if self._opening is None or self._survey is None or (self._open and not self.goes_on):
                raise RefusedError("out_of_turn", "this unlock does not wait for a passphrase")
            closed = [key for key in self._survey.trying if key["name"] not in self._open]
            if not closed:
                raise RefusedError("out_of_turn", "every KEK of this unlock is open")
            keks = [key["key_id"] or key["name"] for key in closed]
            attempts = await self._attempts.begin(self._person, keks)
            try:
                opened = await self._opening.unlock(viewer, sealed)
            except RefusedError as refusal:
                await self._attempts.end(attempts, refusal.reason)
                raise
            await self._attempts.end(attempts, "opened")
            told = {"keys": ",".join(opened.keys)}
            outcome, self._granted = "added" if self._open else "granted", False
            await self._audit(outcome, told if self._open else told | {"envelopes": str(self._survey.envelopes)})
            self._open |= set(opened.keys)
            self._granted = True
            return opened

    async def release(self) -> AsyncIterator[bytes]:
        """The sealed messages for the viewer, to their end; raises `RefusedError`."""
        if not self._granted or self._opening is None:
            raise RefusedError("out_of_turn", "nothing was unlocked yet")
        self._releasing = True
        async for message in self._opening.release():
            yield message

    @contextlib.asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """Whatever goes wrong is a refusal, in the audit before anybody else hears of it."""
        try:
            yield
        except SealstreamError as error:
            refusal = refusal_of(error)
            with contextlib.suppress(SealstreamError):  # what is refused releases nothing, audited or not
                await self._audit("refused", {"why": refusal.reason})
            raise refusal from error

    async def _audit(self, outcome: str, detail: dict[str, str]) -> None:
        if self._write is None:
            raise RefusedError("out_of_turn", "the session was not begun")
        await self._write(
            ACTION,
            str(self.scope),
            actor=self._person,
            outcome=outcome,
            purpose=self._reason,
            detail={**self._detail, **{name: text for name, text in detail.items() if text}},
        )


def _flat(scope: Scope) -> dict[str, str]:
    return {"since_ms": str(scope.since_ms), "until_ms": str(scope.until_ms)}

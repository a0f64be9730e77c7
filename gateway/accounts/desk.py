"""What the routes of accounts share: passwords, the account key, sign-in, who asks, and their audit.

Never does what could not be audited; a refusal alone is told without waiting.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

from gateway.accounts.identity import Identities
from gateway.accounts.oidc import Provider
from gateway.accounts.passwords import Passwords
from gateway.accounts.sealing import AccountKey
from gateway.accounts.sign_in import SignIn
from gateway.accounts.verifier import Verifier
from gateway.api.errors import ApiError
from gateway.peer import address_of
from gateway.throttle import Throttle

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway.api.services import Services

Answer = TypeVar("Answer")


class Desk:
    """One of them for the whole application."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.passwords = Passwords()
        self.key = AccountKey(services.settings.accounts.key_file)
        self.identities = Identities(services)
        self.sign_in = SignIn(self)
        self.verifier = Verifier(services.settings)
        self.provider = Provider(services.settings, self.key)
        self._guesses = Throttle("links", services.marks)

    async def audit_plainly(
        self, action: str, target: str, *, actor: str, outcome: str = "done", **detail: str
    ) -> None:
        """An entry of somebody who has no session (yet); raises `ApiError` 503."""
        facts = self.services.facts
        if not await facts.audit_durably(action, target, outcome, actor=f"{actor}@console", **detail):
            raise ApiError(
                503, "unavailable", "the audit cannot be written now: try again in a moment", retry_after_s=5
            )

    def audit_later(self, action: str, target: str, *, outcome: str, **detail: str) -> None:
        """An entry that nobody waits for: nothing was done."""
        self.services.facts.audit(action, target, outcome, **detail)

    async def slow_down(self, request: Request) -> None:
        """Raises `ApiError` 429 for an address that guessed too often."""
        if not await self._guesses.allows(address_of(request)):
            raise ApiError(429, "too_many_attempts", "too many attempts: try again in a minute", retry_after_s=60)

    async def counted(self, request: Request, question: Awaitable[Answer]) -> Answer:
        """The answer to a question about a secret; one that there is not counts as a guess."""
        try:
            return await question
        except ApiError:
            await self._guesses.fail(address_of(request))
            raise

    def close(self) -> None:
        """End what was begun."""
        self.passwords.close()

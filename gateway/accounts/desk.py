"""What the routes of accounts share: passwords, the account key, sign-in, who asks, and their audit.

Never does what could not be audited; a refusal alone is told without waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.accounts.identity import Identities
from gateway.accounts.passwords import Passwords
from gateway.accounts.sealing import AccountKey
from gateway.accounts.sign_in import SignIn
from gateway.api.errors import ApiError

if TYPE_CHECKING:
    from gateway.api.services import Services


class Desk:
    """One of them for the whole application."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.passwords = Passwords()
        self.key = AccountKey(services.settings.accounts.key_file)
        self.identities = Identities(services)
        self.sign_in = SignIn(self)

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

    def close(self) -> None:
        """End what was begun."""
        self.passwords.close()

"""Signing in: a name with a password, then a code where the account has one; each step counted and audited.

Never answers sooner or otherwise for a name that does not exist, and never begins a session that is not in the audit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from gateway.accounts.account import Account
from gateway.accounts.limits import begin_attempt, forgive
from gateway.accounts.passwords import outdated
from gateway.accounts.sealing import NotOursError, hash_of
from gateway.accounts.sessions import begin_session
from gateway.accounts.store import change_account, find_account, read_account
from gateway.accounts.totp import LABEL, looks_like_recovery_code, take_code, take_recovery_code
from gateway.api.errors import ApiError
from gateway.throttle import Throttle

if TYPE_CHECKING:
    from gateway.accounts.desk import Desk
    from sinks.postgresql.connection import Connection

CHALLENGE = "sign-in challenge"
CHALLENGE_S = 300.0
_SPEND = """
INSERT INTO spent_secret (secret_hash, expires_at) VALUES ($1, now() + make_interval(secs => $2))
ON CONFLICT DO NOTHING"""


@dataclass(frozen=True, slots=True)
class Caller:
    """The other side of a sign-in."""

    address: str
    browser: str


class SignIn:
    """The steps; each gives the cookie of a session, or a challenge to be answered."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._services = desk.services
        self._settings = desk.services.settings.accounts
        self._locked = Throttle("locked", desk.services.marks, attempts=1)
        """So that who is locked out cannot fill the audit."""

    async def by_password(self, name: str, password: str, caller: Caller) -> tuple[str, str]:
        """The cookie and no challenge, or no cookie and a challenge; raises `ApiError` 401 and 429."""
        name = name.strip().lower()
        async with self._services.database() as connection:
            attempt = await self._begin(connection, name, caller)
            account = await find_account(connection, name)
        kept = account.password_hash if account and not account.disabled else None
        if not await self._desk.passwords.matches(kept, password) or account is None:
            await self._refuse(name if account else "", caller, "password")
            raise wrong()
        if account.totp_secret is not None:
            told = {"account": str(account.id), "attempt": attempt}
            return "", await self._desk.key.seal_object(CHALLENGE, told, CHALLENGE_S)
        if kept and outdated(kept):
            await self._renew(account, password)
        return await self.begin(account, caller, "password", [attempt]), ""

    async def by_code(self, challenge: str, code: str, caller: Caller) -> str:
        """The cookie, for the answer to a challenge; raises `ApiError` 401 and 429."""
        try:
            told = await self._desk.key.open_object(CHALLENGE, challenge)
        except NotOursError:
            raise ApiError(401, "expired", "that took too long: sign in again") from None
        async with self._services.database() as connection:
            account = await read_account(connection, UUID(told["account"]))
            attempt = await self._begin(connection, account.name, caller)
            if await is_spent(connection, challenge):
                raise _finished()
            right = not account.disabled and await self.takes(connection, account, code)
            if right and not await spend(connection, challenge, CHALLENGE_S):
                raise _finished()
        if not right:
            await self._refuse(account.name, caller, "code")
            raise ApiError(401, "wrong_code", "that code is not right, or was used before")
        return await self.begin(account, caller, "password", [attempt, told["attempt"]])

    async def takes(self, connection: Connection, account: Account, code: str) -> bool:
        """Whether that is a code of the account, which it cannot be again."""
        if account.totp_secret is None:
            return True
        if looks_like_recovery_code(code):
            return await take_recovery_code(connection, account.id, code)
        secret = (await self._desk.key.open(LABEL, account.totp_secret)).decode()
        return await take_code(connection, account.id, secret, code)

    async def begin(self, account: Account, caller: Caller, way: str, attempts: list[int]) -> str:
        """A session of who proved who they are; in the audit first."""
        await self._desk.audit_plainly("sign_in", account.name, actor=account.name, address=caller.address, way=way)
        async with self._services.database() as connection:
            await forgive(connection, attempts)
            return await begin_session(
                connection,
                account.id,
                self._settings,
                address=caller.address,
                browser=caller.browser,
                way=way,
            )

    async def check_password(self, account: Account, password: str, caller: Caller) -> None:
        """Who has a session shows the password; raises `ApiError` 403 and 429."""
        async with self._services.database() as connection:
            attempt = await self._begin(connection, account.name, caller)
        if not await self._desk.passwords.matches(account.password_hash, password):
            await self._refuse(account.name, caller, "password")
            raise ApiError(403, "wrong_password", "that is not your password")
        async with self._services.database() as connection:
            await forgive(connection, [attempt])

    async def prove(self, account: Account, password: str, code: str, caller: Caller) -> None:
        """Who has a session shows again that it is theirs; raises `ApiError` 403 and 429."""
        async with self._services.database() as connection:
            attempt = await self._begin(connection, account.name, caller)
        right = await self._desk.passwords.matches(account.password_hash, password)
        async with self._services.database() as connection:
            if right and await self.takes(connection, account, code):
                return await forgive(connection, [attempt])
        await self._refuse(account.name, caller, "proof")
        raise ApiError(403, "wrong_password", "that is not your password, or the code is not right")

    async def _begin(self, connection: Connection, name: str, caller: Caller) -> int:
        try:
            return await begin_attempt(connection, name, caller.address, self._settings)
        except ApiError:
            if await self._locked.allows(caller.address):
                await self._locked.fail(caller.address)
                told = {"why": "too many attempts", "address": caller.address}
                self._desk.audit_later("sign_in", "an unknown name", outcome="refused", **told)
            raise

    async def _refuse(self, name: str, caller: Caller, why: str) -> None:
        """Into the audit; a name that there is not is not kept: it may be a password in the wrong field."""
        await self._desk.audit_plainly(
            "sign_in",
            name or "an unknown name",
            actor=name or "unknown",
            outcome="refused",
            why=why,
            address=caller.address,
        )

    async def _renew(self, account: Account, password: str) -> None:
        """Hash anew with today's costs."""
        kept = await self._desk.passwords.hash(password)
        async with self._services.database() as connection, connection.transaction():
            await change_account(connection, account.id, password_hash=kept)


async def spend(connection: Connection, secret: str, seconds: float) -> bool:
    """Whether a sealed secret is used for the first time, on whichever gateway."""
    await connection.execute("DELETE FROM spent_secret WHERE expires_at < now()")
    spent: str = await connection.execute(_SPEND, hash_of(secret), seconds)
    return spent == "INSERT 0 1"


async def is_spent(connection: Connection, secret: str) -> bool:
    """Whether a sealed secret was used."""
    query = "SELECT EXISTS (SELECT FROM spent_secret WHERE secret_hash = $1)"
    return bool(await connection.fetchval(query, hash_of(secret)))


def _finished() -> ApiError:
    return ApiError(401, "expired", "that sign-in was finished already: sign in again")


def wrong() -> ApiError:
    """One answer for a wrong password, a disabled account and a name that there is not."""
    return ApiError(401, "wrong_password", "that name and password do not go together")

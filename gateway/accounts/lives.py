"""Whether a session, or the account it is of, still goes on: for what is long, such as a live view.

Never imports the API: processes that serve no console ask it, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid5

if TYPE_CHECKING:
    from sinks.postgresql.connection import Connection

_FILE_ACCOUNTS = UUID("5ea15ea1-0000-4000-8000-000000000000")
_LIVES = """
SELECT EXISTS (SELECT FROM account_session s JOIN account a USING (account_id)
WHERE a.account_id = $1 AND s.session_id = $2 AND s.expires_at > now() AND NOT a.disabled)"""
_ENABLED = "SELECT EXISTS (SELECT FROM account WHERE account_id = $1 AND NOT disabled)"


async def still_lives(connection: Connection, account_id: UUID, session_id: UUID | None, name: str) -> bool:
    """Whether the session goes on; where there is none, whether the account may still do anything."""
    if session_id:
        return bool(await connection.fetchval(_LIVES, account_id, session_id))
    return account_id == file_account(name) or bool(await connection.fetchval(_ENABLED, account_id))


def file_account(person: str) -> UUID:
    """The account id of who has a token of `secrets/api.tokens` and no account."""
    return uuid5(_FILE_ACCOUNTS, person)

"""Whether a session, or the account it is of, still goes on: for what is long, such as a live view.

Never imports the API: processes that serve no console ask it, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid5

if TYPE_CHECKING:
    from sinks.postgresql.connection import Connection

_FILE_ACCOUNTS = UUID("5ea15ea1-0000-4000-8000-000000000000")
WATCHING_ROLES = frozenset({"officer"})
"""Roles with the permissions `watch` and `listen`."""

_LIVES = """
SELECT EXISTS (SELECT FROM account_session s JOIN account a USING (account_id)
WHERE a.account_id = $1 AND s.session_id = $2 AND s.expires_at > now() AND NOT a.disabled
AND ($3 = '' OR a.role = $3))"""
_ENABLED = "SELECT EXISTS (SELECT FROM account WHERE account_id = $1 AND NOT disabled AND ($2 = '' OR role = $2))"
_WATCHES = """
SELECT EXISTS (SELECT FROM account a
WHERE a.account_id = $1 AND NOT a.disabled AND NOT a.must_change_password AND a.role = ANY($2)
AND (a.all_teams OR EXISTS (SELECT FROM account_team t JOIN team_member m USING (team)
                            WHERE t.account_id = a.account_id AND m.user_name = $3)))"""


async def still_lives(
    connection: Connection, account_id: UUID, session_id: UUID | None, name: str, role: str = ""
) -> bool:
    """Whether the session goes on; where there is none, whether the account may still do anything.

    With `role`, whether it has that one still: what it may do may be another thing by now.
    """
    if session_id:
        return bool(await connection.fetchval(_LIVES, account_id, session_id, role))
    return account_id == file_account(name) or bool(await connection.fetchval(_ENABLED, account_id, role))


async def still_watches(connection: Connection, account_id: UUID, user: str) -> bool:
    """Whether the account may still watch that person, or hear them: its role and its teams are asked anew."""
    return bool(await connection.fetchval(_WATCHES, account_id, sorted(WATCHING_ROLES), user))


def file_account(person: str) -> UUID:
    """The account id of who has a token of `secrets/api.tokens` and no account."""
    return uuid5(_FILE_ACCOUNTS, person)

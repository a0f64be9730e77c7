"""An account as the database has it, and what it may do by its role.

Never gives more than the role has, whatever a token or a column says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gateway.api.access import PERMISSIONS, Permission, Principal, Role

COLUMNS = """a.account_id, a.name, a.display_name, a.role, a.person, a.all_teams, a.unlock_on_server, a.password_hash,
a.totp_secret, a.totp_last_step, a.oidc_subject, a.disabled, a.must_change_password,
ARRAY(SELECT t.team FROM account_team t WHERE t.account_id = a.account_id ORDER BY t.team) AS teams"""
"""What `Account.of_row` needs, of `account a`."""

PERSONS = """ARRAY(SELECT DISTINCT m.user_name FROM team_member m JOIN account_team t USING (team)
WHERE t.account_id = a.account_id) AS persons"""


@dataclass(frozen=True, slots=True)
class Account:
    """One row; secrets are hashes or sealed."""

    id: UUID
    name: str
    display_name: str
    role: Role
    person: str
    all_teams: bool
    unlock_on_server: bool
    password_hash: str | None
    totp_secret: bytes | None
    totp_last_step: int
    oidc_subject: str | None
    disabled: bool
    must_change_password: bool
    teams: tuple[str, ...] = ()

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Account:
        """From a row with `COLUMNS`."""
        return cls(
            id=row["account_id"],
            name=row["name"],
            display_name=row["display_name"],
            role=Role(row["role"]),
            person=row["person"] or "",
            all_teams=row["all_teams"],
            unlock_on_server=row["unlock_on_server"],
            password_hash=row["password_hash"],
            totp_secret=row["totp_secret"],
            totp_last_step=row["totp_last_step"],
            oidc_subject=row["oidc_subject"],
            disabled=row["disabled"],
            must_change_password=row["must_change_password"],
            teams=tuple(row["teams"]),
        )

    @property
    def permissions(self) -> frozenset[Permission]:
        """What it may do: its role's, without opening on the server where that was not allowed to it."""
        given = PERMISSIONS[self.role]
        return given if self.unlock_on_server else given - {Permission.UNLOCK_SERVER}

    def scope(self, persons: Iterable[str]) -> frozenset[str] | None:
        """Whom it may see, when its teams have `persons`; `None`: everybody."""
        if self.role is Role.SUBJECT:
            return frozenset({self.person} - {""})
        return None if self.all_teams else frozenset(persons)

    def principal(
        self,
        persons: Iterable[str],
        *,
        address: str,
        session_id: UUID | None = None,
        scopes: Iterable[str] | None = None,
    ) -> Principal:
        """Who asks, by a session or, with `scopes`, by a token."""
        permissions = self.permissions
        if scopes is not None:
            permissions &= {Permission(scope) for scope in scopes if scope in set(Permission)}
        if self.must_change_password:
            permissions = frozenset()
        return Principal(
            account_id=self.id,
            name=self.name,
            role=self.role,
            permissions=permissions,
            persons=self.scope(persons),
            teams=frozenset(self.teams),
            person=self.person,
            way="session" if scopes is None else "token",
            session_id=session_id,
            address=address,
        )

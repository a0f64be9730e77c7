"""Who asks, and what they may do: roles and their permissions in one table, and the people that an account may see.

Never lets a request through by default: a route without `needs` is refused at start-up by `gateway.api.app`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fastapi import Depends, Request

from gateway.api.errors import ApiError

if TYPE_CHECKING:
    from gateway.api.services import Services


class Role(StrEnum):
    """What an account is for."""

    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"
    OFFICER = "officer"
    AUDITOR = "auditor"
    SUBJECT = "subject"


class Permission(StrEnum):
    """What may be done; also the scopes that an API token can have."""

    OVERVIEW = "overview"
    """See how the installation is: agents, nodes, lag, storage; no content."""
    SEARCH = "search"
    """Search what was recorded."""
    RECORDINGS = "recordings"
    """See recordings, and export them."""
    ENVELOPES = "envelopes"
    """Fetch envelopes as they are sealed, for opening them elsewhere."""
    UNLOCK_SERVER = "unlock_server"
    """Have the server open end-to-end data, where the account is allowed to."""
    WATCH = "watch"
    """Watch screens live."""
    LISTEN = "listen"
    """Listen live."""
    ALERTS = "alerts"
    """See and settle alerts."""
    RULES = "rules"
    """Change the rules of alerts."""
    REPORTS = "reports"
    """See reports."""
    AUDIT = "audit"
    """See who did what."""
    KEYS = "keys"
    """See KEKs and where they are."""
    MANAGE_KEYS = "manage_keys"
    """Change KEKs and who is sealed to them."""
    NODES = "nodes"
    """See nodes and their lives."""
    MANAGE_NODES = "manage_nodes"
    """Drain and update nodes, change the list of approved ones."""
    PROCESSORS = "processors"
    """See processors, replays and dead letters."""
    MANAGE_PROCESSORS = "manage_processors"
    """Start and stop processors, replay, retry dead letters."""
    ACCOUNTS = "accounts"
    """Change accounts, teams and their scopes."""
    OWN = "own"
    """See one's own account, and what was recorded of oneself and who saw it."""


_SEEING = frozenset({Permission.OVERVIEW, Permission.NODES, Permission.PROCESSORS, Permission.KEYS, Permission.OWN})

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.ADMINISTRATOR: _SEEING
    | {
        Permission.ACCOUNTS,
        Permission.MANAGE_KEYS,
        Permission.MANAGE_NODES,
        Permission.MANAGE_PROCESSORS,
        Permission.AUDIT,
        Permission.REPORTS,
    },
    Role.OPERATOR: _SEEING | {Permission.MANAGE_NODES, Permission.MANAGE_PROCESSORS},
    Role.OFFICER: frozenset(
        {
            Permission.OVERVIEW,
            Permission.SEARCH,
            Permission.RECORDINGS,
            Permission.ENVELOPES,
            Permission.UNLOCK_SERVER,
            Permission.WATCH,
            Permission.LISTEN,
            Permission.ALERTS,
            Permission.RULES,
            Permission.REPORTS,
            Permission.KEYS,
            Permission.OWN,
        }
    ),
    Role.AUDITOR: frozenset(
        {Permission.OVERVIEW, Permission.AUDIT, Permission.REPORTS, Permission.KEYS, Permission.OWN}
    ),
    Role.SUBJECT: frozenset({Permission.OWN, Permission.RECORDINGS}),
}
"""Of each role. Who runs the installation sees no content, and who sees content does not change the installation. A
recorded person sees the recordings of themselves: `persons` is nobody else for them."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: an account, by a session or a token."""

    account_id: UUID
    name: str
    role: Role
    permissions: frozenset[Permission]
    persons: frozenset[str] | None = frozenset()
    """User names of the recorded people that it may see; `None`: all."""
    teams: frozenset[str] = frozenset()
    """The teams whose people these are, where it does not see everybody."""
    person: str = ""
    """The user name under which it is recorded itself."""
    way: str = "session"
    """`session` or `token`."""
    session_id: UUID | None = None
    """The session, so that what is long can end with it."""
    address: str = ""

    @property
    def actor(self) -> str:
        """As the audit names it."""
        return f"{self.name}@console" if self.way == "session" else f"{self.name}@api"

    def may(self, permission: Permission) -> bool:
        """Whether it has that permission."""
        return permission in self.permissions

    def may_see(self, user_name: str) -> bool:
        """Whether that recorded person is in its scope."""
        return self.persons is None or user_name in self.persons

    def seen_of(self, user_names: Collection[str]) -> list[str]:
        """Those of the names that it may see, in order; all that it may see when none is given.

        Never call it with `persons` `None` and no names: there is no list of everybody.
        """
        if self.persons is None:
            return list(user_names)
        return [name for name in user_names if name in self.persons] if user_names else sorted(self.persons)


class Needs:
    """The dependency of a route on a permission; raises `ApiError` 401 or 403."""

    def __init__(self, permission: Permission | None) -> None:
        self.permission = permission

    async def __call__(self, request: Request) -> Principal:
        """Who asks, if they may."""
        services: Services = request.app.state.services
        principal = await services.identify(request)
        if self.permission is not None and not principal.may(self.permission):
            raise ApiError(403, "forbidden", f"this needs the permission `{self.permission}`, which you do not have")
        return principal


def needs(permission: Permission | None) -> Any:
    """The dependency, for `Annotated[Principal, …]`; with `None` whoever is signed in may go on."""
    return Depends(Needs(permission))


Identify = Callable[[Request], Awaitable[Principal]]
"""Who sent a request; raises `ApiError` 401."""

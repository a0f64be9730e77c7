"""Changes of accounts: what is needed to make one, and how the audit tells it.

Never lets a session that has been idle in trust change who may sign in, and never puts a secret into the audit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.api.errors import ApiError

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway.accounts.account import Account
    from gateway.accounts.sessions import Session
    from gateway.api.services import Services

TOLD = ("display_name", "role", "person", "all_teams", "unlock_on_server", "disabled", "teams")
"""What of an account the audit tells, before and after."""


async def own_session(services: Services, request: Request, *, fresh: bool) -> Session:
    """The session that asks; raises `ApiError` 403 for a token, and where it is not fresh enough."""
    session = (await services.desk.identities.who(request)).session
    if session is None:
        raise ApiError(403, "forbidden", "a token cannot do this: sign in")
    if fresh and not session.is_fresh(services.settings.accounts.fresh_s):
        raise ApiError(403, "not_fresh", "show your password again: `POST /api/v1/session/fresh`")
    return session


def rights_of(account: Account) -> dict[str, Any]:
    """What of an account `differences` compares."""
    return {name: getattr(account, name) for name in TOLD}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """What changed, as `old → new`; only of `TOLD`."""
    return {
        name: f"{_text(before[name])} → {_text(after[name])}"
        for name in TOLD
        if name in after and _text(before[name]) != _text(after[name])
    }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(sorted(value)) or "none"
    return str(value or "none")

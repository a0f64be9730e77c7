"""Whom a rule concerns, and who may see and change it: whose own teams are all that it concerns.

Never lets a rule reach beyond the teams of who saves it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from gateway.api.errors import ApiError
from schemas.errors import MalformedError

if TYPE_CHECKING:
    from gateway.api.access import Principal
    from gateway.rules.table import Stored
    from infra.rules.rule import Conditions

Teams = frozenset[str] | None
"""Teams whose people somebody sees; `None`: everybody."""


def teams_of(principal: Principal) -> Teams:
    """The teams that an account sees."""
    return None if principal.persons is None else principal.teams


def sees_rule(seen: Teams, stored: Stored) -> bool:
    """Whether who sees these teams sees that rule: one that concerns somebody, and nobody else's people."""
    concerns = stored.rule.concerns
    return seen is None or (bool(concerns) and seen.issuperset(concerns or ()))


def choose_concerns(
    seen: Teams, *, all_teams: bool | None, teams: Sequence[str], before: Stored | None = None
) -> tuple[str, ...] | None:
    """The teams that a rule is to be of, `None` for everybody: as wished, else as it was, else all that one sees.

    Raises `ApiError` 403 for more than one sees, and `MalformedError` where no team is left.
    """
    wished = _wished(seen, all_teams=all_teams, teams=teams, before=before)
    if wished is None:
        if seen is not None:
            raise ApiError(403, "forbidden", "you see the people of your teams alone: a rule of yours concerns those")
        return None
    check_teams(seen, wished)
    if not wished:
        raise MalformedError("this rule would concern nobody: name a team whose people you see", "bad_request")
    return tuple(sorted(set(wished)))


def _wished(
    seen: Teams, *, all_teams: bool | None, teams: Sequence[str], before: Stored | None
) -> Collection[str] | None:
    if all_teams:
        return None
    if teams or all_teams is False:
        return teams
    if before is None:
        return seen
    if before.teams is None or seen is None:
        return before.teams
    return seen.intersection(before.teams)


def check_teams(seen: Teams, teams: Collection[str]) -> None:
    """Raise `MalformedError` for a team that one does not see, which is like one that there is not."""
    if seen is not None and (others := sorted(set(teams) - seen)):
        raise MalformedError(f"there is no team {others[0]} among yours", "bad_request")


def check_conditions(seen: Teams, conditions: Conditions) -> None:
    """Conditions name no team that one does not see: a match would tell who is in it. Raises `MalformedError`."""
    check_teams(seen, conditions.teams)

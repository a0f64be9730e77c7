"""Whom rules concern: an officer's are of their teams alone, when they are saved and whenever they judge."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2 as httpx
import pytest

from gateway.accounts.account import Account
from gateway.accounts.store import find_account
from gateway.api.access import PERMISSIONS, Permission, Role
from infra.settings import Settings, postgresql_dsn
from tests.api.accounts import add_account, as_principal
from tests.api.ruled_ground import DOCUMENTS, SPANS, alerts_of, ruled_stores
from tests.api.stores import Api, serving

pytestmark = pytest.mark.live

TEAMS = {"east": "Bob", "west": "ann"}


@pytest.fixture
async def settings(backing: Settings) -> AsyncIterator[Settings]:
    """Two teams of one person each; an officer of each, one of both, and one who sees everybody."""
    async with ruled_stores(backing) as own:
        for team, person in TEAMS.items():
            await sql(own, "INSERT INTO team VALUES ($1)", team)
            await sql(own, "INSERT INTO team_member VALUES ($1, $2)", team, person)
        for name, teams in (("esther", ["east"]), ("will", ["west"]), ("both", ["east", "west"]), ("none", [])):
            await add_account(own, name, Role.OFFICER, teams)
        await add_account(own, "alma", Role.OFFICER, all_teams=True)
        yield own


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    async with serving(settings, "gateway.api.rules", "gateway.api.alerts") as opened:
        yield opened


async def sql(settings: Settings, statement: str, *values: Any) -> list[Any]:
    connection = await asyncpg.connect(postgresql_dsn(settings))
    try:
        return list(await connection.fetch(statement, *values))
    finally:
        await connection.close()


class Person:
    """An officer with their account as it is in the database now."""

    def __init__(self, api: Api, name: str) -> None:
        self._services, self._client, _ = api
        self.name = name

    async def ask(self, method: str, path: str, status: int = 200, body: Any = None, **query: Any) -> Any:
        async with self._services.database() as connection:
            account = await find_account(connection, self.name)
            assert isinstance(account, Account)
            rows = await connection.fetch("SELECT user_name FROM team_member WHERE team = ANY($1)", list(account.teams))
        as_principal(self._services, account.principal([row["user_name"] for row in rows], address="127.0.0.1"))
        answer: httpx.Response = await self._client.request(method, f"/api/v1{path}", json=body, params=query)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def make(self, name: str = "a rule", status: int = 201, **wish: Any) -> Any:
        wish.setdefault("conditions", {"words": ["invoice"]})
        return await self.ask("POST", "/rules", status, {"name": name, **wish})

    async def change(self, rule: dict[str, Any], status: int = 200, **wish: Any) -> Any:
        told = {"name": rule["name"], "conditions": {"words": ["invoice"]}, "version": rule["version"], **wish}
        return await self.ask("PUT", f"/rules/{rule['rule_id']}", status, told)

    async def sees(self) -> list[tuple[str, list[str]]]:
        return [(rule["name"], rule["concerns"]) for rule in await self.ask("GET", "/rules")]


async def raised(settings: Settings) -> set[str]:
    """Whom the rules in force find in all documents and activity."""
    await sql(settings, "DELETE FROM alert")
    return {row["person"] for row in await alerts_of(settings, [*DOCUMENTS, *SPANS])}


async def test_a_rule_of_a_scope_finds_its_people_alone(api: Api, settings: Settings) -> None:
    """Words or amounts; without more said it concerns the maker's teams, and an account that sees everybody, all."""
    assert {role for role in Role if Permission.RULES in PERMISSIONS[role]} == {Role.OFFICER}  # as `CONCERNS` has it
    made = await Person(api, "esther").make()
    assert (made["all_teams"], made["teams"], made["concerns"]) == (False, ["east"], ["east"])
    assert await raised(settings) == {"Bob"}
    volume = {"measure": "active_minutes", "more_than": 40, "within_minutes": 60}
    await Person(api, "will").make("games", conditions={"applications": ["games"], "volume": volume})
    assert await raised(settings) == {"Bob", "ann"}
    kinds = await sql(settings, "SELECT DISTINCT kind, person FROM alert ORDER BY 1")
    assert [tuple(row) for row in kinds] == [("active_minutes", "ann"), ("match", "Bob")]
    everybody = await Person(api, "alma").make("all")
    assert (everybody["all_teams"], everybody["teams"], everybody["concerns"]) == (True, [], [])
    assert json.loads(api[2][0]["after"])["concerns"] == ["east"]
    assert json.loads(api[2][-1]["after"])["concerns"] == "everybody"


async def test_rules_of_others_are_not_there(api: Api) -> None:
    """Neither listed, shown, changed nor removed, nor told by a name that is taken; who sees all teams sees all."""
    esther, will, both, alma = (Person(api, name) for name in ("esther", "will", "both", "alma"))
    mine, shared, whole = await esther.make("mine"), await both.make("shared"), await alma.make("whole")
    assert await esther.sees() == [("mine", ["east"])]
    assert await both.sees() == [("mine", ["east"]), ("shared", ["east", "west"])]
    assert await will.sees() == await Person(api, "none").sees() == []
    assert [name for name, _ in await alma.sees()] == ["mine", "shared", "whole"]
    before = len(api[2])
    for rule in (mine, shared, whole):
        await will.ask("GET", f"/rules/{rule['rule_id']}", 404)
        await will.change(rule, 404)
        await will.ask("DELETE", f"/rules/{rule['rule_id']}", 404, version=1)
    assert len(api[2]) == before
    assert (await will.make("mine"))["concerns"] == ["west"]
    await both.make("mine", 400)
    assert [team["name"] for team in await will.ask("GET", "/rules/teams")] == ["west"]
    assert [(team["name"], team["people"]) for team in await alma.ask("GET", "/rules/teams")] == [
        ("east", 1), ("west", 1),
    ]  # fmt: skip


async def test_nobody_makes_a_rule_beyond_their_teams(api: Api) -> None:
    """Not for everybody, not for another team, not with another team in a condition, not without any team."""
    esther, both, alma = Person(api, "esther"), Person(api, "both"), Person(api, "alma")
    await esther.make("a", 403, all_teams=True)
    for wish in ({"teams": ["west"]}, {"teams": ["east", "west"]}, {"conditions": {"teams": ["west"]}}):
        told = await esther.make("a", 400, **wish)
        assert told["message"] == "there is no team west among yours"
    await Person(api, "none").make("a", 400)
    await esther.make("a", 400, all_teams=False)
    await alma.make("a", 400, teams=["north"])
    await esther.ask("POST", "/rules/preview", 400, {"conditions": {"words": ["x"]}, "teams": ["west"]})
    assert await alma.sees() == []
    narrow = await both.make("narrow", teams=["west"])
    assert (await both.change(narrow, teams=["east"]))["concerns"] == ["east"]
    await esther.change({**narrow, "version": 2}, 403, all_teams=True)
    assert (await alma.change({**narrow, "version": 2}))["concerns"] == ["east"], "it stays what it was"
    assert (await alma.change({**narrow, "version": 3}, all_teams=True))["all_teams"]
    await both.change({**narrow, "version": 4}, 404)


async def test_the_scope_of_now_holds_at_every_evaluation(api: Api, settings: Settings) -> None:
    """Teams that its owner loses, an owner who is gone or no officer any more, people who leave a team."""
    both, esther, alma = Person(api, "both"), Person(api, "esther"), Person(api, "alma")
    rule = await both.make()
    assert await raised(settings) == {"ann", "Bob"}
    await sql(settings, "DELETE FROM account_team t USING account a WHERE a.account_id = t.account_id AND "
              "a.name = 'both' AND t.team = 'west'")  # fmt: skip
    assert await raised(settings) == {"Bob"}
    assert await both.sees() == await esther.sees() == [("a rule", ["east"])]
    await sql(settings, "UPDATE account SET role = 'auditor' WHERE name = 'both'")
    assert await raised(settings) == set()
    assert await alma.sees() == [("a rule", [])], "it concerns nobody, and is told to who sees all teams"
    assert await esther.sees() == []
    assert (await alma.change(rule))["concerns"] == ["east", "west"], "who saves it takes it over"
    assert await raised(settings) == {"ann", "Bob"}
    await sql(settings, "DELETE FROM team_member WHERE user_name = 'Bob'")
    assert await raised(settings) == {"ann"}
    await sql(settings, "DELETE FROM account WHERE name = 'alma'")
    assert await raised(settings) == set()


async def test_rules_that_were_there_before_concern_everybody(api: Api, settings: Settings) -> None:
    """As a release before this one stored them."""
    await sql(
        settings,
        "INSERT INTO alert_rule (name, kind, severity, conditions, changed_by) "
        """VALUES ('old', 'match', 'low', '{"words": ["invoice"]}', 'esther')""",
    )
    assert await raised(settings) == {"ann", "Bob"}
    assert await Person(api, "esther").sees() == []
    (old,) = await Person(api, "alma").ask("GET", "/rules")
    assert (old["all_teams"], old["concerns"]) == (True, [])


async def test_a_preview_stays_within_whom_the_rule_concerns(api: Api) -> None:
    """The maker's people, or those of the teams that were chosen; the audit names no others."""
    wish = {"conditions": {"words": ["invoice"]}}
    for name, teams, people in (
        ("esther", [], "Bob"),
        ("alma", [], "Bob,ann"),
        ("alma", ["west"], "ann"),
        ("both", ["east"], "Bob"),
        ("both", [], "Bob,ann"),
    ):
        told = await Person(api, name).ask("POST", "/rules/preview", body={**wish, "teams": teams})
        assert {sample["person"] for sample in told["samples"]} == set(people.split(","))
        assert api[2][-1]["persons"] == people

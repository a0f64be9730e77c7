"""Unlocks in the browser, as the server hears of them: audited before anything is opened, and no secret is taken."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import httpx2 as httpx
import pytest

from gateway.api.access import Role
from gateway.api.app import create_app
from gateway.api.services import Services
from gateway.facts import Facts
from gateway.memory import MemoryPublisher
from infra.settings import PostgresqlSettings, Settings
from schemas.records import decode_record
from tests.api.accounts import as_principal, principal_of

PATH = "/api/v1/unlock/browser"
WISH = {"purpose": "case 4711", "keys": ["ab" * 32], "minutes": 15}


@dataclass
class Api:
    """A client, the services behind it, and what they wrote into the audit."""

    client: httpx.AsyncClient
    services: Services
    publisher: MemoryPublisher

    @property
    def audited(self) -> list[dict[str, Any]]:
        """The entries."""
        return [decode_record(one.value, "audit_entry") for one in self.publisher.records if one.topic == "audit"]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """The application without a store; an officer asks."""
    publisher = MemoryPublisher()
    away = PostgresqlSettings(dsn="postgresql://nobody@127.0.0.1:1/nothing", password_file=None)
    services = Services(Settings(postgresql=away), Facts(publisher, reporter="node-1/gateway", incarnation="0"), Mock())
    as_principal(services, principal_of(Role.OFFICER))
    transport = httpx.ASGITransport(app=create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="https://node") as client:
        yield Api(client, services, publisher)


async def test_keys_are_not_added_while_nobody_can_tell_whose_unlock_it_is(api: Api) -> None:
    """PostgreSQL is away: the page is told so, the audit has nothing, and no unlock begins."""
    answer = await api.client.post(f"{PATH}/{uuid4()}/keys", json={"purpose": "case 4711", "keys": ["cd" * 32]})
    assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
    assert "cannot be checked now: nothing was added" in answer.json()["message"]
    assert (await api.client.post(PATH, json=WISH)).status_code == 503
    assert not api.audited


async def test_an_end_is_in_the_audit_whatever_is_away(api: Api) -> None:
    """PostgreSQL is away: what was told is kept, and that nobody could check it."""
    unlock = uuid4()
    assert (await api.client.post(f"{PATH}/{unlock}/end", json={"reason": "closed", "opened": 7})).status_code == 204
    [over] = api.audited
    assert (over["target"], over["outcome"], over["detail"]["reason"]) == (f"unlock {unlock}", "ended", "closed")
    assert "PostgreSQL was away" in over["detail"]["unchecked"]


@pytest.mark.parametrize("change", [{"keys": []}, {"keys": ["officers"]}, {"purpose": ""}, {"minutes": 60}])
async def test_what_must_not_be_added_is_refused(api: Api, change: dict[str, Any]) -> None:
    """No key id, no purpose; nor more time."""
    more = {"purpose": "case 4711", "keys": ["cd" * 32]} | change
    answer = await api.client.post(f"{PATH}/{uuid4()}/keys", json=more)
    assert (answer.status_code, answer.json()["error"]) == (422, "bad_request")
    assert not api.audited


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "  a "},
        {"purpose": "x" * 1001},
        {"keys": []},
        {"keys": ["officers"]},
        {"keys": ["AB" * 32]},
        {"minutes": 0},
        {"minutes": 61},
        {"passphrase": "secret"},
        {"pem": "-----BEGIN"},
    ],
)
async def test_what_it_must_not_be_is_refused(api: Api, change: dict[str, Any]) -> None:
    """No purpose, no key id, no time that is too long; and nothing that does not belong to the server."""
    answer = await api.client.post(PATH, json=WISH | change)
    assert (answer.status_code, answer.json()["error"]) == (422, "bad_request")
    assert "secret" not in answer.text
    assert not api.audited


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.OPERATOR, Role.AUDITOR])
async def test_who_sees_no_recordings_unlocks_none(api: Api, role: Role) -> None:
    """Neither beginning nor end, and no names of keys."""
    as_principal(api.services, principal_of(role))
    assert (await api.client.post(PATH, json=WISH)).status_code == 403
    assert (await api.client.post(f"{PATH}/{uuid4()}/end", json={"reason": "locked"})).status_code == 403
    more = {"purpose": "case 4711", "keys": ["cd" * 32]}
    assert (await api.client.post(f"{PATH}/{uuid4()}/keys", json=more)).status_code == 403
    assert (await api.client.get(f"{PATH}/keys", params={"key_id": "cd" * 32})).status_code == 403

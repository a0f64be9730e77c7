"""Unlocks in the browser on a real database: whose further requests are taken, by which gateway, and until when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2 as httpx
import pytest
import pytest_asyncio

from gateway.api.access import Principal, Role
from gateway.api.app import create_app
from gateway.api.services import Services
from gateway.facts import Facts
from gateway.memory import MemoryPublisher
from infra.settings import Settings
from schemas.records import Record, decode_record
from tests.api.accounts import as_principal, principal_of
from tests.api.people import Desk, open_desk

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

PATH = "/api/v1/unlock/browser"
WISH = {"purpose": "case 4711", "keys": ["ab" * 32], "minutes": 15}
MORE = {"purpose": "case 4711", "keys": ["cd" * 32, "ef" * 32]}
LOCKED = {"reason": "locked", "opened": 7}
OLGA = principal_of(Role.OFFICER, name="olga", persons=None)
OTTO = principal_of(Role.OFFICER, name="otto", persons=None)


@dataclass
class Gateway:
    """One of two on the same database, each asked by one officer."""

    services: Services
    client: httpx.AsyncClient
    publisher: MemoryPublisher

    def asked_by(self, principal: Principal) -> None:
        """Whoever asks from now on is that one."""
        as_principal(self.services, principal)

    async def begin(self) -> str:
        """The id of an unlock that began here."""
        answer = await self.client.post(PATH, json=WISH)
        assert answer.status_code == 201, answer.text
        return str(UUID(answer.json()["id"]))

    async def add(self, unlock: object, **change: Any) -> int:
        """The status of adding keys."""
        return (await self.client.post(f"{PATH}/{unlock}/keys", json=MORE | change)).status_code

    async def end(self, unlock: object, **change: Any) -> int:
        """The status of ending it."""
        return (await self.client.post(f"{PATH}/{unlock}/end", json=LOCKED | change)).status_code

    def told_of(self, unlock: str) -> list[Record]:
        """What this gateway told the audit of it."""
        entries = [decode_record(one.value, "audit_entry") for one in self.publisher.records if one.topic == "audit"]
        return [entry for entry in entries if entry["target"] == f"unlock {unlock}"]

    def outcomes_of(self, unlock: str) -> list[str]:
        """The outcomes of that."""
        return [entry["outcome"] for entry in self.told_of(unlock)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(backing: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """A database of the module's own."""
    root: Path = tmp_path_factory.mktemp("unlocks")
    async with open_desk(backing, root) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def gateways(desk: Desk) -> AsyncIterator[list[Gateway]]:
    """Two, both asked by the same officer."""
    made = [make_gateway(desk, number) for number in (1, 2)]
    yield made
    for one in made:
        await one.client.aclose()
        await one.services.close()
    await desk.sql("DELETE FROM browser_unlock")


def make_gateway(desk: Desk, number: int) -> Gateway:
    publisher = MemoryPublisher()
    facts = Facts(publisher, reporter=f"node-{number}/gateway", incarnation="0")
    services = Services(desk.settings, facts, desk.services.metrics)
    as_principal(services, OLGA)
    transport = httpx.ASGITransport(app=create_app(services))
    return Gateway(services, httpx.AsyncClient(transport=transport, base_url="https://node", timeout=60), publisher)


async def pass_minutes(desk: Desk, unlock: str, minutes: float) -> None:
    """Let it have begun so much earlier."""
    earlier = "began_at = began_at - make_interval(secs => $2), ends_at = ends_at - make_interval(secs => $2)"
    await desk.sql(f"UPDATE browser_unlock SET {earlier} WHERE unlock_id = $1", UUID(unlock), minutes * 60.0)


async def test_its_beginning_growing_and_end_are_in_the_audit(gateways: list[Gateway]) -> None:
    """With purpose, key ids and time; all name the same unlock; no time is told when it grows: it stays as it was."""
    one, _ = gateways
    unlock = await one.begin()
    assert await one.add(unlock) == 204
    assert await one.end(unlock, reason="time_out") == 204
    begun, added, over = one.told_of(unlock)
    assert (begun["action"], begun["outcome"], begun["purpose"]) == ("unlock_browser", "granted", "case 4711")
    assert (begun["detail"]["keys"], begun["detail"]["minutes"]) == ("ab" * 32, "15")
    assert (added["action"], added["outcome"], added["purpose"]) == ("unlock_browser", "added", "case 4711")
    assert added["detail"]["keys"] == f"{'cd' * 32}, {'ef' * 32}"
    assert "minutes" not in added["detail"]
    assert (over["outcome"], over["detail"]["reason"], over["detail"]["opened"]) == ("ended", "time_out", "7")
    assert "unchecked" not in over["detail"]


async def test_any_gateway_goes_on_with_it(gateways: list[Gateway]) -> None:
    """It began at one; another one takes its keys and its end; then it is over at both."""
    one, other = gateways
    unlock = await one.begin()
    assert (await other.add(unlock), await other.end(unlock)) == (204, 204)
    for gateway in gateways:
        assert (await gateway.add(unlock), await gateway.end(unlock)) == (404, 404)
    assert one.outcomes_of(unlock) == ["granted"]
    assert other.outcomes_of(unlock) == ["added", "ended"]


async def test_nobody_elses_and_none_that_never_began(gateways: list[Gateway]) -> None:
    """What is told of them is refused, and the audit has none of it; who began it goes on."""
    one, other = gateways
    unlock, never = await one.begin(), str(uuid4())
    other.asked_by(OTTO)
    for gateway, named in ((other, unlock), (other, never), (one, never)):
        answer = await gateway.client.post(f"{PATH}/{named}/keys", json=MORE)
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
        assert "no such unlock of yours" in answer.json()["message"]
        assert await gateway.end(named) == 404
    assert not [*other.publisher.records, *one.told_of(never)]
    assert (await one.add(unlock), await one.end(unlock)) == (204, 204)


async def test_its_time_is_kept(gateways: list[Gateway], desk: Desk) -> None:
    """Past its minutes no key is added; a page that is a little late may tell that it ended, and none much later."""
    one, other = gateways
    unlock, late = await one.begin(), await one.begin()
    await pass_minutes(desk, unlock, 15.5)
    assert (await one.add(unlock), await other.add(unlock)) == (404, 404)
    assert await other.end(unlock, reason="time_out") == 204
    await pass_minutes(desk, late, 18)
    assert (await one.end(late), one.outcomes_of(late)) == (404, ["granted"])


async def test_its_purpose_is_kept(gateways: list[Gateway]) -> None:
    """Keys are added for what it was begun for."""
    one, _ = gateways
    unlock = await one.begin()
    assert await one.add(unlock, purpose="case 4712") == 400
    assert await one.add(unlock, purpose="  case 4711 ") == 204
    assert one.outcomes_of(unlock) == ["granted", "added"]


async def test_what_nobody_ended_is_told_as_over(gateways: list[Gateway], desk: Desk) -> None:
    """By one gateway, once, when the audit takes it; what goes on or was ended is not."""
    one, other = gateways
    left, ended, going = await one.begin(), await one.begin(), await one.begin()
    assert await one.end(ended) == 204
    for unlock in (left, ended):
        await pass_minutes(desk, unlock, 18)
    await pass_minutes(desk, going, 14)
    assert sum(await asyncio.gather(*(one.services.browser_unlocks.settle() for one in gateways))) == 1
    assert await other.services.browser_unlocks.settle() == 0
    [over] = [entry for gateway in gateways for entry in gateway.told_of(left) if entry["outcome"] != "granted"]
    assert (over["outcome"], over["purpose"]) == ("over", "case 4711")
    assert over["actor"] in {"node-1/gateway", "node-2/gateway"}
    assert (over["detail"]["by"], over["detail"]["reason"]) == ("olga@console", "not_told")
    assert await one.end(left) == 404
    assert one.outcomes_of(ended) == ["granted", "ended"]
    await pass_minutes(desk, left, 24 * 60)
    await one.services.browser_unlocks.settle()
    assert {row["unlock_id"] for row in await desk.sql("SELECT * FROM browser_unlock")} == {UUID(ended), UUID(going)}


async def test_what_the_audit_does_not_take_is_not_done(gateways: list[Gateway], desk: Desk) -> None:
    """It neither begins, grows nor ends, and is not settled; later it is."""
    one, other = gateways
    unlock, left = await other.begin(), await other.begin()
    await pass_minutes(desk, left, 18)
    audit_durably = one.services.facts.audit_durably

    async def refuse(*_: Any, **__: Any) -> bool:
        return False

    one.services.facts.audit_durably = refuse  # type: ignore[method-assign]
    before = await desk.sql("SELECT * FROM browser_unlock ORDER BY unlock_id")
    assert (await one.client.post(PATH, json=WISH)).status_code == 503
    assert (await one.add(unlock), await one.end(unlock)) == (503, 503)
    assert await one.services.browser_unlocks.settle() == 0
    assert await desk.sql("SELECT * FROM browser_unlock ORDER BY unlock_id") == before
    one.services.facts.audit_durably = audit_durably  # type: ignore[method-assign]
    assert (await one.add(unlock), await one.end(unlock)) == (204, 204)
    assert await one.services.browser_unlocks.settle() == 1


async def test_the_audit_has_no_key_after_the_end(gateways: list[Gateway]) -> None:
    """Keys that are added while it is being ended at another gateway wait, and are refused."""
    one, other = gateways
    unlock = await one.begin()
    audit_durably = one.services.facts.audit_durably
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any, **detail: Any) -> bool:
        begun.set()
        await go_on.wait()
        return await audit_durably(*arguments, **detail)

    one.services.facts.audit_durably = slow  # type: ignore[method-assign]
    ending = asyncio.create_task(one.end(unlock))
    await begun.wait()
    adding = asyncio.create_task(other.add(unlock))
    done, _ = await asyncio.wait({adding}, timeout=0.2)
    assert not done
    go_on.set()
    assert (await ending, await adding) == (204, 404)
    assert (one.outcomes_of(unlock), other.outcomes_of(unlock)) == (["granted", "ended"], [])

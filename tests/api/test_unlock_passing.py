"""What a gateway takes that another one passes on, and what it refuses: no store is needed to tell."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import httpx2 as httpx
import pytest

from gateway.accounts.sealing import AccountKey
from gateway.api.app import create_app
from gateway.api.services import Services
from gateway.facts import Facts
from gateway.memory import MemoryPublisher
from gateway.unlock.passing import _LABEL, PATH, Passed
from gateway.unlock.process import OpenedKeys
from gateway.unlock.refusal import RefusedError
from infra.settings import AccountSettings, Settings

ASKED = Passed("node-1/gateway", "node-2/gateway", "end", "ab" * 16, "olga@console")


@dataclass
class Holder:
    """The gateway that has an unlock of olga's, and a client of another gateway's."""

    services: Services
    client: httpx.AsyncClient
    held: Mock
    ended: list[object]

    async def take(self, passed: str) -> tuple[int, str]:
        """Status and word of the answer."""
        answer = await self.client.post(PATH, json={"passed": passed})
        return answer.status_code, answer.json()["error"] if answer.content else ""

    async def seal(self, passed: Passed, seconds: float = 30.0, label: str = _LABEL) -> str:
        """As another master seals it."""
        return await self.services.desk.key.seal_object(label, asdict(passed), seconds)


@pytest.fixture
async def holder(tmp_path: Path) -> AsyncIterator[Holder]:
    """The application without a store."""
    settings = Settings(accounts=AccountSettings(key_file=tmp_path / "accounts.key"))
    services = Services(settings, Facts(MemoryPublisher(), reporter="node-1/gateway", incarnation="0"), Mock())
    services.approved = {"127.0.0.1"}
    ended = list[object]()

    def find(session: str, actor: str) -> Any:
        if (session, actor) != (ASKED.session, ASKED.actor):
            raise RefusedError("nothing_found", "there is no such unlock")
        return held

    async def end() -> None:
        ended.append(held)

    held = Mock(end=end, open=AsyncMock(return_value=OpenedKeys(["officers"], ["old"])))
    services.unlocks.find = find  # type: ignore[method-assign]
    transport = httpx.ASGITransport(app=create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="https://node-1") as client:
        yield Holder(services, client, held, ended)


async def test_what_a_master_passes_on_is_done(holder: Holder) -> None:
    """An end, and a passphrase, which stays sealed."""
    assert await holder.take(await holder.seal(ASKED)) == (204, "")
    assert len(holder.ended) == 1
    texts = {"public_key": base64.b64encode(b"point").decode(), "sealed": base64.b64encode(b"sealed").decode()}
    answer = await holder.client.post(PATH, json={"passed": await holder.seal(replace(ASKED, part="open", **texts))})
    assert answer.json() == {"keys": ["officers"], "closed": ["old"]}
    holder.held.open.assert_awaited_once_with(b"point", b"sealed")


async def test_what_no_master_sealed_for_this_one_is_refused(holder: Holder, tmp_path: Path) -> None:
    """Junk, what is old, for another gateway, for another use, of another installation, or not from a node."""
    other = AccountKey(tmp_path / "other.key")
    refused = [
        "",
        "junk",
        "!" * 100,
        await holder.seal(ASKED, -1.0),
        await holder.seal(replace(ASKED, to="node-3/gateway")),
        await holder.seal(ASKED, label="a challenge"),
        await other.seal_object(_LABEL, asdict(ASKED), 30.0),
        await holder.services.desk.key.seal_object(_LABEL, {"to": ASKED.to}, 30.0),
        await holder.services.desk.key.seal_object(_LABEL, {**asdict(ASKED), "part": "copy"}, 30.0),
    ]
    for passed in refused:
        assert await holder.take(passed) == (403, "not_passed")
    assert (await holder.client.post(PATH, json={"passed": 7})).status_code == 400
    good = await holder.seal(ASKED)
    holder.services.approved = {"10.0.0.1"}
    assert await holder.take(good) == (403, "not_passed")
    assert not holder.ended


async def test_it_is_passed_on_once(holder: Holder) -> None:
    """A gateway that has not got the unlock says so, whoever it believes has it; nobody else's is found."""
    holder.services.passing.find = AsyncMock()  # type: ignore[method-assign]
    assert await holder.take(await holder.seal(replace(ASKED, session="cd" * 16))) == (404, "nothing_found")
    assert await holder.take(await holder.seal(replace(ASKED, actor="otto@console"))) == (404, "nothing_found")
    holder.services.passing.find.assert_not_awaited()
    assert not holder.ended

"""Unlocking over HTTPS on real stores: what the routes answer, to whom, and that the carrier sees nothing."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any, ClassVar
from unittest.mock import Mock

import httpx2 as httpx
import pytest

from gateway.api.app import create_app
from gateway.api.services import Services
from gateway.facts import Facts
from gateway.kafka import KafkaPublisher
from gateway.unlock.tokens import ApiTokens
from schemas.unlock_channel import Viewing, answer
from tests.live.test_stores import dsn  # noqa: F401  # a fixture
from tests.live.unlocking import PASSPHRASE, Site, mail, make_site, subjects  # noqa: F401  # a fixture
from tests.sinks.envelopes import NOON_MS

pytestmark = pytest.mark.live


class TestApi:
    """The routes of the HTTPS port."""

    @pytest.fixture
    async def client(self, site: Site) -> AsyncIterator[httpx.AsyncClient]:
        """A person with a token, and the application."""
        await site.mails("first", "second")
        token = ApiTokens(site.settings.unlock.tokens_file).issue("ann", 1)
        kafka = site.settings.kafka
        publisher = KafkaPublisher(kafka.bootstrap, topic_prefix=kafka.topic_prefix)
        services = Services(site.settings, Facts(publisher, reporter="node/gateway", incarnation="1"), Mock())
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=create_app(services)),
            base_url="https://server",
            headers={"Authorization": f"Bearer {token}"},
        ) as client:
            yield client
        await services.close()
        await publisher.close()

    WISH: ClassVar[dict[str, Any]] = {
        "agents": ["00000000-0000-0000-0000-000000000001"],
        "streams": ["email"],
        "since_ms": NOON_MS,
        "until_ms": NOON_MS + 60_000,
        "reason": "case 4711",
    }

    async def test_a_viewer_unlocks_and_the_carrier_sees_nothing(self, site: Site, client: httpx.AsyncClient) -> None:
        """What passes holds neither passphrase nor plaintext; the viewer opens it; the unlock is over then."""
        begun = (await client.post("/api/v1/unlock", json=self.WISH)).json()
        one = f"/api/v1/unlock/{begun['session']}"
        public, channel = answer(base64.b64decode(begun["public_key"]), bytes.fromhex(begun["session"]))
        body = {
            "public_key": base64.b64encode(public).decode(),
            "sealed": base64.b64encode(channel.seal(PASSPHRASE)).decode(),
        }
        assert (await client.get(f"{one}/segments")).status_code == 409
        assert (await client.post(f"{one}/passphrase", json=body)).json() == {"keys": ["officers"], "closed": []}
        stream = (await client.get(f"{one}/segments")).content
        assert not any(mail(subject) in stream for subject in ("first", "second"))
        viewing, released, at = Viewing(channel), [], 0
        while at < len(stream):
            length = int.from_bytes(stream[at : at + 4], "big")
            released.append(viewing.take(stream[at + 4 : at + 4 + length]))
            at += 4 + length
        assert subjects([one for one in released if one]) == ["first", "second"]
        assert viewing.summary == {"segments": 2, "email": 2}
        assert (await client.get(f"{one}/segments")).status_code == 404
        assert {actor for actor, _, _, _ in await site.audit()} == {"ann@api"}

    async def test_an_unlock_is_its_persons_alone(self, site: Site, client: httpx.AsyncClient) -> None:
        """Another person's token does not lead to it; nobody gets anywhere without a token."""
        begun = (await client.post("/api/v1/unlock", json=self.WISH)).json()
        one = f"/api/v1/unlock/{begun['session']}"
        other = ApiTokens(site.settings.unlock.tokens_file).issue("bob", 1)
        assert (await client.delete(one, headers={"Authorization": f"Bearer {other}"})).status_code == 404
        for header in ("", "Bearer ", "Bearer x", f"Basic {other}"):
            assert (await client.delete(one, headers={"Authorization": header})).status_code == 401
        assert (await client.delete(one)).status_code == 204

    async def test_a_wrong_passphrase_ends_the_unlock(self, client: httpx.AsyncClient) -> None:
        """And says so; a message that was not sealed for this unlock is no passphrase at all."""
        for sealed, reason in ((PASSPHRASE[::-1], "wrong_passphrase"), (None, "channel")):
            begun = (await client.post("/api/v1/unlock", json=self.WISH)).json()
            public, channel = answer(base64.b64decode(begun["public_key"]), bytes.fromhex(begun["session"]))
            body = {
                "public_key": base64.b64encode(public).decode(),
                "sealed": base64.b64encode(channel.seal(sealed) if sealed else bytes(40)).decode(),
            }
            one = f"/api/v1/unlock/{begun['session']}"
            refusal = await client.post(f"{one}/passphrase", json=body)
            assert (refusal.status_code, refusal.json()["error"]) == (403, reason)
            assert (await client.get(f"{one}/segments")).status_code == 404

    async def test_what_cannot_be_unlocked_is_told(self, client: httpx.AsyncClient) -> None:
        """Each with its status, and a word for scripts."""
        wishes: list[tuple[dict[str, Any], int]] = [
            ({"agents": []}, 400),
            ({"agents": ["x"]}, 400),
            ({"streams": ["index"]}, 400),
            ({"since_ms": "yesterday"}, 400),
            ({"until_ms": 0}, 400),
            ({"reason": ""}, 400),
            ({"reason": 5}, 400),
            ({"keys": ["unknown"]}, 403),
            ({"agents": ["00000000-0000-0000-0000-000000000009"]}, 404),
        ]
        for change, status in wishes:
            answered = await client.post("/api/v1/unlock", json={**self.WISH, **change})
            assert answered.status_code == status, answered.text
            assert answered.json()["error"]

    @pytest.mark.slow
    async def test_only_so_many_at_once(self, site: Site, client: httpx.AsyncClient) -> None:
        """Each unlock is a process: their number is bounded."""
        for _ in range(site.settings.unlock.sessions):
            assert (await client.post("/api/v1/unlock", json=self.WISH)).status_code == 201
        assert (await client.post("/api/v1/unlock", json=self.WISH)).status_code == 429

    async def test_envelopes_come_sealed_for_the_browser(self, site: Site, client: httpx.AsyncClient) -> None:
        """Byte for byte as they came, and the audit knows who took them."""
        query = {"agent": self.WISH["agents"][0], "stream": "email", "since_ms": NOON_MS, "until_ms": NOON_MS + 1}
        assert (await client.get("/api/v1/envelopes", params=query)).status_code == 400
        stream = (await client.get("/api/v1/envelopes", params={**query, "reason": "case"})).content
        assert stream == len(site.records[0].value).to_bytes(4, "big") + site.records[0].value
        assert (await site.audit())[-1][:3] == ("ann@api", "done", "case")

"""One unlock on the server with several KEKs, as after a rotation: each by its own passphrase, each audited."""

from __future__ import annotations

import base64
from pathlib import Path
from unittest.mock import Mock

import httpx2 as httpx
import pytest

from gateway.api.app import create_app
from gateway.api.services import Services
from gateway.facts import Facts
from gateway.kafka import KafkaPublisher
from gateway.unlock.refusal import RefusedError
from gateway.unlock.session import UnlockSession
from gateway.unlock.tokens import ApiTokens
from infra.keys import make_kek
from schemas.errors import UnavailableError
from schemas.kinds import StreamKind
from schemas.unlock_channel import Viewing, answer
from tests.live.test_stores import dsn  # noqa: F401  # a fixture
from tests.live.unlocking import PASSPHRASE, Site, mail, make_site, register, subjects  # noqa: F401  # a fixture
from tests.sinks.envelopes import NOON_MS

pytestmark = pytest.mark.live

OLD_PASSPHRASE = b"staple of an older horse"


@pytest.fixture
async def rotated(site: Site) -> Site:
    """A mail that is sealed to the older KEK, and two to the newer."""
    make_kek(site.settings.keys.dir, "older", OLD_PASSPHRASE, bits=2048)
    await register(site.database, "older")
    await site.record(StreamKind.EMAIL, [mail("before")], kek="older")
    await site.mails("after", "later")
    return site


def goes_on(session: UnlockSession) -> bool:
    """As it says now."""
    return session.goes_on


async def test_each_passphrase_opens_its_own_and_is_audited(rotated: Site) -> None:
    """A wrong one between them is refused, counted, and ends nothing; what is released is all that was opened."""
    async with rotated.session() as session:
        survey = await session.survey()
        public, channel = answer(survey.public_key, session.id)
        opened = await session.open(public, channel.seal(PASSPHRASE))
        assert (opened.keys, opened.closed) == (["officers"], ["older"])
        with pytest.raises(RefusedError, match="passphrase"):
            await session.open(public, channel.seal(PASSPHRASE))
        assert goes_on(session)
        opened = await session.open(public, channel.seal(OLD_PASSPHRASE))
        assert (opened.keys, opened.closed) == (["older"], [])
        with pytest.raises(RefusedError, match="every KEK"):
            await session.open(public, channel.seal(OLD_PASSPHRASE))
        viewing = Viewing(channel)
        released = [one async for message in session.release() if (one := viewing.take(message))]
        assert not goes_on(session)
    assert sorted(subjects(released)) == ["after", "before", "later"]
    told = await rotated.audit()
    assert [outcome for _, outcome, _, _ in told] == ["asked", "granted", "refused", "added", "refused", "done"]
    assert {purpose for _, _, purpose, _ in told} == {"case 4711"}
    assert [told[number][3].get("keys") for number in (1, 3)] == ["officers", "older"]
    assert told[2][3]["why"] == "wrong_passphrase"
    tried = await rotated.database.fetch("SELECT outcome FROM unlock_attempt ORDER BY attempt_id")
    assert [row["outcome"] for row in tried] == ["opened", "opened", "wrong_passphrase", "opened"]


@pytest.mark.slow
async def test_what_the_audit_does_not_have_is_not_released(rotated: Site) -> None:
    """Nor what was opened before: the unlock is over."""
    async with rotated.session() as session:
        survey = await session.survey()
        public, channel = answer(survey.public_key, session.id)
        await session.open(public, channel.seal(PASSPHRASE))
        write = session._write

        async def away(*_: object, **__: object) -> None:
            raise UnavailableError("Kafka does not answer")

        session._write = away
        with pytest.raises(RefusedError, match="Kafka"):
            await session.open(public, channel.seal(OLD_PASSPHRASE))
        assert not goes_on(session)
        with pytest.raises(RefusedError, match="nothing was unlocked"):
            await anext(session.release())
        session._write = write
    assert [outcome for _, outcome, _, _ in await rotated.audit()] == ["asked", "granted", "broken_off"]


@pytest.mark.slow
async def test_over_https(rotated: Site, tmp_path: Path) -> None:
    """One passphrase after another to the same route; a wrong one ends nothing that is open, another viewer's does."""
    settings = rotated.settings
    publisher = KafkaPublisher(settings.kafka.bootstrap, topic_prefix=settings.kafka.topic_prefix)
    services = Services(settings, Facts(publisher, reporter="node/gateway", incarnation="1"), Mock())
    headers = {"Authorization": f"Bearer {ApiTokens(settings.unlock.tokens_file).issue('ann', 1)}"}
    wish = {
        "agents": ["00000000-0000-0000-0000-000000000001"],
        "streams": ["email"],
        "since_ms": NOON_MS,
        "until_ms": NOON_MS + 60_000,
        "reason": "case 4711",
    }
    transport = httpx.ASGITransport(app=create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="https://server", headers=headers, timeout=60) as client:
        begun = (await client.post("/api/v1/unlock", json=wish)).json()
        one = f"/api/v1/unlock/{begun['session']}"
        public, channel = answer(base64.b64decode(begun["public_key"]), bytes.fromhex(begun["session"]))

        async def give(passphrase: bytes, viewer: bytes = public) -> httpx.Response:
            sealed = base64.b64encode(channel.seal(passphrase)).decode()
            body = {"public_key": base64.b64encode(viewer).decode(), "sealed": sealed}
            return await client.post(f"{one}/passphrase", json=body)

        assert (await give(PASSPHRASE)).json() == {"keys": ["officers"], "closed": ["older"]}
        refused = await give(PASSPHRASE)
        assert (refused.status_code, refused.json()["error"]) == (403, "wrong_passphrase")
        assert (await give(OLD_PASSPHRASE)).json() == {"keys": ["older"], "closed": []}
        stream = (await client.get(f"{one}/segments")).content
        viewing, at = Viewing(channel), 0
        while at < len(stream):
            length = int.from_bytes(stream[at : at + 4], "big")
            viewing.take(stream[at + 4 : at + 4 + length])
            at += 4 + length
        assert viewing.summary == {"segments": 3, "email": 3}

        begun = (await client.post("/api/v1/unlock", json=wish)).json()
        one = f"/api/v1/unlock/{begun['session']}"
        public, channel = answer(base64.b64decode(begun["public_key"]), bytes.fromhex(begun["session"]))
        assert (await give(PASSPHRASE, public)).status_code == 200
        other, _ = answer(base64.b64decode(begun["public_key"]), bytes.fromhex(begun["session"]))
        assert (await give(OLD_PASSPHRASE, other)).json()["error"] == "bad_key"
        assert (await client.get(f"{one}/segments")).status_code == 404
    await services.close()
    await publisher.close()

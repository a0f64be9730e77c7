"""Enrolment, assignment, trust and key sets: the first version's JSON, and today's as an agent of then reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.policy import Policy
from gateway.enrol import EnrolmentRequest
from schemas.enrolment import EnrolmentToken
from schemas.errors import MalformedError
from schemas.keys import Identity
from schemas.keyset import SignedKeySet
from schemas.kinds import StreamKind
from schemas.trust import TrustSet
from tests.compat.recorded import recorded
from tests.gateway.site import Site, open_site

JOINING = recorded("joining")


@pytest.fixture
async def site(tmp_path: Path, pki: Path, identity: Identity) -> AsyncIterator[Site]:
    """A gateway's HTTPS port."""
    async with open_site(tmp_path, pki, identity) as opened:
        yield opened


def types_of(body: dict[str, Any]) -> dict[str, type]:
    return {name: type(value) for name, value in body.items()}


def test_a_recorded_token_is_read() -> None:
    """Server, fingerprint, secret, signers and pins; and it is written as it was."""
    token = EnrolmentToken.parse(JOINING["token"])
    assert (token.server, token.secret, len(token.pins)) == ("monitor.example.org:443", "c2VjcmV0", 2)
    assert [one.hex() for one in token.signers] == [JOINING["signer"]]
    assert str(token) == JOINING["token"]


def test_a_token_of_a_later_format_says_what_to_do() -> None:
    """Not that it is mistyped."""
    later = "sealstream-2." + JOINING["token"].removeprefix("sealstream-1.")
    with pytest.raises(MalformedError, match="update this agent"):
        EnrolmentToken.parse(later)


async def test_an_old_agent_enrols_today(site: Site) -> None:
    """By the recorded body; the answer has every field of then, of the same types."""
    request = {**JOINING["enrol_request"], "secret": site.secret()}
    answer = await site.client.post("/api/v1/enrol", json={**request, "colour": "green"})
    assert answer.status_code == 200
    body = answer.json()
    assert types_of(JOINING["enrol_answer"]).items() <= types_of(body).items()
    assert types_of(JOINING["enrol_answer"]["trust"]).items() <= types_of(body["trust"]).items()
    assert TrustSet.from_json(body["trust"]).ca == body["ca"]
    assert EnrolmentRequest.parse(answer.request.content).computer == "desk-7"


async def test_an_old_agent_is_assigned_a_server_today(site: Site) -> None:
    """Every field of then is there, of the same type."""
    body = (await site.client.get("/api/v1/assign", params={"agent": JOINING["enrol_answer"]["agent_id"]})).json()
    assert types_of(JOINING["assign_answer"]).items() <= types_of(body).items()


def test_recorded_answers_are_read_today() -> None:
    """By an agent that meets an old server: trust, policy and key set, with defaults for what there was not."""
    trust = TrustSet.from_json({**JOINING["trust"], "later": 1})
    assert (trust.version, len(trust.pins)) == (2, 2)
    policy = Policy.from_json({**JOINING["enrol_answer"]["policy"], "later": {}})
    assert policy.streams == {"keystrokes", "email"}
    assert not policy.allows_live(StreamKind.SCREEN)
    opened = SignedKeySet.from_json(JOINING["key_set"]).open([bytes.fromhex(JOINING["signer"])])
    assert (opened.version, opened.names("email"), opened.bound) == (7, ["officer"], {"email"})

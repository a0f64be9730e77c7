"""The keys of an agent that runs: a signed set is in force from the next epoch, a swapped one never."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.agent import Agent
from agent.cache import PolicyCache
from agent.clock import SystemClock
from agent.enrolment import enrol
from agent.installation import open_installation
from agent.settings import RecorderSettings, SpoolSettings, UplinkSettings
from agent.source import CurrentPolicy, Emit
from infra.cli.agent_status import describe_status
from schemas.envelope import Peek, peek
from schemas.frames import Policy
from schemas.keys import Identity
from schemas.keyset import KeySet, SetKey, SignedKeySet, StreamKeys, sign_key_set, signer_fingerprint
from schemas.kinds import StreamKind
from schemas.opening import Opener
from schemas.records import Record, decode_segment
from tests.agent.fake_gateway import FakeGateway
from tests.agent.patience import wait_until

ANN = Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def keks() -> dict[str, Identity]:
    return {name: Identity.generate(2048) for name in ("server", "officers", "evil")}


@pytest.fixture
async def gateway(tmp_path: Path, keks: dict[str, Identity]) -> AsyncIterator[FakeGateway]:
    async with FakeGateway(tmp_path / "pki", keks["server"]) as gateway:
        yield gateway


class Letters:
    """A source that emits a letter for each subject it is given."""

    kind = StreamKind.EMAIL
    name = "email"

    def __init__(self) -> None:
        self.subjects: asyncio.Queue[str] = asyncio.Queue()

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        while True:
            await emit(letter(await self.subjects.get()))

    def renew(self) -> None:
        """Each letter stands by itself."""


def letter(subject: str) -> Record:
    return {
        "time_us": SystemClock().now_us(),
        "message_id": subject,
        "folder": "INBOX",
        "sender": "a@b.c",
        "recipients": ["d@e.f"],
        "subject": subject,
        "sent_ms": None,
        "text": "",
        "attachments": [],
        "size": 100,
    }


@contextlib.asynccontextmanager
async def running(gateway: FakeGateway, directory: Path, letters: Letters) -> AsyncIterator[Agent]:
    """An agent that pinned ann at its enrolment."""
    if not (directory / "identity.json").exists():
        token = replace(gateway.token(), signers=(signer_fingerprint(ANN.public_key()),))
        made, policy = await enrol(token, directory, SystemClock())
        PolicyCache(directory, made.agent_id).accept(policy.to_json())
    parts = await open_installation(directory, SystemClock())
    settings = replace(
        parts.settings,
        spool=SpoolSettings(commit_ms=1),
        recorder=RecorderSettings(segment_ms=20),
        uplink=UplinkSettings(backoff_first_s=0.01, backoff_max_s=0.05),
    )
    agent = Agent(replace(parts, settings=settings), [letters])
    stop = asyncio.Event()
    task = asyncio.create_task(agent.run(until=stop.wait()))
    try:
        await wait_until(lambda: agent.uplink.status.state == "connected")
        yield agent
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


def key_set(agent: Agent, kek: Identity, version: int, signer: Ed25519PrivateKey = ANN) -> SignedKeySet:
    keys = {kek.key_id: SetKey("officers", kek.recipient)}
    streams = {"email": StreamKeys((kek.key_id,), end_to_end=True)}
    return sign_key_set(KeySet(version, 0, keys, streams, (agent.status()["agent_id"],)), signer)


def tell(gateway: FakeGateway, told: dict[str, Any]) -> None:
    """What a gateway sends when officers have signed."""
    gateway.connections[-1].send(Policy(gateway.policy, gateway.recipients, told))


async def send(gateway: FakeGateway, letters: Letters, subject: str, kek: Identity) -> Peek:
    """Emit a letter, and wait until the one who has `kek` can read it."""
    found: list[Peek] = []

    def arrived() -> bool:
        opener = Opener([kek])
        for envelope in gateway.received:
            seen = peek(envelope)
            if seen.record.kind is StreamKind.EMAIL and opener.can_open(seen.epoch):
                events = decode_segment(StreamKind.EMAIL, opener.open(envelope).plaintext)
                found.extend([seen] if any(event["subject"] == subject for event in events) else [])
        return bool(found)

    letters.subjects.put_nowait(subject)
    await wait_until(arrived)
    return found[0]


async def test_a_signed_set_is_in_force_from_the_next_epoch_and_a_swapped_one_never(
    gateway: FakeGateway, tmp_path: Path, keks: dict[str, Identity]
) -> None:
    """Without a restart; what was recorded before is the server's; after a restart without a word of it all is kept."""
    letters = Letters()
    async with running(gateway, tmp_path / "agent", letters) as agent:
        before = await send(gateway, letters, "before", keks["server"])
        assert not before.epoch.end_to_end
        signed = key_set(agent, keks["officers"], 1)
        tell(gateway, signed.to_json())
        await wait_until(lambda: agent.status()["key_set"]["version"] == 1)
        after = await send(gateway, letters, "after", keks["officers"])
        assert after.epoch.end_to_end
        assert after.epoch.key_ids == (keks["officers"].key_id,)
        assert agent.status()["policy"]["end_to_end"] == ["email"]
        evil = key_set(agent, keks["evil"], 2, Ed25519PrivateKey.generate())
        tell(gateway, replace(evil, signer=signed.signer).to_json())
        await wait_until(lambda: bool(agent.status()["key_set"]["problem"]))
        assert "REFUSED" in describe_status(agent.status())
        again = await send(gateway, letters, "again", keks["officers"])
        assert again.epoch.epoch_id == after.epoch.epoch_id
    async with running(gateway, tmp_path / "agent", letters) as agent:
        kept = await send(gateway, letters, "kept", keks["officers"])
        assert kept.epoch.end_to_end
        assert "email to officers" in describe_status(agent.status())

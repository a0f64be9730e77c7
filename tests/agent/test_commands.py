"""`sealstream agent …` as people and scripts meet it: processes, exit codes, and what is said when it cannot work."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.gap import GapReason
from agent.key_sets import load_signers
from schemas.envelope import peek
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.opening import Opener
from schemas.records import Record, decode_segment
from tests.agent.fake_gateway import FakeGateway
from tests.agent.patience import wait_until

pytestmark = pytest.mark.slow

PATIENCE_S = 60


@pytest.fixture(scope="module")
def identity() -> Identity:
    """The server's KEK."""
    return Identity.generate(2048)


@pytest.fixture
async def gateway(tmp_path: Path, identity: Identity) -> AsyncIterator[FakeGateway]:
    """A gateway."""
    async with FakeGateway(tmp_path / "pki", identity) as gateway:
        yield gateway


@pytest.fixture
async def directory(gateway: FakeGateway, tmp_path: Path) -> Path:
    """The directory of an agent that enrolled by command, and records nothing by itself."""
    place = tmp_path / "agent"
    code, said, _ = await sealstream(place, "enrol", "-", given=f"{gateway.token()}\n")
    assert code == 0
    assert "enrolled at" in said
    (place / "agent.toml").write_text("[sources]\nrun = []\n[spool]\ncommit_ms = 1\n")
    return place


async def start(directory: Path, *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    environment = {**os.environ, "SEALSTREAM_AGENT_DIR": str(directory)}
    command = [sys.executable, "-m", "infra.cli", "agent", *arguments]
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)


async def sealstream(directory: Path, *arguments: str, given: str = "") -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    process = await start(directory, *arguments)
    out, err = await asyncio.wait_for(process.communicate(given.encode()), PATIENCE_S)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def events(gateway: FakeGateway, kind: StreamKind) -> list[Record]:
    opener = Opener([gateway.identity])
    envelopes = {peek(one).id: one for one in gateway.received if peek(one).record.kind is kind}
    return [event for one in envelopes.values() for event in decode_segment(kind, opener.open(one).plaintext)]


def shown(gateway: FakeGateway) -> bytes:
    return b"".join(e["data"] for e in events(gateway, StreamKind.KEYSTROKES) if e["kind"] == "output")


async def test_a_recorded_command_keeps_its_output_and_its_exit_code(gateway: FakeGateway, directory: Path) -> None:
    """It behaves as if it ran by itself; the session is on the server when it ended."""
    code, said, told = await sealstream(directory, "record", "--", "sh", "-c", "echo to be found; exit 7")
    assert code == 7
    assert "to be found" in said
    assert "is recorded" in told
    assert b"to be found" in shown(gateway)
    kinds = [event["kind"] for event in events(gateway, StreamKind.KEYSTROKES)]
    assert (kinds[0], kinds[-1]) == ("start", "end")


async def test_a_session_beside_a_running_agent_goes_through_it(gateway: FakeGateway, directory: Path) -> None:
    """One spool, one connection: the session needs neither."""
    agent = await start(directory, "run")
    await wait_until((directory / "control.sock").exists, PATIENCE_S)
    code, _, _ = await sealstream(directory, "record", "--", "sh", "-c", "echo beside; exit 3")
    assert code == 3
    await wait_until(lambda: b"beside" in shown(gateway), PATIENCE_S)
    code, said, _ = await sealstream(directory, "status", "--json")
    assert code == 0
    assert json.loads(said)["sealed"]["keystrokes"] >= 1
    agent.send_signal(signal.SIGTERM)
    out, _ = await asyncio.wait_for(agent.communicate(), PATIENCE_S)
    assert agent.returncode == 0
    assert b"being recorded" in out
    assert len(gateway.hellos) == 1


async def test_a_session_outlives_the_agent_that_took_it(gateway: FakeGateway, directory: Path) -> None:
    """The agent is killed and started again in mid-session: the session goes on, and the hole is told."""
    agent = await start(directory, "run")
    await wait_until((directory / "control.sock").exists, PATIENCE_S)
    session = await start(directory, "record", "--", "sh", "-c", "echo one; read x; echo two; read x; exit 5")
    assert session.stdin
    await wait_until(lambda: b"one" in shown(gateway), PATIENCE_S)
    agent.kill()
    await agent.wait()
    again = await start(directory, "run")
    session.stdin.write(b"\n")
    await wait_until(lambda: b"two" in shown(gateway), PATIENCE_S)
    session.stdin.write(b"\n")
    assert await asyncio.wait_for(session.wait(), PATIENCE_S) == 5
    gaps = events(gateway, StreamKind.GAP)
    assert {(gap["stream"], gap["reason"]) for gap in gaps} == {("keystrokes", GapReason.AGENT_KILLED.value)}
    again.send_signal(signal.SIGTERM)
    await asyncio.wait_for(again.communicate(), PATIENCE_S)


async def test_what_the_policy_does_not_list_is_not_started(gateway: FakeGateway, tmp_path: Path) -> None:
    """Refused before anything runs, with 4 and the reason."""
    gateway.policy = {"version": 9, "streams": ["screen"]}
    place = tmp_path / "agent"
    assert (await sealstream(place, "enrol", str(gateway.token())))[0] == 0
    code, _, told = await sealstream(place, "record", "--", "touch", str(tmp_path / "ran"))
    assert code == 4
    assert "does not record terminal sessions" in told
    assert not (tmp_path / "ran").exists()


async def test_each_way_of_not_working_has_its_code_and_its_line(gateway: FakeGateway, tmp_path: Path) -> None:
    """2 for what the person must change, 3 for what is away, 4 for what is refused; one line, no traceback."""
    empty = tmp_path / "empty"
    for arguments, expected, said in (
        (("run",), 2, "agent token"),
        (("record", "--", "true"), 2, "agent enrol"),
        (("notice",), 2, "no agent is enrolled"),
        (("status",), 3, "agent run"),
        (("pause",), 3, "agent run"),
        (("enrol", "nonsense"), 4, "not an enrolment token"),
        (("enrol", "--signer", "00", str(gateway.token())), 2, "64 hex digits"),
        (("enrol", str(gateway.token("spent"))), 4, "make a new one"),
    ):
        code, _, told = await sealstream(empty, *arguments)
        assert (code, "Traceback" in told) == (expected, False), told
        assert said in told


async def test_enrolling_twice_takes_force(gateway: FakeGateway, directory: Path) -> None:
    """An identity is not replaced by mistake."""
    gateway.secrets.add("again")
    code, _, told = await sealstream(directory, "enrol", str(gateway.token("again")))
    assert (code, "--force" in told) == (2, True)
    code, _, _ = await sealstream(directory, "enrol", "--force", str(gateway.token("again")))
    assert code == 0


async def test_who_enrols_may_name_the_officers_to_trust(gateway: FakeGateway, directory: Path) -> None:
    """Whatever the token says: whoever made that could be anybody who has the server."""
    gateway.secrets.add("again")
    token = replace(gateway.token("again"), signers=(bytes(32),))
    code, _, told = await sealstream(directory, "enrol", "--force", "--signer", "0a" * 32, str(token))
    assert code == 0, told
    assert load_signers(directory) == {b"\x0a" * 32}


async def test_an_agent_killed_while_recording_loses_at_most_what_a_gap_says(
    gateway: FakeGateway, directory: Path
) -> None:
    """Kill -9 offline, start again online: what was durable arrives, the rest is a gap of that stream."""
    gateway.assigned = ""
    script = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); sleep 0.01; done"
    session = await start(directory, "record", "--", "sh", "-c", script)
    spool = directory / "spool"
    await wait_until(lambda: sum(f.stat().st_size for f in spool.glob("*.journal")) > 3000, PATIENCE_S)
    session.kill()
    await session.wait()
    gateway.assigned = None
    agent = await start(directory, "run")
    await wait_until(lambda: bool(events(gateway, StreamKind.GAP)), PATIENCE_S)
    (gap,) = events(gateway, StreamKind.GAP)
    assert (gap["stream"], gap["reason"]) == ("keystrokes", "agent_killed")
    recorded = events(gateway, StreamKind.KEYSTROKES)
    assert shown(gateway).startswith(b"line 0")
    assert gap["from_us"] == recorded[-1]["time_us"]
    records = [peek(one).record for one in gateway.received]
    sequences = [record.sequence for record in records if record.kind is StreamKind.KEYSTROKES]
    assert sequences == list(range(len(sequences)))
    assert gap["first_sequence"] == len(sequences)
    agent.send_signal(signal.SIGTERM)
    await asyncio.wait_for(agent.communicate(), PATIENCE_S)

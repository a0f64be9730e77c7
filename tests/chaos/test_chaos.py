"""Whatever breaks on a fleet, in whatever order: what was acknowledged is in every store once, all else is told."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.chaos.acks import Acks, Pauses
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.ground import FAR, Ground, cannot_run, open_ground, say
from tests.chaos.judged import heard_again
from tests.live.accounting import check_every_envelope, in_spool, letters
from tests.live.load import Account
from tests.live.operator import until, until_caught_up

pytestmark = [pytest.mark.chaos, pytest.mark.live]

GOES_ON_S = 120.0
"""Longest wait for acknowledgements to go on after a fault; a fault of the product where it takes longer."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What one fault did. Seconds."""

    fault: str
    what: str
    lasted_s: float
    pauses: Pauses
    all_again_s: float
    """From the end of the fault until every agent had something acknowledged."""


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    """A fleet that works and agents that write."""
    if reason := cannot_run():
        pytest.skip(reason)
    with open_ground() as opened:
        yield opened


def test_nothing_acknowledged_is_lost_whatever_breaks(ground: Ground) -> None:
    """Every kind of fault, in a random order at random instants; then each envelope is counted by identity."""
    seed = int(os.environ.get("SEALSTREAM_SEED") or random.randrange(1 << 32))
    chance = random.Random(seed)
    say(f"seed {seed}: SEALSTREAM_SEED={seed} makes the same choices")
    ends_s = time.monotonic() + 60 * float(os.environ.get("SEALSTREAM_CHAOS_MINUTES") or 0)
    acks = Acks(agent.directory for agent in ground.agents if not agent.directory.name.startswith(FAR))
    recoveries: list[Recovery] = []
    try:
        while not recoveries or time.monotonic() < ends_s:
            for fault in one_round(ground, chance):
                recoveries.append(try_fault(ground, fault, chance, acks))  # noqa: PERF401  # told when one fails, too
    finally:
        say("\n".join(["what was tried:", *table(recoveries)]))
    count(ground)
    ground.counted = True


def one_round(ground: Ground, chance: random.Random) -> Iterator[Fault]:
    """Every kind once, in a random order; one whose place is still broken by another comes later."""
    for reason, name in [(reason, fault.name) for fault in FAULTS if (reason := fault.why_not())]:
        say(f"{name} was NOT tried: {reason}")
    waiting = [fault for fault in chance.sample(FAULTS, len(FAULTS)) if not fault.why_not()]
    while waiting:
        fault = until("a fault that is possible", lambda: first_possible(ground, waiting), GOES_ON_S)
        assert fault
        waiting.remove(fault)
        yield fault


def first_possible(ground: Ground, waiting: list[Fault]) -> Fault | None:
    """The next fault whose place is whole."""
    ground.keep()
    return next((fault for fault in waiting if fault.possible(ground)), None)


def try_fault(ground: Ground, fault: Fault, chance: random.Random, acks: Acks) -> Recovery:
    """Break it, and wait until every agent but the far one has acknowledgements again."""
    time.sleep(chance.uniform(0, 1.5))
    began_s = time.monotonic()
    what = fault.act(ground, chance)
    ended_s = time.monotonic()
    until(f"acks to go on after {fault.name} ({what})", lambda: goes_on(ground, acks, ended_s), GOES_ON_S)
    again_s = time.monotonic() - ended_s
    recovery = Recovery(fault.name, what, ended_s - began_s, acks.pauses(began_s), again_s)
    say(table([recovery])[-1])
    return recovery


def goes_on(ground: Ground, acks: Acks, since_s: float) -> bool:
    """Whether every agent but the far one had something acknowledged since then."""
    ground.keep()
    return not acks.silent_since(since_s)


def table(recoveries: list[Recovery]) -> list[str]:
    """What was tried, as Markdown."""
    rows = [
        f"| {it.fault} | {it.what} | {it.lasted_s:.1f} | {it.pauses.anybody_s:.1f} "
        f"| {it.pauses.worst_s:.1f}, {it.pauses.worst} | {it.all_again_s:.1f} |"
        for it in recoveries
    ]
    head = "| fault | where | lasted, s | nobody's acks, s | one agent's, s | all again after its end, s |"
    return [head, "|---|---|---|---|---|---|", *rows]


def count(ground: Ground) -> None:
    """All is mended, the agents end, the far one's cable is put in; then every envelope is counted."""
    ground.until_ready()
    check_far(ground)
    ground.network.heal(FAR)
    for endpoint in ground.endpoints.values():
        endpoint.say_end()
    for endpoint in ground.endpoints.values():
        endpoint.await_end()
    say("all agents have ended")
    until_caught_up(ground.settings, 180)
    say(f"given up and heard again: {'; '.join(heard_again(ground.settings)) or 'nobody'}")
    say(f"counted: {check_every_envelope(ground.settings, ground.agents)}")


def check_far(ground: Ground) -> None:
    """What an agent that nobody reached has written lies in its spool, but for what kills cost it."""
    agent, settled_ms = ground.endpoints[FAR].agents[0], (time.time() - 5) * 1000
    account = Account.read(agent.directory, agent.agent_id)
    waiting, written = in_spool(agent), letters(account)
    missing = {identity for identity in written - waiting if account.appended[identity] < settled_ms}
    say(f"{len(waiting & written)} letters wait in the spool of the agent that was cut off, {len(missing)} were killed")
    assert not account.acknowledged
    assert len(waiting & written) > len(missing)

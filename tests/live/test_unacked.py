"""A gateway that is cut off from Kafka, while another is not, loses its agents to that one, and no letter with them."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.live.broker_proxy import BrokerProxy
from tests.live.live_site import PATIENCE_S, Site, open_site
from tests.live.operator import EnrolledAgent, until
from tests.live.test_drain import (
    AGENT,
    account,
    assigned,
    assignment,
    await_acks,
    enrol_agent,
    ids_of,
    node_of,
    start_load,
)

pytestmark = [pytest.mark.live, pytest.mark.slow]

UNACKED = AGENT + "unacked_s = 3.0\n"


def test_an_agent_leaves_a_gateway_that_is_cut_off_from_kafka(stack: Settings, tmp_path: Path) -> None:
    """Nothing passes between one gateway and Kafka, all connections stay: the other one acknowledges what follows.

    Every letter is in Kafka in the end, by its identity. The one that was cut off says why it takes no agents, and
    takes some again when Kafka is back.
    """
    with (
        BrokerProxy(stack.kafka.bootstrap.split(",")[0]) as proxy,
        open_site(stack, tmp_path / "one", NODE__ID=f"test-cut-{os.getpid()}", KAFKA__BOOTSTRAP=proxy.address) as one,
    ):
        one.set_policy(streams=["email"], live=[])
        agent = enrol_agent(stack, one, tmp_path / "agent")
        (agent.directory / "agent.toml").write_text(UNACKED)
        load = start_load(agent.directory)
        try:
            await_acks(agent)
            with open_site(stack, tmp_path / "two", NODE__ID=f"test-whole-{os.getpid()}") as two:
                two.set_policy(streams=["email"], live=[])
                both = {one.ports["agent"], two.ports["agent"]}
                until("both know of each other", lambda: named(one) == named(two) == both)
                until("it is known where the agent is", lambda: assigned(two, agent) == f"{node_of(one)}/gateway")
                proxy.stall()
                await_acks(agent)
                await_acks(agent)
                print(f"the longest pause was {longest_pause_s(agent):.1f} s")  # noqa: T201  # shown with -s
                until("it is not chosen", lambda: named(one) == named(two) == {two.ports["agent"]}, PATIENCE_S)
                proxy.flow()
                until("it takes agents again", lambda: named(two) == both, PATIENCE_S)
                await_acks(agent)
                load.send_signal(signal.SIGTERM)
                assert load.wait(PATIENCE_S) == 0, (agent.directory / "load.log").read_text()[-3000:]
        finally:
            load.kill()
    told = account(agent)
    letters = {identity for identity, stream in told.streams.items() if stream == "email"}
    assert told.left == 0, "envelopes are left in the spool"
    assert len(letters) > 40
    assert letters <= ids_of(stack)


def named(front: Site) -> set[int]:
    """Agent ports that a front names to whoever asks now."""
    answer = assignment(front)
    told = answer.json() if answer.status_code == 200 else {"server": "", "alternatives": []}
    return {int(port) for one in (told["server"], *told["alternatives"]) if (port := one.rpartition(":")[2])}


def longest_pause_s(agent: EnrolledAgent) -> float:
    """Between two acknowledgements."""
    return max(later - before for before, later in pairwise(account(agent).acks_s))

"""What a node's workers do, from notes, wishes and what Kafka tells of groups."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from infra.health import HealthServer
from infra.lag import GroupStanding, Member, PartitionLag
from infra.metrics import Metrics
from infra.nodes.following import copy_of
from infra.nodes.wishes import Wanted, Wish, keep_wish
from infra.settings import Settings
from streams.miner.admission import address_of
from streams.miner.machine import read_machine
from streams.miner.standing import Standing, Worker, all_wished_away, find_workers, is_of_node, stand

WORKS, GOES = Worker("streams-1", 7, drained=False), Worker("streams-2", 8, drained=True)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(node={"data_dir": tmp_path, "id": "miner-1"})
    made.data.run.mkdir()
    return made


def group(*members: Member) -> GroupStanding:
    rows = tuple(PartitionLag("mine", "envelopes.screen", number, 10, 12) for number in range(3))
    return GroupStanding("mine", "Stable", members, rows)


def member(client: str, *partitions: int) -> Member:
    return Member(client, "10.0.0.7", tuple(("envelopes.screen", number) for number in partitions))


def test_what_is_held_here_is_told_from_what_others_hold() -> None:
    """By the names of clients: a node's own, or such as begin with it and a slash."""
    assert [is_of_node(name, "miner-1") for name in ("miner-1", "miner-1/streams-1", "miner-10", "miner-2")] == [
        True, True, False, False,
    ]  # fmt: skip
    seen = stand(
        "miner-1", (WORKS,), [group(member("miner-1", 0), member("miner-1/streams-1", 2), member("miner-2", 1))]
    )
    assert (seen.members, seen.held) == (2, 2)
    assert [row.here for row in seen.rows] == [True, False, True]
    assert [row.lag.lag for row in seen.rows] == [2, 2, 2]


def test_nothing_has_been_let_go_while_a_member_might_be_given_a_partition() -> None:
    """A member without a partition counts, a worker that lives and is not wished drained, and Kafka's silence."""
    gone = stand("miner-1", (GOES,), [group(member("miner-2", 0, 1, 2))])
    assert (gone.let_go, gone.drained, gone.faults) == (True, True, [])
    assert not stand("miner-1", (GOES,), [group(member("miner-1"))]).let_go
    assert not replace(gone, workers=(WORKS, GOES)).let_go
    assert not replace(gone, workers=(WORKS, GOES)).drained
    assert not replace(gone, kafka_fault="away").let_go
    assert Standing().faults == ["no worker runs here"]


def test_a_node_whose_only_worker_starts_anew_is_drained_all_the_same() -> None:
    """For a moment nobody lives; what was wished counts."""
    assert not Standing().drained
    assert Standing(wished_away=True).drained


async def test_workers_are_found_by_their_notes(settings: Settings) -> None:
    """With what their health says; not such as died, not other processes, not damaged notes."""
    assert await find_workers(settings) == ()

    async def fine() -> str:
        return ""

    async def bad() -> str:
        return "waits"

    for name, note in (
        ("streams-3", {"pid": 2**22 + 1, "health": "http://127.0.0.1:1/healthz"}),
        ("streams-4", {"pid": os.getpid()}),
        ("streams-x", {"pid": os.getpid(), "health": "http://127.0.0.1:1/healthz"}),
        ("streams-5", {"pid": os.getpid(), "health": "http://127.0.0.1:1/healthz"}),
    ):
        (settings.data.run / f"{name}.json").write_text(json.dumps(note))
    wish = Wish("miner-1/streams-1", Wanted.DRAINED, "ann")
    keep_wish(copy_of(settings, wish.node_id), wish)
    async with (
        HealthServer(settings.data, "streams-1", {"kafka": fine}, Metrics(())),
        HealthServer(settings.data, "streams-2", {"kafka": bad}, Metrics(())),
        HealthServer(settings.data, "sink-disk", {"kafka": fine}, Metrics(())),
    ):
        found = await find_workers(settings)
    assert [(one.name, one.drained, one.fault) for one in found] == [
        ("streams-1", True, ""),
        ("streams-2", False, "kafka: waits"),
        ("streams-5", False, "does not answer (ConnectionRefusedError)"),
    ]


def test_all_are_wished_away_when_each_that_keeps_a_wish_is(settings: Settings) -> None:
    """Nobody's wish is no wish."""
    assert not all_wished_away(settings)
    for number, wanted in ((1, Wanted.DRAINED), (2, Wanted.SERVING)):
        wish = Wish(f"miner-1/streams-{number}", wanted)
        keep_wish(copy_of(settings, wish.node_id), wish)
    assert not all_wished_away(settings)
    keep_wish(copy_of(settings, "miner-1/streams-2"), Wish("miner-1/streams-2", Wanted.DRAINED))
    assert all_wished_away(settings)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:4711", "10.0.0.7"),
        ("ipv6:[::1]:4711", "::1"),
        ("ipv6:%5B::ffff:10.0.0.7%5D:4711", "::ffff:10.0.0.7"),
        ("unix:/run/x", ""),
        ("", ""),
    ],
)
def test_the_address_of_a_caller(peer: str, address: str) -> None:
    """As gRPC writes it; what is none approves nobody."""
    assert address_of(peer) == address


def test_a_machine_that_does_not_tell_its_memory(tmp_path: Path) -> None:
    """Is one of which nothing is known."""
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:       1024 kB\nMemAvailable:    512 kB\nHugePages_Total:       0\nodd line\n")
    machine = read_machine(told)
    assert (machine.memory_bytes, machine.memory_free_bytes) == (1 << 20, 1 << 19)
    assert machine.cores > 0
    assert read_machine(tmp_path / "none").memory_bytes == 0

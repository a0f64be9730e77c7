"""The faults: each breaks something at once or for some seconds, and mends what would not mend itself.

Never waits for the product to recover: whoever calls does, and measures it.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition

from infra.stack.child import members
from tests.chaos.clocks import MISSING, find_library
from tests.chaos.ground import (
    APP_DISK,
    APP_WITH_DISK,
    APPS,
    ARCHIVE_DISK,
    BROKER_DISK,
    BROKER_WITH_DISK,
    FAR,
    MASTERS,
    MINERS,
    ROLES,
    Ground,
)

Act = Callable[[Ground, random.Random], str]
"""Does it, and says to what in a few words."""

HOUR_S = 3600
BROKER = "kafka"


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind. `needs` is a component that must run well on all its nodes before, such as all brokers."""

    name: str
    act: Act
    needs: str = ""

    def possible(self, ground: Ground) -> bool:
        """Whether what it breaks is whole now."""
        if self.needs and not ground.are_ready(self.needs):
            return False
        return self.needs != BROKER or replicas_whole(ground)

    def why_not(self) -> str:
        """Why it cannot be tried here; empty where it can."""
        return MISSING if self.act in (jump_agent, jump_host) and find_library() is None else ""


def kill_component(component: str, among: Sequence[str] = tuple(ROLES)) -> Act:
    """Kill -9 the process of that name, on one of the nodes that have it."""

    def act(ground: Ground, chance: random.Random) -> str:
        name = chance.choice([each for each in ground.where(component) if each in among])
        ground.until_component(name, component)
        time.sleep(chance.uniform(0, 1))
        ground.node(name).kill_component(component)
        return name

    return act


def kill_archivist(ground: Ground, _chance: random.Random) -> str:
    """Kill -9 the disk sink that has the archive; another master's takes over."""
    name = next(each for each in MASTERS if holds(ground.pid(each, "sinks-disk"), ground.archive / "lock"))
    ground.node(name).kill_component("sinks-disk")
    return name


def holds(pid: int, path: Path) -> bool:
    """Whether a process has the lock of that file."""
    wanted = f":{path.stat().st_ino}"
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any(row[1] == "FLOCK" and int(row[4]) == pid and row[5].endswith(wanted) for row in rows)


def kill_supervisor(ground: Ground, chance: random.Random) -> str:
    """Kill -9 a supervisor alone; whoever keeps it (systemd) starts it again, and it takes its node over."""
    name = chance.choice((*APPS, *MINERS))
    node = ground.node(name)
    assert node.process
    node.process.kill()
    node.process.wait()
    time.sleep(chance.uniform(1, 3))
    node.start()
    return name


def kill_host(among: Sequence[str]) -> Act:
    """A power cut of one of these nodes for some seconds."""

    def act(ground: Ground, chance: random.Random) -> str:
        name = chance.choice(among)
        ground.node(name).kill()
        time.sleep(chance.uniform(2, 6))
        ground.node(name).start()
        return name

    return act


def kill_leader(ground: Ground, chance: random.Random) -> str:
    """Kill -9 a broker that leads a partition in which agents' letters are."""
    name = chance.choice(busy_leaders(ground))
    ground.node(name).kill_component(BROKER)
    return name


def replicas_whole(ground: Ground) -> bool:
    """Whether every partition has all its replicas in sync: a broker that has just started is ready before they are."""
    reader = Consumer({"bootstrap.servers": ground.settings.kafka.bootstrap, "group.id": "chaos"})
    try:
        topics = reader.list_topics(timeout=10).topics.values()
    except KafkaException:
        return False
    finally:
        reader.close()
    return all(len(each.isrs) == len(each.replicas) for topic in topics for each in topic.partitions.values())


def busy_leaders(ground: Ground) -> list[str]:
    """The masters whose brokers lead partitions of letters that hold some; each as often as it leads one."""
    reader = Consumer({"bootstrap.servers": ground.settings.kafka.bootstrap, "group.id": "chaos"})
    topic = f"{ground.settings.kafka.topic_prefix}envelopes.email"
    try:
        partitions = reader.list_topics(topic, timeout=30).topics[topic].partitions
        led = {number: each.leader for number, each in sorted(partitions.items()) if each.leader > 0}
        ends = {number: reader.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1] for number in led}
    finally:
        reader.close()
    return [MASTERS[led[number] - 1] for number, end in ends.items() if end]


def part_master(ground: Ground, chance: random.Random) -> str:
    """One master hears no other node, and none hears it, for longer than Kafka waits for a broker."""
    return _part(ground, [chance.choice(busy_leaders(ground))], chance.uniform(12, 16))


def part_sites(ground: Ground, chance: random.Random) -> str:
    """A master and an application server on one side, all others on the other; agents reach both sides."""
    return _part(ground, [chance.choice(busy_leaders(ground)), chance.choice(APPS)], chance.uniform(12, 16))


def _part(ground: Ground, side: Sequence[str], seconds: float) -> str:
    others = ground.addresses([name for name in ROLES if name not in side])
    for name in side:
        ground.network.part(name, others)
    try:
        time.sleep(seconds)
    finally:
        for name in side:
            ground.network.rejoin(name)
    return f"{', '.join(side)} from all others"


def part_agents(ground: Ground, chance: random.Random) -> str:
    """The agents of one office do not reach one application server, without a word of refusal."""
    office, name = chance.choice(("office-1", "office-2")), chance.choice(APPS)
    ground.network.part(office, ground.addresses([name]))
    try:
        time.sleep(chance.uniform(8, 12))
    finally:
        ground.network.rejoin(office)
    return f"{office} from {name}"


def pull_cable(ground: Ground, chance: random.Random) -> str:
    """An application server's cable is out for a while."""
    name = chance.choice(APPS)
    ground.network.cut(name)
    try:
        time.sleep(chance.uniform(6, 10))
    finally:
        ground.network.heal(name)
    return name


def slow_link(ground: Ground, chance: random.Random) -> str:
    """The line of a broker is a slow one for a while."""
    name = chance.choice(busy_leaders(ground))
    ground.network.slow(name, 400)
    try:
        time.sleep(chance.uniform(8, 12))
    finally:
        ground.network.hasten(name)
    return f"{name}, 400 kbit/s"


def stall(component: str, seconds: tuple[float, float] = (10, 16)) -> Act:
    """A program that stands still (SIGSTOP) and goes on later; a broker that leads, where it is one."""

    def act(ground: Ground, chance: random.Random) -> str:
        name = chance.choice(busy_leaders(ground) if component == BROKER else ground.where(component))
        ground.until_component(name, component)
        with stopped(ground, name, component):
            time.sleep(chance.uniform(*seconds))
        return name

    return act


@contextmanager
def stopped(ground: Ground, name: str, component: str) -> Iterator[None]:
    """All processes of a component stand still."""
    state = ground.node(name).state
    mark = state.components[component].mark if state else None
    assert mark, f"{component} does not run on {name}"
    processes = [mark, *members(mark, ground.node(name).data.root)]
    for each in processes:
        os.kill(each.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in processes:
            if each.alive:
                os.kill(each.pid, signal.SIGCONT)


def fill_archive(ground: Ground, chance: random.Random) -> str:
    """The archive's disk is full for a while."""
    return _fill(ground, ARCHIVE_DISK, chance.uniform(8, 12), 0)


def fill_broker(ground: Ground, chance: random.Random) -> str:
    """A broker's disk is full for a while: it ends, and is started again."""
    return f"{BROKER_WITH_DISK}, {_fill(ground, BROKER_DISK, chance.uniform(10, 14), 0)}"


def fill_app(ground: Ground, chance: random.Random) -> str:
    """An application server has less room than it wants, or none, for a while, and refuses."""
    return f"{APP_WITH_DISK}, {_fill(ground, APP_DISK, chance.uniform(8, 12), chance.choice((0, 300)))}"


def _fill(ground: Ground, which: str, seconds: float, left_mb: int) -> str:
    disk = ground.disks[which]
    disk.fill(left_mb)
    try:
        time.sleep(seconds)
    finally:
        disk.free()
    return f"{left_mb} MiB left"


def jump_agent(ground: Ground, chance: random.Random) -> str:
    """The clock of an endpoint goes an hour on, then an hour back."""
    return _jump(ground, "drifting", chance)


def jump_host(ground: Ground, chance: random.Random) -> str:
    """The clock of an application server or a miner goes an hour on, then an hour back."""
    return _jump(ground, chance.choice((APPS[1], MINERS[1])), chance)


def _jump(ground: Ground, name: str, chance: random.Random) -> str:
    try:
        for direction in chance.sample((1, -1), 2):
            ground.clocks[name].jump(direction * HOUR_S)
            time.sleep(chance.uniform(4, 7))
    finally:
        ground.clocks[name].jump(0)
    return f"{name}, an hour each way"


def kill_agents(ground: Ground, chance: random.Random) -> str:
    """Kill -9 agents while they write, again and again, one that is offline among them."""
    for name in ("fragile", FAR, "fragile"):
        time.sleep(chance.uniform(0.5, 3))
        ground.endpoints[name].kill()
        ground.endpoints[name].start()
    return "fragile twice, far once"


FAULTS: tuple[Fault, ...] = (
    Fault("kill -9 front", kill_component("front"), needs="front"),
    Fault("kill -9 gateway", kill_component("gateway-10000"), needs="gateway-10000"),
    Fault("kill -9 worker", kill_component("streams-1"), needs="streams-1"),
    Fault("kill -9 miner service", kill_component("miner"), needs="miner"),
    Fault("kill -9 disk sink", kill_archivist, needs="sinks-disk"),
    Fault("kill -9 PostgreSQL sink", kill_component("sinks-postgresql"), needs="sinks-postgresql"),
    Fault("kill -9 Elasticsearch sink", kill_component("sinks-elasticsearch"), needs="sinks-elasticsearch"),
    Fault("kill -9 broker", kill_component(BROKER), needs=BROKER),
    Fault("kill -9 leading broker", kill_leader, needs=BROKER),
    Fault("kill -9 PostgreSQL", kill_component("postgresql"), needs="postgresql"),
    Fault("kill -9 Elasticsearch", kill_component("elasticsearch"), needs="elasticsearch"),
    Fault("kill -9 Redis", kill_component("redis"), needs="redis"),
    Fault("kill -9 supervisor", kill_supervisor, needs="gateway-10000"),
    Fault("kill -9 agents", kill_agents),
    Fault("app host down", kill_host(APPS), needs="gateway-10000"),
    Fault("miner host down", kill_host(MINERS), needs="streams-1"),
    Fault("master host down", kill_host(MASTERS), needs=BROKER),
    Fault("partition of a master", part_master, needs=BROKER),
    Fault("partition of two sites", part_sites, needs=BROKER),
    Fault("partition of agents", part_agents, needs="gateway-10000"),
    Fault("cable of an app", pull_cable, needs="gateway-10000"),
    Fault("slow line of a broker", slow_link, needs=BROKER),
    Fault("stalled Elasticsearch", stall("elasticsearch"), needs="elasticsearch"),
    Fault("stalled PostgreSQL", stall("postgresql"), needs="postgresql"),
    Fault("stalled broker", stall(BROKER), needs=BROKER),
    Fault("stalled gateway", stall("gateway-10000", (8, 12)), needs="gateway-10000"),
    Fault("full archive", fill_archive),
    Fault("full broker", fill_broker, needs=BROKER),
    Fault("full app host", fill_app, needs="gateway-10000"),
    Fault("clock of an endpoint", jump_agent),
    Fault("clock of a server", jump_host),
)

"""One local stack: started once per data directory, followed while it starts, stopped whole.

Never starts beside another of the same data directory, and ends what a killed one left behind.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import structlog

from infra.datadir import VARIABLE, DataDir
from infra.settings import Settings, load_settings
from infra.stack import elasticsearch, etcd, kafka, postgresql, redis, sentinel
from infra.stack.account import check_reach, find_account
from infra.stack.artifacts import cache_dir, fetch_artifacts
from infra.stack.child import Mark, carriers, end_processes, members, rotate
from infra.stack.component import Component
from infra.stack.facts import telling
from infra.stack.installation import prepare_installation, prepare_node
from infra.stack.java import find_java
from infra.stack.ports import PortRule
from infra.stack.preflight import EVERYTHING, KEPT_DISK, choose_heaps, require, require_ports
from infra.stack.processes import our_components
from infra.stack.roles import ELASTICSEARCH, ETCD, KAFKA, POSTGRESQL, REDIS, SENTINEL, STANDBY, is_whole, stores_of
from infra.stack.state import Phase, StackState, load_state, save_state
from infra.stack.supervisor import Supervisor
from infra.stack.wishes import Wishes, WishFollower
from schemas.errors import ConfigError, SealstreamError, UnavailableError

log = structlog.get_logger()

BACKING = EVERYTHING
_ORPHANS_WITHIN_S = 20.0
_POLL_S = 0.1
_STOP_WITHIN_S = 150.0

Follow = Callable[[StackState], None]


@dataclass(frozen=True, slots=True)
class Choice:
    """How a stack is started: by which rule it gets its ports; whether with the backing stores alone.

    As a node of several it is patient: what it needs of others may come later, and it never gives up waiting.
    """

    ports: PortRule = PortRule.USUAL
    backing_only: bool = False
    node: bool = False

    @property
    def arguments(self) -> list[str]:
        """The same, for the supervisor's command line."""
        words = {"--backing": self.backing_only, "--node": self.node}
        return [f"--ports={self.ports}", *(word for word, wanted in words.items() if wanted)]

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Choice:
        """What `arguments` gave."""
        rule = next((it.partition("=")[2] for it in arguments if it.startswith("--ports=")), PortRule.USUAL)
        return cls(PortRule(rule), backing_only="--backing" in arguments, node="--node" in arguments)


async def run_stack(data: DataDir, choice: Choice, follow: Follow, exit_code: Callable[[SealstreamError], int]) -> int:
    """Be the supervisor until a signal, or until the stack cannot start; return this process's exit code."""
    data.run.mkdir(parents=True, exist_ok=True)
    stop = asyncio.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(wanted, stop.set)
    with _only_one(data):
        before = load_state(data)
        state = StackState(supervisor=Mark.of(os.getpid()))

        def changed() -> None:
            try:
                save_state(data, state)
            except OSError as error:  # what runs goes on, whatever a full disk refuses
                log.warning("state_not_written", error=error.strerror)
            follow(state)

        def tell(detail: str) -> None:
            state.detail = detail
            changed()

        try:
            await end_orphans(data, before, tell)
            disk = KEPT_DISK if before else 0
            components = await asyncio.to_thread(_prepare, data, choice, tell, disk)
            tell("")
            settings, wishes = load_settings(data.config), Wishes(data)
            supervisor = Supervisor(
                data, components, state, changed, os.environ, wishes=wishes, patient=not is_whole(settings)
            )
            following = [asyncio.create_task(WishFollower(settings, wishes, state).follow(), name="wishes")]
            if stores_of(settings) & {POSTGRESQL, STANDBY}:
                following.append(asyncio.create_task(postgresql.follow_access(settings), name="access"))
            try:
                async with nullcontext() if choice.backing_only else telling(settings, stop, lambda: state.is_ready):
                    await supervisor.run(stop)
            finally:
                for task in following:
                    task.cancel()
                await asyncio.gather(*following, return_exceptions=True)
        except (SealstreamError, OSError) as fault:
            error = fault if isinstance(fault, SealstreamError) else ConfigError(_explain(fault))
            state.phase, state.fault, state.exit_code = Phase.FAILED, str(error), exit_code(error)
            changed()
            return state.exit_code
        state.phase = Phase.STOPPED
        changed()
    return 0


def _prepare(data: DataDir, choice: Choice, tell: Callable[[str], None], disk: int) -> list[Component]:
    """Everything before the first program starts."""
    tell("looks whether this machine has what the node needs")
    known = load_settings(data.config) if data.config.exists() else None
    stores = stores_of(known) if known else EVERYTHING
    require(data, stores, mines=known is None or "miner" in known.node.roles, disk=disk)
    settings = prepare_node(data) if choice.node else prepare_installation(data, ports=choice.ports, tell=tell)
    stores = stores_of(settings)
    listening = stores & (BACKING | {SENTINEL})
    require_ports(settings, listening if choice.backing_only else listening | _listeners(settings))
    backing = _backing(settings, stores, tell)
    return backing if choice.backing_only else [*backing, *our_components(settings)]


def _backing(settings: Settings, stores: AbstractSet[str], tell: Callable[[str], None]) -> list[Component]:
    """The stores that run here."""
    if not stores:
        return []
    account = find_account()
    check_reach(settings.data.root, account)
    components = []
    if ETCD in stores:
        components.append(etcd.etcd_component(settings, account))
    if POSTGRESQL in stores:
        components.append(postgresql.postgresql_component(settings, account))
    if STANDBY in stores:
        components.append(postgresql.postgresql_standby_component(settings, account))
    if REDIS in stores:
        components.append(redis.redis_component(settings, account))
    if SENTINEL in stores:
        components.append(sentinel.sentinel_component(settings, account))
    if stores & {KAFKA, ELASTICSEARCH}:
        java, heaps = find_java(), choose_heaps(settings)
        check_reach(cache_dir(), account)
        artifacts = fetch_artifacts(java, tell)
        if KAFKA in stores:
            components.append(kafka.kafka_component(settings, java, artifacts, heaps.kafka, account))
        if ELASTICSEARCH in stores:
            components.append(
                elasticsearch.elasticsearch_component(settings, java, artifacts, heaps.elasticsearch, account)
            )
    return components


def _listeners(settings: Settings) -> set[str]:
    """Ports of our own processes on this node, by the parts that they have."""
    roles = set(settings.node.roles)
    names = {
        "agent": "app" in roles,
        "https": bool(roles & {"master", "app", "miner"}),
        "mirror": True,
        "miner": "miner" in roles,
    }
    return {name for name, wanted in names.items() if wanted}


async def end_orphans(data: DataDir, state: StackState | None, tell: Callable[[str], None]) -> int:
    """End what a supervisor that was killed left behind; return how many processes that were.

    They are known by their marks: a pid that was given to somebody else since is left alone.
    """
    noted = [it.mark for it in state.components.values() if it.mark is not None] if state else []
    database = state.components.get(postgresql.NAME) if state else None
    ended = 0
    while left := {found for mark in noted for found in members(mark, data.root)} | set(carriers(data.root)):
        tell(f"ends {len(left)} processes that an earlier stack left behind")
        if database and database.mark in left:  # asked by SIGTERM it would wait for its clients to go
            await end_processes([database.mark], postgresql.STOP, _ORPHANS_WITHIN_S)
        await end_processes(sorted(left, key=lambda it: it.pid), signal.SIGTERM, _ORPHANS_WITHIN_S)
        ended += len(left)
    return ended


def start_detached(data: DataDir, choice: Choice) -> subprocess.Popen[bytes]:
    """Start the supervisor as a process of its own, which outlives this one and its terminal."""
    place = data.log("stack")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        data.run.mkdir(exist_ok=True)
        rotate(place)
    except OSError as error:
        raise ConfigError(f"{_explain(error)}: choose another place by --data DIR") from None
    with place.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.stack", *choice.arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, VARIABLE: str(data.root)},
        )


def follow_start(data: DataDir, started: subprocess.Popen[bytes], follow: Follow) -> StackState:
    """Show what happens until all is ready, or raise what went wrong."""
    while True:
        ended = started.poll()
        state = load_state(data)
        if state is not None and state.supervisor is not None and state.supervisor.pid == started.pid:
            follow(state)
            if state.phase is Phase.READY:
                return state
        if ended is not None:
            break
        time.sleep(_POLL_S)
    if state is None or not state.fault:
        raise UnavailableError(f"the supervisor ended with {ended} and said nothing: see {data.log('stack')}")
    return state


def stop_stack(data: DataDir, follow: Follow) -> bool:
    """Stop the stack and return when its last process is gone; false where none ran."""
    state = load_state(data)
    if state is None or not state.supervised:
        told: list[str] = []
        return asyncio.run(end_orphans(data, state, told.append)) > 0
    assert state.supervisor is not None
    os.kill(state.supervisor.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_WITHIN_S
    while state.supervisor.alive:
        if time.monotonic() > deadline:
            raise UnavailableError(f"the stack does not stop within {_STOP_WITHIN_S:.0f} s: see {data.log('stack')}")
        follow(load_state(data) or state)
        time.sleep(_POLL_S)
    follow(load_state(data) or state)
    return True


def sees_running(data: DataDir) -> StackState | None:
    """The state of the stack that runs in this data directory, if one does."""
    state = load_state(data)
    return state if state is not None and state.supervised else None


def _explain(error: OSError) -> str:
    return f"{error.filename or 'the system'}: {error.strerror or error}"


@contextmanager
def _only_one(data: DataDir) -> Iterator[None]:
    """Hold the data directory's lock; the kernel frees it however we end."""
    with (data.run / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnavailableError(f"a stack runs already in {data.root}: see `sealstream status`") from None
        yield

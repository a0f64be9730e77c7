"""A rolling update: one node at a time, drained first; the first that fails is taken back and ends it.

Never goes on to the next node before this one is well, and begins again where it was interrupted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from infra.files import write_whole
from infra.nodes.remote import HostKeyError, NodeError, connect
from infra.nodes.steps import NodeUpdate, Release
from schemas.errors import ConfigError, SealstreamError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from infra.nodes.fleet import ChildNode, Fleet
    from infra.settings import Settings

STATE = "rollout.json"
STEPS = ("drain", "copy", "install", "switch", "restart", "check", "resume")
_UNFINISHED = frozenset({"running", "stopped"})
_CHECK_EVERY_S = 2.0


class Drainer(Protocol):
    """Sends a node's work elsewhere before it is restarted."""

    async def drain(self, node: str) -> None:
        """Return when the node has nothing under way, or its time is up."""

    async def resume(self, node: str) -> None:
        """Take it back."""


class Undrained:
    """For installations whose nodes are restarted as they are."""

    async def drain(self, node: str) -> None:
        """Nothing is sent away."""

    async def resume(self, node: str) -> None:
        """Nothing is taken back."""


@dataclass(slots=True)
class NodeProgress:
    """How far one node is: `waiting`, one of `STEPS`, `done`, `back` (the old release runs again) or `failed`."""

    step: str = "waiting"
    message: str = ""
    before: str = ""
    """The version that ran before."""


@dataclass(slots=True)
class Progress:
    """How far all are."""

    release: str
    version: str
    nodes: dict[str, NodeProgress] = field(default_factory=dict)
    state: str = "running"
    """running, done, failed, or stopped between two nodes."""

    def to_json(self) -> dict[str, Any]:
        """As it is kept and told."""
        return asdict(self)


Tell = Callable[[Progress], Awaitable[None]]


class RollOut:
    """One roll-out over some nodes. `tell` is called whenever something changed."""

    def __init__(self, settings: Settings, fleet: Fleet, release: Release, drainer: Drainer, tell: Tell) -> None:
        self._settings = settings.update
        self._fleet = fleet
        self._release = release
        self._drainer = drainer
        self._tell = tell
        self._stopping = False

    def stop(self) -> None:
        """Begin no further node; the one in hand is finished."""
        self._stopping = True

    async def run(self, names: Sequence[str]) -> Progress:
        """Update these nodes, in their order; what an interrupted run of the same release had done is left."""
        nodes = [self._fleet.find(name) for name in names]
        if not nodes:
            raise ConfigError("no node is updated from here: `sealstream nodes add NAME ssh://user@host`")
        with self._fleet.locked():
            progress = self._begin(names)
            for node in nodes:
                if progress.nodes[node.name].step == "done":
                    continue
                if self._stopping:
                    progress.state = "stopped"
                    break
                if not await self._update(node, progress):
                    progress.state = "failed"
                    break
            else:
                progress.state = "done"
            await self._note(progress)
        return progress

    def _begin(self, names: Sequence[str]) -> Progress:
        before = load_progress(self._fleet.folder)
        same = before is not None and before.release == self._release.name and before.state in _UNFINISHED
        kept = before.nodes if before is not None and same else {}
        done = {name: one for name, one in kept.items() if one.step == "done"}
        return Progress(
            self._release.name, self._release.version, {name: done.get(name, NodeProgress()) for name in names}
        )

    async def _update(self, node: ChildNode, progress: Progress) -> bool:
        """Whether the node runs the new release and is well."""
        one, reached = progress.nodes[node.name], False
        try:
            async with connect(node, self._fleet.known_hosts, self._settings.key_file) as remote:
                reached = True
                steps = NodeUpdate(remote, self._release, python=self._settings.python)
                one.before = await steps.version()
                return await self._go(node.name, steps, progress)
        except HostKeyError as error:
            one.step, one.message = "failed", str(error)
        except SealstreamError as error:
            known = "What runs there is not known: look at the node" if reached else "Nothing was done there"
            one.step, one.message = "failed", f"{error}. {known}"
        await self._note(progress)
        return False

    async def _go(self, name: str, steps: NodeUpdate, progress: Progress) -> bool:
        one = progress.nodes[name]
        acts: dict[str, Callable[[], Awaitable[None]]] = {
            "drain": lambda: self._drainer.drain(name),
            "copy": steps.copy,
            "install": steps.install,
            "switch": steps.switch,
            "restart": steps.restart,
            "check": lambda: self._check(steps),
            "resume": lambda: self._drainer.resume(name),
        }
        for step in STEPS:
            one.step, one.message = step, ""
            await self._note(progress)
            try:
                await acts[step]()
            except (NodeError, UnavailableError) as error:
                await self._go_back(name, steps, progress, error)
                return False
        one.step = "done"
        await self._note(progress)
        return True

    async def _go_back(self, name: str, steps: NodeUpdate, progress: Progress, error: SealstreamError) -> None:
        """The old release runs again, if the new one had been switched to; the node serves again if it is well."""
        one = progress.nodes[name]
        failed, switched = one.step, STEPS.index(one.step) >= STEPS.index("switch")
        one.step, one.message = "back", f"{failed} failed: {error}"
        await self._note(progress)
        try:
            if switched and await steps.switch_back():
                await steps.restart()
                await self._check(steps)
                one.message += ". The release before runs again, and is well"
            elif switched:
                one.step = "failed"
                one.message += ". There is no release before to go back to: look at the node"
            else:
                one.message += ". Nothing was changed in what runs there"
            await self._drainer.resume(name)
        except (NodeError, UnavailableError) as again:
            one.step, one.message = "failed", f"{one.message}. Going back failed too: {again}"
        await self._note(progress)

    async def _check(self, steps: NodeUpdate) -> None:
        """Ask until it is well, or its time is up."""
        deadline = asyncio.get_running_loop().time() + self._settings.check_s
        while True:
            try:
                return await steps.check()
            except NodeError:
                if asyncio.get_running_loop().time() >= deadline:
                    raise
            await asyncio.sleep(_CHECK_EVERY_S)

    async def _note(self, progress: Progress) -> None:
        write_whole(self._fleet.folder / STATE, json.dumps(progress.to_json(), indent=1).encode() + b"\n")
        await self._tell(progress)


def load_progress(folder: Path) -> Progress | None:
    """How far the last roll-out from here is, none when there was none."""
    try:
        body = json.loads((folder / STATE).read_bytes())
        nodes = {name: NodeProgress(**one) for name, one in body.pop("nodes").items()}
        return Progress(**body, nodes=nodes)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{folder / STATE} is not usable ({error}): move it away") from None

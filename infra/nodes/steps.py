"""The steps of one node's update: copy, install beside the old, switch, restart, check; and the way back.

Each step may be done again after an interruption. Never touches the release that runs, nor removes the one before.

    ROOT/wheels/sealstream-….whl      what was copied, checked by its SHA-256
    ROOT/releases/VERSION-HASH/       a virtual environment each, with `.complete` once it is whole
    ROOT/current                      the link that the service runs by
    ROOT/previous                     where `current` pointed before the last switch
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from infra.nodes.remote import NodeError, Remote

INSTALL_S = 1200.0
RESTART_S = 120.0


@dataclass(frozen=True, slots=True)
class Release:
    """What is rolled out: a wheel, or a version that the nodes' own package index has."""

    version: str
    sha256: str = ""
    wheel: Path | None = None

    @property
    def name(self) -> str:
        """Its folder among the releases."""
        return f"{self.version}-{self.sha256[:12]}" if self.sha256 else self.version


class NodeUpdate:
    """The steps on one connected node."""

    def __init__(self, remote: Remote, release: Release, *, python: str) -> None:
        self._remote = remote
        self._release = release
        self._python = python
        self._root = remote.node.root
        self._folder = f"{self._root}/releases/{release.name}"

    async def copy(self) -> None:
        """The wheel there, whole: what arrived is checked by its hash."""
        await self._run(f"mkdir -p {_q(self._root + '/wheels')} {_q(self._root + '/releases')}")
        wheel = self._release.wheel
        if wheel is None:
            return
        target = self._wheel
        if await self._hash(target) == self._release.sha256:
            return
        await self._remote.send(wheel, target + ".part")
        arrived = await self._hash(target + ".part")
        if arrived != self._release.sha256:
            raise NodeError(
                f"{self._name}: {wheel.name} arrived with another hash ({arrived[:16]}…): it was not installed"
            )
        await self._run(f"mv {_q(target + '.part')} {_q(target)}")

    async def install(self) -> None:
        """A virtual environment of its own with the release in it; one that was not finished is made anew."""
        what = _q(self._wheel) if self._release.wheel else _q(f"sealstream=={self._release.version}")
        folder = _q(self._folder)
        script = (
            f"test -e {folder}/.complete || {{ rm -rf {folder} && {self._python} -m venv {folder} && "
            f"{folder}/bin/python -m pip install --quiet --disable-pip-version-check --no-input {what} && "
            f"touch {folder}/.complete; }}"
        )
        await self._run(script, INSTALL_S)
        installed = await self._version(self._folder)
        if installed != self._release.version:
            raise NodeError(f"{self._name}: {installed} was installed, not {self._release.version}")

    async def switch(self) -> None:
        """Have `current` point to the new release, at once; where it pointed is kept in `previous`."""
        root = _q(self._root)
        script = (
            f'cd {root} && if test "$(readlink current)" != {_q(self._link)}; then '
            f'if test -L current; then ln -sfn "$(readlink current)" previous; fi; '
            f"ln -sfn {_q(self._link)} current.new && mv -T current.new current; fi"
        )
        await self._run(script)

    async def restart(self) -> None:
        """The node's own command."""
        await self._run(self._remote.node.restart, RESTART_S)

    async def check(self) -> None:
        """Whether the node is well by its own command, and runs what `current` points to."""
        await self._run(self._remote.node.check, RESTART_S)

    async def switch_back(self) -> bool:
        """Have `current` point where it did before; false when there was nothing before."""
        root = _q(self._root)
        told = await self._run(
            f'cd {root} && if test "$(readlink current)" = {_q(self._link)} && test -L previous; then '
            f'ln -sfn "$(readlink previous)" current.new && mv -T current.new current && echo back; fi'
        )
        return told.strip() == "back"

    async def version(self) -> str:
        """What `current` is, empty when there is no release yet."""
        try:
            return await self._version(f"{self._root}/current")
        except NodeError:
            return ""

    @property
    def _name(self) -> str:
        return self._remote.node.name

    @property
    def _link(self) -> str:
        return f"releases/{self._release.name}"

    @property
    def _wheel(self) -> str:
        assert self._release.wheel is not None
        return f"{self._root}/wheels/{self._release.wheel.name}"

    async def _run(self, command: str, timeout_s: float = 60.0) -> str:
        return await self._remote.run(command, timeout_s)

    async def _hash(self, path: str) -> str:
        told = await self._run(f"sha256sum {_q(path)} 2>/dev/null || true")
        return told.split(" ", 1)[0].strip()

    async def _version(self, folder: str) -> str:
        script = "import importlib.metadata as m; print(m.version('sealstream'))"
        return (await self._run(f"{_q(folder)}/bin/python -c {_q(script)}")).strip()


def _q(text: str) -> str:
    return shlex.quote(text)

"""Network namespaces on one bridge: hosts of their own, as far as TCP can tell. Needs root and iproute2.

Never touches a namespace, link or rule that it did not make, and removes all of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Sequence

from schemas.errors import ConfigError, LocalError

PREFIX_BITS = 24
_LAST = 254
"""The address of this machine itself on the bridge."""


class Network:
    """Namespaces by name. `subnet` begins their addresses (three numbers); `tag` begins the names of all it makes."""

    def __init__(self, tag: str, subnet: str) -> None:
        if len(tag) > 6 or not tag.isalnum():
            raise ConfigError("a network's tag is 1 to 6 letters and digits: names of links are short")
        self._tag, self._subnet = tag, subnet
        self._links: dict[str, str] = {}

    @property
    def here(self) -> str:
        """The address of this machine itself on the bridge."""
        return f"{self._subnet}.{_LAST}"

    @property
    def bridge(self) -> str:
        """Name of the bridge."""
        return f"{self._tag}br"

    def open(self) -> None:
        """Make the bridge; raises `ConfigError` where this machine does not allow it."""
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise ConfigError("network namespaces need root and iproute2: `apt-get install iproute2`, run as root")
        _ip("link", "add", self.bridge, "type", "bridge")
        _ip("address", "add", f"{self.here}/{PREFIX_BITS}", "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")

    def add(self, name: str, address: str) -> None:
        """A namespace with one link of that address."""
        space, number = self.space(name), len(self._links)
        outer, inner = f"{self._tag}o{number}", f"{self._tag}i{number}"
        _ip("netns", "add", space)
        self._links[name] = outer
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner)
        _ip("link", "set", inner, "netns", space)
        _ip("link", "set", outer, "master", self.bridge, "up")
        _ip("-n", space, "link", "set", "lo", "up")
        _ip("-n", space, "address", "add", f"{address}/{PREFIX_BITS}", "dev", inner)
        _ip("-n", space, "link", "set", inner, "up")

    def _inner(self, name: str) -> str:
        return f"{self._tag}i{self._links[name].removeprefix(f'{self._tag}o')}"

    def space(self, name: str) -> str:
        """The namespace's own name."""
        return f"{self._tag}-{name}"

    def command(self, name: str, arguments: Sequence[str]) -> list[str]:
        """A command that runs in that namespace."""
        return ["ip", "netns", "exec", self.space(name), *arguments]

    def cut(self, name: str) -> None:
        """Pull the cable."""
        _ip("link", "set", self._links[name], "down")

    def heal(self, name: str) -> None:
        """Put it in again."""
        _ip("link", "set", self._links[name], "up")

    def part(self, name: str, addresses: Iterable[str]) -> None:
        """Let a node neither hear nor reach these addresses, silently, until `rejoin`."""
        listed = ", ".join(addresses)
        rules = (
            "table inet parted {\n"
            f"chain i {{\ntype filter hook input priority 0\nip saddr {{ {listed} }} drop\n}}\n"
            f"chain o {{\ntype filter hook output priority 0\nip daddr {{ {listed} }} drop\n}}\n}}\n"
        )
        _run(self.command(name, ["nft", rules]))

    def rejoin(self, name: str) -> None:
        """Take what `part` did back."""
        _run(self.command(name, ["nft", "delete", "table", "inet", "parted"]))

    def slow(self, name: str, kbit_s: int) -> None:
        """Make its link slow in both directions, until `hasten`; what does not fit is dropped."""
        limit = ["root", "tbf", "rate", f"{kbit_s}kbit", "burst", "16kb", "latency", "400ms"]
        _run(["tc", "qdisc", "add", "dev", self._links[name], *limit])
        _run(self.command(name, ["tc", "qdisc", "add", "dev", self._inner(name), *limit]))

    def hasten(self, name: str) -> None:
        """Take what `slow` did back."""
        _run(["tc", "qdisc", "del", "dev", self._links[name], "root"])
        _run(self.command(name, ["tc", "qdisc", "del", "dev", self._inner(name), "root"]))

    def pids(self, name: str) -> list[int]:
        """Every process in that namespace."""
        told = subprocess.run(
            ["ip", "netns", "pids", self.space(name)], capture_output=True, text=True, check=False
        ).stdout
        return [int(line) for line in told.split()]

    def kill(self, name: str) -> int:
        """Kill -9 whatever runs in that namespace, as a power cut does; how many processes that were."""
        killed = 0
        while pids := self.pids(name):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
            for pid in pids:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        return killed

    def close(self) -> None:
        """Kill what still runs in them, and remove every namespace and the bridge."""
        for name in list(self._links):
            self.kill(name)
            _run(["ip", "netns", "del", self.space(name)], check=False)
            _run(["ip", "link", "del", self._links.pop(name)], check=False)
        _run(["ip", "link", "del", self.bridge], check=False)


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(command: Sequence[str], *, check: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise LocalError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.returncode}")

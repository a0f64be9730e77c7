"""The ports of the stack: the usual ones, or free ones from the ranges that R2 allows.

Never takes a port that somebody listens on; says who does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import socket
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from pathlib import Path

from schemas.errors import ConfigError, UnavailableError

USUAL: Mapping[str, int] = {
    "kafka": 9092,
    "elasticsearch": 9200,
    "postgresql": 5432,
    "redis": 6379,
    "agent": 10000,
    "https": 443,
    "mirror": 42001,
    "miner": 50051,
}
"""What each listener is called here, and its port when nobody chooses another (R2)."""


class PortRule(StrEnum):
    """How a stack gets its ports when it is made; `auto` also replaces, at a later start, those taken since."""

    USUAL = "usual"
    """The usual ones; one that is taken is a fault."""
    AUTO = "auto"
    """The usual ones, and free ones where those are taken or for root alone."""
    RANDOM = "random"
    """Free ones, for stacks beside each other."""


_FREE_RANGE = range(20_000, 32_000)
"""Below Linux's ephemeral ports, so that no outgoing connection takes one meanwhile."""

_AGENT_RANGE = range(10_000, 11_001, 2)
"""R2.2: even; the odd port beside each is for live screens (R2.3)."""

_TRIES = 200


def choose_ports(rule: PortRule) -> dict[str, int]:
    """A port for every listener."""
    chosen = {} if rule is PortRule.RANDOM else dict(USUAL)
    for name, port in USUAL.items():
        if rule is PortRule.RANDOM or (rule is PortRule.AUTO and binding_fault(port)):
            chosen[name] = choose_port(name, chosen.values())
    return chosen


def choose_port(name: str, taken: Collection[int] = ()) -> int:
    """A free port for the listener called `name`."""
    allowed = _AGENT_RANGE if name == "agent" else _FREE_RANGE
    for port in random.sample(allowed, _TRIES):
        beside = [port, port + 1] if name == "agent" else [port]
        if not set(beside) & set(taken) and all(binding_fault(it) == 0 for it in beside):
            return port
    raise UnavailableError(f"no free port for {name} between {allowed[0]} and {allowed[-1]}")


def binding_fault(port: int, host: str = "127.0.0.1") -> int:
    """0 where one may listen on the port now, else the errno that says why not."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno or errno.EINVAL
    return 0


def check_port(name: str, port: int, host: str = "127.0.0.1") -> None:
    """Raise an error that says who listens on the port, or what one needs to listen there."""
    fault = binding_fault(port, host)
    choose = "`sealstream up --ports auto` chooses free ones"
    if fault == errno.EADDRINUSE:
        raise UnavailableError(f"port {port}, for {name}, is taken by {who_listens(port)}: end that, or {choose}")
    if fault == errno.EACCES:
        raise ConfigError(f"port {port}, for {name}, is for root alone: run as root, or {choose}")
    if fault:
        raise ConfigError(f"nothing can listen on {host} port {port}, for {name}: {os.strerror(fault)}")


def who_listens(port: int) -> str:
    """The program that listens on a TCP port, as well as this account may know it."""
    inodes = _listening_inodes(port)
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal() or not inodes & set(_open_files(Path(entry.path, "fd"))):
            continue
        with contextlib.suppress(OSError):
            return f"{Path(entry.path, 'comm').read_text().strip()} (pid {entry.name})"
    return "a program of another account"


def _open_files(folder: Path) -> Iterator[str]:
    """What a process has open, as far as we may know it; descriptors come and go while we look."""
    with contextlib.suppress(OSError):
        for link in folder.iterdir():
            with contextlib.suppress(OSError):
                yield str(link.readlink())


def _listening_inodes(port: int) -> set[str]:
    """The sockets that listen on a port, as the links in /proc/PID/fd name them."""
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in (line.split() for line in rows):
            if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{row[9]}]")
    return inodes

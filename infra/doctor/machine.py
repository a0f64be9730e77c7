"""What the machine gives: ports, open files, memory, a disk and how fast it keeps what is written; secrets' modes.

Never listens longer than it takes to learn that it may.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from infra.doctor.finding import Finding, check
from infra.stack.ports import binding_fault, who_listens
from infra.stack.preflight import MIB, memory_available
from infra.stack.processes import notes
from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from infra.settings import Settings

NEEDED_DISK = 2048 * MIB
SLOW_FSYNC_MS = 100.0
"""A sink commits about once a second, and an agent's Ack waits for a broker's disk: slower is felt."""

SPARE_FILES = 1024
_WRITES = 12
_BLOCK = 4096


def check_gateway(settings: Settings) -> Iterator[Finding]:
    """What a gateway alone needs of a machine."""
    gateway = settings.gateway
    ports = {
        "https": ("gateway.https_port", gateway.https_port),
        "agents": ("gateway.agent_port", gateway.agent_port),
        "live": ("live.port", settings.live_port),
        "mirror": ("gateway.mirror_port", gateway.mirror_port),
    }
    ours = {int(note["pid"]) for note in notes(settings.data) if str(note.get("pid", "")).isdecimal()}
    for name, (setting, port) in ports.items():
        yield check(f"port {name}", partial(check_port, setting, port, gateway.host, ours))
    yield check("open files", partial(check_files, gateway.max_connections))
    yield check("gateway memory", partial(check_memory, gateway.memory_budget_bytes))


def check_machine(settings: Settings, *, gateway: bool = True) -> Iterator[Finding]:
    """What every node needs: a disk, and secrets that are secret."""
    yield check("data disk", partial(check_disk, settings.node.data_dir))
    yield check("fsync", partial(check_fsync, settings.node.data_dir))
    yield check("secrets", partial(check_secrets, settings, gateway=gateway))


def check_port(setting: str, port: int, host: str, ours: set[int]) -> str:
    """Free, or one of our own processes has it; else who has, and what to do."""
    fault = binding_fault(port, host)
    if fault == 0:
        return f"{port} is free"
    if fault == errno.EADDRINUSE:
        who = who_listens(port)
        if any(f"(pid {pid})" in who for pid in ours):
            return f"{port} is our own: {who}"
        raise UnavailableError(f"{port} is taken by {who}: end that, or set {setting}")
    if fault == errno.EACCES:
        raise ConfigError(
            f"{port} is not for this account: run the doctor as root; sealstream-gateway.service may have it "
            f"(CAP_NET_BIND_SERVICE); or set {setting} above 1023"
        )
    raise ConfigError(f"nothing can listen on {host} port {port}: {os.strerror(fault)}; set gateway.host or {setting}")


def check_files(connections: int) -> str:
    """As many open files as the gateway has agents, and some."""
    needed, (_, hard) = connections + SPARE_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigError(
            f"{hard} open files are allowed and {connections} agents want {needed}: set LimitNOFILE={needed} in the "
            f"unit (`ulimit -Hn {needed}` in a shell), or lower gateway.max_connections"
        )
    return f"{'any number' if hard == resource.RLIM_INFINITY else hard} allowed, {needed} wanted at most"


def check_memory(budget: int) -> str:
    """Room for the gateway's budget of envelopes, twice: what is under way is also in Kafka's client."""
    available = memory_available()
    if available < 2 * budget:
        raise UnavailableError(
            f"{available // MIB} MiB are free and the gateway may take {2 * budget // MIB}: end what uses memory "
            "(`ps aux --sort=-rss | head`), or lower gateway.memory_budget_bytes"
        )
    return f"{available // MIB} MiB free"


def check_disk(place: Path) -> str:
    """Room where this node keeps its data."""
    free = shutil.disk_usage(_existing(place)).free
    if free < NEEDED_DISK:
        raise UnavailableError(
            f"{place} has {free // MIB} MiB free and {NEEDED_DISK // MIB} are wanted: free some, or "
            "move the data directory"
        )
    return f"{free // (1024 * MIB)} GiB free at {place}"


def check_fsync(place: Path) -> str:
    """How long a small write takes until the disk has it, by the middle one of some."""
    try:
        took = time_fsync(_existing(place))
    except OSError as error:
        raise ConfigError(
            f"{place} cannot be written: {error.strerror}; it must be the service account's own"
        ) from None
    told = f"{took:.1f} ms until 4 KiB are on the disk"
    if took > SLOW_FSYNC_MS:
        raise UnavailableError(
            f"{told} of {place}, over {SLOW_FSYNC_MS:.0f}: use a local disk whose write cache survives a power cut"
        )
    return told


def time_fsync(place: Path) -> float:
    """Milliseconds."""
    times = []
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(_WRITES):
            began = time.monotonic()
            file.write(os.urandom(_BLOCK))
            file.flush()
            os.fsync(file.fileno())
            times.append((time.monotonic() - began) * 1000)
    return statistics.median(times)


def check_secrets(settings: Settings, *, gateway: bool = True) -> str:
    """The files with secrets that the settings name are there, and their owner's alone."""
    faults, count = [], 0
    for path in secret_files(settings, gateway=gateway):
        try:
            mode = path.stat().st_mode & 0o777
        except OSError as error:
            faults.append(f"{path}: {error.strerror}: write it, or set none")
            continue
        count += 1
        if mode & 0o037:  # its group may be the service's own
            faults.append(f"{path} is open to others ({mode:03o}): `chmod 600 {path}`")
    if faults:
        raise ConfigError("; ".join(faults))
    return f"{count} files, none open to others"


def secret_files(settings: Settings, *, gateway: bool) -> list[Path]:
    """Those without which processes do not start; what is made at need is left out."""
    named = [
        settings.elasticsearch.password_file,
        settings.postgresql.password_file,
        settings.keys.passphrase_file,
        *((settings.oidc.client_secret_file, settings.gateway.key_file) if gateway else ()),
    ]
    return [path for path in named if path is not None]


def _existing(place: Path) -> Path:
    while not place.exists():
        place = place.parent
    return place

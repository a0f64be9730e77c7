"""How busy this machine is, as Linux tells it.

Never fails where the system does not tell: then it is 0.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Machine:
    """`one_minute`: processes that ran or wanted to, on average. Memory that is free counts what can be reclaimed."""

    one_minute: float
    cores: int
    memory_bytes: int
    memory_free_bytes: int


def read_machine(meminfo: Path = MEMINFO) -> Machine:
    """What the system tells now."""
    try:
        one_minute = os.getloadavg()[0]
    except OSError:
        one_minute = 0.0
    memory = _read_memory(meminfo)
    return Machine(one_minute, os.cpu_count() or 0, memory.get("MemTotal", 0), memory.get("MemAvailable", 0))


def _read_memory(meminfo: Path) -> dict[str, int]:
    """Bytes by the names that the system has for them."""
    try:
        lines = meminfo.read_text("ascii").splitlines()
    except OSError:
        return {}
    rows = (line.replace(":", " ").split() for line in lines)
    return {row[0]: 1024 * int(row[1]) for row in rows if len(row) >= 2 and row[1].isdigit()}

"""How much a process takes of its machine, in the words that `node_report` keeps.

Never measures anything but its own process and what the kernel tells of the machine.
"""

from __future__ import annotations

import os
import resource
import time


class ProcessLoad:
    """Each call tells of the time since the one before."""

    def __init__(self) -> None:
        self._before = (time.monotonic(), time.process_time())

    def __call__(self) -> dict[str, float]:
        """`cpu` in cores, `peak_bytes` of memory, and the machine's load average `machine`."""
        now, before = (time.monotonic(), time.process_time()), self._before
        self._before = now
        elapsed_s, used_s = (after - then for after, then in zip(now, before, strict=True))
        return {
            "cpu": round(used_s / elapsed_s, 3) if elapsed_s > 0 else 0.0,
            "peak_bytes": float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024),
            "machine": round(os.getloadavg()[0], 2),
        }

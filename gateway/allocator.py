"""How the process allocates: what a gateway does all day, it should not pay the kernel for each time.

Never needed for correctness: where the C library has no `mallopt`, everything works and costs more.
"""

from __future__ import annotations

import ctypes
import gc

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 64 * 1024 * 1024
"""Free memory at the heap's top that is kept for the next envelopes."""

MAPPED_FROM_BYTES = 32 * 1024 * 1024
"""Smaller allocations come from the heap: what is mapped anew is zeroed by the kernel each time."""

_YOUNG, _MIDDLE, _OLD = 50_000, 20, 100


def tune_allocator() -> None:
    """Keep freed memory for reuse, and let the garbage collector pass over what lives as long as the process.

    Connections and envelopes are freed by counting references; the collector is for the rare cycle.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
    mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)

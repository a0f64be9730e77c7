"""A target of the fuzz: a parser, the errors that it may refuse with, and inputs to begin with.

Never excuses an error that is not in its list: each one would end a connection, a worker or a command unexplained.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

CASES = Path(__file__).parent / "cases"
"""Inputs that once did harm, a folder for each target."""

MAX_CPU_S = 3.0
"""No input of the size that the fuzz makes may hold a core for longer."""


@dataclass(frozen=True)
class Target:
    """`run` takes any bytes; it returns, or raises one of `refuses`."""

    name: str
    run: Callable[[bytes], object]
    refuses: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    text: bool = field(default=False)
    """Whether the input is JSON, so that its parts are worth exchanging."""

    def feed(self, data: bytes) -> bool:
        """Whether `data` was taken; fails for an error that is not allowed, and for what takes too long."""
        began = time.process_time()
        try:
            self.run(data)
        except self.refuses:
            taken = False
        else:
            taken = True
        spent = time.process_time() - began
        assert spent < MAX_CPU_S, f"{self.name} took {spent:.1f} s of CPU for {len(data)} bytes"
        return taken

    @property
    def cases(self) -> list[Path]:
        """What once did harm."""
        return sorted((CASES / self.name).glob("*"))

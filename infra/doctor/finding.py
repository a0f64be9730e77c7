"""The outcome of one check, and how a check becomes one.

Never holds a secret: what is told is shown, logged and sent to whoever helps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from schemas.errors import SealstreamError


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check: what was found, or the fault and what to do about it."""

    name: str
    passed: bool
    told: str


def check(name: str, look: Callable[[], str]) -> Finding:
    """What `look` returns is fine; what it raises of our errors is the fault."""
    try:
        return Finding(name, passed=True, told=look())
    except SealstreamError as error:
        return Finding(name, passed=False, told=str(error))


async def check_later(name: str, look: Callable[[], Awaitable[str]]) -> Finding:
    """The same for what must be waited for."""
    try:
        return Finding(name, passed=True, told=await look())
    except SealstreamError as error:
        return Finding(name, passed=False, told=str(error))

"""The turnstile before the OCR processes."""

from __future__ import annotations

import asyncio

import pytest

from streams.turnstile import AT_ONCE, Turnstile


class Pool:
    """Counts what is inside, and what was ended in the middle."""

    def __init__(self) -> None:
        self.inside = self.most = self.ended = self.done = 0
        self.gate = asyncio.Event()

    async def read(self, agent: str, frames: list, *, emit: bool = True) -> list:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.ended += 1
            raise
        finally:
            self.inside -= 1
        self.done += 1
        if agent == "bad":
            raise RuntimeError
        return [agent]


async def test_who_leaves_ends_nothing_that_is_being_read():
    """Cancelled requests inside are carried through; those outside never go in."""
    pool = Pool()
    turnstile = Turnstile(pool, 1)
    asked = [asyncio.create_task(turnstile.read(str(number), [])) for number in range(10)]
    await asyncio.sleep(0.01)
    assert pool.inside == AT_ONCE
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    pool.gate.set()
    await asyncio.sleep(0.01)
    assert (pool.ended, pool.done, pool.most) == (0, AT_ONCE, AT_ONCE)
    assert await turnstile.read("next", []) == ["next"]


async def test_a_fault_comes_to_who_asked():
    """Errors of the pool pass through."""
    pool = Pool()
    pool.gate.set()
    with pytest.raises(RuntimeError):
        await Turnstile(pool, 1).read("bad", [])

"""OCR processes: what they answer, and what their death means."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from infra.ocr.pool import OcrPool, StateMissing
from schemas.errors import MalformedError
from tests.ocr.desk import Desk


def texts(records: list[dict[str, Any]]) -> list[str]:
    return [record["text"] for record in records]


async def test_frames_of_several_agents_are_read_in_processes() -> None:
    """Each agent has its own displays, whichever process they live in."""
    desks = {f"agent-{number}": Desk() for number in range(4)}
    async with OcrPool(2) as pool:
        for name, desk in desks.items():
            desk.write(40, 40, f"the screen of {name}", 18)
        frames = {name: desk.frame() for name, desk in desks.items()}
        answers = await asyncio.gather(*(pool.read(name, [frame]) for name, frame in frames.items()))
        assert [texts(answer[0].appeared) for answer in answers] == [[f"the screen of {name}"] for name in desks]
        assert len(pool.pids) <= 2


async def test_a_change_without_its_picture_is_state_missing() -> None:
    """The caller then shows the frames since the last key frame, and goes on."""
    desk = Desk()
    desk.write(40, 40, "what stood here before")
    first = desk.frame()
    desk.write(40, 90, "what came after the start")
    second = desk.frame()
    async with OcrPool() as pool:
        with pytest.raises(StateMissing):
            await pool.read("agent", [second])
        (warm,) = await pool.read("agent", [first], emit=False)
        assert (warm.appeared, warm.went) == ([], [])
        (text,) = await pool.read("agent", [second])
        assert texts(text.appeared) == ["what came after the start"]


async def test_a_killed_process_is_replaced() -> None:
    """After kill -9 the state is missing, and a new process takes the frames again."""
    desk = Desk()
    desk.write(40, 40, "before the process was killed")
    first = desk.frame()
    desk.write(40, 90, "after the process was killed")
    second = desk.frame()
    async with OcrPool() as pool:
        await pool.read("agent", [first])
        (pid,) = pool.pids
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(StateMissing):
            await pool.read("agent", [second])
        await pool.read("agent", [first], emit=False)
        (text,) = await pool.read("agent", [second])
        assert texts(text.appeared) == ["after the process was killed"]
        assert pool.pids != [pid]


async def test_frames_that_end_their_process_again_and_again_are_malformed() -> None:
    """They would otherwise be tried for ever: the third death ends in the dead letters."""
    desk = Desk()
    desk.write(40, 40, "never read")
    frame = desk.frame()
    async with OcrPool(time_limit_s=0) as pool:
        for _ in range(2):
            with pytest.raises(StateMissing):
                await pool.read("agent", [frame])
        with pytest.raises(MalformedError):
            await pool.read("agent", [frame])


async def test_a_malformed_frame_ends_nothing() -> None:
    """The process lives on, and so do its pictures."""
    desk = Desk()
    desk.write(40, 40, "a good page of text")
    first = desk.frame()
    desk.write(40, 90, "and one more good line")
    second = desk.frame()
    async with OcrPool() as pool:
        await pool.read("agent", [first])
        pids = pool.pids
        with pytest.raises(MalformedError):
            await pool.read("agent", [second | {"pixels": b"junk"}])
        (text,) = await pool.read("agent", [second])
        assert texts(text.appeared) == ["and one more good line"]
        assert pool.pids == pids


async def test_pictures_are_bounded() -> None:
    """What was not looked at for longest is forgotten, and its state is then missing."""
    async with OcrPool(picture_megabytes=3) as pool:
        frames = []
        for number in range(4):
            desk = Desk()
            desk.write(40, 40, f"page {number}")
            first = desk.frame()
            desk.write(40, 90, "more")
            frames.append((first, desk.frame()))
        for number, (first, _) in enumerate(frames):
            await pool.read(f"agent-{number}", [first])
        with pytest.raises(StateMissing):
            await pool.read("agent-0", [frames[0][1]])
        await pool.read("agent-3", [frames[3][1]])


async def test_a_cancelled_reading_leaves_no_answer_behind() -> None:
    """The next request gets its own answer."""
    desk = Desk()
    desk.write(40, 40, "cancelled before it was read")
    frame = desk.frame()
    async with OcrPool() as pool:
        task = asyncio.create_task(pool.read("agent", [frame]))
        await asyncio.wait({task}, timeout=0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (text,) = await pool.read("agent", [frame])
        assert texts(text.appeared) == ["cancelled before it was read"]

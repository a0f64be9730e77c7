"""Where sound comes from: a microphone, or a file that is played in its place. Blocks of 20 ms, one after the other.

Never keeps a block: what nobody takes in time is dropped, oldest first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from types import ModuleType

SAMPLE_RATE = 48_000
BLOCK_MS = 20
BLOCK_SAMPLES = SAMPLE_RATE * BLOCK_MS // 1000
BLOCK_BYTES = 2 * BLOCK_SAMPLES
"""Mono, 16 bits, little-endian."""

QUEUE_BLOCKS = 50
"""A second: a loop that is busy for longer loses sound rather than memory."""

Feed = Callable[[], AsyncGenerator[bytes, None]]
"""Opens it: blocks as they are captured, until closed. Raises `UnavailableError` when there is nothing to hear."""

INSTALL = "recording sound needs the extra `audio`: pip install 'sealstream[audio]'"


def load_av() -> ModuleType:
    """PyAV; raises `UnavailableError` that says how to get it."""
    try:
        import av
    except ImportError:
        raise UnavailableError(INSTALL) from None
    return av


def _load_sounddevice() -> Any:
    try:
        import sounddevice  # type: ignore[import-untyped]
    except ImportError:
        raise UnavailableError(INSTALL) from None
    except OSError:
        raise UnavailableError("PortAudio is not installed: `apt install libportaudio2`") from None
    return sounddevice


async def microphone(device: str = "") -> AsyncGenerator[bytes, None]:
    """The microphone of that name, or the system's own."""
    sounddevice = _load_sounddevice()
    loop = asyncio.get_running_loop()
    blocks: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_BLOCKS)

    def take(block: bytes) -> None:
        if blocks.full():
            blocks.get_nowait()
        blocks.put_nowait(block)

    def captured(data: Any, *_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is over
            loop.call_soon_threadsafe(take, bytes(data))

    try:
        stream = sounddevice.RawInputStream(
            samplerate=SAMPLE_RATE,
            blocksize=BLOCK_SAMPLES,
            device=device or None,
            channels=1,
            dtype="int16",
            callback=captured,
        )
        with stream:
            while True:
                async with asyncio.timeout(5):
                    block = await blocks.get()
                yield block
    except (sounddevice.PortAudioError, ValueError) as error:
        raise UnavailableError(f"no sound can be recorded here: {error}") from None
    except TimeoutError:
        raise UnavailableError("the microphone has gone silent") from None


async def file(path: Path) -> AsyncGenerator[bytes, None]:
    """A file of sound, again and again, at the pace of time: for tests and demonstrations."""
    sound = await asyncio.to_thread(read_sound, path)
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        for at in range(0, len(sound), BLOCK_BYTES):
            due += BLOCK_MS / 1000
            await asyncio.sleep(max(0.0, due - loop.time()))
            yield sound[at : at + BLOCK_BYTES]


def read_sound(path: Path) -> bytes:
    """Whole blocks of what is in a file of any format that FFmpeg reads; raises `UnavailableError`."""
    av = load_av()
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    sound = bytearray()
    try:
        with av.open(str(path)) as container:
            for frame in [*container.decode(audio=0), None]:
                for piece in resampler.resample(frame):
                    sound += bytes(piece.planes[0])[: 2 * piece.samples]
    except (OSError, IndexError, av.FFmpegError) as error:
        raise UnavailableError(f"sources.audio_file: {path} cannot be played: {error}") from None
    if not sound:
        raise UnavailableError(f"sources.audio_file: there is no sound in {path}")
    return bytes(sound) + bytes(-len(sound) % BLOCK_BYTES)

"""From capture to found in Elasticsearch, on the running stack: what a terminal shows, and what a screen shows.

Usage: python -m bench.latency [--data DIR] [--samples N] [--quick]
A word is written into a recorded terminal, or into an xterm on a recorded display; the clock runs until a plain client
finds it. The peer in the same run: a plain client that indexes the same text itself, into an index with the same
refresh interval; the ratio says what recording, sealing, Kafka, mining and the sink add to it. Figures to beat: median
at most 2 s, 99th percentile at most 5 s. Prints a line for each kind, and a JSON line for each.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import pty
import random
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from elasticsearch import ApiError, AsyncElasticsearch

from agent.clock import SystemClock
from agent.enrolment import enrol
from gateway.enrol import make_token
from infra.datadir import VARIABLE, DataDir
from infra.demo.desktop import Desktop
from infra.settings import Settings, load_settings
from schemas.enrolment import EnrolmentToken
from schemas.errors import SealstreamError
from sinks.elasticsearch.client import connect

LOOK_EVERY_S = 0.03
LOST_AFTER_S = 20.0
PEER_INDEX = "bench-latency"


@dataclass
class Sample:
    """Latencies of one kind in seconds, and how many words were never found."""

    kind: str
    found: list[float] = field(default_factory=list)
    lost: int = 0

    @property
    def median(self) -> float:
        """Half of them took no longer."""
        return statistics.median(self.found)

    @property
    def p99(self) -> float:
        """99 of 100 took no longer."""
        return sorted(self.found)[max(0, round(0.99 * len(self.found)) - 1)]


def invent_word() -> str:
    """Eight letters that OCR cannot mistake and nobody wrote before."""
    return "".join(secrets.choice("bdfgkmnprtvz") + secrets.choice("aeu") for _ in range(5))


class Lookout:
    """Looks for words with a plain client."""

    def __init__(self, client: AsyncElasticsearch) -> None:
        self.client = client

    async def until_found(self, index: str, word: str, stream: str = "") -> float | None:
        """When the word was first found; none if it never was. An index that is only being made finds nothing yet."""
        filters = [{"term": {"stream": stream}}] if stream else []
        query = {"bool": {"must": {"match": {"text": word}}, "filter": filters}}
        deadline = time.monotonic() + LOST_AFTER_S
        while time.monotonic() < deadline:
            try:
                answer = await self.client.count(index=index, query=query, ignore_unavailable=True)
            except ApiError as error:
                if error.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
            else:
                if answer["count"]:
                    return time.time()
            await asyncio.sleep(LOOK_EVERY_S)
        return None


class Pipe:
    """A named pipe that some program shows; `write` puts a line on its screen."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.command = ["sh", "-c", f"exec cat <> '{path}'"]
        self._handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def write(self, text: str) -> None:
        """Show a line."""
        os.write(self._handle, f"{text}\n".encode())


@contextlib.asynccontextmanager
async def recorded(settings: Settings, home: Path) -> AsyncIterator[tuple[Pipe, Pipe]]:
    """An agent that records a display and a terminal; the pipes that lead to them."""
    agent = home / "agent"
    await enrol(EnrolmentToken.parse(make_token(settings)), agent, SystemClock())
    (agent / "agent.toml").write_text('[sources]\nrun = ["screen"]\n')
    terminal, screen = Pipe(home / "terminal"), Pipe(home / "screen")
    async with Desktop(size=(1280, 800)) as desktop:
        await desktop.open_terminal("latency", screen.command)
        command = [sys.executable, "-m", "infra.cli", "agent"]
        environment = {**os.environ, VARIABLE: str(settings.data.root), "DISPLAY": desktop.display}
        with (home / "agent.log").open("wb") as log:
            running = await asyncio.create_subprocess_exec(
                *command, "run", "--dir", str(agent), env=environment, stdout=log, stderr=log
            )
        session = 0
        try:
            await until_connected(command, agent, environment)
            session = record_terminal([*command, "record", "--dir", str(agent), "--", *terminal.command], environment)
            yield terminal, screen
        finally:
            if session:
                os.kill(session, 15)
            running.terminate()
            await running.wait()


async def until_connected(command: list[str], agent: Path, environment: dict[str, str]) -> None:
    """Wait until the agent that runs says that it is connected."""
    for _ in range(60):
        asked = await asyncio.create_subprocess_exec(
            *command, "status", "--dir", str(agent), "--json", env=environment, stdout=-1, stderr=-3
        )
        output, _ = await asked.communicate()
        if asked.returncode == 0 and json.loads(output)["uplink"]["state"] == "connected":
            return
        await asyncio.sleep(0.5)
    raise SystemExit("the agent does not connect: is the stack up? `sealstream status`")


def record_terminal(command: list[str], environment: dict[str, str]) -> int:
    """Run a command under a terminal of ours, whose screen nobody looks at; its pid."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, environment)

    def look() -> None:
        with contextlib.suppress(OSError):
            while os.read(terminal, 65536):
                pass

    threading.Thread(target=look, daemon=True).start()
    return pid


async def measure(
    sample: Sample, show: Callable[[str], Awaitable[None]], look: Callable[[str], Awaitable[float | None]]
) -> None:
    """Show one new word and wait until it is found."""
    word = invent_word()
    began = time.time()
    await show(word)
    found = await look(word)
    if found is None:
        sample.lost += 1
    else:
        sample.found.append(found - began)
    await asyncio.sleep(random.uniform(0.2, 1.4))  # so that no sample keeps step with a refresh or a segment


async def run(settings: Settings, samples: int) -> list[Sample]:
    """All kinds in turns."""
    terminal_sample, screen_sample, peer_sample = Sample("terminal"), Sample("screen"), Sample("peer")
    alias = f"{settings.elasticsearch.index_prefix}-documents"
    client = connect(settings.elasticsearch)
    peer_index = f"{settings.elasticsearch.index_prefix}-{PEER_INDEX}"
    lookout = Lookout(client)
    with tempfile.TemporaryDirectory(prefix="sealstream-latency-") as home:
        try:
            await client.indices.create(
                index=peer_index,
                settings={"refresh_interval": "1s"},
                mappings={"properties": {"text": {"type": "text"}}},
            )
            async with recorded(settings, Path(home)) as (terminal, screen):

                async def write_to(pipe: Pipe, word: str) -> None:
                    pipe.write(f"the delivery of {word} is late")

                async def index(word: str) -> None:
                    await client.index(index=peer_index, document={"text": f"the delivery of {word} is late"})

                await measure(Sample("warm"), lambda w: write_to(screen, w), lambda w: lookout.until_found(alias, w))
                for _ in range(samples):
                    for sample, pipe, stream in (
                        (terminal_sample, terminal, "keystrokes"),
                        (screen_sample, screen, "screen"),
                    ):
                        await measure(
                            sample,
                            lambda w, pipe=pipe: write_to(pipe, w),  # type: ignore[misc]
                            lambda w, stream=stream: lookout.until_found(alias, w, stream),  # type: ignore[misc]
                        )
                    await measure(peer_sample, index, lambda w: lookout.until_found(peer_index, w))
        finally:
            await client.indices.delete(index=peer_index, ignore_unavailable=True)
            await client.close()
    return [terminal_sample, screen_sample, peer_sample]


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="data directory of the running stack")
    parser.add_argument("--samples", type=int, default=60, help="words of each kind")
    parser.add_argument("--quick", action="store_true", help="twelve words of each kind")
    options = parser.parse_args()
    settings = load_settings(DataDir.find(options.data).config)
    *ours, peer = asyncio.run(run(settings, 12 if options.quick else options.samples))
    for sample in (*ours, peer):
        print(
            f"{sample.kind:9} median {sample.median:5.2f} s, p99 {sample.p99:5.2f} s, "
            f"{len(sample.found)} found, {sample.lost} not found"
        )
    for sample in ours:
        row = {
            "bench": "latency", "kind": sample.kind, "samples": len(sample.found), "lost": sample.lost,
            "median_s": round(sample.median, 2), "p99_s": round(sample.p99, 2),
            "peer": "indexing the same text directly", "peer_median_s": round(peer.median, 2),
            "peer_p99_s": round(peer.p99, 2), "ratio": round(sample.median / peer.median, 2),
        }  # fmt: skip
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    try:
        main()
    except SealstreamError as error:
        raise SystemExit(f"{error} (this bench needs a running stack: `sealstream up`)") from None

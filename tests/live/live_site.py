"""A gateway of its own beside the stack's, an endpoint with a screen and a voice, and a viewer who is no browser.

Never touches the stack's own gateway or policy: both have their own ports, and go with the test.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import ssl
import struct
import subprocess
import sys
import time
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx
from websockets.asyncio.client import ClientConnection, connect

from infra.datadir import CONFIG_VARIABLE, VARIABLE
from infra.settings import Settings
from infra.stack.ports import choose_port
from schemas.live import LiveMessage
from tests.console.harness import PASSWORD
from tests.live.operator import until

POLICY: dict[str, Any] = {
    "streams": ["screen", "activity", "audio"],
    "live": ["screen", "audio"],
    "max_frames_per_second": 1,
    "purpose": "a test of live viewing",
}
TONE_HZ = 440
PATIENCE_S = 180.0
"""Tests share the machine: what takes a second alone may take a minute."""


@dataclass
class Site:
    """A gateway process on the stores of a stack."""

    data: Path
    folder: Path
    ports: dict[str, int]
    environment: dict[str, str]
    policy: dict[str, Any] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return f"https://127.0.0.1:{self.ports['https']}"

    def set_policy(self, **changes: Any) -> None:
        """Another policy, told to agents within seconds."""
        self.policy |= changes
        beside = self.folder / "policy.json.new"
        beside.write_text(json.dumps(self.policy))
        beside.replace(self.folder / "policy.json")

    def cli(self, *arguments: str, timeout_s: float = PATIENCE_S) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "infra.cli", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def open_site(stack: Settings, folder: Path, **settings: str) -> Iterator[Site]:
    """A gateway, while the context lasts; `settings` are variables of the environment without their prefix."""
    folder.mkdir(exist_ok=True)
    ports = {name: choose_port(name) for name in ("agent", "https", "mirror")}
    variables = {
        "NODE__ID": f"test-live-{os.getpid()}",
        "REDIS__PREFIX": f"test-live-{os.getpid()}:",
        "GATEWAY__POLICY_FILE": str(folder / "policy.json"),
        **{f"GATEWAY__{name.upper()}_PORT": str(port) for name, port in ports.items()},
        **settings,
    }
    environment = {name: value for name, value in os.environ.items() if name != CONFIG_VARIABLE}
    environment |= {
        VARIABLE: str(stack.data.root),
        **{f"SEALSTREAM_{name}": value for name, value in variables.items()},
    }
    site = Site(stack.data.root, folder, ports, environment)
    site.set_policy(**POLICY)
    with (folder / "gateway.log").open("wb") as log:
        command = [sys.executable, "-m", "infra.cli", "gateway", "run"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        until("the gateway listens", lambda: process.poll() is not None or answers(site), PATIENCE_S)
        assert process.poll() is None, (folder / "gateway.log").read_text()[-3000:]
        yield site
    finally:
        end(process)


def answers(site: Site) -> bool:
    try:
        return httpx.get(f"{site.base}/healthz", verify=False).status_code == 200
    except httpx.HTTPError:
        return False


@dataclass
class Desk:
    """An endpoint: a display on which something moves, and the agent that records it."""

    display: str
    directory: Path
    agent_id: str

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self._ask("status", "--json")))

    def notice(self) -> str:
        return self._ask("notice")

    def _ask(self, *words: str) -> str:
        command = [sys.executable, "-m", "infra.cli", "agent", *words, "--dir", str(self.directory)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def open_desk(site: Site, folder: Path, kek_file: Path | None = None) -> Iterator[Desk]:
    """An endpoint that is recorded: lines that scroll, and a tone that comes and goes."""
    folder.mkdir()
    make_tone(folder / "tone.wav")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-noreset", "-screen", "0", "1280x800x24"],
        pass_fds=[write], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    with os.fdopen(read) as number:
        display = f":{number.readline().strip()}"
    loop = "while true; do date +%T.%N; sleep 0.4; done"
    running = [server, subprocess.Popen(["xterm", "-geometry", "100x30+20+20", "-e", "sh", "-c", loop],
                                        env={**os.environ, "DISPLAY": display}, stderr=subprocess.DEVNULL)]  # fmt: skip
    try:
        token = site.cli("agent", "token").split()[-1]
        directory = folder / "agent"
        site.cli("agent", "enrol", token, "--dir", str(directory))
        recorder = f'[recorder]\nkek_file = "{kek_file}"\n' if kek_file else ""
        (directory / "agent.toml").write_text(
            f'{recorder}[sources]\nrun = ["screen", "activity", "audio"]\ndisplay = "{display}"\n'
            f'audio_file = "{folder / "tone.wav"}"\n'
        )
        with (folder / "agent.log").open("wb") as log:
            command = [sys.executable, "-m", "agent", "run", str(directory)]
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
        desk = Desk(display, directory, json.loads((directory / "identity.json").read_text())["agent_id"])
        until("the agent records", lambda: is_recording(desk), PATIENCE_S)
        yield desk
    finally:
        for process in reversed(running):
            end(process)


def is_recording(desk: Desk) -> bool:
    try:
        status = desk.status()
    except AssertionError:
        return False
    return status["uplink"]["state"] == "connected" and status["sources"]["screen"]["events"] > 0


def make_tone(path: Path) -> None:
    """A second of a tone, and a second of nothing."""
    rate = 24_000
    samples = [int(14_000 * math.sin(n * TONE_HZ * 2 * math.pi / rate)) for n in range(rate)] + [0] * rate
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(struct.pack(f"<{len(samples)}h", *samples))


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Watcher:
    """A person with an account, who watches without a browser."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def ask(self, desk: Desk, what: str, key: str = "") -> httpx.Response:
        body = {"agent": desk.agent_id, "what": what, "purpose": "a test", "viewer_key": key}
        return await self.client.post("/api/v1/live", json=body)

    @asynccontextmanager
    async def open(
        self, desk: Desk, what: str, key: str = ""
    ) -> AsyncIterator[tuple[ClientConnection, dict[str, Any]]]:
        """The websocket of a view, after its ticket was shown, and what the ticket came with."""
        answer = await self.ask(desk, what, key)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        async with connect(told["url"], ssl=trust, max_size=None, compression=None, ping_interval=None) as socket:
            await socket.send(json.dumps({"ticket": told["ticket"]}))
            yield socket, told


@asynccontextmanager
async def sign_in(site: Site, name: str) -> AsyncIterator[Watcher]:
    """Signed in at the site's own gateway."""
    async with httpx.AsyncClient(base_url=site.base, verify=False, timeout=60) as client:
        answer = await client.post("/api/v1/session", json={"name": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        yield Watcher(client)


async def messages(
    socket: ClientConnection, seconds: float, kind: LiveMessage | None = None, count: int = 0
) -> AsyncIterator[tuple[LiveMessage, bytes, float]]:
    """What comes, for so long, with the time it came; goes on until `count` of that kind have come."""
    deadline = time.monotonic() + seconds
    latest = time.monotonic() + PATIENCE_S
    while (left := (latest if count > 0 else deadline) - time.monotonic()) > 0:
        try:
            async with asyncio.timeout(left):
                data = await socket.recv()
        except TimeoutError:
            return
        assert isinstance(data, bytes)
        count -= data[0] == kind
        yield LiveMessage(data[0]), data[1:], time.time() * 1000

"""Live views across servers on the real stack: two gateways, an agent that moves, and a viewer who stays."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect

from infra.settings import Settings
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.live import LiveMessage, dump_viewer_key
from schemas.opening import Opener, PartJoiner
from schemas.records import decode_segment
from tests.console.harness import Console
from tests.live.live_site import PATIENCE_S, Desk, Site, Watcher, open_desk, open_site, sign_in
from tests.live.operator import psql, until

_MISSING = [program for program in ("Xvfb", "xterm") if shutil.which(program) is None]
pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.skipif(bool(_MISSING), reason=f"needs {', '.join(_MISSING)}"),
]

NODE = f"test-relay-{os.getpid()}"
VIEWER = Identity.generate(2048)


class Sight:
    """One view, and what is seen by it: it is read all the while, as a page does."""

    def __init__(self, socket: ClientConnection) -> None:
        self.frames = 0
        self.away = 0
        """How often the agent was."""
        self.whole_after_away = 0
        """At which of these times a frame that stands by itself came last."""
        self._socket = socket
        self._opener = Opener([VIEWER])
        self._joiner = PartJoiner()

    async def look(self) -> None:
        """Take what comes, until the view is over."""
        async for data in self._socket:
            assert isinstance(data, bytes)
            if data[0] == LiveMessage.STATUS:
                self._hear(json.loads(data[1:]))
            elif data[0] == LiveMessage.ENVELOPE:
                self._see(data[1:])

    def _hear(self, status: dict[str, object]) -> None:
        assert status["kind"] not in ("refused", "over"), status
        self.away += status.get("state") == "away"

    def _see(self, envelope: bytes) -> None:
        joined = self._joiner.add(self._opener.open(envelope))
        for frame in decode_segment(StreamKind.SCREEN, joined.plaintext) if joined else []:
            self.frames += 1
            if frame["key_frame"]:
                self.whole_after_away = self.away


@asynccontextmanager
async def open_at(port: int, watcher: Watcher, desk: Desk) -> AsyncIterator[Sight]:
    """A view by the gateway whose websockets are on that port, wherever the agent is."""
    answer = await watcher.ask(desk, "screen", dump_viewer_key(VIEWER.recipient))
    assert answer.status_code == 200, answer.text
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    async with connect(f"wss://127.0.0.1:{port}/live", ssl=trust, max_size=None, compression=None) as socket:
        await socket.send(json.dumps({"ticket": answer.json()["ticket"]}))
        sight = Sight(socket)
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(sight.look())
            yield sight
            looking.cancel()


async def seen(what: Callable[[], bool]) -> None:
    """Return when it was."""
    async with asyncio.timeout(PATIENCE_S):
        while not what():  # noqa: ASYNC110 - what is seen is counted elsewhere
            await asyncio.sleep(0.1)


async def holder(watcher: Watcher, desk: Desk) -> str:
    """The id of the gateway that has the agent, once the one that is asked knows of it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            agents = (await watcher.client.get("/api/v1/live")).json()["agents"]
            if named := [one["server"] for one in agents if one["agent"] == desk.agent_id]:
                return named[0]
            await asyncio.sleep(0.1)


async def test_a_view_at_another_server_goes_on_while_its_agent_moves(stack: Settings, tmp_path: Path) -> None:
    """Watched through the server that has not got the agent; then it comes there; then it goes away again."""
    officer = Console(stack, None).account("officer")  # type: ignore[arg-type]  # no browser is needed for that
    prefix = {"REDIS__PREFIX": f"{NODE}:"}
    with (
        open_site(stack, tmp_path / "one", NODE__ID=f"{NODE}-1", **prefix) as one,
        open_site(stack, tmp_path / "two", NODE__ID=f"{NODE}-2", **prefix) as two,
        open_desk(one, tmp_path / "desk") as desk,
    ):
        sites = {f"{NODE}-{number}/gateway": site for number, site in ((1, one), (2, two))}
        async with sign_in(one, officer) as watcher:
            at = await holder(watcher, desk)
            other = next(name for name in sites if name != at)
            async with open_at(sites[other].ports["agent"] + 1, watcher, desk) as sight:
                await seen(lambda: sight.frames > 1)
                assert "watched live now" in await asyncio.to_thread(desk.notice)
                await asyncio.to_thread(move, one, at)
                await seen(lambda: sight.whole_after_away > 0)
                before = sight.away
                await asyncio.to_thread(one.cli, "nodes", "resume", at)
                await asyncio.to_thread(move, one, other)
                await seen(lambda: sight.whole_after_away > before)
                status = await asyncio.to_thread(desk.status)
                assert status["live"]["screen"]["viewers"] == 1
        until("nobody watches", lambda: not desk.status()["live"])
        until("one view is in the audit, once", lambda: ends(stack, desk) == ["done"])


def move(site: Site, gateway: str) -> None:
    """Send the agent away from there."""
    site.cli("nodes", "drain", gateway, "--reason", "a test")


def ends(stack: Settings, desk: Desk) -> list[str]:
    """What the audit has of the ends of that agent's views."""
    where = f"target = '{desk.agent_id}' AND action = 'watch' AND detail->>'part' = 'end'"
    return [row[0] for row in psql(stack, f"SELECT outcome FROM audit_entry WHERE {where}")]

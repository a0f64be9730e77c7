"""The fleet's demo: a master, application servers, miners and database nodes, each as on a host of its own; an
application server and a miner are killed while agents write, and then everything is counted.

Never counts what it was told: each letter that was delivered is looked for by its own words.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.demo.mail import deliver, make_maildir, write_message
from infra.demo.shell import Shell, until
from infra.demo.story import invent_word
from infra.fleet.fleet import Fleet
from infra.fleet.network import Network
from infra.nodes.site import Site, SiteNode
from schemas.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Sequence

TAG, SUBNET = "slfl", "10.77.0"
AGENTS = 4
LETTERS_EVERY_S = 0.5
"""Each agent's person receives a letter so often."""

WORKS_S = 12.0
"""How long the agents write before, between and after what happens."""

FOUND_S = 180.0
_TOLD = ("ready", "lost", "left", "connected", "disconnected")
MASTER = "master-1"
ROLES: dict[str, list[Any]] = {
    MASTER: ["master"],
    "app-1": ["app"],
    "app-2": ["app"],
    "miner-1": ["miner"],
    "miner-2": ["miner"],
    "db-1": ["db"],
    "search-1": ["mining-db"],
    "bi-1": ["bi"],
}


@dataclass
class Endpoint:
    """An agent on a host of its own, and the letters that its person received."""

    name: str
    directory: Path
    maildir: Path
    subjects: list[str] = field(default_factory=list)
    agent_id: str = ""
    process: asyncio.subprocess.Process | None = None


class FleetDemo:
    """One run below the folder `data`."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.network = Network(TAG, SUBNET)
        nodes = {
            name: SiteNode(address=f"{SUBNET}.{number}", roles=roles)
            for number, (name, roles) in enumerate(ROLES.items(), 1)
        }
        self.fleet = Fleet(Site(nodes=nodes, approved=[self.network.here]), data / "nodes", self.network)
        self.shell = Shell(data / "nodes" / MASTER)
        self.word = invent_word()
        places = [data / "agents" / f"agent-{number}" for number in range(1, AGENTS + 1)]
        self.endpoints = [Endpoint(place.name, place, place / "Maildir") for place in places]
        self._began = time.monotonic()

    async def run(self) -> None:
        """Do all of it; raises an error that says what is not as it should be."""
        if self.data.exists():
            shutil.rmtree(self.data)
        self.data.mkdir(parents=True)
        self.data.chmod(0o755)
        try:
            await self._start()
            async with self._written() as writing:
                await asyncio.sleep(WORKS_S)
                await self._kill_application_server()
                await asyncio.sleep(WORKS_S)
                await self._kill_miner()
                await asyncio.sleep(WORKS_S)
                writing.cancel()
                await self._count()
            await self._bring_back()
            print(f"\nDone in {time.monotonic() - self._began:.0f} s.", flush=True)
        finally:
            self.shell.say("Everything is stopped, and the namespaces are removed.")
            await asyncio.to_thread(self.fleet.stop)

    async def _start(self) -> None:
        say = self.shell.say
        say(f"1. {len(ROLES)} nodes, each in a network namespace of its own; one file each names its roles")
        self.fleet.prepare()
        for name, node in self.fleet.site.nodes.items():
            print(f"  {name:<9} {node.address:<11} {', '.join(node.roles)}")
        took = await asyncio.to_thread(self.fleet.start, lambda text: print(f"  {text[:150]}", flush=True))
        print(f"  all nodes are ready after {took:.0f} s", flush=True)
        say("2. What each of them runs")
        for name in ROLES:
            state = self.fleet.nodes[name].state
            running = ", ".join(state.components) if state else "nothing"
            print(f"  {name:<9} {running}")
        say(f"3. {AGENTS} agents enrol at the master, and are assigned to application servers by their load")
        token = await self.shell.ask("agent", "token", "--uses", str(AGENTS))
        for number, endpoint in enumerate(self.endpoints, 1):
            await self._enrol(endpoint, f"{SUBNET}.{100 + number}", token)
        await until("all agents to connect", self._all_connected, 60)
        self._show_places(await self._agents())

    async def _enrol(self, endpoint: Endpoint, address: str, token: str) -> None:
        self.network.add(endpoint.name, address)
        endpoint.directory.mkdir(parents=True, mode=0o700)
        make_maildir(endpoint.maildir)
        settings = f"[sources]\nmaildirs = {json.dumps([str(endpoint.maildir)])}\n[uplink]\nbackoff_max_s = 2.0\n"
        (endpoint.directory / "agent.toml").write_text(settings, "utf-8")
        await self._at(endpoint, "agent", "enrol", token, "--dir", str(endpoint.directory))
        endpoint.agent_id = json.loads((endpoint.directory / "identity.json").read_text("utf-8"))["agent_id"]
        with (endpoint.directory / "agent.log").open("ab") as log:
            endpoint.process = await asyncio.create_subprocess_exec(
                *self._command(endpoint, "agent", "run", "--dir", str(endpoint.directory)), stdout=log, stderr=log
            )

    async def _at(self, endpoint: Endpoint, *arguments: str) -> None:
        """Run a command on that host."""
        process = await asyncio.create_subprocess_exec(
            *self._command(endpoint, *arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        told, _ = await process.communicate()
        if process.returncode:
            raise LocalError(f"`sealstream {arguments[0]} {arguments[1]}` failed on {endpoint.name}: {told.decode()}")

    def _command(self, endpoint: Endpoint, *arguments: str) -> list[str]:
        return self.network.command(endpoint.name, [sys.executable, "-m", "infra.cli", *arguments])

    @contextlib.asynccontextmanager
    async def _written(self) -> Any:
        """Letters that come to every agent's person; the agents end with it."""
        writing = asyncio.create_task(self._write())
        try:
            yield writing
        finally:
            writing.cancel()
            for endpoint in self.endpoints:
                if endpoint.process and endpoint.process.returncode is None:
                    endpoint.process.send_signal(signal.SIGTERM)
                    await endpoint.process.wait()

    async def _write(self) -> None:
        for number in range(1_000_000):
            for endpoint in self.endpoints:
                subject = f"{self.word} {endpoint.name} letter {number}"
                deliver(endpoint.maildir, write_message("helen@example.com", "ann@example.com", subject, "Dear Ann,"))
                endpoint.subjects.append(subject)
            await asyncio.sleep(LETTERS_EVERY_S)

    async def _kill_application_server(self) -> None:
        places = await self._agents()
        victim, count = Counter(self._place(agent) for agent in places.values()).most_common(1)[0]
        self.shell.say(f"4. Kill -9 of all that runs on {victim}, which has {count} of the agents")
        began = time.monotonic()
        killed = await asyncio.to_thread(self.fleet.nodes[victim].kill)
        print(f"  {killed} processes killed", flush=True)
        self._dead_app = victim

        async def moved() -> bool:
            now = await self._agents()
            ours = [now.get(endpoint.agent_id) for endpoint in self.endpoints]
            return all(agent and agent["connected"] and self._place(agent) != victim for agent in ours)

        await until("its agents to come to the other server", moved, 60)
        print(f"  all agents are connected to another server after {time.monotonic() - began:.1f} s", flush=True)
        self._show_places(await self._agents())

    async def _kill_miner(self) -> None:
        self._dead_miner = "miner-2"
        self.shell.say(f"5. Kill -9 of all that runs on {self._dead_miner}")
        killed = await asyncio.to_thread(self.fleet.nodes[self._dead_miner].kill)
        print(f"  {killed} processes killed; the other miner takes its partitions", flush=True)

    async def _count(self) -> None:
        wanted = [subject for endpoint in self.endpoints for subject in endpoint.subjects]
        self.shell.say(f"6. The count: {len(wanted)} letters were received by {AGENTS} people")
        found: Counter[str] = Counter()

        async def all_found() -> bool:
            found.clear()
            code, text = await self.shell.run("search", self.word, "--stream", "email", "--limit", "10000", "--json")
            if code == 0:
                found.update(hit["title"] for hit in json.loads(text)["hits"])
            return set(found) >= set(wanted)

        began = time.monotonic()
        try:
            await until("all of them to be found", all_found, FOUND_S, 2.0)
        except LocalError:
            missing = sorted(set(wanted) - set(found))
            raise LocalError(f"{len(missing)} of {len(wanted)} letters are missing, such as {missing[:3]}") from None
        twice = [subject for subject, count in found.items() if count > 1]
        print(f"  found: {len(found)}; missing: 0; twice: {len(twice)}; {time.monotonic() - began:.0f} s later")
        if twice:
            raise LocalError(f"{len(twice)} letters are found twice, such as {twice[:3]}")
        await self.shell.show("archive", "verify")
        await self.shell.show("miners", "list")

    async def _bring_back(self) -> None:
        names = [self._dead_app, self._dead_miner]
        self.shell.say(f"7. {' and '.join(names)} come back, and join")
        took = await asyncio.to_thread(self.fleet.start, lambda text: print(f"  {text[:150]}", flush=True), names)
        print(f"  both are ready after {took:.0f} s", flush=True)
        self.shell.say("8. The life of the fleet, from a database node's port 42001")
        host = self.fleet.site.nodes["db-1"].address
        print(f"$ nc {host} 42001   (and types: from start)", flush=True)
        for line in await read_mirror(host, 42001, "from start"):
            if line["line"] == "event" and line["event"] in _TOLD:
                print(f"  {line['time'][11:19]}  {line['id']:<38} {line['event']}", flush=True)

    async def _all_connected(self) -> bool:
        agents = await self._agents()
        return all((agents.get(one.agent_id) or {}).get("connected") for one in self.endpoints)

    async def _agents(self) -> dict[str, dict[str, Any]]:
        """Every agent, as the master's port 42001 tells it."""
        lines = await read_mirror(self.fleet.site.nodes[MASTER].address, 42001)
        return {line["agent_id"]: line for line in lines if line["line"] == "agent"}

    def _place(self, agent: dict[str, Any]) -> str:
        return str(agent["gateway"]).partition("/")[0]

    def _show_places(self, agents: dict[str, dict[str, Any]]) -> None:
        for place, count in sorted(Counter(map(self._place, agents.values())).items()):
            print(f"  {place}: {count} agents", flush=True)


async def read_mirror(host: str, port: int, request: str = "", quiet_s: float = 1.5) -> Sequence[dict[str, Any]]:
    """The lines that a mirror tells at once, as `nc` would show them: by an empty request the state."""
    reader, writer = await asyncio.open_connection(host, port)
    lines: list[dict[str, Any]] = []
    try:
        writer.write(f"{request}\n".encode())
        while True:
            lines.append(json.loads(await asyncio.wait_for(reader.readline(), quiet_s)))
    except (TimeoutError, ValueError):
        return lines
    finally:
        writer.close()

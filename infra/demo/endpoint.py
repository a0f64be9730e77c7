"""The endpoint of a demo: an agent that is enrolled, runs, and says that it is connected.

Never leaves the agent running.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from infra.demo.shell import Shell, until
from schemas.errors import LocalError

CONNECTED_S = 30.0


async def enrol_endpoint(shell: Shell, agent: Path, toml: str) -> None:
    """Enrol an agent in that directory unless an earlier run did, and show the notice that the person gets."""
    make_directory(agent)
    (agent / "agent.toml").write_text(toml, "utf-8")
    code, told = await shell.run("agent", "notice", "--dir", str(agent))
    if code:
        token = await shell.ask("agent", "token")
        await shell.show("agent", "enrol", token, "--dir", str(agent), hide=(token,))
        code, told = await shell.run("agent", "notice", "--dir", str(agent))
    print("  The person at the endpoint is told:\n" + "".join(f"  | {line}\n" for line in told.splitlines()))


def make_directory(path: Path) -> None:
    """A directory for the owner alone, or the one that is there."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)


@contextlib.asynccontextmanager
async def recording(shell: Shell, agent: Path, display: str) -> AsyncIterator[None]:
    """An agent that runs meanwhile."""
    log = agent / "agent.log"
    process = await shell.start("agent", "run", log=log, display=display)

    async def connected() -> bool:
        if process.returncode is not None:
            raise LocalError(f"the agent ended: see {log}")
        status = await agent_status(shell)
        return bool(status and status["uplink"]["state"] == "connected")

    try:
        await until("the agent to connect", connected, CONNECTED_S)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def agent_status(shell: Shell) -> dict[str, Any]:
    """What `sealstream agent status` says, empty when none runs."""
    code, answer = await shell.run("agent", "status", "--json")
    return dict(json.loads(answer)) if code == 0 else {}

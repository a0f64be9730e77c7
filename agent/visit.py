"""What a person's command does beside the agent: record a session, read the notice.

Never records what the policy does not allow, whether an agent runs or not.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path

from agent.agent import Agent
from agent.cache import PolicyCache
from agent.clock import SystemClock
from agent.control import ask
from agent.endpoint import computer_name, user_name
from agent.guest import visit
from agent.identity import load_identity
from agent.installation import open_installation
from agent.notice import write_notice
from agent.pause import load_pause
from agent.policy import Policy
from agent.settings import load_settings
from agent.source import Source
from infra.logging import configure_logging
from schemas.errors import ConfigError, RemoteError, UnavailableError
from schemas.kinds import StreamKind

LOG = "session.log"


class NotAllowedError(RemoteError):
    """The policy does not record this."""


async def record_session(directory: Path, command: list[str]) -> int:
    """Record `command`, or the person's shell, to its end; its exit code. The agent that runs takes the recording."""
    from agent.sources.terminal import TerminalSource

    settings = load_settings(directory)
    load_identity(directory)
    wanted = command or ([settings.sources.shell] if settings.sources.shell else [])
    if wanted and shutil.which(wanted[0]) is None:
        raise ConfigError(f"there is no command {wanted[0]!r}")
    source = TerminalSource(wanted)
    with (directory / LOG).open("a") as log, contextlib.redirect_stderr(log):
        configure_logging("agent", json=True)
        try:
            await _record_with_host(directory, source)
        except UnavailableError:
            if source.exit_code is None:
                await _record_alone(directory, source)
    return source.exit_code if source.exit_code is not None else 1


async def read_notice(directory: Path) -> str:
    """The notice of the agent that runs in `directory`, or would."""
    try:
        return str(await ask(directory, "notice"))
    except UnavailableError:
        identity = load_identity(directory)
        return write_notice(
            PolicyCache(directory, identity.agent_id).policy,
            server=identity.server,
            agent_id=identity.agent_id,
            user=user_name(),
            computer=computer_name(),
            paused_here=load_pause(directory) is not None,
        )


async def _record_with_host(directory: Path, source: Source) -> None:
    host = await visit(directory, source)
    _announce(host.policy)
    try:
        await source.run(host.emit, lambda: host.policy)
    finally:
        await host.close()


async def _record_alone(directory: Path, source: Source) -> None:
    parts = await open_installation(directory, SystemClock())
    agent = Agent(parts, [source], retry=False)
    try:
        _announce(agent.recorder.policy)
    except NotAllowedError:
        await parts.spool.close()
        raise
    await agent.run()


def _announce(policy: Policy) -> None:
    """Say that a recording begins; raises `NotAllowedError` when it must not."""
    if policy.paused:
        raise NotAllowedError("recording is paused: `sealstream agent resume`, then start the session")
    if not policy.allows(StreamKind.KEYSTROKES):
        raise NotAllowedError("the policy of this computer does not record terminal sessions: nothing was started")
    whom = f" for {policy.organisation}" if policy.organisation else ""
    print(  # the person must see it, on the terminal that is recorded
        f"This terminal session is recorded{whom}; `sealstream agent notice` says more.",
        file=sys.__stderr__,
        flush=True,
    )

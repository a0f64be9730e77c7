"""An agent directory, opened: all that an agent is made of.

Never opens one that is not enrolled, or that another agent has.
"""

from __future__ import annotations

from pathlib import Path

from agent.agent import Parts
from agent.clock import Clock
from agent.disk_spool import open_spool
from agent.identity import load_identity, load_recipients, tls_context
from agent.kek import kek_path
from agent.keyring import Keyring
from agent.settings import AgentSettings, load_settings

SPOOL = "spool"


def kek_file(settings: AgentSettings) -> Path:
    """Where the end-to-end KEK is: as set, or the platform's place."""
    return Path(settings.recorder.kek_file) if settings.recorder.kek_file else kek_path()


async def open_installation(directory: Path, clock: Clock) -> Parts:
    """What the agent in `directory` is made of; raises `ConfigError` that says what to do."""
    settings = load_settings(directory)
    identity = load_identity(directory)
    keyring = Keyring(load_recipients(directory), kek_file(settings))
    context = tls_context(directory, settings.uplink.tls_profile)
    spool = await open_spool(directory / SPOOL, settings.spool, clock)
    return Parts(identity, settings, spool, keyring, context, clock, directory)

"""An agent directory, opened: all that an agent is made of.

Never opens one that is not enrolled, or that another agent has.
"""

from __future__ import annotations

from pathlib import Path

from agent.agent import Parts
from agent.cache import PolicyCache
from agent.clock import Clock
from agent.control import ask
from agent.disk_spool import open_spool
from agent.endpoint import computer_name, user_name
from agent.identity import load_identity, load_recipients
from agent.kek import kek_path
from agent.key_sets import KeySets
from agent.keyring import Keyring
from agent.notice import write_notice
from agent.pause import load_pause
from agent.settings import AgentSettings, load_settings
from agent.trust import Trust
from schemas.errors import UnavailableError

SPOOL = "spool"


def kek_file(settings: AgentSettings) -> Path:
    """Where the end-to-end KEK is: as set, or the platform's place."""
    return Path(settings.recorder.kek_file) if settings.recorder.kek_file else kek_path()


async def open_installation(directory: Path, clock: Clock) -> Parts:
    """What the agent in `directory` is made of; raises `ConfigError` that says what to do."""
    settings = load_settings(directory)
    identity = load_identity(directory)
    key_sets = KeySets.load(identity.agent_id, directory)
    keyring = Keyring(load_recipients(directory), kek_file(settings), key_sets)
    trust = Trust(directory, settings.uplink.tls_profile, pinning=settings.uplink.pin_server)
    spool = await open_spool(directory / SPOOL, settings.spool, clock)
    cache = PolicyCache(directory, identity.agent_id)
    return Parts(identity, settings, spool, keyring, cache, trust, clock, directory)


async def read_notice(directory: Path) -> str:
    """The notice of the agent that runs in `directory`, or would; raises `ConfigError` when none is enrolled."""
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

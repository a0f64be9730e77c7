"""What an agent says of the endpoint it runs on (R4.3): names and versions.

Never anything that a person typed or keeps: only what the machine calls itself.
"""

from __future__ import annotations

import getpass
import os
import platform
import socket
from collections.abc import Iterable

from schemas.frames import Hello
from schemas.live import LIVE_STREAMS
from schemas.wire import VERSION as WIRE_VERSION

AGENT_VERSION = "0.1.0"
SOFTWARE = f"sealstream-agent {AGENT_VERSION}"


def computer_name() -> str:
    """The endpoint's name."""
    return socket.gethostname() or "unknown"


def user_name() -> str:
    """Who runs the agent."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no entry for this user id, and no environment
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def make_hello(
    agent_id: str, streams: Iterable[str], time_ms: int, *, user: str | None = None, computer: str | None = None
) -> Hello:
    """The first frame of a connection; `user` and `computer` are this endpoint's unless an agent is simulated."""
    streams = sorted(streams)
    return Hello(
        agent_id=agent_id,
        user=user or user_name(),
        computer=computer or computer_name(),
        versions=[WIRE_VERSION],
        software=SOFTWARE,
        platform=f"{platform.system()} {platform.release()}",
        time_ms=time_ms,
        streams=streams,
        detail={
            "machine": platform.machine(),
            "python": platform.python_version(),
            "processors": str(os.cpu_count() or 0),
            "live": ",".join(stream for stream in streams if stream in LIVE_STREAMS),
        },
    )

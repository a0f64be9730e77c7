"""Redis as a component of the stack: Debian's server, on the loopback, with its log of writes on disk."""

from __future__ import annotations

import re
import shutil
from urllib.parse import urlsplit

from infra.approved import Approval
from infra.render import redis as rendered
from infra.settings import Settings
from infra.stack.account import Account, give
from infra.stack.component import Component, NotReadyError
from infra.stack.probe import tcp_ask
from schemas.errors import UnavailableError

NAME = "redis"
ACCESS = "access.conf"
"""Where it listens, and whom it serves: the loopback alone, whoever is approved elsewhere."""

_VERSION = re.compile(rb"redis_version:(\S+)")


def find_server() -> str:
    """The program; raises `UnavailableError`."""
    program = shutil.which("redis-server")
    if program is None:
        raise UnavailableError("Redis is missing: `apt-get install redis-server`")
    return program


def redis_component(settings: Settings, account: Account | None) -> Component:
    """Redis at the port of the settings."""
    home = settings.data.store(NAME)
    parts = urlsplit(settings.redis.url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 6379

    async def prepare() -> None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (home / ACCESS).write_text(rendered.render(settings, Approval()), "utf-8")
        give(home, account)

    async def probe(_pid: int) -> str:
        answer = await tcp_ask(host, port, b"INFO server\r\n")
        match = _VERSION.search(answer)
        if match is None:
            raise NotReadyError(answer.decode("ascii", "replace").splitlines()[0][:100] if answer else "loads its data")
        return match[1].decode()

    options = {"dir": home, "appendonly": "yes", "save": "", "daemonize": "no"}
    return Component(
        name=NAME,
        command=[
            find_server(),
            home / ACCESS,
            *(word for name, value in options.items() for word in (f"--{name}", str(value))),
        ],
        address=f"{host}:{port}",
        account=account,
        prepare=prepare,
        probe=probe,
        stop_within_s=15,
    )

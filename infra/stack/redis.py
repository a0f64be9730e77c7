"""Redis as a component of the stack: Debian's server, with its log of writes on disk.

Never answers other machines without a password, and never shows that in a list of processes.
"""

from __future__ import annotations

import json
import re
import shutil

from infra.approved import Approval
from infra.cluster import Address, own_redis, redis_password
from infra.files import write_whole
from infra.render import redis as rendered
from infra.settings import Settings
from infra.stack.account import Account, give
from infra.stack.component import Component, NotReadyError
from infra.stack.probe import tcp_ask
from infra.stack.redis_primary import choose_primary
from schemas.errors import ConfigError, UnavailableError

NAME = "redis"
ACCESS = "access.conf"
"""Where it listens, and whom it serves: the loopback, and beyond it who knows the password."""

SECRET = "password.conf"  # noqa: S105  # a file's name
"""The password, and whom it follows when it starts; Sentinels tell it at any time after."""

_VERSION = re.compile(rb"redis_version:(\S+)")


def find_server() -> str:
    """The program; raises `UnavailableError`."""
    program = shutil.which("redis-server")
    if program is None:
        raise UnavailableError("Redis is missing: `apt-get install redis-server`")
    return program


def redis_component(settings: Settings, account: Account | None) -> Component:
    """Redis at the port of the settings; with Sentinels, the primary or one that follows it."""
    home = settings.data.store(NAME)
    place, password = own_redis(settings), redis_password(settings.redis)
    require_password(settings, place)

    async def prepare() -> None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (home / ACCESS).write_text(rendered.render(settings, Approval()), "utf-8")
        lines = [f"requirepass {json.dumps(password)}"]
        if settings.redis.sentinels:
            lines.append(f"masterauth {json.dumps(password)}")
            primary = await choose_primary(settings)
            lines += [] if primary == place else [f"replicaof {primary.host} {primary.port}"]
        write_whole(home / SECRET, "".join(f"{line}\n" for line in lines).encode())
        give(home, account)

    async def probe(_pid: int) -> str:
        return await ask_version(place, password)

    options = {"include": home / SECRET, "dir": home, "appendonly": "yes", "save": "", "daemonize": "no"}
    return Component(
        name=NAME,
        command=[
            find_server(),
            home / ACCESS,
            *(word for name, value in options.items() for word in (f"--{name}", str(value))),
        ],
        address=str(place),
        account=account,
        prepare=prepare,
        probe=probe,
        stop_within_s=15,
    )


def require_password(settings: Settings, place: Address) -> None:
    """Raise `ConfigError` where other machines reach `place` and there is none."""
    if not redis_password(settings.redis) and not place.is_loopback:
        raise ConfigError(f"Redis on {place} wants a password: put one into {settings.redis.password_file}")


async def ask_version(place: Address, password: str) -> str:
    """The release of the server or Sentinel there, once it serves; raises `NotReadyError`, `OSError` until then."""
    login = f"AUTH {password}\r\n" if password else ""
    answer = await tcp_ask(place.host, place.port, f"{login}INFO server\r\n".encode())
    match = _VERSION.search(answer)
    if match is None:
        raise NotReadyError(answer.decode("ascii", "replace").splitlines()[0][:100] if answer else "loads its data")
    return match[1].decode()

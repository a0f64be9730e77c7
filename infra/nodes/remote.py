"""A connection to a child node over SSH: commands and files, by a key and a pinned host key.

Never asks for a password, never reads a person's own SSH configuration, agent or known hosts.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh

from infra.nodes.fleet import ChildNode
from schemas.errors import ConfigError, RemoteError, UnavailableError

CONNECT_S = 15.0
_TOLD_CHARACTERS = 400


class NodeError(RemoteError):
    """A node did not do what it was asked to; the message has its own words."""


class HostKeyError(RemoteError):
    """A node shows another host key than the pinned one: nothing was sent to it."""


class Remote:
    """One connected node."""

    def __init__(self, node: ChildNode, connection: asyncssh.SSHClientConnection) -> None:
        self.node = node
        self._connection = connection

    async def run(self, command: str, timeout_s: float = 60.0) -> str:
        """What a command of its shell printed; raises `NodeError` when it failed or took too long."""
        try:
            done = await self._connection.run(command, timeout=timeout_s, stdin=asyncssh.DEVNULL)
        except (TimeoutError, asyncssh.TimeoutError):
            raise NodeError(f"{self.node.name}: `{command[:80]}` took over {timeout_s:.0f} s") from None
        except (OSError, asyncssh.Error) as error:
            raise UnavailableError(f"{self.node.name}: the connection broke: {error}") from None
        if done.exit_status != 0:
            told = _text(done.stderr).strip() or _text(done.stdout).strip()
            how = f"ended with {done.exit_status}" if done.exit_status is not None else "was ended by a signal"
            raise NodeError(f"{self.node.name}: `{command[:80]}` {how}: {told[-_TOLD_CHARACTERS:]}")
        return _text(done.stdout)

    async def send(self, path: Path, target: str, timeout_s: float = 600.0) -> None:
        """Copy a file there, through the shell's own `cat`: no SFTP server is needed. Raises as `run`."""
        command = f"cat > {shlex.quote(target)}"
        try:
            with path.open("rb") as file:
                done = await self._connection.run(command, stdin=file, timeout=timeout_s, encoding=None)
        except (TimeoutError, asyncssh.TimeoutError):
            raise NodeError(f"{self.node.name}: copying {path.name} took over {timeout_s:.0f} s") from None
        except (OSError, asyncssh.Error) as error:
            raise UnavailableError(f"{self.node.name}: the connection broke while copying: {error}") from None
        if done.exit_status != 0:
            raise NodeError(f"{self.node.name}: {path.name} could not be copied: {_text(done.stderr).strip()}")


@asynccontextmanager
async def connect(node: ChildNode, known_hosts: Path, key_file: Path | None) -> AsyncIterator[Remote]:
    """A connection; raises `UnavailableError`, `HostKeyError`, `NodeError` or `ConfigError`."""
    _require_files(node, known_hosts, key_file)
    try:
        async with asyncio.timeout(CONNECT_S):
            connection = await asyncssh.connect(
                node.host,
                node.port,
                username=node.user,
                client_keys=[str(key_file)],
                known_hosts=str(known_hosts),
                agent_path=None,
                config=None,
                preferred_auth="publickey",
                keepalive_interval=15,
            )
    except asyncssh.HostKeyNotVerifiable:
        raise HostKeyError(
            f"{node.name} ({node.address}) shows another host key than the pinned one: nothing was sent to it. If the "
            f"node was set up anew, compare its key there, then `sealstream nodes add {node.name} … --host-key KEY`"
        ) from None
    except asyncssh.PermissionDenied:
        raise NodeError(
            f"{node.name} does not know our key: put {key_file}.pub into ~{node.user}/.ssh/authorized_keys there"
        ) from None
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise ConfigError(f"{key_file} cannot be used as a key: {error}") from None
    except (OSError, TimeoutError, asyncssh.Error) as error:
        raise UnavailableError(
            f"{node.name} ({node.address}) does not answer: {error or type(error).__name__}"
        ) from None
    try:
        yield Remote(node, connection)
    finally:
        connection.close()
        await connection.wait_closed()


def _require_files(node: ChildNode, known_hosts: Path, key_file: Path | None) -> None:
    if not known_hosts.exists():
        raise ConfigError(f"no host key of {node.name} is known: `sealstream nodes add {node.name} …` pins it")
    if key_file is None or not key_file.exists():
        where = f"{key_file} is not there" if key_file else "`update.key_file` names no file"
        raise ConfigError(f"{where}: make a key with `ssh-keygen -t ed25519 -N '' -f FILE`, and let the nodes know it")


async def shown_host_key(node: ChildNode) -> str:
    """The host key that a node shows now, not verified by anything; raises `UnavailableError`."""
    try:
        async with asyncio.timeout(CONNECT_S):
            key = await asyncssh.get_server_host_key(node.host, node.port, config=None)
    except (OSError, TimeoutError, asyncssh.Error) as error:
        raise UnavailableError(
            f"{node.name} ({node.address}) does not answer: {error or type(error).__name__}"
        ) from None
    if key is None:
        raise UnavailableError(f"{node.name} ({node.address}) shows no host key")
    fields = key.export_public_key("openssh").decode().split()
    return f"{fields[0]} {fields[1]}"


def _text(told: object) -> str:
    if isinstance(told, bytes):
        return told.decode(errors="replace")
    return str(told or "")

"""The control socket: how `sealstream agent status|pause|resume|notice` speak to the agent that runs.

Never listens on a network, and lets in only who may read the agent directory's socket: its owner.

A request is one line of JSON, ``{"command": …}`` with its arguments; the answer too, ``{"ok": …}`` or ``{"error": …}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import structlog

from schemas.errors import ConfigError, MalformedError, SealstreamError, UnavailableError

log = structlog.get_logger()

SOCKET = "control.sock"
MAX_LINE_BYTES = 1024 * 1024
TIMEOUT_S = 10.0

Answer = Callable[[dict[str, Any]], Awaitable[Any]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Talk = Callable[[dict[str, Any], asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Control:
    """Answers commands while the agent runs. `answers` by command; `talks` go on reading after the first line."""

    def __init__(self, directory: Path, answers: dict[str, Answer], talks: dict[str, Talk]) -> None:
        self._directory = directory
        self._answers = answers
        self._talks = talks
        self._callers: set[asyncio.StreamWriter] = set()

    async def run(self) -> None:
        """Listen until cancelled. Where there can be no socket, the agent records without one."""
        path = self._directory / SOCKET
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)
            with _reachable(self._directory) as address, _for_owner_alone():
                listener.bind(address)
        except OSError as error:
            log.warning("control_unavailable", reason=error.strerror)
            listener.close()
            await asyncio.Event().wait()
        server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_LINE_BYTES)
        try:
            await server.serve_forever()
        finally:
            path.unlink(missing_ok=True)
            for caller in self._callers:
                caller.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._callers.add(writer)
        with contextlib.suppress(OSError):  # whoever asked has gone
            try:
                request = _parse(await reader.readline())
                command = str(request.get("command"))
                if command in self._talks:
                    await self._talks[command](request, reader, writer)
                    return
                writer.write(_line(await self._answer(command, request)))
                await writer.drain()
            except (SealstreamError, ValueError) as error:
                writer.write(_line({"error": str(error)}))
            finally:
                self._callers.discard(writer)
                writer.close()

    async def _answer(self, command: str, request: dict[str, Any]) -> dict[str, Any]:
        answer = self._answers.get(command)
        if answer is None:
            raise MalformedError(f"the agent knows no command {command!r}: it knows {', '.join(self._answers)}")
        return {"ok": await answer(request)}


async def ask(directory: Path, command: str, **arguments: Any) -> Any:
    """Ask the agent that runs in `directory`; raises `UnavailableError` if none does, `ConfigError` if it refuses."""
    reader, writer = await connect(directory)
    try:
        writer.write(_line({"command": command, **arguments}))
        answer = _parse(await asyncio.wait_for(reader.readline(), TIMEOUT_S))
    except TimeoutError:
        raise UnavailableError(f"the agent in {directory} does not answer") from None
    finally:
        writer.close()
    if "error" in answer:
        raise ConfigError(str(answer["error"]))
    return answer.get("ok")


async def connect(directory: Path) -> Streams:
    """A connection to the agent that runs in `directory`; raises `UnavailableError`."""
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _reachable(directory) as address:
            caller.connect(address)
        caller.setblocking(False)
        return await asyncio.open_unix_connection(sock=caller, limit=MAX_LINE_BYTES)
    except PermissionError:
        caller.close()
        raise UnavailableError(f"the agent in {directory} belongs to somebody else: ask as its owner") from None
    except OSError:
        caller.close()
        raise UnavailableError(f"no agent runs in {directory}: `sealstream agent run` starts it") from None


@contextlib.contextmanager
def _reachable(directory: Path) -> Iterator[str]:
    """The socket's path, short enough for the system: 107 bytes are all that it takes."""
    path = str(directory / SOCKET)
    if len(os.fsencode(path)) <= 100:
        yield path
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _for_owner_alone() -> Iterator[None]:
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise MalformedError("not a line of JSON with an object")
    return value


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"

"""The health port of a process: `/healthz` and `/metrics`, by a tiny HTTP server of its own.

Serves on the loopback alone, and never says more than names of checks and what is wrong with them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.datadir import DataDir
from infra.metrics import CONTENT_TYPE, Metrics

Check = Callable[[], Awaitable[str]]
"""Returns what is wrong in a few words, or an empty text when all is well."""

_MAX_REQUEST_BYTES = 8192
_TIMEOUT_S = 5.0
_JSON = "application/json"

Answer = tuple[HTTPStatus, str, bytes]


class HealthServer:
    """Serves one process's health while its context lasts, and notes where in the run directory.

    `address` is where the process serves its own clients, if it does.
    """

    def __init__(
        self, data: DataDir, name: str, checks: Mapping[str, Check], metrics: Metrics, *, address: str = ""
    ) -> None:
        self._note = free_note(data, name)
        self._checks = checks
        self._metrics = metrics
        self._address = address
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0, limit=_MAX_REQUEST_BYTES)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}/healthz"
        write_note(self._note, {"pid": os.getpid(), "address": self._address, "health": self.url})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._note.unlink(missing_ok=True)
        assert self._server is not None
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _TIMEOUT_S)
            status, content_type, body = await self._route(head)
            writer.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            )
            writer.write(body)
            await asyncio.wait_for(writer.drain(), _TIMEOUT_S)
        writer.close()

    async def _route(self, head: bytes) -> Answer:
        method, _, rest = head.partition(b" ")
        path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
        if method != b"GET":
            return HTTPStatus.METHOD_NOT_ALLOWED, _JSON, b"{}\n"
        if path == b"/healthz":
            return await run_checks(self._checks)
        if path == b"/metrics":
            return HTTPStatus.OK, CONTENT_TYPE, self._metrics.expose()
        return HTTPStatus.NOT_FOUND, _JSON, b"{}\n"


async def run_checks(checks: Mapping[str, Check]) -> Answer:
    """200 when nothing is wrong, else 503, with each check's word; a check that does not answer is wrong too."""
    faults = {name: await _run_check(check) for name, check in checks.items()}
    healthy = not any(faults.values())
    body = {"status": "ok" if healthy else "failing", "checks": {name: fault or "ok" for name, fault in faults.items()}}
    status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
    return status, _JSON, json.dumps(body).encode() + b"\n"


async def _run_check(check: Check) -> str:
    try:
        return await asyncio.wait_for(check(), _TIMEOUT_S)
    except TimeoutError:
        return f"no answer within {_TIMEOUT_S:.0f} s"


def free_note(data: DataDir, name: str) -> Path:
    """Where a process notes itself; beside the note of another that lives and has the same name, not over it."""
    note = data.run / f"{name}.json"
    try:
        other = int(json.loads(note.read_text("utf-8"))["pid"])
        lives = other != os.getpid() and Path(f"/proc/{other}").exists()
    except (OSError, ValueError, KeyError, TypeError):
        lives = False
    return data.run / f"{name}-{os.getpid()}.json" if lives else note


def write_note(path: Path, note: Mapping[str, object]) -> None:
    """Write a run file whole, so that a reader never sees half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(json.dumps(dict(note)), "utf-8")
    beside.rename(path)

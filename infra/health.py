"""The health port of a process: `/healthz`, `/metrics` and `/targets`, by a tiny HTTP server of its own.

Never answers who is neither of this node nor approved, and never says more than names of checks and what is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.datadir import DataDir
from infra.hosts import authority
from infra.metrics import CONTENT_TYPE, Metrics
from infra.monitoring.targets import find_targets

Check = Callable[[], Awaitable[str]]
"""Returns what is wrong in a few words, or an empty text when all is well."""

PORTS = 100
"""How many ports from the first one on are tried."""

_MAX_REQUEST_BYTES = 8192
_TIMEOUT_S = 5.0
_JSON = "application/json"

Answer = tuple[HTTPStatus, str, bytes]


def _nobody(_address: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Serving:
    """Where health ports are opened, and who beyond this node is answered. `node` and `advertise` name the node."""

    host: str = "127.0.0.1"
    first_port: int = 0
    node: str = ""
    advertise: str = "127.0.0.1"
    approves: Callable[[str], bool] = _nobody

    @property
    def reached_from_afar(self) -> bool:
        """Whether it is more than the loopback."""
        return not is_loopback(self.host)


class HealthServer:
    """Serves one process's health while its context lasts, and notes where in the run directory.

    `address` is where the process serves its own clients, if it does.
    """

    def __init__(
        self,
        data: DataDir,
        name: str,
        checks: Mapping[str, Check],
        metrics: Metrics,
        *,
        address: str = "",
        serving: Serving | None = None,
    ) -> None:
        self._data = data
        self._note = free_note(data, name)
        self._checks = checks
        self._metrics = metrics
        self._address = address
        self._serving = serving or Serving()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._metrics.watch_disk("data", self._data.root)
        self._server = await self._open()
        host, port = self._server.sockets[0].getsockname()[:2]
        near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - a name for it, not a binding
        self.url = f"http://{authority(near, port)}/healthz"
        far = self._serving.advertise if self._serving.reached_from_afar else near
        note = {"pid": os.getpid(), "address": self._address, "health": self.url, "metrics": authority(far, port)}
        write_note(self._note, note)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._note.unlink(missing_ok=True)
        assert self._server is not None
        self._server.close()

    async def _open(self) -> asyncio.Server:
        """The first port that is free, of those that may be taken; raises `OSError` when none is."""
        first = self._serving.first_port
        ports = range(first, first + PORTS) if first else (0,)
        for port in ports:
            try:
                return await asyncio.start_server(self._answer, self._serving.host, port, limit=_MAX_REQUEST_BYTES)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or port == ports[-1]:
                    raise
        raise AssertionError("there is at least one port")

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _TIMEOUT_S)
            status, content_type, body = await self._route(head, str(writer.get_extra_info("peername")[0]))
            writer.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            )
            writer.write(body)
            await asyncio.wait_for(writer.drain(), _TIMEOUT_S)
        writer.close()

    async def _route(self, head: bytes, peer: str) -> Answer:
        if not is_loopback(peer) and not self._serving.approves(peer):
            return HTTPStatus.FORBIDDEN, _JSON, b"{}\n"
        method, _, rest = head.partition(b" ")
        path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
        if method != b"GET":
            return HTTPStatus.METHOD_NOT_ALLOWED, _JSON, b"{}\n"
        if path == b"/healthz":
            return await run_checks(self._checks)
        if path == b"/metrics":
            return HTTPStatus.OK, CONTENT_TYPE, self._metrics.expose()
        if path == b"/targets":
            return HTTPStatus.OK, _JSON, json.dumps(find_targets(self._data, self._serving.node)).encode()
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


def is_loopback(address: str) -> bool:
    """Whether it is an address of this machine alone; `localhost` is."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address == "localhost"
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


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

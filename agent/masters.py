"""The masters of an installation as an agent reaches them: several addresses, or several behind one name.

Never waits for one that is dead while another answers, and never leaves one that does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from infra.hosts import authority
from schemas.errors import ConfigError, UnavailableError

STAGGER_S = 1.0
"""A master that has not finished its handshake by then is not waited for alone: the next one is tried beside it."""

RESOLVE_S = 2.0
"""Longest wait for a name while another master is known."""


@dataclass(frozen=True, slots=True)
class Door:
    """One address of one master: `host` is what its certificate is for, `place` where it is now (`sockaddr`)."""

    host: str
    port: int
    family: int
    place: tuple[Any, ...]

    @property
    def address(self) -> str:
        """`host:port`, as in the settings."""
        return authority(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection to a master after its TLS handshake."""

    door: Door
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Masters:
    """The masters of `text`: `host:port`, or several with commas between. Remembers which one answered last."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._addresses = [split_address(one.strip()) for one in text.split(",")]
        self._known: dict[tuple[str, int], list[Door]] = {}
        self._good: Door | None = None
        self._failed: dict[Door, None] = {}
        """Those that failed since they answered last, the latest at the end."""

    async def open(self, context: ssl.SSLContext, but: Container[Door] = ()) -> Opened:
        """A connection to the first that finishes its handshake, begun one after the other: the last good one first.

        Raises `OSError` when none does, `UnavailableError` when all are in `but`.
        """
        doors = deque(door for door in await self._doors() if door not in but)
        if not doors:
            raise UnavailableError(f"{self.text}: there is no other")
        running: set[asyncio.Task[Opened]] = set()
        faults: list[OSError] = []
        try:
            while doors or running:
                if doors:
                    running.add(asyncio.create_task(_open(doors.popleft(), context)))
                wait_s = STAGGER_S if doors else None
                done, running = await asyncio.wait(running, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                faults += [fault for task in done if isinstance(fault := task.exception(), OSError)]
                opened = [task.result() for task in done if not task.exception()]
                for late in opened[1:]:
                    late.writer.close()
                if opened:
                    return opened[0]
        finally:
            await _cancel(running)
        raise next((one for one in faults if isinstance(one, ssl.SSLCertVerificationError)), faults[-1])

    def answered(self, door: Door) -> None:
        """It is the first to try from now on."""
        self._good = door
        self._failed.pop(door, None)

    def failed(self, door: Door) -> None:
        """It is the last to try until it answers again."""
        self._failed.pop(door, None)
        self._failed[door] = None
        if self._good == door:
            self._good = None

    async def _doors(self) -> list[Door]:
        """All addresses of all masters: the good one, those that did not fail, those that did; raises `OSError`."""
        found = [door for doors in await self._resolve_all() for door in doors]
        order = list(self._failed)
        return sorted(
            dict.fromkeys(found),
            key=lambda door: (door != self._good, order.index(door) + 1 if door in self._failed else 0),
        )

    async def _resolve_all(self) -> list[list[Door]]:
        """What is known of each, the names looked up again; one that cannot be looked up is where it was."""
        asking = {one: asyncio.create_task(_resolve(*one)) for one in self._addresses}
        try:
            await asyncio.wait(asking.values(), timeout=RESOLVE_S)
            if not any(task.done() and not task.exception() for task in asking.values()) and not self._known:
                await asyncio.wait(asking.values())
        finally:
            await _cancel({task for task in asking.values() if not task.done()})
        for one, task in asking.items():
            if not task.cancelled() and task.exception() is None:
                self._known[one] = task.result()
        if not self._known:
            raise next(fault for task in asking.values() if (fault := task.exception()))
        return [self._known.get(one, []) for one in self._addresses]


async def reach(host: str, port: int, within_s: float) -> socket.socket:
    """A TCP connection to one of the addresses of `host`, each given `within_s`; raises `OSError`, `TimeoutError`."""
    fault: OSError = OSError(f"{host} has no address")
    for door in await _resolve(host, port):
        try:
            async with asyncio.timeout(within_s):
                return await _connect(door)
        except OSError as error:  # a timeout is one
            fault = error
    raise fault


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[host]:port``; raises `ConfigError`."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"{address!r} is not an address: write host:port")
    return host, int(port)


async def _resolve(host: str, port: int) -> list[Door]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [Door(host, port, family, place) for family, _, _, _, place in found]


async def _connect(door: Door) -> socket.socket:
    connection = socket.socket(door.family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, door.place)
    except BaseException:
        connection.close()
        raise
    return connection


async def _open(door: Door, context: ssl.SSLContext) -> Opened:
    connection = await _connect(door)
    try:
        reader, writer = await asyncio.open_connection(sock=connection, ssl=context, server_hostname=door.host)
    except BaseException:
        connection.close()
        raise
    return Opened(door, reader, writer)


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    """End them; one that finished meanwhile leaves nothing open."""
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Opened):
            with contextlib.suppress(OSError):
                ended.writer.close()

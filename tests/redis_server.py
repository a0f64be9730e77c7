"""A Redis of a test's own: Debian's server in a temporary folder, which can be stopped and started."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.settings import RedisSettings
from infra.stack.ports import choose_port

PATIENCE_S = 60.0


@dataclass
class RedisServer:
    """On a port of its own, which it keeps; nothing is on its disk."""

    folder: Path
    port: int = field(default_factory=lambda: choose_port("redis"))
    process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> RedisSettings:
        return RedisSettings(url=f"redis://127.0.0.1:{self.port}/0", prefix="test:")

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        command = [
            "redis-server",
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--dir",
            str(self.folder),
            "--save",
            "",
            "--daemonize",
            "no",
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert time.monotonic() < deadline, "Redis does not start"
            time.sleep(0.02)

    def stop(self) -> None:
        """Kill it: connections break."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        return False


@contextmanager
def open_redis_server(folder: Path) -> Iterator[RedisServer]:
    """A server that runs while the context lasts."""
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()

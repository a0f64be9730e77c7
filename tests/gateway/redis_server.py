"""A Redis of a test's own, in a directory of its own, that can be stopped, held up and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from infra.stack.ports import choose_port


class RedisServer:
    """One server on a port of the loopback, which keeps nothing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port = choose_port("redis")
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"]
        self._process = subprocess.Popen([*command, "--dir", str(self._directory)], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("Redis does not start")

    def stop(self) -> None:
        """At once, as by a fault of the machine."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time that it has used."""
        assert self._process
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def hold_up(self) -> None:
        """Let it answer nothing, with its connections open."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """The mirror image."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

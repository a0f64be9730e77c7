"""Redis as the stack starts it: whom it answers."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.settings import Settings, load_settings
from infra.stack.component import Component
from infra.stack.ports import choose_port
from infra.stack.probe import tcp_ask
from infra.stack.redis import redis_component

PATIENCE_S = 30.0


def own_address() -> str:
    """An address of this machine that is not of the loopback; the test is skipped where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but the loopback's")
        return str(probe.getsockname()[0])


def settings_at(folder: Path, host: str) -> Settings:
    (folder / "secrets").mkdir()
    (folder / "secrets" / "redis.password").write_text("a-password\n")
    (folder / "sealstream.toml").write_text(f'[redis]\nurl = "redis://{host}:{choose_port("redis")}/0"\n')
    return load_settings(folder / "sealstream.toml")


@contextmanager
def running(component: Component) -> Iterator[tuple[str, int]]:
    """Its program, and where it listens."""
    process = subprocess.Popen([str(word) for word in component.command], stdout=subprocess.DEVNULL)
    try:
        host, _, port = component.address.rpartition(":")
        yield host, int(port)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


async def probe(component: Component) -> str:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await component.probe(0)
            except OSError:
                await asyncio.sleep(0.05)


async def test_other_machines_are_answered_by_the_password_alone(tmp_path: Path) -> None:
    """The component knows it and is ready; who does not know it learns nothing, and no list of processes has it."""
    settings = settings_at(tmp_path, own_address())
    component = redis_component(settings, None)
    for _start in range(2):
        await component.prepare()
    assert not any("a-password" in str(word) for word in component.command)
    assert (settings.data.store("redis") / "password.conf").stat().st_mode & 0o077 == 0
    with running(component) as place:
        assert (await probe(component)).startswith(("7.", "8."))
        assert (await tcp_ask(*place, b"INFO server\r\n")).startswith(b"-NOAUTH")


async def test_the_loopback_is_answered_without_one(tmp_path: Path) -> None:
    """On one machine alone there is nobody else."""
    component = redis_component(settings_at(tmp_path, "127.0.0.1"), None)
    await component.prepare()
    with running(component) as place:
        assert await probe(component)
        assert b"redis_version" in await tcp_ask(*place, b"INFO server\r\n")

"""The process that serves the console has no private key; the reader that it starts has the server's, no other's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.demo.canary import Search, key_needles, search_memory
from infra.keys import load_identity, make_kek
from infra.keys.registry import Purpose, Registered, save_copy
from schemas.keys import Recipient
from tests.recordings.recorded import Recording

PASSPHRASE = b"the server's passphrase"
OFFICERS = b"the officer's passphrase"

SERVING = """
import asyncio, os, sys
from gateway.recordings.pool import Readers
from infra.settings import load_settings
from tests.recordings.recorded import Job, ask

async def main():
    settings = load_settings()
    readers = Readers(settings)
    body, result = await readers.collect(ask(settings.archive.dir, Job.SEGMENTS, 5, 20, start=True))
    print("segments", result["segments"], *readers.pids, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await readers.close()

asyncio.run(main())
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data directory with the server's KEK and an officer's, and an archive sealed to the server's."""
    for folder in ("keys", "secrets"):
        (tmp_path / folder).mkdir()
    make_kek(tmp_path / "keys", "server", PASSPHRASE, bits=2048)
    make_kek(tmp_path / "keys", "officers", OFFICERS, bits=2048)
    server = Registered("server.pub.pem", "server.pem", purpose=Purpose.SERVER)
    save_copy(tmp_path / "keys", [server, Registered("officers.pub.pem", "officers.pem")])
    (tmp_path / "secrets" / "kek.passphrase").write_bytes(PASSPHRASE + b"\n")
    return tmp_path


@pytest.fixture
async def serving(root: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[int, int]]:
    """A process that serves, as a gateway does, and its reader, by their ids."""
    recipient = Recipient.from_pem((root / "keys" / "server.pub.pem").read_bytes())
    recording = Recording(root / "archive", [recipient])
    recording.screens(range(30))
    await recording.store()
    monkeypatch.setenv("SEALSTREAM_DATA", str(root))
    monkeypatch.setenv("SEALSTREAM_POSTGRESQL__DSN", "postgresql://nobody@127.0.0.1:1/none")
    process = subprocess.Popen(  # noqa: ASYNC220 - of a test
        [sys.executable, "-c", SERVING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    told = next(line for line in process.stdout if line.startswith("segments "))
    _, segments, reader = told.split()
    assert segments == "16"
    yield process.pid, int(reader)
    process.stdin.close()
    process.wait(30)


def found(pid: int, root: Path, name: str, passphrase: bytes) -> bool:
    """Whether that process has that private key in its memory."""
    needles = key_needles("key", load_identity(root / "keys" / f"{name}.pem", passphrase).private_key)
    search = Search()
    search_memory(search, pid, needles)
    if search.unread:
        pytest.skip("reading the memory of other processes needs root")
    return bool(search.findings)


async def test_the_servers_key_is_in_the_reader_alone(serving: tuple[int, int], root: Path) -> None:
    """While it opens recordings, and after it did; the officer's is in neither."""
    gateway, reader = serving
    assert found(reader, root, "server", PASSPHRASE), "else the search is blind"
    assert not found(gateway, root, "server", PASSPHRASE)
    for pid in serving:
        assert not found(pid, root, "officers", OFFICERS)

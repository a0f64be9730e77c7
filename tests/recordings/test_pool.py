"""The reader processes of a gateway: fair to all who ask, done when nobody waits, started again when one died."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.recordings import pool as pool_module
from gateway.recordings.asking import Ask, Job
from gateway.recordings.pool import Readers
from gateway.recordings.reading import CREDIT_BYTES, AnswerError
from gateway.unlock.pipe import Frame
from infra.keys import make_kek
from infra.keys.registry import Purpose, Registered, save_copy
from infra.settings import Settings, load_settings
from schemas.errors import UnavailableError
from schemas.keys import Recipient
from schemas.kinds import StreamKind
from sinks.archive.layout import Layout
from tests.recordings.recorded import Recording, ask, messages

PASSPHRASE = b"the server's passphrase"
ROWS = [Registered("server.pub.pem", "server.pem", purpose=Purpose.SERVER)]
LARGE = 300_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the server's KEK, and an archive sealed to it; PostgreSQL is away."""
    root = tmp_path_factory.mktemp("data")
    for folder in ("keys", "secrets"):
        (root / folder).mkdir()
    make_kek(root / "keys", "server", PASSPHRASE, bits=2048)
    save_copy(root / "keys", ROWS)
    (root / "secrets" / "kek.passphrase").write_bytes(PASSPHRASE + b"\n")
    recording = Recording(root / "archive", [Recipient.from_pem((root / "keys" / "server.pub.pem").read_bytes())])
    recording.screens(range(40))
    epoch = recording.epoch(StreamKind.EMAIL)
    for second in range(60):
        text = os.urandom(LARGE).hex()
        recording.add(epoch, second, [{**MAIL, "time_us": 1_795_435_200_000_000 + second, "text": text}])
    asyncio.run(recording.store())
    return root


MAIL = {
    "message_id": "<1@example>",
    "folder": "INBOX",
    "sent_ms": 0,
    "size": 1,
    "sender": "helen@example.com",
    "recipients": [],
    "subject": "a large one",
    "attachments": [],
}


@pytest.fixture
def settings(root: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of that directory."""
    monkeypatch.setenv("SEALSTREAM_DATA", str(root))
    monkeypatch.setenv("SEALSTREAM_POSTGRESQL__DSN", "postgresql://nobody@127.0.0.1:1/none")
    return load_settings()


@pytest.fixture
async def readers(settings: Settings) -> AsyncIterator[Readers]:
    """The readers of a gateway."""
    readers = Readers(settings)
    yield readers
    await readers.close()


def mails(settings: Settings) -> Ask:
    return ask(settings.archive.dir, Job.SEGMENTS, 0, 60, StreamKind.EMAIL)


async def test_answers_come_whole_and_the_key_is_in_that_process_alone(readers: Readers, settings: Settings) -> None:
    """A process of its own, which is gone when the gateway closes."""
    assert readers.pids == []
    body, result = await readers.collect(ask(settings.archive.dir, Job.SEGMENTS, 5, 20, start=True))
    assert len(messages(body)) == 16
    assert result["reads"] == 1
    [pid] = readers.pids
    assert pid != os.getpid()
    os.kill(pid, 0)
    await readers.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_slow_client_keeps_nobody_waiting_and_holds_little(readers: Readers, settings: Settings) -> None:
    """Its answer rests when its credit is used up; others are answered meanwhile."""
    async with readers.stream(mails(settings)) as (pieces, _):
        first = await anext(pieces)
        began = time.monotonic()
        for second in (10, 20, 30):
            _, result = await readers.collect(
                ask(settings.archive.dir, Job.FRAME, second, second + 1, start=True, display=0, width=0)
            )
            assert result["found"]
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.3)
        [child] = [one for one in readers._children if one]
        [answer] = child.answers.values()
        waiting: deque[Frame | None] = answer._queue._queue  # type: ignore[attr-defined]
        held = sum(len(frame.body) for frame in waiting if frame is not None)
        assert len(first) + held <= CREDIT_BYTES + 2 * LARGE * 2
        taken = len(first) + sum([len(piece) async for piece in pieces])
    assert taken > 60 * LARGE


async def test_who_goes_away_is_not_worked_for(readers: Readers, settings: Settings) -> None:
    """The reader hears of it, and drops what it was doing."""
    for _ in range(5):
        async with readers.stream(mails(settings)) as (pieces, _):
            await anext(pieces)
    [child] = [one for one in readers._children if one]
    assert child.answers == {}
    body, _ = await readers.collect(ask(settings.archive.dir, Job.SEGMENTS, 5, 6, start=True))
    assert messages(body)


async def test_a_cancelled_request_leaves_nothing_behind(readers: Readers, settings: Settings) -> None:
    """Cancelled while it waits for a piece."""

    async def consume() -> None:
        async with readers.stream(mails(settings)) as (pieces, _):
            async for _ in pieces:
                await asyncio.sleep(60)

    task = asyncio.create_task(consume())
    await asyncio.sleep(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    body, _ = await readers.collect(ask(settings.archive.dir, Job.SEGMENTS, 5, 6, start=True))
    assert messages(body)


async def test_one_that_died_is_started_again(readers: Readers, settings: Settings) -> None:
    """Who waited is told; the next one is served."""

    async def see_it_die() -> None:
        async with readers.stream(mails(settings)) as (pieces, _):
            await anext(pieces)
            os.kill(readers.pids[0], signal.SIGKILL)
            async for _ in pieces:
                pass

    with pytest.raises(UnavailableError, match="ask again"):
        await see_it_die()
    body, _ = await readers.collect(ask(settings.archive.dir, Job.SEGMENTS, 5, 6, start=True))
    assert messages(body)


async def test_a_mistake_in_one_request_ends_that_one_alone(readers: Readers, settings: Settings) -> None:
    """Such as an archive that is not what its index says."""
    good = ask(settings.archive.dir, Job.SEGMENTS, 5, 6, start=True)
    name = Layout(settings.archive.dir).name(next(iter(Layout(settings.archive.dir).all_files())))
    bad = replace(good, near=tuple(one._replace(start=one.start + 3) for one in good.near))
    missing = replace(good, near=tuple(one._replace(name=name.replace("000001", "000099")) for one in good.near))
    for wrong in (bad, missing):
        with pytest.raises(AnswerError):
            await readers.collect(wrong)
    assert messages((await readers.collect(good))[0])


async def test_one_that_nobody_uses_is_ended(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and plaintext go with it; it is started when somebody asks again."""
    monkeypatch.setattr(pool_module, "_LOOK_S", 0.05)
    short = settings.model_copy(update={"recordings": settings.recordings.model_copy(update={"idle_s": 0.2})})
    readers = Readers(short)
    readers.warm()
    good = ask(settings.archive.dir, Job.SEGMENTS, 5, 6, start=True)
    assert messages((await readers.collect(good))[0])
    for _ in range(100):
        if not readers.pids:
            break
        await asyncio.sleep(0.05)
    assert readers.pids == []
    assert messages((await readers.collect(good))[0])
    await readers.close()


async def test_without_a_kek_that_opens_it_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    """And does not start again and again."""
    (tmp_path / "empty").mkdir()
    keys = settings.keys.model_copy(update={"dir": tmp_path / "empty"})
    readers = Readers(settings.model_copy(update={"keys": keys}))
    good = ask(settings.archive.dir, Job.SEGMENTS, 5, 6, start=True)
    with pytest.raises(UnavailableError, match="sealstream keys make"):
        await readers.collect(good)
    with pytest.raises(UnavailableError, match="does not start"):
        await readers.collect(good)
    await readers.close()

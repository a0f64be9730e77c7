"""Mail: real deliveries to real Maildirs, .eml files, and messages that nobody should send."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sources import email as email_source
from agent.sources.email import EmailSource
from agent.sources.markup import read_html
from agent.sources.message import read_message
from infra.demo.mail import deliver, make_maildir, write_message
from schemas.errors import UnavailableError
from schemas.kinds import StreamKind
from schemas.records import decode_segment, encode_segment
from tests.agent.sources.conftest import EVERYTHING, Told


def read(data: bytes, **named: object) -> dict:
    return read_message(data, **{"size": len(data), "folder": "box", "time_us": 1, **named})


@contextlib.asynccontextmanager
async def watching(told, *paths, state):
    task = asyncio.create_task(EmailSource(paths, state).run(told.emit, told.current_policy))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(email_source, "LOOK_S", 0.02)


@pytest.fixture
def maildir(tmp_path):
    return make_maildir(tmp_path / "mail")


def subjects(told):
    return [event["subject"] for event in told.events]


async def test_a_delivered_message_is_told_once(told, maildir, tmp_path):
    """Headers, text, attachment and size are what was delivered; the plain body is preferred."""
    message = write_message(
        "Zoë <zoe@example.com>",
        "Ann <ann@example.com>",
        "Grüße",
        "First line.\n\nSecond.",
        attachment=("a.bin", b"123"),
    )
    async with watching(told, maildir, state=tmp_path / "seen"):
        file = deliver(maildir, message)
        await told.until(lambda: told.events)
        (event,) = told.events
    assert (event["sender"], event["recipients"], event["subject"]) == (
        "Zoë <zoe@example.com>", ["Ann <ann@example.com>"], "Grüße",
    )  # fmt: skip
    assert event["text"].split() == ["First", "line.", "Second."]
    assert event["message_id"] == message["message-id"]
    assert abs(event["sent_ms"] / 1000 - time.time()) < 60
    assert event["size"] == file.stat().st_size
    assert event["attachments"] == [
        {
            "name": "a.bin",
            "content_type": "application/octet-stream",
            "size": 3,
            "sha256": hashlib.sha256(b"123").digest(),
        }
    ]
    assert decode_segment(StreamKind.EMAIL, encode_segment(StreamKind.EMAIL, told.events)) == told.events


async def test_reading_a_message_does_not_tell_it_again(told, maildir, tmp_path):
    """A mail program moves it to `cur`, flags it, and files it in a folder: it stays one message."""
    async with watching(told, maildir, state=tmp_path / "seen"):
        file = deliver(maildir, write_message("a@example.com", "b@example.com", "one", "text"))
        await told.until(lambda: told.events)
        seen = file.rename(maildir / "cur" / f"{file.name}:2,S")
        folder = make_maildir(maildir / ".Archive")
        seen.rename(folder / "cur" / "another-name:2,S")
        deliver(folder, write_message("a@example.com", "b@example.com", "two", "text"))
        await told.until(lambda: len(told.events) > 1)
    assert subjects(told) == ["one", "two"]
    assert told.events[1]["folder"].endswith(".Archive")


async def test_after_a_restart_nothing_is_told_again(told, maildir, tmp_path, monkeypatch):
    """What was told and sealed is remembered in the state file, by another source too."""
    monkeypatch.setattr(email_source, "KEEP_AFTER_S", 0.0)
    deliver(maildir, write_message("a@example.com", "b@example.com", "before", "text"))
    async with watching(told, maildir, state=tmp_path / "seen"):
        await told.until(lambda: told.events and (tmp_path / "seen").exists())
    again = Told()
    async with watching(again, maildir, state=tmp_path / "seen"):
        deliver(maildir, write_message("a@example.com", "b@example.com", "after", "text"))
        await again.until(lambda: again.events)
    assert subjects(told) == ["before"]
    assert subjects(again) == ["after"]


async def test_a_torn_state_file_is_repaired(told, maildir, tmp_path, monkeypatch):
    """A line that was cut off by a kill is forgotten; the others count."""
    monkeypatch.setattr(email_source, "KEEP_AFTER_S", 0.0)
    state = tmp_path / "seen"
    deliver(maildir, write_message("a@example.com", "b@example.com", "kept", "text"))
    async with watching(told, maildir, state=state):
        await told.until(lambda: told.events and state.exists())
    state.write_bytes(state.read_bytes() + b"0123")
    again = Told()
    async with watching(again, maildir, state=state):
        deliver(maildir, write_message("a@example.com", "b@example.com", "new", "text"))
        await again.until(lambda: again.events)
    assert subjects(again) == ["new"]
    assert len(state.read_bytes()) % 33 == 0


async def test_eml_files_and_directories_are_taken(told, tmp_path):
    """A single file, and a directory with files below; other files are left alone."""
    box = tmp_path / "box"
    (box / "deep").mkdir(parents=True)
    (box / "deep" / "one.eml").write_bytes(b"Subject: one\n\ntext")
    (box / "notes.txt").write_bytes(b"Subject: not mail\n\ntext")
    (tmp_path / "two.eml").write_bytes(b"Subject: two\n\ntext")
    async with watching(told, box, tmp_path / "two.eml", state=tmp_path / "seen"):
        await told.until(lambda: len(told.events) == 2)
    assert sorted(subjects(told)) == ["one", "two"]


async def test_what_comes_during_a_pause_is_never_told(told, maildir, tmp_path):
    """A pause is a pause, not a delay."""
    told.policy = replace(EVERYTHING, paused=True)
    async with watching(told, maildir, state=tmp_path / "seen"):
        await asyncio.to_thread(deliver, maildir, write_message("a@example.com", "b@example.com", "private", "text"))
        await asyncio.sleep(0.3)  # there is nothing to wait for: nothing must happen
        told.policy = EVERYTHING
        deliver(maildir, write_message("a@example.com", "b@example.com", "official", "text"))
        await told.until(lambda: told.events)
    assert subjects(told) == ["official"]


async def test_a_missing_mailbox_is_said(told, tmp_path):
    """The agent shows it and tries again later."""
    source = EmailSource([tmp_path / "nowhere"], tmp_path / "seen")
    with pytest.raises(UnavailableError, match="nowhere"):
        await source.run(told.emit, told.current_policy)


def test_encoded_headers_are_decoded():
    """RFC 2047 words, folded lines, raw UTF-8 and unknown charsets."""
    assert read(b"Subject: =?iso-8859-1?Q?caf=E9?= =?utf-8?B?w7xiZXI=?=\n\n")["subject"] == "caféüber"
    assert read(b"Subject: long\n  line\n\n")["subject"] == "long line"
    assert read("Subject: naïve\n\n".encode())["subject"] == "naïve"
    assert read(b"Subject: =?x-nothing?Q?caf=E9?=\n\n")["subject"] == "café"


def test_html_only_mail_is_read_as_a_person_reads_it():
    """Without a plain body the HTML's text is taken, without its scripts."""
    body = b"<style>p{}</style><h1>Title &amp; more</h1><p>one<br>two</p><script>x<y</script><td>a<td>b"
    text = read(b"Content-Type: text/html; charset=utf-8\n\n" + body)["text"]
    assert text == "Title & more\n\none\ntwo\na\tb"


def test_a_cut_message_tells_no_hash_of_a_cut_attachment():
    """Of a message larger than what is read, the last attachment is left out: its hash would be wrong."""
    content = base64.encodebytes(b"x" * 100)
    data = b"Subject: s\nContent-Type: application/x-y; name=z\nContent-Transfer-Encoding: base64\n\n" + content
    assert len(read(data)["attachments"]) == 1
    assert read(data, size=len(data) + 1)["attachments"] == []


@pytest.mark.parametrize(
    "message",
    [
        b"",
        bytes(range(256)) * 100,
        b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(3000)),
        b"Content-Type: message/rfc822\n\n" * 3000,
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 20_000,
        b"Content-Type: text/plain" + b";" * 5_000_000,
        b"Subject: " + b"=?utf-8?B?" * 100_000,
        b"To: " + b'a<("\\' * 100_000,
        b"Date: " + b"(" * 100_000,
        b"Content-Type: text/html\n\n" + b"<!--" * 500_000,
        b"Content-Type: text/plain; charset=rot13\nContent-Transfer-Encoding: base64\n\n====A",
        b"Content-Type: text/plain; charset=\xff\xfe\n\n\xff\xfe",
        b"From: \x00\x01\nSubject: \xed\xa0\x80\n\n\x00",
    ],
    ids=lambda message: repr(message[:24]),
)
def test_hostile_messages_are_read_in_time(message):
    """Whatever it is, an event comes out that can be sealed, in seconds and not hours."""
    started = time.process_time()
    event = read(message)
    encode_segment(StreamKind.EMAIL, [event])
    assert time.process_time() - started < 5


@given(st.binary(max_size=400), st.lists(st.sampled_from([b"Subject", b"To", b"Date", b"Content-Type", b"From"])))
@settings(max_examples=150, deadline=None)
def test_no_bytes_make_it_fail(junk, names):
    """Junk as headers and as body gives an event, always."""
    data = b"".join(name + b": " + junk[n : n + 60] + b"\n" for n, name in enumerate(names)) + b"\n" + junk
    encode_segment(StreamKind.EMAIL, [read(data)])


@given(st.text(alphabet="<>!-/\"'= abscript", max_size=300))
@settings(max_examples=200, deadline=None)
def test_markup_never_fails(source):
    """Whatever is between the angle brackets."""
    read_html(source)


def test_markup_takes_linear_time():
    """Twenty times as much takes not much more than twenty times as long, for what is made to be slow."""
    for unit in ("<!--", "<a", "</", "<a '", "<script>", "<a \"'", "<p", "&#x", "<"):
        started = time.process_time()
        read_html(unit * 200_000)
        assert time.process_time() - started < 3, unit

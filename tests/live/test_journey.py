"""Real input on a real stack: what was typed, shown and mailed is found, with the right agent, stream and time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.datadir import VARIABLE
from infra.demo.desktop import Desktop
from infra.demo.mail import deliver, make_maildir, write_message
from infra.settings import Settings
from tests.live.operator import EnrolledAgent, elasticsearch_of, end, psql, sealstream, search, until
from tests.live.typist import Typist

pytestmark = pytest.mark.live

FOUND_S = 90.0
PASSWORD = "unspeakable" + secrets.token_hex(4)


def invent_word() -> str:
    """A word that nobody wrote before, easy to read on a screen."""
    consonants, vowels = "bdfgkmnprtvz", "aeiou"
    return "".join(secrets.choice(consonants) + secrets.choice(vowels) for _ in range(4))


@dataclass
class Recording:
    """One agent's recording of a few minutes, and the words in it by where they stood."""

    agent: EnrolledAgent
    words: dict[str, str]
    began: float
    ended: float = 0.0


PAGE = """<!doctype html><html lang="en"><title>Open items</title><style>body{{font:22px/1.5 sans-serif;margin:2em}}
input{{font:inherit;width:22em}}</style><h1>Open items of {0}</h1><p>The invoice for {1} is overdue since Monday.</p>
<form><p><label>Remark<br><input autofocus></label></p></form></html>"""


@pytest.fixture(scope="module")
def recording(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A person works at an endpoint: terminal, browser, form, editor, a recorded shell, mail."""
    directory = tmp_path_factory.mktemp("journey")
    maildir = make_maildir(directory / "Maildir")
    agent = EnrolledAgent.enrol(stack, directory / "agent", f"[sources]\nmaildirs = {json.dumps([str(maildir)])}\n")
    places = ("terminal", "page", "heading", "form", "editor", "shell", "output", "mail", "subject", "attachment")
    made = Recording(agent, {place: invent_word() for place in places}, time.time())
    asyncio.run(work(made, maildir))
    made.ended = time.time()
    return made


async def work(made: Recording, maildir: Path) -> None:
    """What the person does."""
    words = made.words
    async with Desktop(size=(1280, 800)) as desktop, running(made.agent, desktop.display):
        await desktop.type_in_terminal(f"echo backup of {words['terminal']} begins")
        await desktop.open_page(PAGE.format(words["heading"], words["page"]), "Open items")
        await desktop.fill_form(f"asked about {words['form']} today")
        await asyncio.sleep(2.5)  # a person reads, and the screen is looked at once a second
        text = f"Dear Ann,\n\nthe delivery of {words['mail']} is late.\n"
        attachment = (f"{words['attachment']}.pdf", b"%PDF-1.7 not really")
        deliver(
            maildir,
            write_message("helen@example.com", "ann@example.com", words["subject"], text, attachment=attachment),
        )
        await desktop.edit_text(f"Notes: budget of {words['editor']} approved")
        await asyncio.sleep(2.5)
        await asyncio.to_thread(type_in_shell, made)
        await asyncio.sleep(2.0)


@contextlib.asynccontextmanager
async def running(agent: EnrolledAgent, display: str) -> AsyncIterator[None]:
    """`sealstream agent run` on that display while this lasts."""
    process = await asyncio.to_thread(lambda: agent.start(DISPLAY=display))
    try:
        yield
    finally:
        await asyncio.to_thread(end, process)


def type_in_shell(made: Recording) -> None:
    """A shell under `sealstream agent record`, with a slip that is corrected and a password that nobody sees."""
    slip = made.words["shell"]
    record = [sys.executable, "-m", "infra.cli", "agent", "record", "--dir", str(made.agent.directory), "--"]
    environment = {**os.environ, "PS1": "ready> ", VARIABLE: str(made.agent.settings.data.root)}
    with Typist([*record, "bash", "--norc", "--noprofile"], environment) as typist:
        typist.await_text("ready> ")
        typist.type(f"echo {slip[:-2]}xx\x7f\x7f{slip[-2:]}\r")
        typist.await_text("ready> ")
        typist.type(f"printf '%s%s\\n' {made.words['output'][:3]} {made.words['output'][3:]}\r")
        typist.await_text("ready> ")
        typist.type("read -s -p 'Password: ' secret; echo; echo thanks\r")
        typist.await_text("Password: ")
        typist.type(f"{PASSWORD}\r")
        typist.await_text("thanks")
        typist.await_text("ready> ")
        typist.type("exit 5\r")
        assert typist.await_end() == 5, "the shell's own exit code comes back"


def hits_of(recording: Recording, word: str, stream: str) -> list[dict[str, Any]]:
    """Hits of `sealstream search`; waits for the first."""
    settings = recording.agent.settings
    return until(f"{word!r} to be found in {stream}", lambda: search(settings, word, "--stream", stream), FOUND_S, 1.0)


def check_hit(recording: Recording, hit: dict[str, Any], word: str, stream: str) -> None:
    """The hit names the agent, the stream, a time within the recording, and the word in its place."""
    from datetime import datetime

    assert hit["agent_id"] == recording.agent.agent_id
    assert hit["stream"] == stream
    assert recording.began - 1 <= datetime.fromisoformat(hit["time"]).timestamp() <= recording.ended + 1
    assert hit["user"]
    assert hit["computer"]
    assert word in {found.lower() for fragment in hit["fragments"] for found in fragment["found"]}, hit["fragments"]


@pytest.mark.parametrize("place", ["terminal", "heading", "page", "form", "editor"])
def test_what_was_on_the_screen_is_found(recording: Recording, place: str) -> None:
    """Terminal, web page, form and editor were read by OCR, and each word leads to its agent and time."""
    word = recording.words[place]
    for hit in hits_of(recording, word, "screen"):
        check_hit(recording, hit, word, "screen")


def test_a_screen_hit_says_where_on_the_screen(recording: Recording) -> None:
    """The document keeps each line's box and when it appeared, and the window in front."""
    (hit, *_) = hits_of(recording, recording.words["page"], "screen")
    with elasticsearch_of(recording.agent.settings) as client:
        source = client.get(index=hit["index"], id=hit["document_id"])["_source"]
    (line, *_) = [line for line in source["lines"] if recording.words["page"] in line["text"].lower()]
    assert 0 <= line["x"] < 1280
    assert 0 <= line["y"] < 800
    assert line["width"] > 100
    assert recording.began - 1 <= line["appeared_ms"] / 1000 <= recording.ended + 1


@pytest.mark.parametrize("place", ["shell", "output"])
def test_what_was_typed_in_a_recorded_shell_is_found(recording: Recording, place: str) -> None:
    """As a person reads it: with the slip corrected, and with what the commands printed."""
    word = recording.words[place]
    for hit in hits_of(recording, word, "keystrokes"):
        check_hit(recording, hit, word, "keystrokes")


def test_a_password_is_nowhere(recording: Recording) -> None:
    """What was typed with echo off is in no document."""
    hits_of(recording, recording.words["output"], "keystrokes")
    assert search(recording.agent.settings, PASSWORD) == []


@pytest.mark.parametrize("place", ["mail", "subject", "attachment"])
def test_mail_is_found(recording: Recording, place: str) -> None:
    """By its text, its subject and the name of what was attached."""
    word = recording.words[place]
    (hit,) = hits_of(recording, word, "email")
    check_hit(recording, hit, word, "email")


def test_window_titles_are_found(recording: Recording) -> None:
    """The browser's title, in the stream of windows."""
    settings, agent = recording.agent.settings, recording.agent.agent_id
    until(
        "the window's title",
        lambda: search(settings, '"open items"', "--stream", "activity", "--agent", agent),
        FOUND_S,
    )


def test_any_client_of_elasticsearch_finds_the_same(recording: Recording) -> None:
    """A plain client and a plain query see agent, stream and time, without a line of our code."""
    word = recording.words["mail"]
    hits_of(recording, word, "email")
    settings = recording.agent.settings
    with elasticsearch_of(settings) as client:
        answer = client.search(
            index=f"{settings.elasticsearch.index_prefix}-documents",
            query={"match": {"text": word}},
            highlight={"fields": {"text": {}}},
        )
    (hit,) = answer["hits"]["hits"]
    assert hit["_source"]["agent_id"] == recording.agent.agent_id
    assert hit["_source"]["stream"] == "email"
    assert f"<em>{word}</em>" in hit["highlight"]["text"][0]


def test_activity_is_summed_in_postgresql(recording: Recording) -> None:
    """Active and idle time per person and day, never more than the recording lasted."""
    settings, agent = recording.agent.settings, recording.agent.agent_id
    total = f"select coalesce(sum(active_ms + idle_ms), 0) from activity_span where agent_id = '{agent}'"
    until("activity in PostgreSQL", lambda: int(psql(settings, total)[0][0]) > 3000, FOUND_S)
    lasted_ms = (recording.ended - recording.began) * 1000
    assert int(psql(settings, total)[0][0]) <= lasted_ms + 2000
    (person,) = psql(settings, f"select user_name from agent where agent_id = '{agent}'")
    days = psql(settings, f"select active_ms, applications from person_day where user_name = '{person[0]}'")
    assert any(int(active_ms) > 0 and int(applications) > 0 for active_ms, applications in days)


def test_the_archive_is_sound(recording: Recording) -> None:
    """Every byte and every chain of the archive verifies, and its index can be made again."""
    settings = recording.agent.settings
    report = json.loads(sealstream(settings, "archive", "verify", "--json"))
    assert report["records"] > 0
    assert not report["damage"]
    sealstream(settings, "archive", "reindex")


def mirror(settings: Settings) -> Iterator[dict[str, Any]]:
    """Events that `nc` reads from port 42001, from the beginning."""
    from tests.live.operator import mirror_lines

    yield from (line for line in mirror_lines(settings, "from start", for_s=2.0) if line["line"] == "event")


def test_the_agents_way_stands_in_the_mirror(recording: Recording) -> None:
    """That it connected and disconnected, with the person's name, is told on port 42001."""
    settings, agent = recording.agent.settings, recording.agent.agent_id

    def told() -> list[str]:
        return [line["event"] for line in mirror(settings) if line["id"] == agent]

    until("the agent's disconnection", lambda: told()[-1:] == ["disconnected"], 30)
    assert told()[0] == "connected"

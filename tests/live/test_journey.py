"""Real input on a real stack: what was typed, shown and mailed is found, with the right agent, stream and time."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from infra.settings import Settings
from tests.live.operator import elasticsearch_of, mirror_lines, psql, sealstream, search, until
from tests.live.recording import PASSWORD, Recording, make_recording

pytestmark = pytest.mark.live

FOUND_S = 90.0


@pytest.fixture(scope="module")
def recording(stack: Settings) -> Recording:
    """A person's work at an endpoint."""
    return make_recording(stack)


def hits_of(recording: Recording, word: str, stream: str) -> list[dict[str, Any]]:
    """Hits of `sealstream search`; waits for the first."""
    settings = recording.agent.settings
    return until(f"{word!r} to be found in {stream}", lambda: search(settings, word, "--stream", stream), FOUND_S, 1.0)


def check_hit(recording: Recording, hit: dict[str, Any], word: str, stream: str) -> None:
    """The hit names the agent, the stream, a time within the recording, and the word in its place."""
    assert hit["agent_id"] == recording.agent.agent_id
    assert hit["stream"] == stream
    assert recording.began - 1 <= datetime.fromisoformat(hit["time"]).timestamp() <= recording.ended + 1
    assert hit["user"]
    assert hit["computer"]
    found = {found.lower() for fragment in hit["fragments"] for found in fragment["found"]}
    assert word in found or word in hit["title"], hit["fragments"]


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


def test_the_agents_way_stands_in_the_mirror(recording: Recording) -> None:
    """That it connected and disconnected, with the person's name, is told on port 42001."""
    settings, agent = recording.agent.settings, recording.agent.agent_id

    def told() -> list[str]:
        lines = mirror_lines(settings, "from start", for_s=2.0)
        return [line["event"] for line in lines if line["line"] == "event" and line["id"] == agent]

    until("the agent's disconnection", lambda: told()[-1:] == ["disconnected"])
    assert told()[0] == "connected"

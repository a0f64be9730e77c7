"""Recordings by the API: shown to who may see them, in the audit first, and whole from any moment on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import pytest_asyncio

from infra.settings import Settings
from schemas.canvas import Canvas
from schemas.kinds import StreamKind
from schemas.opening import Opener
from schemas.records import decode_segment
from tests.api.ground import Ground
from tests.api.recorded_ground import LAST_S, SEALED_S, as_officer, audited, begin, open_recorded
from tests.recordings.recorded import AGENT_TEXT, NOON_MS, OFFICER, messages, picture

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(backing: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """What was recorded, once for these tests."""
    async with open_recorded(backing, tmp_path_factory.mktemp("ground") / "data") as ground:
        yield ground


@pytest.fixture(autouse=True)
def officer(ground: Ground) -> None:
    """Every test begins as an officer who may see everybody."""
    begin(ground)


async def test_people_are_those_in_scope(ground: Ground) -> None:
    """With their endpoints and streams; found by a part of a name."""
    told = await ground.get("/recordings/people")
    assert [one["person"] for one in told["people"]] == ["ann", "bob"]
    assert told["people"][0]["streams"] == ["screen", "keystrokes", "email", "activity"]
    assert [one["person"] for one in (await ground.get("/recordings/people", query="SK-2"))["people"]] == ["bob"]
    assert await ground.get("/recordings/people", limit=1) == {"people": told["people"][:1], "more": True}
    as_officer(ground, "bob")
    assert [one["person"] for one in (await ground.get("/recordings/people"))["people"]] == ["bob"]


async def test_a_timeline_has_what_was_recorded_and_what_is_missing(ground: Ground) -> None:
    """Spans by stream, what is end to end apart, gaps, activity, sessions; by the minute for a longer time."""
    asked: dict[str, Any] = {"person": "ann", "since_ms": NOON_MS - 1000, "until_ms": NOON_MS + 3_600_000}
    told = await ground.get("/recordings/timeline", **asked)
    spans = {(one["stream"], one["end_to_end"]): one for one in told["spans"]}
    assert set(spans) == {
        ("screen", False),
        ("keystrokes", False),
        ("email", False),
        ("email", True),
        ("activity", False),
    }
    screen = spans["screen", False]
    assert (screen["from_ms"], screen["until_ms"]) == (NOON_MS, NOON_MS + (LAST_S - 1) * 1000)
    assert (screen["envelopes"], told["resolution_ms"]) == (LAST_S, 5000)
    assert [(one["from_ms"], one["reason"]) for one in told["gaps"]] == [(NOON_MS + 50_000, "spool_full")]
    assert [one["application"] for one in told["activity"]] == ["Editor", "Mail"]
    assert told["sessions"][0]["until_ms"] is None
    day = await ground.get("/recordings/timeline", **{**asked, "until_ms": NOON_MS + 12 * 3_600_000})
    assert sum(one["envelopes"] for one in day["spans"]) == sum(one["envelopes"] for one in told["spans"])
    month = await ground.get("/recordings/timeline", **{**asked, "until_ms": NOON_MS + 30 * 86_400_000})
    assert month["activity_coarse"] is True


async def segments(ground: Ground, **query: Any) -> list[tuple[dict[str, Any], bytes]]:
    answer = await ground.client.get("/api/v1/recordings/segments", params={"agent": AGENT_TEXT, **query})
    assert answer.status_code == 200, answer.text
    return messages(answer.content)


async def test_segments_are_shown_and_the_audit_knows(ground: Ground) -> None:
    """From a whole picture on, for two reads at most; one entry for one who plays on."""
    for start in (10, 20):
        times = {"since_ms": NOON_MS + start * 1000, "until_ms": NOON_MS + (start + 10) * 1000}
        told = await segments(ground, stream="screen", purpose="case 17", **times)
        end = told.pop()[0]
        assert (end["end"], end["segments"]) == (True, 11)
        assert end["reads"] <= 2
        canvas = Canvas()
        for about, body in told:
            assert about["agent"] == AGENT_TEXT
            for frame in decode_segment(StreamKind.SCREEN, body):
                canvas.draw(frame)
        assert np.array_equal(canvas.pixels, np.asarray(picture(start + 9)))
    [entry] = audited(ground, "view")
    assert (entry["purpose"], entry["outcome"], entry["detail"]["persons"]) == ("case 17", "begun", "ann")


async def test_what_is_end_to_end_passes_sealed(ground: Ground) -> None:
    """By both ways, for the page to open."""
    times = {"since_ms": NOON_MS + SEALED_S * 1000, "until_ms": NOON_MS + (SEALED_S + 1) * 1000}
    (about, envelope), (end, _) = await segments(ground, stream="email", **times)
    assert (about["sealed"], end["sealed"], end["segments"]) == (True, 1, 0)
    assert decode_segment(StreamKind.EMAIL, Opener([OFFICER]).open(envelope).plaintext)[0]["text"] == "hush"
    query: dict[str, Any] = {"agent": AGENT_TEXT, "stream": "email", **times}
    answer = await ground.client.get("/api/v1/recordings/envelopes", params=query)
    assert answer.content == len(envelope).to_bytes(4, "big") + envelope
    assert [entry["outcome"] for entry in audited(ground, "fetch")] == ["begun"]


async def test_a_frame_is_cached_by_what_it_shows(ground: Ground) -> None:
    """Its size and moment are told; the same one is not sent again."""
    query: dict[str, Any] = {"agent": AGENT_TEXT, "at_ms": NOON_MS + 12_400, "width": 80}
    answer = await ground.client.get("/api/v1/recordings/frame", params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    assert (answer.headers["x-frame-size"], answer.headers["x-frame-time-ms"]) == ("160x100", str(NOON_MS + 12_000))
    headers = {"If-None-Match": answer.headers["etag"]}
    again = await ground.client.get("/api/v1/recordings/frame", params=query, headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    assert (await ground.get("/recordings/frame", 404, agent=AGENT_TEXT, at_ms=5))["error"] == "nothing_found"


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/recordings/timeline", {"person": "ann"}),
        ("/recordings/segments", {"agent": AGENT_TEXT, "stream": "screen"}),
        ("/recordings/envelopes", {"agent": AGENT_TEXT, "stream": "screen"}),
        ("/recordings/frame", {"agent": AGENT_TEXT, "at_ms": NOON_MS}),
    ],
)
async def test_whom_one_may_not_see_is_not_there(ground: Ground, path: str, query: dict[str, Any]) -> None:
    """The same answer as for somebody who was never recorded; and nothing in the audit as if it had been seen."""
    times = {} if "at_ms" in query else {"since_ms": NOON_MS, "until_ms": NOON_MS + 1000}
    as_officer(ground, "bob")
    hidden = await ground.get(path, 404, **query, **times)
    as_officer(ground)
    changed = {"person": "nobody"} if "person" in query else {"agent": str(UUID(int=99))}
    assert await ground.get(path, 404, **{**query, **times, **changed}) == hidden
    assert audited(ground, "view") == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"since_ms": 5, "until_ms": 5}, 400),
        ({"since_ms": 0, "until_ms": 40 * 86_400_000}, 400),
        ({"since_ms": 0, "until_ms": 9, "stream": "index"}, 400),
        ({"since_ms": -1, "until_ms": 9}, 422),
        ({"since_ms": 0, "until_ms": 9, "agent": "x"}, 422),
    ],
)
async def test_what_cannot_be_asked_for_is_told(ground: Ground, query: dict[str, Any], status: int) -> None:
    """With a word and what to do."""
    told = await ground.get("/recordings/segments", status, **{"agent": AGENT_TEXT, "stream": "screen", **query})
    assert set(told) == {"error", "message"}


async def test_what_is_not_audited_is_not_shown(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Kafka is away."""

    async def away(*_: object, **__: object) -> bool:
        return False

    monkeypatch.setattr(ground.services.facts, "audit_durably", away)
    at_ms = NOON_MS + 7 * 86_400_000
    for path in ("/recordings/segments", "/recordings/envelopes"):
        query = {"agent": AGENT_TEXT, "stream": "screen", "since_ms": at_ms, "until_ms": at_ms + 1, "purpose": "other"}
        assert (await ground.get(path, 503, **query))["error"] == "unavailable"
    assert (await ground.get("/search", 503, q="garden"))["error"] == "unavailable"


async def test_many_ask_at_once(ground: Ground) -> None:
    """Each gets its own answer."""
    starts = range(0, 30, 3)
    answers = await asyncio.gather(
        *(
            segments(ground, stream="screen", since_ms=NOON_MS + s * 1000, until_ms=NOON_MS + (s + 5) * 1000)
            for s in starts
        )
    )
    for start, told in zip(starts, answers, strict=True):
        canvas = Canvas()
        for _, body in told[:-1]:
            for frame in decode_segment(StreamKind.SCREEN, body):
                canvas.draw(frame)
        assert np.array_equal(canvas.pixels, np.asarray(picture(start + 4)))

"""Recordings, search and exports by the API: shown to who may see them, in the audit first, found where they stand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import pytest
import pytest_asyncio

from gateway.api.access import Role
from gateway.api.times import from_ms
from infra.keys import make_kek
from infra.settings import Settings
from schemas.canvas import Canvas
from schemas.envelope import peek
from schemas.identity import document_id
from schemas.keys import Recipient
from schemas.kinds import StreamKind
from schemas.opening import Opener
from schemas.records import decode_record, decode_segment, encode_record
from sinks.archive.index import index_file
from sinks.archive.layout import Layout
from sinks.elasticsearch.client import connect, request
from sinks.elasticsearch.mapping import alias_name
from sinks.elasticsearch.sink import ElasticsearchSink
from sinks.sink import SinkRecord
from tests.api.accounts import as_principal, principal_of
from tests.api.ground import PASSPHRASE, Ground, open_ground
from tests.recordings.recorded import AGENT, AGENT_TEXT, NOON_MS, OFFICER, OTHER, Recording, messages, picture
from tests.recordings.test_reader import focus, message, output

pytestmark = [pytest.mark.live, pytest.mark.asyncio(loop_scope="module")]

LAST_S = 40
SEALED_S = 60


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(backing: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """Ann was recorded: screens, a shell, a mail, activity; and a mail end to end. Bob has an agent too."""
    async with open_ground(backing, tmp_path_factory.mktemp("ground") / "data", Role.OFFICER) as ground:
        make_kek(ground.settings.keys.dir, "server", PASSPHRASE.encode(), 2048)
        await record(ground)
        prefix = f"sealstream-test-{uuid4().hex[:8]}"
        cluster = backing.elasticsearch.model_copy(update={"index_prefix": prefix})
        ground.services.settings = ground.settings.model_copy(update={"elasticsearch": cluster})
        client = connect(cluster)
        await index(ElasticsearchSink(client, prefix))
        await request(client, "POST", f"/{alias_name(prefix)}-*/_refresh")
        yield ground
        await request(client, "DELETE", f"/{alias_name(prefix)}-2026.11")
        await request(client, "DELETE", f"/_index_template/{alias_name(prefix)}")
        await client.close()


async def record(ground: Ground) -> None:
    """Fill archive, index and tables."""
    root, keys = ground.settings.archive.dir, ground.settings.keys.dir
    recording = Recording(root, [Recipient.from_pem((keys / "server.pub.pem").read_bytes())])
    recording.screens(range(LAST_S))
    recording.add(recording.epoch(StreamKind.KEYSTROKES), 3, [output(3, b"$ transfer the garden\r\n")])
    recording.add(recording.epoch(StreamKind.EMAIL), 5, [message(5, "the invoice is overdue")])
    recording.add(recording.epoch(StreamKind.ACTIVITY), 1, [focus(1, "Editor"), focus(2, "Mail")])
    recording.add(recording.epoch(StreamKind.EMAIL, SEALED_S, to=[OFFICER.recipient]), SEALED_S, [message(60, "hush")])
    sealed = peek(recording.batches[-1][0])
    await recording.store()
    connection = await asyncpg.connect(ground.dsn)
    for path in Layout(root).all_files():
        await index_file(connection, Layout(root), path)
    noon = from_ms(NOON_MS)
    for agent, name, computer in ((AGENT, "ann", "desk-1"), (OTHER, "bob", "desk-2")):
        await connection.execute(
            "INSERT INTO agent (agent_id, user_name, computer, first_seen_at, last_seen_at, connected) "
            "VALUES ($1, $2, $3, $4, $4, false)",
            *(UUID(bytes=agent), name, computer, noon),
        )
    await connection.execute(
        "INSERT INTO envelope VALUES ($1, $2, 0, 'email', $3, $3, 100, true, 0, 0)",
        *(UUID(bytes=AGENT), sealed.epoch.epoch_id, noon + timedelta(seconds=SEALED_S)),
    )
    await connection.execute(
        "INSERT INTO gap (agent_id, gap_id, noticed_at, stream, reason, detail) VALUES ($1, 'g', $2, 'screen', $3, $4)",
        *(UUID(bytes=AGENT), noon + timedelta(minutes=3), "spool_full"),
        json.dumps({"from_us": str((NOON_MS + 50_000) * 1000), "until_us": str((NOON_MS + 55_000) * 1000)}),
    )
    await connection.execute(
        "INSERT INTO session (agent_id, connected_at, gateway, computer) VALUES ($1, $2, 'g', 'desk-1')",
        *(UUID(bytes=AGENT), noon),
    )
    await connection.execute("INSERT INTO team (name) VALUES ('sales')")
    await connection.execute("INSERT INTO team_member VALUES ('sales', 'ann')")
    await connection.close()


async def index(sink: ElasticsearchSink) -> None:
    """Documents as they are mined: a screen with lines, a mail, one of Bob's, one end to end."""
    lines = [
        {"text": "the silent garden", "x": 10, "y": 20, "width": 90, "height": 12, "appeared_ms": NOON_MS + 7000},
        {"text": "and nothing", "x": 10, "y": 40, "width": 90, "height": 12, "appeared_ms": NOON_MS + 7000},
    ]
    rows = [
        mined(0, "screen", "screen", "the silent garden\nand nothing", lines=lines, application="Editor"),
        mined(1, "email", "email", "the invoice of the garden is overdue", title="Overdue"),
        mined(2, "email", "email", "the garden of Bob", agent=OTHER, user="bob", computer="desk-2"),
        mined(3, "email", "email", "", end_to_end=True, tokens=["AAAAAAAAAAA"]),
    ]
    await sink.open()
    assert await sink.write([SinkRecord("documents", 0, n, NOON_MS, b"k", row) for n, row in enumerate(rows)]) == []


def mined(number: int, stream: str, kind: str, text: str, *, agent: bytes = AGENT, **fields: Any) -> bytes:
    from schemas.identity import EnvelopeId, agent_text

    source = EnvelopeId(agent, bytes([number + 1]) * 32, number)
    record = {
        "document_id": document_id(source, 0),
        "version": number,
        "agent_id": agent_text(agent),
        "epoch_id": source.epoch_id.hex(),
        "sequence": number,
        "stream": stream,
        "kind": kind,
        "user": "ann",
        "computer": "desk-1",
        "time_ms": NOON_MS + 7000,
        "until_ms": NOON_MS + 7000,
        "text": text,
        **fields,
    }
    return encode_record("document", record)


def as_officer(ground: Ground, *persons: str) -> None:
    """Whoever asks from now on is an officer who may see these people; all of them when none is named."""
    as_principal(ground.services, principal_of(Role.OFFICER, persons=persons or None))


@pytest.fixture(autouse=True)
def officer(ground: Ground) -> None:
    """Every test begins as an officer who may see everybody."""
    as_officer(ground)
    ground.publisher.records.clear()


def audited(ground: Ground, action: str) -> list[dict[str, Any]]:
    entries = [decode_record(one.value, "audit_entry") for one in ground.publisher.records if one.topic == "audit"]
    return [entry for entry in entries if entry["action"] == action]


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


async def test_a_search_finds_words_with_facets_and_pages(ground: Ground) -> None:
    """Hits in pieces, people in scope alone, the next page by what the one before said."""
    told = await ground.get("/search", q="garden", limit=2)
    assert (told["total"], len(told["hits"]), told["end_to_end"]) == (3, 2, 1)
    assert {one["value"] for one in told["facets"]["person"]} == {"ann", "bob"}
    assert sum(one["count"] for one in told["facets"]["days"]) == 3
    rest = await ground.get("/search", q="garden", limit=2, after=told["after"])
    ids = [hit["id"] for hit in (*told["hits"], *rest["hits"])]
    assert (len(set(ids)), rest["after"], rest["facets"]) == (3, None, None)
    as_officer(ground, "ann")
    mine = await ground.get("/search", q="garden")
    assert {hit["person"] for hit in mine["hits"]} == {"ann"}
    assert mine["total"] == 2
    as_officer(ground)
    assert (await ground.get("/search", q="garden", team="sales"))["total"] == 2
    assert (await ground.get("/search", q="garden", person="BOB"))["total"] == 1
    assert (await ground.get("/search", q="gardne", fuzzy=True))["total"] == 3
    assert (await ground.get("/search", q="garden", stream="email", application="none"))["total"] == 0
    outcomes = [(entry["outcome"], entry["detail"].get("persons", "")) for entry in audited(ground, "search")]
    assert outcomes[:2] == [("asked", ""), ("found", "ann,bob")] or outcomes[1][0] == "found"


async def test_a_screen_hit_leads_to_its_moment_and_boxes(ground: Ground) -> None:
    """Lines with their places, those with the words marked."""
    [hit] = (await ground.get("/search", q="silent garden", stream="screen"))["hits"]
    assert hit["fragments"][0][1] == {"text": "silent", "hit": True}
    assert (hit["display"], hit["frame_at_ms"]) == (0, NOON_MS + 7000)
    path = f"/search/documents/{hit['index']}/{hit['id']}"
    whole = await ground.get(path, q="silent garden")
    assert [(line["hit"], line["y"]) for line in whole["lines"]] == [(True, 20), (False, 40)]
    assert whole["frame_at_ms"] == NOON_MS + 7000
    assert "".join(piece["text"] for piece in whole["text"]) == "the silent garden\nand nothing"
    as_officer(ground, "bob")
    assert (await ground.get(path, 404, q="garden"))["error"] == "not_found"
    as_officer(ground)
    await ground.get(f"/search/documents/other-index/{hit['id']}", 404)


async def test_filters_are_suggested_by_their_beginnings(ground: Ground) -> None:
    """Of people in scope."""
    for field, prefix, value in (
        ("application", "ed", "editor"),
        ("person", "A", "ann"),
        ("computer", "desk-1", "desk-1"),
        ("team", "sa", "sales"),
    ):
        told = await ground.get("/search/suggest", field=field, prefix=prefix)
        assert [one["value"] for one in told["values"]] == [value]
    as_officer(ground, "bob")
    assert (await ground.get("/search/suggest", field="person", prefix="a"))["values"] == []
    assert (await ground.get("/search/suggest", field="team", prefix=""))["values"] == []


async def test_searches_are_saved_shared_and_kept_from_others(ground: Ground) -> None:
    """One's own can be changed; shared ones are seen by others."""
    row = await ground.post("/search/saved", 201, name="garden", query={"q": "garden"}, shared=False)
    assert (await ground.post("/search/saved", 409, name="garden", query={}))["error"] == "taken"
    assert (await ground.post("/search/saved", 422, name=" ", query={}))["error"] == "bad_request"
    other = principal_of(Role.OFFICER, name="olga", persons=None)
    as_principal(ground.services, other)
    assert (await ground.get("/search/saved"))["saved"] == []
    assert (await ground.client.delete(f"/api/v1/search/saved/{row['id']}")).status_code == 404
    as_officer(ground)
    shared = {"name": "gardens", "query": {"q": "garden*"}, "shared": True}
    answer = await ground.client.put(f"/api/v1/search/saved/{row['id']}", json=shared)
    assert answer.json()["query"] == {"q": "garden*"}
    as_principal(ground.services, other)
    assert [(one["name"], one["own"]) for one in (await ground.get("/search/saved"))["saved"]] == [("gardens", False)]
    as_officer(ground)
    assert (await ground.client.delete(f"/api/v1/search/saved/{row['id']}")).status_code == 204


async def test_the_blind_search_gives_candidates_and_what_to_open(ground: Ground) -> None:
    """By tokens; the server is told no word."""
    roots = await ground.get("/search/blind/roots")
    assert [(one["agent_id"], one["stream"]) for one in roots["spans"]] == [(AGENT_TEXT, "email")]
    told = await ground.post("/search/blind", tokens=[["AAAAAAAAAAA", "BBBBBBBBBBB"]])
    [candidate] = told["candidates"]
    assert (candidate["person"], told["more"]) == ("ann", False)
    assert (await ground.post("/search/blind", 422, tokens=[["word"]]))["error"] == "bad_request"
    place = {"agent_id": AGENT_TEXT, "epoch": candidate["epoch"], "sequence": candidate["sequence"]}
    assert await ground.post("/search/blind/envelopes", places=[place]) == {"segments": []}
    as_officer(ground, "bob")
    assert (await ground.post("/search/blind", tokens=[["AAAAAAAAAAA"]]))["candidates"] == []
    await ground.post("/search/blind/envelopes", 404, places=[place])


def wish(**changes: Any) -> dict[str, Any]:
    return {
        "person": "ann",
        "agents": [AGENT_TEXT],
        "streams": ["screen", "email", "keystrokes", "activity"],
        "since_ms": NOON_MS - 1000,
        "until_ms": NOON_MS + 120_000,
        "purpose": "case 17",
        **changes,
    }


async def test_an_export_is_known_by_its_reference(ground: Ground) -> None:
    """In the file, in the table, in the audit; its text for the account that it was issued to."""
    told = await ground.post("/exports", 201, **wish(kind="text"))
    answer = await ground.client.get(told["text_url"])
    text = answer.text
    assert told["reference"] in text.splitlines()[2]
    for said in ("transfer the garden", "the invoice is overdue", "Editor", "the silent garden", "Purpose:   case 17"):
        assert said in text
    assert "hush" not in text
    assert "1 texts of this time are end to end" in text
    row = await ground.get(f"/exports/{told['reference']}")
    assert (row["actor"], row["kind"], row["person"]) == ("officer@console", "text", "ann")
    entries = audited(ground, "export")
    assert entries[0]["target"].startswith(told["reference"])
    assert (entries[0]["purpose"], entries[0]["detail"]["persons"]) == ("case 17", "ann")
    as_principal(ground.services, principal_of(Role.AUDITOR))
    assert (await ground.get(f"/exports/{told['reference']}"))["purpose"] == "case 17"
    await ground.get(f"/exports/{told['reference']}/text", 403)
    as_principal(ground.services, principal_of(Role.OFFICER, name="olga", persons=["ann"]))
    await ground.get(f"/exports/{told['reference']}/text", 404)
    as_officer(ground, "bob")
    await ground.get(f"/exports/{told['reference']}", 404)


async def test_a_clip_is_the_pages_to_make(ground: Ground) -> None:
    """The server gives the reference; a purpose is asked, and agents of that person."""
    told = await ground.post("/exports", 201, **wish(kind="clip", streams=["screen"]))
    assert told["text_url"] is None
    assert [one["reference"] for one in (await ground.get("/exports", limit=1))["exports"]] == [told["reference"]]
    await ground.post("/exports", 422, **wish(kind="clip", purpose=" a "))
    await ground.post("/exports", 400, **wish(kind="clip", person="bob"))
    as_officer(ground, "bob")
    await ground.post("/exports", 404, **wish(kind="clip"))


async def test_a_text_comes_at_once_with_its_reference(ground: Ground) -> None:
    """In a header too."""
    answer = await ground.client.post("/api/v1/exports/text", json=wish(streams=["email"]))
    assert answer.headers["x-export-reference"] in answer.text
    assert "transfer" not in answer.text


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.OPERATOR, Role.AUDITOR])
async def test_roles_that_see_no_content_see_none(ground: Ground, role: Role) -> None:
    """Neither search nor recordings."""
    as_principal(ground.services, principal_of(role, persons=None))
    for path in ("/search", "/recordings/people", "/search/saved"):
        await ground.get(path, 403)
    await ground.post("/exports", 403, **wish(kind="text"))


async def test_a_recorded_person_sees_their_own(ground: Ground) -> None:
    """And who took something of it; nobody else's, and no search."""
    taken = await ground.post("/exports", 201, **wish(kind="clip"))
    as_principal(ground.services, principal_of(Role.SUBJECT, persons=["ann"], person="ann"))
    assert [one["person"] for one in (await ground.get("/recordings/people"))["people"]] == ["ann"]
    assert (await ground.get(f"/exports/{taken['reference']}"))["actor"] == "officer@console"
    await ground.get("/recordings/timeline", 404, person="bob", since_ms=NOON_MS, until_ms=NOON_MS + 1000)
    await ground.get("/search", 403, q="garden")


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

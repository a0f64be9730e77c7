"""Search and exports by the API: found in scope alone, in the audit first, and taken away under a reference."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.api.access import Role
from infra.settings import Settings
from tests.api.accounts import as_principal, principal_of
from tests.api.ground import Ground
from tests.api.recorded_ground import as_officer, audited, begin, open_recorded
from tests.recordings.recorded import AGENT_TEXT, NOON_MS

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

"""What a person does at the console with what a running stack has recorded: search, look, play, take away."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator

import httpx2 as httpx
import pytest
from PIL import Image

from gateway.api.access import Role
from gateway.api.app import create_app
from gateway.api.services import Services
from gateway.facts import Facts
from gateway.memory import MemoryPublisher
from gateway.metrics import TABLE
from infra.metrics import Metrics
from infra.settings import Settings
from schemas.canvas import Canvas
from schemas.kinds import StreamKind
from schemas.records import decode_segment
from tests.api.accounts import as_principal, principal_of
from tests.recordings.recorded import messages

pytestmark = pytest.mark.live

API = "https://node/api/v1"


@pytest.fixture
async def client(stack: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The console's API over the stack's stores, as an officer who may see everybody."""
    services = Services(stack, Facts(MemoryPublisher(), reporter="test/gateway", incarnation="0"), Metrics(TABLE))
    as_principal(services, principal_of(Role.OFFICER, persons=None))
    transport = httpx.ASGITransport(app=create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url=API, timeout=120) as client:
        yield client
    await services.close()


async def test_a_word_leads_to_its_moment(client: httpx.AsyncClient) -> None:
    """Found on a screen, boxed in its picture, and played from there for two reads at most."""
    hits = (await client.get("/search", params={"stream": "screen", "order": "newest"})).json()["hits"]
    if not hits:
        pytest.skip("this stack has recorded no screen: `sealstream demo` does")
    hit = hits[0]
    word = next(piece["text"].split()[0] for piece in hit["fragments"][0] if piece["text"].split())
    whole = (await client.get(f"/search/documents/{hit['index']}/{hit['id']}", params={"q": f'"{word}"'})).json()
    query = {"agent": hit["agent_id"], "display": whole["display"], "at_ms": whole["frame_at_ms"], "width": 0}
    picture = await client.get("/recordings/frame", params=query)
    with Image.open(io.BytesIO(picture.content)) as image:
        size = image.size
    assert picture.headers["x-frame-size"] == f"{size[0]}x{size[1]}"
    for line in whole["lines"]:
        assert 0 <= line["x"] <= line["x"] + line["width"] <= size[0]
    times = {"since_ms": whole["frame_at_ms"], "until_ms": whole["frame_at_ms"] + 10_000}
    answer = await client.get("/recordings/segments", params={"agent": hit["agent_id"], "stream": "screen", **times})
    *told, (end, _) = messages(answer.content)
    assert end["end"]
    assert int(str(end["reads"])) <= 2
    canvases: dict[int, Canvas] = {}
    for _, body in told:
        for frame in decode_segment(StreamKind.SCREEN, body):
            canvases.setdefault(frame["display"], Canvas()).draw(frame)
    assert canvases[whole["display"]].pixels.shape[:2] == size[::-1]


async def test_every_person_has_a_timeline_and_can_be_taken_away(client: httpx.AsyncClient) -> None:
    """Of the day they were seen last; its text under a reference."""
    people = (await client.get("/recordings/people", params={"limit": 3})).json()["people"]
    for one in people:
        day = {"since_ms": one["last_seen_ms"] - 86_400_000, "until_ms": one["last_seen_ms"] + 1}
        timeline = (await client.get("/recordings/timeline", params={"person": one["person"], **day})).json()
        assert {span["stream"] for span in timeline["spans"]} <= {"screen", "keystrokes", "email", "activity", "audio"}
        assert len(timeline["agents"]) == len(one["agents"])
        body = {
            "person": one["person"],
            "agents": [agent["agent_id"] for agent in one["agents"]],
            "streams": ["screen", "email", "keystrokes", "activity"],
            "purpose": "a live test",
            **day,
        }
        answer = await client.post("/exports/text", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.text.rstrip().endswith(f"End of {answer.headers['x-export-reference']}")

"""OCR on the endpoint (R6.9): screens sealed end to end are read before they leave, and found by those with the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.policy import Policy
from schemas.keys import Identity
from schemas.kinds import ContentType, StreamKind
from schemas.records import decode_text
from tests.agent.test_index import Desk as Source
from tests.agent.test_index import Stage
from tests.ocr.desk import Desk

SCREEN = frozenset({"screen"})
READ = Policy(version=2, streams=SCREEN, end_to_end=SCREEN, endpoint_ocr=True)
UNREAD = Policy(version=3, streams=SCREEN, end_to_end=SCREEN)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """An endpoint whose screens are sealed end to end and read."""
    stage = Stage(Identity.generate(2048), Identity.generate(2048), tmp_path / "kek.pem")
    stage.recorder.apply(READ)
    return stage


async def test_what_appears_on_a_screen_is_sealed_beside_it_and_found(stage: Stage) -> None:
    """The first picture and what is added to it are two texts; lines say where they stand."""
    show = stage.recorder.emit_for(Source(StreamKind.SCREEN))
    desk = Desk()
    desk.write(40, 40, "Quarterly forecast of the harbour", size=22)
    await show(desk.frame(renew=True))
    await stage.recorder.finish_index()
    desk.write(40, 200, "The penguin shipment leaves on Thursday", size=22)
    await show(desk.frame())
    await stage.recorder.finish_index()
    await stage.recorder.close()
    (first,), (second,) = stage.found("harbour"), stage.found("penguin")
    assert first["origin_sequence"] < second["origin_sequence"]
    assert stage.found("walrus") == []
    texts = stage.opened(stage.organisation, StreamKind.SCREEN, ContentType.TEXT)
    (passage,) = decode_text(texts[-1].plaintext)
    assert passage["text"] == "The penguin shipment leaves on Thursday"
    assert 190 <= passage["lines"][0]["y"] <= 215  # where it was written
    assert (second["source_epoch"], second["source_sequence"]) == (texts[-1].id.epoch_id, texts[-1].id.sequence)


async def test_screens_are_not_read_unless_the_policy_says_so(stage: Stage) -> None:
    """By default an end-to-end screen costs the endpoint no OCR, and has no entry."""
    stage.recorder.apply(UNREAD)
    show = stage.recorder.emit_for(Source(StreamKind.SCREEN))
    desk = Desk()
    desk.write(40, 40, "Quarterly forecast", size=22)
    await show(desk.frame(renew=True))
    await stage.recorder.finish_index()
    assert stage.entries() == stage.roots() == []
    assert stage.recorder.indexed() == {}


async def test_reading_begins_at_a_whole_picture(stage: Stage) -> None:
    """Switched on while pictures change, it waits for the next key frame rather than misread."""
    stage.recorder.apply(UNREAD)
    show = stage.recorder.emit_for(Source(StreamKind.SCREEN))
    desk = Desk()
    await show(desk.frame(renew=True))
    await stage.recorder.finish_index()
    stage.recorder.apply(READ)
    desk.write(40, 40, "unseen canary", size=22)
    await show(desk.frame())
    await stage.recorder.finish_index()
    assert stage.entries() == []
    desk.write(40, 100, "second canary", size=22)
    await show(desk.frame(renew=True))
    await stage.recorder.finish_index()
    await stage.recorder.close()
    assert len(stage.found("second")) == 1
    assert len(stage.found("unseen")) == 1, "it stands on the whole picture too"

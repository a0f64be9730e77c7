"""What tests of live views across gateways share: viewers' keys, their patience, and what it is to see something."""

from __future__ import annotations

import pytest

from gateway.live import distant, relay
from schemas.frames import LiveStart
from schemas.keys import Identity
from schemas.live import Watch, dump_viewer_key
from schemas.opening import Opener
from tests.gateway.endpoint import Credentials, Endpoint
from tests.gateway.live_stage import Viewer, receive_frame
from tests.gateway.test_live import epoch_for

SERVER, VIEWER, OTHER = (Identity.generate(2048) for _ in range(3))
KEY, OTHER_KEY = dump_viewer_key(VIEWER.recipient), dump_viewer_key(OTHER.recipient)


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds takes tenths."""
    monkeypatch.setattr(distant, "SEEK_S", 0.05)
    monkeypatch.setattr(distant, "RENEW_S", 0.2)
    monkeypatch.setattr(distant, "LOST_S", 2.0)
    monkeypatch.setattr(relay, "LOOK_S", 0.3)


async def started(endpoint: Endpoint, viewers: int = 1) -> Watch:
    """What the agent is asked, once so many watch."""
    while True:
        watch = Watch.from_detail((await receive_frame(endpoint, LiveStart)).detail)
        if watch.viewers == viewers:
            return watch


async def sees(viewer: Viewer, endpoint: Endpoint, agent: Credentials, plain: bytes) -> None:
    """A frame that the agent pushes comes to the viewer, sealed as it was."""
    envelope = epoch_for(agent, SERVER, VIEWER).seal(plain, capture_ms=1)
    endpoint.push(envelope)
    assert await viewer.content() == envelope
    assert Opener([VIEWER]).open(envelope).plaintext == plain

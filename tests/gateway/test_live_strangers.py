"""Messages between gateways on a real Redis, which everybody reads and writes: what strangers get, and can do."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.facts import now_ms
from gateway.live.channel import Kind, Opener, Sealer, read_head
from gateway.live.relay import Ask
from schemas.errors import MalformedError
from schemas.frames import LiveStart, LiveStop
from tests.agent.patience import wait_until
from tests.gateway.endpoint import Credentials
from tests.gateway.live_fixtures import soon, three_gateways
from tests.gateway.live_fleet import Fleet, listen_in, publish
from tests.gateway.live_stage import receive_frame
from tests.gateway.live_viewing import KEY, SERVER, sees, started
from tests.gateway.test_live import epoch_for, heard, udp

__all__ = ["soon", "three_gateways"]


async def test_sound_is_heard_from_afar_and_passes_redis_sealed(fleet: Fleet, ana: Credentials) -> None:
    """A stranger who reads all of Redis's messages finds neither sound nor ticket, key, name or purpose."""
    async with listen_in(fleet.redis) as overheard:
        endpoint = await fleet["b"].greet(ana)
        listener = await fleet["a"].watch(ana, what="audio", purpose="case 4711")
        listen, sealer = await heard(endpoint)
        with udp(listen.port) as agent:
            agent.send(sealer.seal(b"an Opus packet", 1000))
            assert await listener.content() == bytes(6) + (1000).to_bytes(6, "big") + b"an Opus packet"
        watcher = await fleet["a"].watch(ana, viewer_key=KEY)
        await started(endpoint)
        await sees(watcher, endpoint, ana, b"a picture")
        await listener.socket.close()
        await receive_frame(endpoint, LiveStop)
    told = b"".join(message for _, message in overheard)
    assert len(overheard) > 4
    secrets = (b"an Opus packet", KEY.encode(), b"case 4711", b"otto", str(ana.agent_id).encode(), b"{")
    assert [secret for secret in secrets[:-1] if secret in told] == []


async def test_a_stranger_on_redis_can_neither_ask_nor_show(fleet: Fleet, ana: Credentials) -> None:
    """Whatever they publish, the agent is asked for nothing, the viewer sees nothing of it, and it is counted."""
    endpoint = await fleet["b"].greet(ana)
    async with listen_in(fleet.redis) as heard:
        viewer = await fleet["a"].watch(ana, viewer_key=KEY)
        await started(endpoint)
        await sees(viewer, endpoint, ana, b"x")
        await viewer.socket.close()
        await receive_frame(endpoint, LiveStop)
    ask = Ask("test/a", str(ana.agent_id), "screen", [fleet["a"].tickets.issue(fleet["a"].ticket(ana))], True, 0)
    forged = Sealer(b"another secret".ljust(32), Kind.ASK, bytes(16), "test/b").seal(ask.dump())
    asks = [message for channel, message in heard if channel.endswith("live:test/b")]
    shows = [message for channel, message in heard if channel.endswith("live:test/a")]
    assert asks
    assert shows
    strangers = [b"", b"junk", bytes(200), forged, *asks, *shows, asks[0][:-1] + bytes((asks[0][-1] ^ 1,))]
    for message in strangers:
        for name in ("a", "b"):
            assert await publish(fleet.redis, fleet.relay("a").bus.channel(f"test/{name}"), message) == 1
    await wait_until(lambda: fleet["b"].count("relay_forged") >= 1)
    await wait_until(lambda: fleet["b"].count("relay_repeated") >= len(asks))
    endpoint.push(epoch_for(ana, SERVER).seal(b"a", capture_ms=1))
    assert not [frame for frame in await endpoint.receive_until(2) if isinstance(frame, LiveStart)]
    assert fleet.outlets("b") == 0


BAD_ASKS: tuple[tuple[dict[str, Any], dict[str, Any], str], ...] = (
    ({}, {"at_ms": 1}, "relay_stale"),
    ({"agent_id": "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"}, {}, "relay_ticket"),
    ({"what": "audio"}, {}, "relay_ticket"),
    ({"until_ms": 1}, {}, "relay_ticket"),
    ({}, {"tickets": ["a.b"]}, "bad_ticket"),
    ({}, {"tickets": 1}, "relay_malformed"),
    ({}, {"what": "email"}, "relay_malformed"),
    ({}, {"at_ms": "x"}, "relay_malformed"),
)


async def test_an_ask_without_good_tickets_is_refused(fleet: Fleet, ana: Credentials) -> None:
    """Even of a gateway: whose view must be over, or who was given a ticket for something else, sees nothing."""
    await fleet["b"].greet(ana)
    for number, (changes, ask_changes, event) in enumerate(BAD_ASKS):
        before = fleet["b"].count(event)
        ticket = fleet["a"].tickets.issue(fleet["a"].ticket(ana, **changes))
        values: dict[str, Any] = {"tickets": [ticket], "fresh": True, "at_ms": now_ms(), "what": "screen"}
        ask = Ask("test/a", str(ana.agent_id), **{**values, **ask_changes})
        message = Sealer(fleet.relay("a").secret, Kind.ASK, bytes(15) + bytes((number,)), "test/b").seal(ask.dump())
        await publish(fleet.redis, fleet.relay("a").bus.channel("test/b"), message)
        await wait_until(lambda before=before, event=event: fleet["b"].count(event) == before + 1)
    assert fleet.outlets("b") == 0


def test_a_message_opens_once_for_whom_it_is() -> None:
    """Not again, not older ones after it, not elsewhere, not changed, not as an answer."""
    secret, stream = bytes(32), bytes(range(16))
    sealer, opener = Sealer(secret, Kind.ASK, stream, "b"), Opener(secret, Kind.ASK, stream, "b")
    first, second = sealer.seal(b"one"), sealer.seal(b"two")
    assert read_head(first) == (Kind.ASK, stream)
    assert opener.open(second) == b"two"
    for message in (first, second, second[:-1] + bytes((second[-1] ^ 1,))):
        with pytest.raises(MalformedError):
            opener.open(message)
    for kind, whose, to in (
        (Kind.SHOW, stream, "b"),
        (Kind.ASK, bytes(16), "b"),
        (Kind.ASK, stream, "c"),
    ):
        with pytest.raises(MalformedError):
            Opener(secret, kind, whose, to).open(first)
    for junk in (b"", bytes(100), b"\x09" + first[1:]):
        with pytest.raises(MalformedError):
            read_head(junk)


def test_a_stream_has_few_senders() -> None:
    """A process that died may be followed by another, but keys are not kept without end."""
    secret, stream = bytes(32), bytes(16)
    opener = Opener(secret, Kind.SHOW, stream, "a")
    for number in range(8):
        assert opener.open(Sealer(secret, Kind.SHOW, stream, "a").seal(bytes((number,)))) == bytes((number,))
    with pytest.raises(MalformedError, match="too many"):
        opener.open(Sealer(secret, Kind.SHOW, stream, "a").seal(b"one more"))

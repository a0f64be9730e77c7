"""Live viewing across gateways, by a real Redis: moves, deaths and mishaps."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.facts import now_ms
from gateway.live import bus, distant, relay
from gateway.policy import Told
from schemas.frames import LiveStart, LiveStop
from schemas.live import Watch
from tests.agent.patience import wait_until
from tests.gateway.endpoint import Credentials
from tests.gateway.live_fixtures import soon, three_gateways
from tests.gateway.live_fleet import Fleet, listen_in, open_fleet
from tests.gateway.live_stage import POLICY, receive_frame, state
from tests.gateway.live_viewing import KEY, OTHER, OTHER_KEY, SERVER, VIEWER, sees, started
from tests.gateway.test_live import epoch_for, refused

__all__ = ["soon", "three_gateways"]


async def test_an_agent_of_another_gateway_is_seen(fleet: Fleet, ana: Credentials) -> None:
    """The same messages as at its own gateway, and the audit is told by the viewer's gateway alone."""
    endpoint = await fleet["b"].greet(ana, time_ms=now_ms() + 90_000)
    viewer = await fleet["a"].watch(ana, viewer_key=KEY)
    assert await started(endpoint) == Watch((KEY,), 1, 60, fresh=True)
    endpoint.send(state())
    told = await viewer.status("state", state="on")
    assert told["viewers"] == 1
    assert told["ahead_ms"] == pytest.approx(90_000, abs=2000)
    endpoint.push(epoch_for(ana, SERVER).seal(b"not for viewers", capture_ms=1))
    await sees(viewer, endpoint, ana, b"a picture")
    assert fleet["a"].hub.viewers(str(ana.agent_id), "screen") == 1
    await viewer.socket.close()
    await receive_frame(endpoint, LiveStop)
    await wait_until(lambda: len(fleet["a"].audit()) == 1)
    assert fleet["a"].audit()[0]["detail"]["persons"] == "ana"
    assert fleet["b"].audit() == []


async def test_all_viewers_of_a_gateway_share_one_stream(fleet: Fleet, ana: Credentials) -> None:
    """Each gets what is for them; the agent knows how many watch, here and elsewhere; the last one ends it."""
    endpoint = await fleet["b"].greet(ana)
    one = await fleet["a"].watch(ana, viewer_key=KEY)
    await started(endpoint)
    two = await fleet["a"].watch(ana, viewer_key=OTHER_KEY)
    assert set((await started(endpoint, 2)).viewer_keys) == {KEY, OTHER_KEY}
    three = await fleet["b"].watch(ana)
    assert (await started(endpoint, 3)).viewer_keys == tuple(sorted((KEY, OTHER_KEY)))
    await two.status("state", viewers=3)
    assert fleet.outlets("b") == 1
    for_one, for_both = (epoch_for(ana, SERVER, *who).seal(b"x", capture_ms=1) for who in ([VIEWER], [VIEWER, OTHER]))
    async with listen_in(fleet.redis) as heard:
        endpoint.push(for_one, for_both)
        assert [await one.content(), await one.content()] == [for_one, for_both]
        assert await two.content() == for_both
        shown = [message for channel, message in heard if channel.endswith("live:test/a")]
        assert len([message for message in shown if len(message) > len(for_one)]) == 2
    await three.socket.close()
    await started(endpoint, 2)
    await one.socket.close()
    assert (await started(endpoint)).viewer_keys == (OTHER_KEY,)
    await two.socket.close()
    await receive_frame(endpoint, LiveStop)
    await wait_until(lambda: fleet.outlets("b") == 0)


async def test_a_view_goes_where_its_agent_goes(fleet: Fleet, ana: Credentials) -> None:
    """From one gateway to another, to the viewer's own, and away again: the viewer is told, and sees on."""
    endpoint = await fleet["b"].greet(ana)
    viewer = await fleet["a"].watch(ana, viewer_key=KEY)
    await started(endpoint)
    await sees(viewer, endpoint, ana, b"at b")
    for name in ("c", "a", "b", "a"):
        await endpoint.close()
        await viewer.status("state", state="away")
        endpoint = await fleet[name].greet(ana)
        assert await started(endpoint) == Watch((KEY,), 1, 60, fresh=True)
        await viewer.status("behind")
        endpoint.send(state())
        await viewer.status("state", state="on")
        await sees(viewer, endpoint, ana, name.encode())
    assert [fleet.outlets(name) for name in "abc"] == [0, 0, 0]


async def test_a_view_leaves_a_gateway_that_has_not_noticed_that_the_agent_is_gone(
    fleet: Fleet, ana: Credentials
) -> None:
    """A connection may look open for long after the agent has gone elsewhere."""
    await fleet["b"].greet(ana)
    viewer = await fleet["a"].watch(ana, viewer_key=KEY)
    await wait_until(lambda: fleet.outlets("b") == 1)
    endpoint = await fleet["c"].greet(ana)
    fleet.says[str(ana.agent_id)] = "c"
    await started(endpoint)
    await sees(viewer, endpoint, ana, b"at c")
    await wait_until(lambda: fleet.outlets("b") == 0)


async def test_a_view_leaves_a_gateway_that_is_silent(
    fleet: Fleet, ana: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs, or its machine is no more; it is asked again while nobody knows of another one."""
    await fleet["b"].greet(ana)
    viewer = await fleet["a"].watch(ana, viewer_key=KEY)
    await wait_until(lambda: fleet.outlets("b") == 1)
    with monkeypatch.context() as hanging:
        hanging.setattr(fleet.relay("b").bus, "_take", lambda _: None)
        await viewer.status("state", state="away")
    await viewer.status("state", state="asked")


async def test_a_gateway_whose_viewers_are_gone_unsaid_gets_nothing_more(
    fleet: Fleet, ana: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease that is not renewed ends: the person's sign goes, and nothing is shown any more."""
    monkeypatch.setattr(relay, "LEASE_S", 0.3)
    endpoint = await fleet["b"].greet(ana)
    await fleet["a"].watch(ana, viewer_key=KEY)
    await started(endpoint)

    async def hang(*_: Any, **__: Any) -> bool:
        await asyncio.sleep(3600)
        return True

    monkeypatch.setattr(fleet.relay("a").bus, "publish", hang)
    await receive_frame(endpoint, LiveStop)
    assert fleet.outlets("b") == 0


async def test_a_gateway_that_nobody_hears_on_is_shown_nothing_more(fleet: Fleet, ana: Credentials) -> None:
    """Its process is dead: the first message that nobody takes ends it, long before the lease does."""
    endpoint = await fleet["b"].greet(ana)
    viewer = await fleet["a"].watch(ana, viewer_key=KEY)
    await started(endpoint)
    await sees(viewer, endpoint, ana, b"x")
    outlet = next(iter(fleet.relay("b")._outlets.values()))
    outlet.gateway = "test/nobody"
    endpoint.push(epoch_for(ana, SERVER, VIEWER).seal(b"y", capture_ms=1))
    await receive_frame(endpoint, LiveStop)
    assert outlet.end_reason == "nobody listens there"


async def test_without_redis_local_views_go_on_and_others_say_why_not(fleet: Fleet, ana: Credentials) -> None:
    """And go on when it is back, by themselves."""
    endpoint = await fleet["b"].greet(ana)
    near = await fleet["b"].watch(ana, viewer_key=KEY)
    far = await fleet["a"].watch(ana, viewer_key=KEY)
    await started(endpoint, 2)
    fleet.redis.stop()
    assert "Redis" in (await far.status("state", state="away"))["reason"]
    assert "Redis" in await refused(await fleet["c"].watch(ana, viewer_key=KEY))
    await started(endpoint)
    await sees(near, endpoint, ana, b"while Redis is away")
    fleet.redis.start()
    await started(endpoint, 2)
    await far.status("state", state="asked")
    await sees(far, endpoint, ana, b"again")


async def test_a_redis_that_hangs_holds_up_no_agent(pki: Path, tmp_path: Path, ana: Credentials) -> None:
    """What waits for it is bounded and dropped; the agent's envelopes are acknowledged all the while."""
    async with open_fleet(pki, tmp_path, queue_bytes=1 << 20) as fleet:
        endpoint = await fleet["b"].greet(ana)
        far = await fleet["a"].watch(ana, viewer_key=KEY)
        await started(endpoint)
        await sees(far, endpoint, ana, b"x")
        outlet, epoch = next(iter(fleet.relay("b")._outlets.values())), epoch_for(ana, SERVER, VIEWER)
        fleet.redis.hold_up()
        try:
            for number in range(6):
                endpoint.push(epoch.seal(bytes(400_000), capture_ms=1))
                await endpoint.receive_until(number + 2)
                assert outlet._held <= 1 << 20
            assert outlet.dropped
        finally:
            fleet.redis.go_on()
        await far.status("behind")


async def test_a_redis_that_says_nothing_is_given_up(
    pki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections may look open for long: it is asked whether it is there."""
    monkeypatch.setattr(bus, "PING_S", 0.2)
    async with open_fleet(pki, tmp_path) as fleet:
        await asyncio.sleep(0.5)
        assert fleet.relay("a").bus.up
        fleet.redis.hold_up()
        try:
            await wait_until(lambda: not fleet.relay("a").bus.up)
        finally:
            fleet.redis.go_on()
        await fleet.all_there()


async def test_a_viewer_who_does_not_read_gets_a_whole_frame_from_afar(
    pki: Path, tmp_path: Path, ana: Credentials
) -> None:
    """Their own gateway drops, and asks the other one."""
    async with open_fleet(pki, tmp_path, queue_bytes=1 << 20) as fleet:
        endpoint = await fleet["b"].greet(ana)
        view = await fleet["a"].hub.admit(fleet["a"].ticket(ana, viewer_key=KEY))
        await started(endpoint)
        epoch = epoch_for(ana, SERVER, VIEWER)
        for number in range(1, 5):
            endpoint.push(epoch.seal(bytes(300_000), capture_ms=1))
            await wait_until(lambda wanted=number: len(view._queue) == wanted or view.dropped == wanted)
        while not (await receive_frame(endpoint, LiveStart)).detail["fresh"]:
            pass
        assert fleet["a"].count("behind") == 1
        fleet["a"].hub.leave(view)
        await receive_frame(endpoint, LiveStop)


async def test_an_agent_that_nobody_has_is_refused(fleet: Fleet, ana: Credentials) -> None:
    """With words for the viewer."""
    assert "not connected to any server" in await refused(await fleet["a"].watch(ana))


async def test_who_says_that_a_gateway_has_an_agent_may_be_wrong(fleet: Fleet, ana: Credentials) -> None:
    """Then the gateway says that it has not, and the viewer waits until somebody knows better."""
    fleet.says[str(ana.agent_id)] = "c"
    viewer = await fleet["a"].watch(ana, viewer_key=KEY)
    await viewer.status("state", state="away")
    endpoint = await fleet["b"].greet(ana)
    del fleet.says[str(ana.agent_id)]
    await started(endpoint)
    await sees(viewer, endpoint, ana, b"found")


async def test_a_gateway_that_is_not_there_is_asked_in_vain(fleet: Fleet, ana: Credentials) -> None:
    """It died, and is still told of."""
    fleet.says[str(ana.agent_id)] = "d"
    viewer = await fleet["a"].watch(ana, viewer_key=KEY)
    assert (await viewer.status("state", state="away"))["reason"] == distant.AWAY


async def test_places_are_counted_over_all_gateways(pki: Path, tmp_path: Path, ana: Credentials) -> None:
    """Who came last is sent away, with words."""
    async with open_fleet(pki, tmp_path, viewers_each=2) as fleet:
        endpoint = await fleet["b"].greet(ana)
        await fleet["b"].watch(ana, viewer_key=KEY)
        await fleet["a"].watch(ana, viewer_key=OTHER_KEY)
        await started(endpoint, 2)
        assert "no more" in (await (await fleet["a"].watch(ana)).status("over"))["reason"]
        assert "no more" in (await (await fleet["c"].watch(ana)).status("over"))["reason"]


async def test_a_gateway_that_asks_anew_takes_no_second_places(pki: Path, tmp_path: Path, ana: Credentials) -> None:
    """It gave up what it asked for before, and could not say so."""
    async with open_fleet(pki, tmp_path, viewers_each=1) as fleet:
        endpoint = await fleet["b"].greet(ana)
        viewer = await fleet["a"].watch(ana, viewer_key=KEY)
        await started(endpoint)
        room = fleet["a"].hub._rooms[str(ana.agent_id), "screen"]
        assert isinstance(room, distant.DistantRoom)
        before = next(iter(fleet.relay("b")._outlets.values()))
        fleet.relay("a").let_go = lambda tie, *_: fleet.relay("a")._rooms.pop(tie.stream)  # type: ignore[method-assign]
        room._lose(room._tie)
        await wait_until(lambda: before.end_reason == "asked for anew")
        await sees(viewer, endpoint, ana, b"x")
        assert fleet["b"].hub.viewers(str(ana.agent_id), "screen") == 1


async def test_a_ticket_is_good_at_one_gateway(fleet: Fleet, ana: Credentials) -> None:
    """Whoever shows it second is refused, by their own gateway; were its mark gone, by the one that has the agent."""
    endpoint = await fleet["b"].greet(ana)
    text = json.dumps({"ticket": fleet["a"].tickets.issue(fleet["a"].ticket(ana, viewer_key=KEY))})
    await fleet["a"].open(text)
    await started(endpoint)
    for name in "cb":
        assert "used" in (await (await fleet[name].open(text)).status("refused"))["reason"]
    text = json.dumps({"ticket": fleet["a"].tickets.issue(fleet["a"].ticket(ana, viewer_key=KEY))})
    await fleet["a"].open(text)
    await wait_until(lambda: fleet["b"].hub.viewers(str(ana.agent_id), "screen") == 2)
    client: Redis = Redis.from_url(fleet.redis.url)
    await client.flushall()
    await client.aclose()
    assert "used" in (await (await fleet["c"].open(text)).status("over"))["reason"]


async def test_the_policy_of_the_gateway_that_has_the_agent_counts(fleet: Fleet, ana: Credentials) -> None:
    """One may have read it later than the other."""
    endpoint = await fleet["b"].greet(ana)
    fleet["b"].told.append(Told({**POLICY, "live": ["audio"]}, []))
    assert "does not allow" in (await (await fleet["a"].watch(ana)).status("over"))["reason"]
    endpoint.push(epoch_for(ana, SERVER).seal(b"a", capture_ms=1))
    assert not [frame for frame in await endpoint.receive_until(1) if isinstance(frame, LiveStart)]

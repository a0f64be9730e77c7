"""What gateways mark and count together: two of them on one Redis, and each for itself while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.live.tickets import LIFE_MS, Ticket, Tickets
from gateway.marks import AGAIN_S, Marks
from gateway.throttle import Throttle
from infra.settings import RedisSettings
from schemas.errors import MalformedError
from tests.gateway.redis_server import RedisServer

ADDRESS = "192.0.2.7"
PATIENCE_S = 60.0


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


def settings_of(redis: RedisServer) -> RedisSettings:
    return RedisSettings(url=redis.url, prefix="test:")


async def become_true(answer: Callable[[], Awaitable[bool]]) -> None:
    """Return when it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not await answer():
            pass


def ticket(**changes: object) -> Ticket:
    words = ("id", "agent_id", "what", "gateway", "user", "viewer_key", "account_id", "account", "actor")
    values = {name: name for name in (*words, "session_id", "purpose", "origin")}
    return Ticket(**{**values, "until_ms": LIFE_MS, **changes})  # type: ignore[arg-type]  # values of a test


async def test_what_one_took_no_other_takes(redis: RedisServer) -> None:
    """Until it is forgotten; under its own name alone."""
    one, other = (Marks(settings_of(redis)) for _ in range(2))
    assert await one.take("a", 60_000)
    assert [await other.take("a", 60_000), await other.take("b", 60_000)] == [False, True]
    assert await one.take("soon over", 1)

    await become_true(lambda: other.take("soon over", 60_000))
    await one.close()
    await other.close()


async def test_a_ticket_is_good_once_at_all_gateways(redis: RedisServer, tmp_path: Path) -> None:
    """Shown to a second process, or to the same one again, it was used; while Redis is away each goes by itself."""
    processes = [(Tickets(tmp_path / "live.key"), Marks(settings_of(redis))) for _ in range(3)]
    for tickets, _ in processes:
        tickets.load()
    text = processes[0][0].issue(ticket())
    assert (await processes[0][0].use(text, 0, processes[0][1])).user == "user"
    for tickets, marks in processes[:2]:
        with pytest.raises(MalformedError, match="used"):
            await tickets.use(text, 0, marks)
    redis.stop()
    tickets, marks = processes[2]
    assert (await tickets.use(text, 0, marks)).user == "user"
    with pytest.raises(MalformedError, match="used"):
        await tickets.use(text, 0, marks)
    for _, marks in processes:
        await marks.close()


async def test_failures_count_at_all_gateways(redis: RedisServer) -> None:
    """Of one address at one thing, spread over processes as the guesser likes; they are forgotten in time."""
    marks = [Marks(settings_of(redis)) for _ in range(2)]
    one, other = (Throttle("tokens", mine, attempts=4) for mine in marks)
    for throttle in (one, other, one, other):
        assert await throttle.allows(ADDRESS)
        await throttle.fail(ADDRESS)
    assert [await one.allows(ADDRESS), await other.allows(ADDRESS)] == [False, False]
    assert await other.allows("192.0.2.8")
    assert await Throttle("links", marks[0], attempts=4).allows(ADDRESS)
    client: Redis = Redis.from_url(redis.url, decode_responses=True)
    (key,) = [name async for name in client.scan_iter("test:*")]
    assert ADDRESS not in key
    assert 0 < await client.pttl(key) <= 60_000
    await client.delete(key)  # as its end does
    assert await one.allows(ADDRESS), "its own two failures are not four"
    await client.aclose()
    for mine in marks:
        await mine.close()


async def test_a_window_begins_with_its_first_failure(redis: RedisServer) -> None:
    """Later ones do not make it longer: a program with an old token is not kept out for ever."""
    marks = Marks(settings_of(redis))
    await marks.add("x", 0.2)
    client: Redis = Redis.from_url(redis.url, decode_responses=True)
    (key,) = [name async for name in client.scan_iter("test:*")]
    await marks.add("x", 1000.0)
    assert await client.pttl(key) <= 200
    await client.aclose()

    async def is_forgotten() -> bool:
        return await marks.count("x") == 0

    await become_true(is_forgotten)
    await marks.close()


async def test_without_redis_each_counts_for_itself_and_nobody_waits(redis: RedisServer) -> None:
    """It is asked again after a while, not before; a Redis that hangs is like one that is away."""
    now = [1000.0]
    marks = Marks(settings_of(redis), clock=lambda: now[0])
    throttle = Throttle("tokens", marks, attempts=2)
    redis.hold_up()
    for _ in range(2):
        assert await throttle.allows(ADDRESS)
        await throttle.fail(ADDRESS)
    assert not await throttle.allows(ADDRESS)
    redis.go_on()
    assert await marks.count("other") == 0
    await marks.add("other", 60)
    assert await marks.count("other") == 0, "nobody asks yet"
    now[0] += AGAIN_S
    await marks.add("other", 60)
    assert await marks.count("other") == 1
    await marks.close()


async def test_a_failure_is_forgotten_by_the_process_too() -> None:
    """By its own clock, without any Redis."""
    now = [0.0]
    throttle = Throttle("tokens", attempts=2, window_s=60, clock=lambda: now[0])
    for _ in range(2):
        await throttle.fail(ADDRESS)
    assert not await throttle.allows(ADDRESS)
    now[0] = 61.0
    assert await throttle.allows(ADDRESS)

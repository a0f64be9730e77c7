"""Redis's Sentinels, as the settings name them: whether they are there, agree, and could promote another server.

Never asks them to promote one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

from infra.cluster import Address, sentinels, shown
from infra.sentinels import SENTINEL_FAULTS, Opinion, ask_replicas, ask_sentinel, newest
from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from infra.settings import RedisSettings, Settings


async def check_sentinels(settings: Settings) -> str:
    """All of them name one primary, which answers them; they know of each other, and of a server that follows it."""
    redis, named = settings.redis, sentinels(settings.redis)
    answers = dict(zip(named, await asyncio.gather(*(_ask(redis, it) for it in named)), strict=True))
    heard = [it for it in answers.values() if isinstance(it, Opinion)]
    _require_answers(redis, answers, len(heard))
    latest = newest(heard)
    assert latest
    if others := [it for it in heard if it.primary != latest.primary]:
        raise UnavailableError(
            f"Sentinels name different primaries, {latest.primary} and {others[0].primary}: they agree within seconds "
            "unless a network between them is cut"
        )
    if latest.is_down:
        raise UnavailableError(f"the primary {latest.primary} is down, and no other is chosen: see their logs")
    if alone := [it for it in heard if it.others + 1 < len(named)]:
        raise ConfigError(
            f"the Sentinel {alone[0].sentinel} knows {alone[0].others} others of {len(named) - 1}: have all of them "
            "the same redis.service and password, and does nftables let them through?"
        )
    following = await _following(redis, latest.sentinel)
    if not any(following.values()):
        raise UnavailableError(f"no server follows {latest.primary}: start the others, or see their logs")
    if away := [it for it, follows in following.items() if not follows]:
        raise UnavailableError(f"{shown(away)} does not follow {latest.primary}: start it, or see its log")
    return f"{latest.primary} is primary by {len(heard)} Sentinels, followed by {shown(list(following))}"


async def _ask(redis: RedisSettings, sentinel: Address) -> Opinion | Exception:
    try:
        return await ask_sentinel(redis, sentinel)
    except SENTINEL_FAULTS as error:
        return error


async def _following(redis: RedisSettings, sentinel: Address) -> dict[Address, bool]:
    try:
        return await ask_replicas(redis, sentinel)
    except SENTINEL_FAULTS as error:
        raise UnavailableError(f"the Sentinel {sentinel} does not answer ({error or type(error).__name__})") from None


def _require_answers(redis: RedisSettings, answers: dict[Address, Opinion | Exception], heard: int) -> None:
    """Raise where one says nothing, or knows nothing of our servers."""
    for place, answer in answers.items():
        if isinstance(answer, ResponseError):
            raise ConfigError(f"the Sentinel {place} names no primary of {redis.service!r} ({answer})")
    silent = {place: answer for place, answer in answers.items() if isinstance(answer, Exception)}
    if silent:
        why = next(iter(silent.values()))
        can = "can still" if heard > len(answers) // 2 else "cannot"
        raise UnavailableError(
            f"{shown(list(silent))} does not answer ({why or type(why).__name__}): start it, or mend redis.sentinels; "
            f"the {heard} others {can} promote a server"
        )

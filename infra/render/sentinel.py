"""A Sentinel's configuration: what the settings say, and below it what the Sentinel itself wrote there.

Never lets it forget what it learnt: which server is primary, by which failover, whom it knows, and for whom it voted.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from infra.cluster import Address, own_sentinel, redis_password, sentinels

if TYPE_CHECKING:
    from pathlib import Path

    from infra.settings import RedisSettings, Settings

DOWN_MS, STAGGER_MS = 3000, 500
"""A Sentinel takes a server that says nothing for so long for dead, each a little later than the one before it: of two
that ask for votes at one moment, each votes for itself.
"""

FAILOVER_MS = 5000
"""A failover that has not come to its end by then is given up, and tried again after twice that."""

LOOPBACK = ("127.0.0.1", "-::1")

_LEARNT = re.compile(r"^sentinel (?P<word>[a-z-]+) (?P<rest>.+)$", re.MULTILINE)
_OF_ITSELF = frozenset({"myid", "current-epoch"})
_OF_SERVICE = frozenset({"config-epoch", "leader-epoch", "known-replica", "known-sentinel"})


def render(settings: Settings, home: Path, primary: Address, before: str = "") -> str:
    """Lines of its file. `primary`: whom it watches; `before`: what it left in that file."""
    redis, place, password = settings.redis, own_sentinel(settings), redis_password(settings.redis)
    named = sentinels(redis)
    number = named.index(place) if place in named else len(named)
    host = [] if place.is_loopback else [place.host]
    rows = [
        ("bind", *LOOPBACK, *host),
        ("port", place.port),
        ("protected-mode", "yes"),
        ("dir", json.dumps(str(home))),
        *([("requirepass", json.dumps(password))] if password else []),
        # A server is the same by its name, wherever that leads, and by its address.
        ("sentinel resolve-hostnames", "yes"),
        ("sentinel announce-hostnames", "yes"),
        ("sentinel announce-ip", place.host),
        ("sentinel announce-port", place.port),
        ("sentinel monitor", redis.service, primary.host, primary.port, len(named) // 2 + 1),
        *([("sentinel auth-pass", redis.service, json.dumps(password))] if password else []),
        ("sentinel down-after-milliseconds", redis.service, DOWN_MS + STAGGER_MS * number),
        ("sentinel failover-timeout", redis.service, FAILOVER_MS),
        *learnt(redis, before),
    ]
    return "".join(f"{' '.join(map(str, row))}\n" for row in rows)


def remembered(redis: RedisSettings, text: str) -> Address | None:
    """The primary that a Sentinel's file names; none where it names none."""
    for found in _LEARNT.finditer(text):
        words = found["rest"].split()
        if found["word"] == "monitor" and words[0] == redis.service and len(words) == 4:
            return Address(words[1], int(words[2]))
    return None


def learnt(redis: RedisSettings, text: str) -> list[tuple[str, ...]]:
    """What a Sentinel added to its file and shall find again, but for Sentinels that the settings name no more."""
    kept: list[tuple[str, ...]] = []
    for found in _LEARNT.finditer(text):
        word, words = found["word"], found["rest"].split()
        known = word in _OF_SERVICE and words[0] == redis.service
        if word == "known-sentinel":
            known = known and Address(words[1], int(words[2])) in sentinels(redis)
        if word in _OF_ITSELF or known:
            kept.append((f"sentinel {word}", *words))
    return kept

"""How clients of Redis and of its Sentinels are made.

Never has one wait for long, or try again by itself: who asks knows what to do without an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from infra.cluster import redis_password

if TYPE_CHECKING:
    from infra.settings import RedisSettings

TIMEOUT_S = 2.0
"""Longest wait for a connection, or for an answer."""


def client_options(redis: RedisSettings, *, decode: bool = True) -> dict[str, Any]:
    """Options of a client that fails soon. Without `decode`: bytes.

    RESP2 by hiredis: it reads large answers several times as fast as RESP3 does.
    """
    return {
        "password": redis_password(redis) or None,
        "protocol": 2,
        "socket_timeout": TIMEOUT_S,
        "socket_connect_timeout": TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": decode,
    }

"""Redis's configuration: where it listens, and protection against who comes from elsewhere (R5.1).

Never opened to other addresses by this file alone: Redis cannot decide by a client's address, so that nftables must.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.cluster import own_redis
from infra.render.header import comment

if TYPE_CHECKING:
    from infra.approved import Approval
    from infra.settings import Settings

LOOPBACK = ("127.0.0.1", "-::1")


def render(settings: Settings, _approval: Approval) -> str:
    """Lines for redis.conf, or a file that it includes."""
    place = own_redis(settings)
    host = "" if place.is_loopback else place.host
    notes = ["include it in redis.conf, and restart Redis"]
    if host:
        notes.append("Redis cannot tell clients apart by address: `sealstream infra render nftables` closes this port")
        notes.append("and answers other machines only with `requirepass`, or with `protected-mode no` behind nftables")
    rows = {
        "bind": " ".join([*LOOPBACK, *([host] if host else [])]),
        "port": str(place.port),
        # Without a password, Redis then answers nobody but this machine; with one, approved nodes too.
        "protected-mode": "yes",
        "enable-debug-command": "no",
        "enable-module-command": "no",
    }
    if settings.redis.sentinels:
        # The others reach it, when it follows, as it is named here; a lost line is noticed sooner than by a minute.
        rows |= {
            "replica-announce-ip": place.host,
            "replica-announce-port": str(place.port),
            "repl-diskless-sync-delay": "0",
            "repl-timeout": "15",
        }
    return comment("Redis", *notes) + "".join(f"{name} {value}\n" for name, value in rows.items())

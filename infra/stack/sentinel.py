"""A Sentinel as a component of the stack: Redis's program, which watches the servers and promotes one of them when the
primary dies.

Never loses what it learnt: it keeps that in its own settings file, which each start completes and never replaces.
"""

from __future__ import annotations

from infra.cluster import own_sentinel, redis_password
from infra.files import write_whole
from infra.render import sentinel as rendered
from infra.settings import Settings
from infra.stack.account import Account, give
from infra.stack.component import Component
from infra.stack.redis import ask_version, find_server, require_password
from infra.stack.redis_primary import NAME, choose_primary, read_sentinel_file, sentinel_file


def sentinel_component(settings: Settings, account: Account | None) -> Component:
    """The Sentinel beside this node's Redis."""
    place, file = own_sentinel(settings), sentinel_file(settings)
    require_password(settings, place)

    async def prepare() -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = read_sentinel_file(settings)
        primary = rendered.remembered(settings.redis, before) or await choose_primary(settings)
        write_whole(file, rendered.render(settings, file.parent, primary, before).encode())
        give(file.parent, account)

    async def probe(_pid: int) -> str:
        return await ask_version(place, redis_password(settings.redis))

    return Component(
        name=NAME,
        command=[find_server(), file, "--sentinel"],
        address=str(place),
        account=account,
        prepare=prepare,
        probe=probe,
        stop_within_s=15,
    )

"""What can be rendered: a name, its file, and how the program takes it up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.render import nftables, nginx, pg_hba, redis

if TYPE_CHECKING:
    from infra.approved import Approval
    from infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Target:
    """One configuration. `usual` is where it belongs on a Debian node."""

    render: Callable[[Settings, Approval], str]
    usual: str
    take_up: str


TARGETS: Mapping[str, Target] = {
    "nginx": Target(nginx.render, "/etc/nginx/conf.d/sealstream.conf", "nginx -s reload"),
    "pg_hba": Target(pg_hba.render, "/etc/postgresql/15/main/pg_hba.conf", f"psql -c '{pg_hba.RELOAD}'"),
    "redis": Target(redis.render, "/etc/redis/sealstream.conf", "systemctl restart redis-server"),
    "nftables": Target(nftables.render, "/etc/nftables.d/sealstream.nft", "nft -f FILE"),
}

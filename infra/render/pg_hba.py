"""PostgreSQL's pg_hba.conf: approved addresses by password, all others rejected (R2.7, R5.1).

Never trusts an address without a password.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.render.header import comment

if TYPE_CHECKING:
    from infra.approved import Approval
    from infra.settings import Settings

REPLICA = "sealstream_replica"
"""The role by which standbys follow the primary, and nothing else."""

RELOAD = "select pg_reload_conf()"
"""What lets a server take it; connections that are there already stay."""


def render(_settings: Settings, approval: Approval) -> str:
    """The whole file."""
    rows = [("local", "all", "all", "", "scram-sha-256")]
    rows += [("host", "all", "all", str(network), "scram-sha-256") for network in approval.networks]
    rows += [("host", "replication", REPLICA, str(network), "scram-sha-256") for network in approval.networks]
    rows += [("host", "all", "all", everybody, "reject") for everybody in ("0.0.0.0/0", "::/0")]
    lines = [f"{kind:<6} {base:<11} {user:<18} {address:<24} {method}" for kind, base, user, address, method in rows]
    return comment("PostgreSQL's pg_hba.conf", f"take it up with `psql -c '{RELOAD}'`") + "\n".join(lines) + "\n"

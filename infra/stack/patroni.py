"""PostgreSQL under Patroni: it starts, stops and promotes the servers of all nodes by a lock that it holds in etcd.

Never lets a server be primary without that lock, and never removes a database that is no copy of another's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from infra.cluster import own_database
from infra.failover import (
    AUTHORITY,
    CERTIFICATE,
    USER,
    ask_patroni,
    etcd_places,
    patroni_password,
    patroni_place,
    uses_tls,
)
from infra.files import write_whole
from infra.render.pg_hba import REPLICA
from infra.settings import Settings, read_secret
from infra.stack.account import Account
from infra.stack.component import NotReadyError
from infra.stack.etcd import copy_certificate
from infra.tls import SUITES, Profile
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG = "patroni.yml"

_TTL_S, _LOOP_S, _RETRY_S = 20, 5, 7
"""Who does not renew the lock for so long has lost it; between two looks; for how long etcd may be away. The first
is the least that Patroni takes, and must be as long as one look and two tries."""

_LAG_BYTES = 64 * 1024 * 1024
"""A standby that lacks more is not promoted. What the sinks wrote they write again, what people changed is gone."""

_VERSION_S = 30.0
_ETCD_AUTHORITY = "etcd-ca.pem"


def find_patroni(account: Account | None) -> Path:
    """The program, as far as the account can run it: of our own environment, else the machine's.

    Raises `UnavailableError`.
    """
    folders = [Path(sys.executable).parent, *map(Path, os.get_exec_path())]
    found = [it for it in dict.fromkeys(folder / "patroni" for folder in folders) if it.exists()]
    for program in found:
        if _runs(program, account):
            return program
    if found:
        raise UnavailableError(f"{found[0]} cannot be run by the stores' account: `apt-get install patroni`")
    raise UnavailableError("Patroni is missing: `pip install 'sealstream[patroni]'`, or `apt-get install patroni`")


def _runs(program: Path, account: Account | None) -> bool:
    arguments = {} if account is None else account.arguments
    try:
        ran = subprocess.run(
            [program, "--version"], check=False, capture_output=True, timeout=_VERSION_S, cwd="/", **arguments
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ran.returncode == 0


def shared_options(settings: Settings, kept_mb: int) -> dict[str, Any]:
    """What all servers must have alike; Patroni keeps it in etcd."""
    return {
        "ttl": _TTL_S,
        "loop_wait": _LOOP_S,
        "retry_timeout": _RETRY_S,
        "maximum_lag_on_failover": _LAG_BYTES,
        "failsafe_mode": True,  # without etcd the primary goes on as long as every standby says that it may
        "synchronous_mode": settings.postgresql.synchronous,
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": False,  # a slot would keep the log of a standby that never comes back
            "parameters": {"wal_keep_size": f"{kept_mb}MB", "max_connections": 100},
        },
    }


def render(settings: Settings, programs: Path, shared: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """Patroni's configuration, with passwords: JSON is YAML. `parameters` are this server's own."""
    home, own, parts = settings.data.store("postgresql"), own_database(settings), urlsplit(settings.postgresql.dsn)
    login = {"username": parts.username or "sealstream", "password": read_secret(settings.postgresql.password_file)}
    replica = {"username": REPLICA, "password": read_secret(settings.postgresql.replication_password_file)}
    tables: dict[str, Any] = {
        "scope": parts.path.strip("/"),
        "namespace": "/sealstream/",
        "name": settings.node.id,
        "log": {"level": "INFO", "deduplicate_heartbeat_logs": True},
        "restapi": {
            "listen": str(patroni_place(settings)),
            "connect_address": str(patroni_place(settings)),
            "authentication": {"username": USER, "password": patroni_password(settings)},
        },
        "etcd3": {"hosts": [str(it) for it in etcd_places(settings)], "protocol": "http"},
        "bootstrap": {
            "dcs": shared,
            "initdb": [{"auth": "scram-sha-256"}, {"encoding": "UTF8"}, {"locale": "C.UTF-8"}],
        },
        "postgresql": {
            "listen": str(own),
            "connect_address": str(own),
            "data_dir": str(home / "cluster"),
            "bin_dir": str(programs),
            "pgpass": str(home / "patroni.pgpass"),
            "authentication": {"superuser": login, "replication": replica},
            "parameters": dict(parameters),
        },
        "watchdog": {"mode": "automatic"},
    }
    if uses_tls(settings):
        files = {"certfile": str(home / f"{CERTIFICATE}.pem"), "keyfile": str(home / f"{CERTIFICATE}.key")}
        authority = str(home / "ca.pem")
        ciphers = ":".join(SUITES[Profile.MODERN, "https"])
        tables["restapi"] |= {**files, "cafile": authority, "verify_client": "required", "ciphers": ciphers}
        tables["ctl"] = {**files, "cacert": authority}
        tables["etcd3"] |= {
            "protocol": "https",
            "cacert": str(home / _ETCD_AUTHORITY),
            "cert": files["certfile"],
            "key": files["keyfile"],
        }
    return json.dumps(tables, indent=2) + "\n"


def write_config(settings: Settings, text: str, account: Account | None) -> None:
    """The configuration, and the certificates that it names, where the stores' account reads them."""
    home = settings.data.store("postgresql")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(home / CONFIG, text.encode())
    if uses_tls(settings):
        copy_certificate(settings, home, settings.data.pki / AUTHORITY)
        shutil.copy(settings.postgresql.etcd_ca_file, home / _ETCD_AUTHORITY)
    if account is not None:  # not the cluster in it, whose server may run: it outlives a Patroni that dies
        for place in (home, *(it for it in home.iterdir() if it.is_file())):
            os.chown(place, account.uid, account.gid)


async def require_lock(settings: Settings) -> None:
    """Raise `NotReadyError` where Patroni has not, or not yet, made this node's server the primary."""
    try:
        status, _ = await ask_patroni(settings, patroni_place(settings), "/primary")
    except UnavailableError as error:
        raise NotReadyError(str(error)) from None
    if status != 200:
        raise NotReadyError("is not yet the primary by Patroni's lock")

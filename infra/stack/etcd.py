"""etcd as a component of a master: where Patroni keeps who is PostgreSQL's primary, safe from two at once.

Never reached without a certificate of its own CA, but on the loopback; never keeps anything that is recorded.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from infra.cluster import Address
from infra.failover import (
    CERTIFICATE,
    certificate_files,
    etcd_context,
    etcd_places,
    own_etcd,
    peer_of,
    serves,
    uses_tls,
)
from infra.stack.account import Account, give
from infra.stack.component import Component, NotReadyError
from infra.stack.probe import http_get
from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from infra.settings import Settings

NAME = "etcd"

_AUTHORITY = "ca.pem"
_SUITES = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
_HEARTBEAT_MS, _ELECTION_MS = 200, 2000
"""Twice etcd's own: its disk and its cores are shared with a broker."""


def find_etcd() -> str:
    """The program; raises `UnavailableError`."""
    program = shutil.which("etcd")
    if program is None:
        raise UnavailableError("etcd is missing: `apt-get install etcd-server`")
    return program


def etcd_component(settings: Settings, account: Account | None) -> Component:
    """The member of this node; the others are those of `postgresql.etcd`."""
    place = own_etcd(settings)
    if place is None:
        raise ConfigError("this node runs no etcd: none of postgresql.etcd is its own")
    home, secure = settings.data.store(NAME), uses_tls(settings)
    context = etcd_context(settings)

    async def prepare() -> None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if secure:
            copy_certificate(settings, home, settings.postgresql.etcd_ca_file)
        give(home, account)

    async def probe(_pid: int) -> str:
        if not await serves(_url(place, secure=secure), context):
            raise NotReadyError("waits for a majority of the members of postgresql.etcd")
        _, body = await http_get(f"{_url(place, secure=secure)}/version", context)
        return str(json.loads(body)["etcdserver"])

    alone = len(settings.postgresql.etcd) == 1
    return Component(
        name=NAME,
        command=[find_etcd(), *_options(settings, place, home, secure=secure)],
        address=str(place),
        account=account,
        prepare=prepare,
        probe=probe,
        ready_within_s=300.0 if alone else 86_400.0,
    )


def copy_certificate(settings: Settings, home: Path, authority: Path) -> None:
    """The node's certificate, its key and their CA, where the stores' account may read them; raises `ConfigError`."""
    cert, key = certificate_files(settings)
    for source, name in ((cert, cert.name), (key, key.name), (authority, _AUTHORITY)):
        try:
            shutil.copy(source, home / name)
        except FileNotFoundError:
            raise ConfigError(f"{source} is missing: `sealstream node prepare` makes it, see docs/ha.md") from None
    (home / key.name).chmod(0o600)


def _options(settings: Settings, place: Address, home: Path, *, secure: bool) -> list[str]:
    members = etcd_places(settings)
    everybody = ",".join(f"{it}={_url(peer_of(it), secure=secure)}" for it in members)
    rows = {
        "name": str(place),
        "data-dir": home / "member",
        "listen-client-urls": _url(place, secure=secure),
        "advertise-client-urls": _url(place, secure=secure),
        "listen-peer-urls": _url(peer_of(place), secure=secure),
        "initial-advertise-peer-urls": _url(peer_of(place), secure=secure),
        "initial-cluster": everybody,
        "initial-cluster-token": "sealstream",
        "initial-cluster-state": "new",
        "heartbeat-interval": _HEARTBEAT_MS,
        "election-timeout": _ELECTION_MS,
        "auto-compaction-retention": "1",
        "logger": "zap",
        "log-outputs": "stderr",
    }
    if secure:
        files = {"cert-file": f"{CERTIFICATE}.pem", "key-file": f"{CERTIFICATE}.key", "trusted-ca-file": _AUTHORITY}
        for prefix in ("", "peer-"):
            rows |= {f"{prefix}{option}": home / file for option, file in files.items()}
            rows[f"{prefix}client-cert-auth"] = "true"
        rows["cipher-suites"] = _SUITES
    return [f"--{name}={value}" for name, value in rows.items()]


def _url(place: Address, *, secure: bool) -> str:
    return f"{'https' if secure else 'http'}://{place}"

"""PostgreSQL's failover where machines decide it: etcd's members, Patroni's places, and questions to both.

Never decides who is primary: Patroni alone does, by the lock that it holds in etcd. Never promotes behind its back.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from infra.cluster import Address, databases, own_database, shown
from infra.settings import Settings, read_secret
from infra.stack.probe import http_get
from infra.tls import Profile, client_context
from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

CERTIFICATE = "failover"
"""Name of the certificate, in the folder `pki`, by which etcd and Patroni of all nodes know each other."""

AUTHORITY = "failover-ca.pem"
"""Its CA, beside it: one of its own, since every agent has a certificate of the site's."""

USER = "sealstream"
"""Who may tell Patroni to do something."""

_CLIENT_PORT = 2379
_ASK_S = 5.0
_SWITCH_S = 90.0
_NOTHING_THERE = 404


@dataclass(frozen=True, slots=True)
class Member:
    """One PostgreSQL by Patroni's word: `state` is running or streaming of one that is well; `lag` in bytes."""

    name: str
    role: str
    state: str
    timeline: int
    lag: int

    @property
    def leads(self) -> bool:
        """Whether it is the primary, by the lock in etcd."""
        return self.role in ("leader", "sync_leader")


def is_automatic(settings: Settings) -> bool:
    """Whether Patroni promotes; else a person does."""
    return bool(settings.postgresql.etcd)


def may_ask(settings: Settings) -> bool:
    """Whether this node has what etcd and Patroni want of who asks them: masters, and nodes with PostgreSQL."""
    return is_automatic(settings) and bool({"master", "db"} & set(settings.node.roles))


def runs_patroni(settings: Settings) -> bool:
    """Whether this node's PostgreSQL is one that Patroni looks after; that of a node with `bi` alone only follows."""
    node = settings.node
    return is_automatic(settings) and "db" in node.roles and "postgresql" not in node.external


def etcd_places(settings: Settings) -> list[Address]:
    """The members of etcd, where clients reach them."""
    return [Address.parse(urlsplit(url).netloc, _CLIENT_PORT) for url in settings.postgresql.etcd]


def own_etcd(settings: Settings) -> Address | None:
    """The member that this node runs, where it is a master that has one."""
    if "master" not in settings.node.roles or "etcd" in settings.node.external:
        return None
    named = settings.postgresql.etcd_listen
    if named:
        place = Address.parse(named, _CLIENT_PORT)
        return place if place in etcd_places(settings) else None
    return next((it for it in etcd_places(settings) if it.host == settings.node.address), None)


def peer_of(place: Address) -> Address:
    """Where the other members reach one."""
    return Address(place.host, place.port + 1)


def uses_tls(settings: Settings) -> bool:
    """Whether etcd and Patroni speak TLS; raises `ConfigError` where they must, and where they are of two minds."""
    schemes = {urlsplit(url).scheme for url in settings.postgresql.etcd}
    if len(schemes) > 1:
        raise ConfigError("postgresql.etcd has http and https: one of both")
    secure = schemes == {"https"}
    places = [*etcd_places(settings), *databases(settings)]
    if not secure and not all(it.is_loopback for it in places):
        raise ConfigError(
            f"postgresql.etcd has http, and {shown([it for it in places if not it.is_loopback])} is reached by others: "
            "whoever writes there decides who is primary; use https"
        )
    return secure


def certificate_files(settings: Settings) -> tuple[Path, Path]:
    """Certificate and key by which this node's etcd and Patroni are known."""
    return settings.data.pki / f"{CERTIFICATE}.pem", settings.data.pki / f"{CERTIFICATE}.key"


def patroni_password(settings: Settings) -> str:
    """What Patroni wants to hear of who tells it something: made of PostgreSQL's password, which all of them have."""
    secret = read_secret(settings.postgresql.password_file)
    return hmac.new(secret.encode(), b"sealstream patroni", hashlib.sha256).hexdigest()


def patroni_place(settings: Settings) -> Address:
    """Where this node's Patroni answers."""
    return Address(own_database(settings).host, settings.postgresql.patroni_port)


def patroni_places(settings: Settings) -> list[Address]:
    """Where a Patroni may answer: this node's own first."""
    port = settings.postgresql.patroni_port
    return list(dict.fromkeys([patroni_place(settings), *(Address(it.host, port) for it in databases(settings))]))


def tls_context(settings: Settings, authority: Path | None = None) -> ssl.SSLContext:
    """How this node speaks to Patroni, or to etcd by its `authority`; raises `ConfigError`."""
    cert, key = certificate_files(settings)
    try:
        return client_context(Profile.MODERN, authority or settings.data.pki / AUTHORITY, cert, key, listener="https")
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the certificate {cert}, or its key or CA, cannot be used: {error}") from None


def etcd_context(settings: Settings) -> ssl.SSLContext | None:
    """How this node speaks to etcd; none without TLS. Raises `ConfigError`."""
    return tls_context(settings, settings.postgresql.etcd_ca_file) if uses_tls(settings) else None


def check_place(settings: Settings) -> None:
    """Raise `ConfigError` where nobody would find this node's server as the primary."""
    if own_database(settings) not in databases(settings):
        raise ConfigError(
            f"postgresql.dsn does not name {own_database(settings)}, which Patroni may make the primary: add it"
        )


async def ask_patroni(
    settings: Settings, place: Address, path: str, *, send: Any = None, method: str = "GET", within_s: float = _ASK_S
) -> tuple[int, str]:
    """Status and text of an answer; raises `UnavailableError` where there is none, and `ConfigError`."""
    import httpx2 as httpx

    secure = uses_tls(settings)
    login = None if method == "GET" else (USER, patroni_password(settings))
    url = f"{'https' if secure else 'http'}://{place}{path}"
    context: ssl.SSLContext | bool = tls_context(settings) if secure else False
    try:
        async with httpx.AsyncClient(verify=context, timeout=within_s, trust_env=False) as client:
            answer = await client.request(method, url, json=send, auth=login)
    except httpx.HTTPError as error:
        raise UnavailableError(f"Patroni at {place} does not answer ({type(error).__name__})") from None
    return answer.status_code, answer.text


async def read_members(settings: Settings) -> list[Member]:
    """Every PostgreSQL that Patroni knows, by the first Patroni that answers; raises `UnavailableError`."""
    told = []
    for place in patroni_places(settings):
        try:
            status, text = await ask_patroni(settings, place, "/cluster")
        except UnavailableError as error:
            told.append(str(error))
            continue
        if status == 200:
            return [_member(row) for row in json.loads(text).get("members", [])]
        told.append(f"Patroni at {place} answers {status}")
    raise UnavailableError("; ".join(told))


def _member(row: dict[str, Any]) -> Member:
    lag = row.get("lag", 0)
    behind = lag if isinstance(lag, int) else -1  # it says "unknown" of one that does not answer
    return Member(row["name"], row["role"], row.get("state", ""), int(row.get("timeline") or 0), behind)


async def make_primary(settings: Settings, name: str, *, force: bool = False) -> str:
    """Have Patroni make `name` the primary, in order while there is one; return its words.

    `force`: even when it lags behind, or the primary is not asked. Raises `ConfigError` with Patroni's reason.
    """
    members = await read_members(settings)
    if name not in [it.name for it in members]:
        known = ", ".join(it.name for it in members)
        raise ConfigError(f"{name} is none of the servers that Patroni looks after ({known}): ask on one of them")
    leader = next((it.name for it in members if it.leads), "")
    if leader == name:
        raise ConfigError(f"{name} is the primary already")
    path, request = "/switchover", {"leader": leader, "candidate": name}
    if force or not leader:
        path, request = "/failover", {"candidate": name}
    status, text = await ask_patroni(
        settings, patroni_place(settings), path, send=request, method="POST", within_s=_SWITCH_S
    )
    if status != 200:
        raise ConfigError(f"Patroni does not make {name} the primary: {text.strip()}")
    return text.strip()


async def keep_options(settings: Settings, options: dict[str, Any]) -> None:
    """Have all of Patroni's members go by these; raises `UnavailableError`."""
    place = patroni_place(settings)
    status, text = await ask_patroni(settings, place, "/config", send=options, method="PATCH")
    if status != 200:
        raise UnavailableError(f"Patroni at {place} does not take its options ({status}): {text.strip()[:200]}")


async def etcd_health(settings: Settings) -> dict[str, bool]:
    """Whether each member of etcd serves, which it does as part of a majority alone."""
    urls, context = settings.postgresql.etcd, etcd_context(settings)
    return dict(zip(urls, await asyncio.gather(*(_is_healthy(url, context) for url in urls)), strict=True))


async def serves(url: str, context: ssl.SSLContext | None) -> bool:
    """Whether the member of etcd there says so; raises `OSError`, `TimeoutError` or `ValueError` without an answer."""
    status, body = await http_get(f"{url}/health", context)
    return status == 200 and json.loads(body).get("health") == "true"


async def _is_healthy(url: str, context: ssl.SSLContext | None) -> bool:
    try:
        return await serves(url, context)
    except (OSError, TimeoutError, ValueError):
        return False

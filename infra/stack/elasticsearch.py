"""Elasticsearch as a component of the stack: a node with TLS and users, on a basic licence, alone or of a cluster.

Never starts without security, and keeps passwords only as salted hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from pathlib import Path

from infra.cluster import own_elasticsearch, own_elasticsearch_url, own_transport
from infra.settings import Settings, read_secret
from infra.stack.account import Account, give
from infra.stack.artifacts import Artifacts
from infra.stack.component import Component, NotReadyError
from infra.stack.java import Java
from infra.stack.ports import choose_port
from infra.stack.probe import http_get
from infra.tls import Profile, client_context

NAME = "elasticsearch"
ADMIN = "admin"
ADMIN_PASSWORD = "elasticsearch-admin.password"  # noqa: S105  # a file's name
CERTIFICATE = "elasticsearch"

_READY_WITHIN_S = {False: 300.0, True: 86_400.0}
"""A node of several serves only once most of those that may be master run, on machines that may be started later."""

_PBKDF2_ROUNDS = 10_000


def elasticsearch_component(
    settings: Settings, java: Java, artifacts: Artifacts, heap_mb: int, account: Account | None
) -> Component:
    """The node of the cluster that runs here, at the address of the settings."""
    home = settings.data.store(NAME)
    login = settings.elasticsearch.username, read_secret(settings.elasticsearch.password_file)
    url = own_elasticsearch_url(settings)

    async def prepare() -> None:
        give(home, account)
        _write_config(settings, artifacts, home)
        give(home, account)

    async def probe(_pid: int) -> str:
        assert settings.elasticsearch.ca_file is not None
        trust = client_context(Profile.MODERN, settings.elasticsearch.ca_file)
        status, body = await http_get(f"{url}/_cluster/health", trust, login)
        if status != 200:
            raise NotReadyError(f"answers {status}")
        health = json.loads(body)["status"]
        if health == "red":
            raise NotReadyError("its indices are not yet open (red)")
        return artifacts.elasticsearch_version

    return Component(
        name=NAME,
        command=[artifacts.elasticsearch / "bin" / "elasticsearch"],
        environment={
            "ES_JAVA_HOME": str(java.home),
            "ES_JAVA_OPTS": f"-Xms{heap_mb}m -Xmx{heap_mb}m",
            "ES_PATH_CONF": str(home / "config"),
            "ES_TMPDIR": str(home / "tmp"),
            "HOME": str(home),
        },
        address=url,
        account=account,
        prepare=prepare,
        probe=probe,
        stop_within_s=60,
        ready_within_s=_READY_WITHIN_S[bool(settings.elasticsearch.seeds)],
    )


def _write_config(settings: Settings, artifacts: Artifacts, home: Path) -> None:
    """The configuration folder, made anew from the distribution's and ours at every start."""
    config = home / "config"
    keystore = config / "elasticsearch.keystore"
    kept = keystore.read_bytes() if keystore.exists() else None
    shutil.rmtree(config, ignore_errors=True)
    shutil.copytree(artifacts.elasticsearch / "config", config)
    for folder in ("tmp", "data", "logs"):
        (home / folder).mkdir(exist_ok=True)
    if kept is not None:
        keystore.write_bytes(kept)
    for name in (f"{CERTIFICATE}.pem", f"{CERTIFICATE}.key", "ca.pem"):
        shutil.copy(settings.data.pki / name, config / name)
    (config / "elasticsearch.yml").write_text(_yaml(settings, home), "utf-8")
    for name, text in access_files(settings).items():
        (config / name).write_text(text, "utf-8")


def access_files(settings: Settings) -> dict[str, str]:
    """Users, their roles, and what a role may do, as files of Elasticsearch's configuration folder."""
    users = {
        settings.elasticsearch.username: ("sealstream", read_secret(settings.elasticsearch.password_file)),
        ADMIN: ("superuser", read_secret(settings.data.secrets / ADMIN_PASSWORD)),
    }
    hashed = [f"{user}:{hash_password(password, os.urandom(32))}\n" for user, (_, password) in users.items()]
    return {
        "roles.yml": _roles(settings),
        "users": "".join(hashed),
        "users_roles": "".join(f"{role}:{user}\n" for user, (role, _) in users.items()),
    }


def _yaml(settings: Settings, home: Path) -> str:
    """JSON is YAML. Alone, the transport port is nobody else's business: any free one will do."""
    own, chosen = own_elasticsearch(settings), settings.elasticsearch
    if chosen.seeds:
        together = {
            "transport.port": own_transport(settings).port,
            "discovery.seed_hosts": chosen.seeds,
            "xpack.security.transport.ssl.enabled": True,
            "xpack.security.transport.ssl.verification_mode": "certificate",
            "xpack.security.transport.ssl.certificate": f"{CERTIFICATE}.pem",
            "xpack.security.transport.ssl.key": f"{CERTIFICATE}.key",
            "xpack.security.transport.ssl.certificate_authorities": ["ca.pem"],
            **({"cluster.initial_master_nodes": chosen.masters} if chosen.masters else {}),
        }
    else:
        together = {"transport.port": choose_port("transport", [own.port]), "discovery.type": "single-node"}
    rows = {
        "cluster.name": "sealstream",
        "node.name": settings.node.id,
        "network.host": own.host,
        "http.port": own.port,
        **together,
        "path.data": str(home / "data"),
        "path.logs": str(home / "logs"),
        "cluster.routing.allocation.disk.watermark.low": "1gb",
        "cluster.routing.allocation.disk.watermark.high": "700mb",
        "cluster.routing.allocation.disk.watermark.flood_stage": "500mb",
        "xpack.security.enabled": True,
        "xpack.security.authc.realms.file.local.order": 0,
        "xpack.security.http.ssl.enabled": True,
        "xpack.security.http.ssl.certificate": f"{CERTIFICATE}.pem",
        "xpack.security.http.ssl.key": f"{CERTIFICATE}.key",
        "xpack.security.http.ssl.certificate_authorities": ["ca.pem"],
    }
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in rows.items())


def _roles(settings: Settings) -> str:
    """Our user may do everything with our indices, and nothing with others."""
    ours = {"names": [f"{settings.elasticsearch.index_prefix}*"], "privileges": ["all"]}
    return f"sealstream: {json.dumps({'cluster': ['monitor', 'manage_index_templates'], 'indices': [ours]})}\n"


def hash_password(password: str, salt: bytes) -> str:
    """The password as Elasticsearch's users file has it: PBKDF2 with HMAC-SHA512."""
    hashed = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _PBKDF2_ROUNDS, 32)
    return f"{{PBKDF2}}{_PBKDF2_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(hashed).decode()}"

"""PostgreSQL's failover by Patroni and etcd: what the settings say, what is rendered, and what a site's nodes get."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from infra.cluster import Address
from infra.doctor.contradictions import find_contradictions
from infra.failover import AUTHORITY, CERTIFICATE, is_automatic, own_etcd, patroni_password, runs_patroni, uses_tls
from infra.nodes.prepare import prepare_site
from infra.nodes.site import Site
from infra.render.nodes import node_ports
from infra.settings import NodeSettings, PostgresqlSettings, Settings
from infra.stack.etcd import etcd_component
from infra.stack.patroni import render, shared_options
from infra.stack.roles import stores_of
from schemas.errors import ConfigError

THREE = [f"https://10.1.0.{number}:2379" for number in (1, 2, 3)]
DSN = "postgresql://sealstream@10.1.0.4:5432,10.1.0.5:5432/sealstream"

SITE = """
failover = true
archive = "/srv/archive"
""" + "".join(
    f'[nodes.{name}]\naddress = "10.1.0.{number}"\nroles = {json.dumps(roles)}\n'
    for number, (name, roles) in enumerate(
        {
            "m-1": ["master"],
            "m-2": ["master"],
            "m-3": ["master"],
            "db-1": ["db"],
            "db-2": ["db"],
            "rest": ["app", "miner", "mining-db", "bi"],
        }.items(),
        1,
    )
)

SMALL = """
failover = true
external = ["etcd"]
settings = { postgresql = { etcd = ["https://etcd.example.org:2379"] } }
[nodes.m-1]
address = "10.1.0.1"
roles = ["master", "db"]
[nodes.db-1]
address = "10.1.0.4"
roles = ["db"]
[nodes.rest]
address = "10.1.0.6"
roles = ["app", "miner", "mining-db"]
"""


def settings(
    tmp_path: Path, *roles: str, address: str = "10.1.0.4", external: tuple[str, ...] = (), **postgresql: Any
) -> Settings:
    """Of a node of that address, with roles of a site of three masters and two databases."""
    node: dict[str, Any] = {
        "data_dir": tmp_path,
        "advertise": address,
        "external": list(external),
        "roles": list(roles or ("db",)),
    }
    table = {"dsn": DSN, "etcd": THREE, "listen": f"{address}:5432", **postgresql}
    return Settings(node=NodeSettings(**node), postgresql=PostgresqlSettings(**table))


def with_secrets(made: Settings) -> Settings:
    """The same, with passwords that quote badly."""
    for path in (made.postgresql.password_file, made.postgresql.replication_password_file):
        assert path is not None
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{path.name}\"'\\\n")
    return made


def test_without_etcd_nothing_is_as_it_was_not(tmp_path: Path) -> None:
    made = settings(tmp_path, "master", "db", etcd=[])
    assert not is_automatic(made)
    assert stores_of(made) == {"kafka", "redis", "postgresql"}
    assert not {"etcd", "patroni"} & set(node_ports(made))


@pytest.mark.parametrize(
    ("address", "roles", "external", "etcd", "patroni"),
    [
        ("10.1.0.1", ("master",), (), True, False),
        ("10.1.0.9", ("master",), (), False, False),
        ("10.1.0.1", ("master",), ("etcd",), False, False),
        ("10.1.0.1", ("db",), (), False, True),
        ("10.1.0.2", ("master", "db"), (), True, True),
        ("10.1.0.4", ("bi",), (), False, False),
        ("10.1.0.4", ("db",), ("postgresql",), False, False),
    ],
)
def test_masters_in_the_list_run_etcd_and_nodes_with_db_run_patroni(
    tmp_path: Path, address: str, roles: tuple[str, ...], external: tuple[str, ...], *, etcd: bool, patroni: bool
) -> None:
    made = settings(tmp_path, *roles, address=address, external=external)
    assert ("etcd" in stores_of(made), runs_patroni(made)) == (etcd, patroni)
    assert ("etcd members" in node_ports(made)) is etcd


def test_a_node_of_another_address_names_its_own_etcd(tmp_path: Path) -> None:
    made = settings(tmp_path, "master", address="10.9.0.1", etcd_listen="10.1.0.2:2379")
    assert own_etcd(made) == Address("10.1.0.2", 2379)


def test_what_others_reach_speaks_tls(tmp_path: Path) -> None:
    assert uses_tls(settings(tmp_path))
    plain = [url.replace("https", "http") for url in THREE]
    with pytest.raises(ConfigError, match="use https"):
        uses_tls(settings(tmp_path, etcd=plain))
    with pytest.raises(ConfigError, match="one of both"):
        uses_tls(settings(tmp_path, etcd=[*THREE[:2], plain[2]]))
    here = settings(tmp_path, etcd=["http://127.0.0.1:2379"], dsn="postgresql://sealstream@127.0.0.1/sealstream")
    assert not uses_tls(here)


def test_patroni_is_told_all_that_it_needs_and_asks_for_certificates(tmp_path: Path) -> None:
    made = with_secrets(settings(tmp_path, synchronous=True))
    shared = shared_options(made, 1024)
    told = json.loads(render(made, Path("/usr/lib/postgresql/15/bin"), shared, {"hba_file": "/srv/pg_hba.conf"}))
    assert told["etcd3"]["hosts"] == ["10.1.0.1:2379", "10.1.0.2:2379", "10.1.0.3:2379"]
    assert told["etcd3"]["protocol"] == "https"
    assert told["restapi"]["listen"] == "10.1.0.4:8008"
    assert told["restapi"]["verify_client"] == "required"
    assert told["postgresql"]["listen"] == "10.1.0.4:5432"
    assert told["postgresql"]["parameters"] == {"hba_file": "/srv/pg_hba.conf"}
    passwords = {name: login["password"] for name, login in told["postgresql"]["authentication"].items()}
    assert passwords == {
        "superuser": "postgresql.password\"'\\",
        "replication": "postgresql-replication.password\"'\\",
    }
    assert patroni_password(made) not in passwords.values()
    options = told["bootstrap"]["dcs"]
    assert options == shared
    assert options["postgresql"]["parameters"]["wal_keep_size"] == "1024MB"
    assert options["synchronous_mode"] is True
    assert options["ttl"] >= options["loop_wait"] + 2 * options["retry_timeout"], "Patroni would change them"


def test_etcd_knows_its_members_and_its_own_place(tmp_path: Path) -> None:
    made = settings(tmp_path, "master", address="127.0.0.1", etcd=["http://127.0.0.1:2379"], dsn="postgresql:///x")
    options = dict(word.removeprefix("--").split("=", 1) for word in map(str, etcd_component(made, None).command[1:]))
    assert options["initial-cluster"] == "127.0.0.1:2379=http://127.0.0.1:2380"
    assert options["listen-peer-urls"] == "http://127.0.0.1:2380"
    assert "client-cert-auth" not in options
    with pytest.raises(ConfigError, match="runs no etcd"):
        etcd_component(settings(tmp_path, "db"), None)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"etcd": THREE[:1]}, "name three"),
        ({"etcd": THREE[:2]}, "one less would be as safe"),
        ({"etcd": ["http://10.1.0.1:2379"]}, "use https"),
        ({"dsn": "postgresql://sealstream@10.1.0.4:5432/sealstream"}, "nobody could take its place"),
        ({"listen": "10.1.0.9:5432"}, "does not name 10.1.0.9:5432"),
    ],
)
def test_settings_that_would_not_help_are_told(tmp_path: Path, changed: dict[str, Any], fault: str) -> None:
    assert not [told for told in find_contradictions(settings(tmp_path)) if "postgresql" in told]
    assert any(fault in told for told in find_contradictions(settings(tmp_path, **changed)))


def test_a_site_tells_every_node_where_etcd_is() -> None:
    made = Site.model_validate(tomllib.loads(SITE))
    for name in made.nodes:
        assert made.settings_of(name)["postgresql"]["etcd"] == THREE
    assert made.settings_of("db-2")["postgresql"]["listen"] == "10.1.0.5:5432"
    assert made.settings_of("rest")["postgresql"]["dsn"].startswith(f"{DSN.rpartition('/')[0]},10.1.0.6:5432/")


@pytest.mark.slow
def test_a_site_gives_each_node_what_its_part_in_it_needs(tmp_path: Path) -> None:
    """The CA that signs for etcd and Patroni signs nothing else, and its key stays with the site."""
    assert all(node.made for node in prepare_site(Site.model_validate(tomllib.loads(SMALL)), tmp_path))
    for name in ("m-1", "db-1"):
        pki = tmp_path / name / "pki"
        assert stat.S_IMODE((pki / f"{CERTIFICATE}.key").stat().st_mode) == 0o600
        certificate = x509.load_pem_x509_certificate((pki / f"{CERTIFICATE}.pem").read_bytes())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate((pki / AUTHORITY).read_bytes()))
        with pytest.raises((ValueError, InvalidSignature)):
            certificate.verify_directly_issued_by(x509.load_pem_x509_certificate((pki / "ca.pem").read_bytes()))
    assert not list((tmp_path / "rest" / "pki").glob("failover*"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (SITE.replace("failover = true", ""), "one node has the role db"),
        (SITE.replace('["db"]', '["bi"]', 1), "two nodes with the role db"),
        (SITE.replace('["master"]', '["app"]', 1), "etcd on three masters"),
    ],
)
def test_a_site_that_could_not_promote_says_why(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Site.model_validate(tomllib.loads(text))

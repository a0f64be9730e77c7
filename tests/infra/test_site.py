"""A site's file, the settings that follow from it for each node, and what each node's directory gets."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest
from cryptography import x509

from infra.datadir import DataDir
from infra.nodes.prepare import SHARED, prepare_site
from infra.nodes.site import Site, load_site
from infra.pki.server_pins import load_pins
from infra.settings import load_settings
from infra.stack.installation import prepare_node
from schemas.errors import ConfigError

SITE = """
[nodes.master-1]
address = "10.1.0.1"
roles = ["master"]
public = "console.example.org"
[nodes.app-1]
address = "10.1.0.2"
roles = ["app"]
settings = { gateway = { processes = 4 } }
[nodes.miner-1]
address = "10.1.0.3"
roles = ["miner"]
[nodes.data-1]
address = "10.1.0.4"
roles = ["db", "mining-db"]
[nodes.bi-1]
address = "10.1.0.5"
roles = ["bi"]
"""


def site(text: str = SITE) -> Site:
    return Site.model_validate(tomllib.loads(text))


def masters(count: int, more: str = 'archive = "/srv/archive"\n') -> Site:
    rows = [f'[nodes.m-{number}]\naddress = "10.2.0.{number}"\nroles = ["master"]\n' for number in range(1, count + 1)]
    others = '[nodes.rest]\naddress = "10.2.0.9"\nroles = ["app", "miner", "db", "mining-db"]\n'
    return site(more + "".join(rows) + others)


def test_every_node_knows_where_the_stores_are() -> None:
    tables = site().settings_of("app-1")
    assert tables["kafka"] == {"bootstrap": "10.1.0.1:9092"}
    assert tables["redis"]["url"] == "redis://10.1.0.1:6379/0"
    assert tables["elasticsearch"]["url"] == "https://10.1.0.4:9200"
    assert tables["postgresql"]["dsn"] == (
        "postgresql://sealstream@10.1.0.4:5432,10.1.0.5:5432/sealstream?target_session_attrs=read-write"
    )
    assert tables["gateway"]["processes"] == 4
    assert set(tables["node"]["approved"]) >= {"10.1.0.1", "10.1.0.5", "127.0.0.1"}
    assert site().settings_of("master-1")["node"]["advertise"] == "console.example.org"


@pytest.mark.parametrize(("count", "brokers"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5)])
def test_brokers_are_an_odd_number_of_masters(count: int, brokers: int) -> None:
    made = masters(count)
    assert len(made.brokers) == brokers
    last = made.settings_of(f"m-{count}")
    assert ("kafka" in last["node"].get("external", [])) is (count > brokers)
    first = made.settings_of("m-1")["kafka"]
    assert first["node_id"] == 1
    assert first["controllers"] == [f"{n}@10.2.0.{n}:9093" for n in range(1, brokers + 1)]


def test_one_of_two_masters_runs_redis_for_all() -> None:
    """Three have one each: tests/infra/test_sentinels.py."""
    made = masters(2)
    assert "redis" not in made.settings_of("m-1")["node"].get("external", [])
    assert "redis" in made.settings_of("m-2")["node"]["external"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (SITE.replace('roles = ["miner"]', 'roles = ["digger"]'), "nodes.miner-1.roles"),
        (SITE.replace('roles = ["miner"]', 'roles = ["app"]'), "no node has the role miner"),
        (SITE.replace("10.1.0.3", "10.1.0.2"), "10.1.0.2 is the address of more than one node"),
        (SITE.replace('["db", "mining-db"]', '["mining-db"]'), "postgresql is not in `external`"),
        (SITE.replace('roles = ["bi"]', 'roles = ["master"]'), "share the archive"),
        (SITE.replace('roles = ["bi"]', 'roles = ["db"]'), "one node has the role db"),
        (SITE + "adress = 1", "Extra inputs"),
        ("[nodes", "site.toml"),
    ],
)
def test_a_site_that_cannot_be_says_why(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "site.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=fault.replace("[", r"\[")):
        load_site(file)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    assert [node.made for node in prepare_site(site(), place)] == [True] * 5
    return place


def test_each_node_can_start_from_its_directory_and_has_a_certificate_for_its_addresses(prepared: Path) -> None:
    for name in site().nodes:
        settings = prepare_node(DataDir(prepared / name))
        assert settings.node.id == name
        certificate = x509.load_pem_x509_certificate(settings.gateway.cert_file.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert str(names.get_values_for_type(x509.IPAddress)[0]).startswith(("10.1.0.", "127."))
        assert {pin.name for pin in load_pins(prepared / name / "pki").pins} == set(site().nodes)


def test_a_node_gets_the_secrets_of_its_roles_and_no_other(prepared: Path) -> None:
    def files(name: str) -> set[str]:
        return {str(path.relative_to(prepared / name)) for path in (prepared / name).rglob("*") if path.is_file()}

    assert "pki/ca.key" in files("master-1")
    for name in ("app-1", "miner-1", "data-1", "bi-1"):
        assert "pki/ca.key" not in files(name)
    assert {"keys/server.pem", "secrets/kek.passphrase"} <= files("miner-1")
    for name in ("app-1", "data-1", "bi-1"):
        assert "keys/server.pem" not in files(name)
        assert "secrets/kek.passphrase" not in files(name)
    assert {"pki/elasticsearch.key", "secrets/elasticsearch-admin.password"} <= files("data-1")
    asking = {name for name in site().nodes if "secrets/redis.password" in files(name)}
    assert asking == {"master-1", "app-1", "miner-1"}, "whoever serves HTTPS asks Redis which gateways there are"
    keys = {
        name: {file for file in files(name) if file.startswith("pki/") and file.endswith(".key")}
        for name in site().nodes
    }
    assert keys["app-1"] == {"pki/app-1.key", "pki/app-1.backup.key"}
    for path in prepared.rglob("*"):
        if path.is_file() and (path.parent.name == "secrets" or path.suffix == ".key"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_node_that_comes_later_gets_its_directory_and_the_others_learn_its_pins(prepared: Path) -> None:
    before = (prepared / "app-1" / "pki" / "app-1.key").read_bytes()
    more = site(SITE + '[nodes.app-2]\naddress = "10.1.0.6"\nroles = ["app"]\n')
    made = {node.name: node for node in prepare_site(more, prepared)}
    assert [name for name, node in made.items() if node.made] == ["app-2"]
    assert made["app-1"].changed, "the list of approved nodes is another now, and that must be told"
    assert (prepared / "app-1" / "pki" / "app-1.key").read_bytes() == before
    assert "app-2" in {pin.name for pin in load_pins(prepared / "app-1" / "pki").pins}
    assert (prepared / SHARED / "pki" / "app-2.pem").exists()


def test_a_node_without_its_files_says_what_it_lacks(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sealstream node prepare"):
        prepare_node(DataDir(tmp_path))
    (tmp_path / "sealstream.toml").write_bytes((prepared / "miner-1" / "sealstream.toml").read_bytes())
    with pytest.raises(ConfigError, match=r"this node lacks .*miner-1\.pem"):
        prepare_node(DataDir(tmp_path))
    assert load_settings(tmp_path / "sealstream.toml").node.roles == ["miner"]

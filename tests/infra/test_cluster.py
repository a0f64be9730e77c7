"""What the settings say of stores on several nodes, and what each store's program is told by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from infra import pki
from infra.approved import Approval
from infra.cluster import (
    Address,
    databases,
    dsn_at,
    elasticsearch_urls,
    own_broker,
    own_database,
    own_transport,
    redis_password,
    wanted_copies,
)
from infra.copies import TopicCopies, plan_growth
from infra.doctor.contradictions import find_contradictions
from infra.render import nftables, pg_hba
from infra.render.nodes import node_ports
from infra.settings import NodeSettings, Settings, postgresql_dsn
from infra.stack import elasticsearch, kafka
from infra.stack.redis import redis_component
from infra.stack.standby import following_options
from schemas.errors import ConfigError

THREE = ["1@10.0.0.5:9093", "2@10.0.0.6:9093", "3@10.0.0.7:9093"]
BOOTSTRAP = "10.0.0.5:9092,10.0.0.6:9092,10.0.0.7:9092"


def settings_with(root: Path = Path("/nowhere"), **tables: Any) -> Settings:
    return Settings(node=NodeSettings(data_dir=root, id="node-2"), **tables)


def properties(settings: Settings) -> dict[str, str]:
    lines = kafka._properties(settings, Path("/data/kafka")).splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_a_broker_of_three_is_told_of_the_others() -> None:
    """Its own number, address and controller; all voters; and topics of Kafka's own in three copies too."""
    told = properties(settings_with(kafka={"bootstrap": BOOTSTRAP, "controllers": THREE, "node_id": 2}))
    assert told["node.id"] == "2"
    assert told["controller.quorum.voters"] == ",".join(THREE)
    assert told["listeners"] == "PLAINTEXT://10.0.0.6:9092,CONTROLLER://10.0.0.6:9093"
    assert told["advertised.listeners"] == "PLAINTEXT://10.0.0.6:9092"
    assert (told["offsets.topic.replication.factor"], told["transaction.state.log.min.isr"]) == ("3", "2")


def test_a_broker_alone_is_what_it_was() -> None:
    """One copy of everything, and a controller that no other machine reaches."""
    told = properties(settings_with())
    assert told["listeners"].startswith("PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:")
    assert told["controller.quorum.voters"].startswith("1@127.0.0.1:")
    assert (told["offsets.topic.replication.factor"], told["min.insync.replicas"]) == ("1", "1")


@pytest.mark.parametrize(
    ("tables", "count", "wanted"),
    [
        ({}, 1, (1, 1)),
        ({}, 3, (3, 2)),
        ({"bootstrap": "a,b"}, 2, (1, 1)),
        ({"bootstrap": BOOTSTRAP}, 1, (3, 2)),
        ({"controllers": THREE}, 0, (3, 2)),
        ({"replication": 5}, 9, (5, 2)),
        ({"replication": 2, "min_insync": 2}, 3, (2, 2)),
    ],
)
def test_copies_follow_the_cluster_unless_a_setting_says_so(
    tables: dict[str, Any], count: int, wanted: tuple[int, int]
) -> None:
    """Three of three brokers or more, of which two must have a record; a broker that is away makes them no fewer."""
    assert wanted_copies(settings_with(kafka=tables), count) == wanted


def test_brokers_of_one_site_take_one_cluster_id(tmp_path: Path) -> None:
    """That of the CA, which all nodes have; without it, somebody has to say one."""
    pki.make_ca(tmp_path)
    made = kafka.derive_cluster_id(tmp_path / "ca.pem")
    assert made == kafka.derive_cluster_id(tmp_path / "ca.pem")
    assert settings_with(kafka={"cluster_id": made}).kafka.cluster_id == made
    with pytest.raises(ConfigError, match=r"set kafka\.cluster_id"):
        kafka.derive_cluster_id(tmp_path / "none.pem")


def test_a_number_that_is_no_brokers_is_told() -> None:
    """By the doctor, and when the broker shall start."""
    settings = settings_with(kafka={"bootstrap": BOOTSTRAP, "controllers": THREE, "node_id": 4})
    assert any("kafka.node_id = 4" in told for told in find_contradictions(settings))
    with pytest.raises(ConfigError, match=r"not kafka\.node_id = 4"):
        own_broker(settings)
    with pytest.raises(ValidationError):
        settings_with(kafka={"controllers": ["10.0.0.5:9093"]})


def test_topics_grow_where_fewest_replicas_are() -> None:
    """What is there stays first, so that leaders stay; what has enough is left alone."""
    copies = [
        TopicCopies("a", {0: ((1,), (1,)), 1: ((1,), (1,))}, 3),
        TopicCopies("b", {0: ((3, 1, 2), (3, 1, 2))}, 3),
    ]
    assert plan_growth(copies, [1, 2, 3]) == {"a": {0: [1, 2, 3], 1: [1, 2, 3]}}
    assert plan_growth(copies, [1, 2]) == {"a": {0: [1, 2], 1: [1, 2]}}
    assert plan_growth([TopicCopies("c", {0: ((4,), (4,))}, 3)], [1, 2, 3, 4]) == {"c": {0: [4, 1, 2]}}


def test_an_address_with_several_databases_asks_for_the_one_that_writes(tmp_path: Path) -> None:
    """Unless it says what it wants; each can be had alone, with the login and the options that it has."""
    word = tmp_path / "word"
    word.write_text("xyzzy\n")
    dsn = "postgresql://us@10.0.0.8:5433,[fd00::9]/ours?application_name=x"
    settings = settings_with(postgresql={"dsn": dsn, "password_file": word, "listen": "[fd00::9]:5432"})
    both = postgresql_dsn(settings)
    assert both == (
        "postgresql://us:xyzzy@10.0.0.8:5433,[fd00::9]/ours?application_name=x&target_session_attrs=read-write"
    )
    assert databases(settings) == [Address("10.0.0.8", 5433), Address("fd00::9", 5432)]
    assert own_database(settings) == databases(settings)[1]
    assert dsn_at(both, databases(settings)[1], "postgres") == (
        "postgresql://us:xyzzy@[fd00::9]:5432/postgres?application_name=x"
    )
    any_of = settings_with(postgresql={"dsn": dsn + "&target_session_attrs=any", "password_file": None})
    assert postgresql_dsn(any_of).endswith("&target_session_attrs=any")


def test_a_standby_follows_whichever_other_is_primary() -> None:
    """All but itself, in one address that wants the one that writes; the password is in a file."""
    dsn = "postgresql://us@10.0.0.8:5433,10.0.0.9,10.0.0.10/ours"
    told = following_options(settings_with(postgresql={"dsn": dsn, "listen": "10.0.0.9:5432"}))["primary_conninfo"]
    assert "host='10.0.0.8,10.0.0.10' port='5433,5432'" in told
    assert "target_session_attrs='read-write'" in told
    assert "password=" not in told


def test_standbys_may_follow_from_approved_addresses_alone() -> None:
    """By a role of their own and its password; PostgreSQL's word `all` is no leave to copy it."""
    rows = [line.split() for line in pg_hba.render(settings_with(), Approval.parse(["10.0.0.9"], "test")).splitlines()]
    assert ["host", "replication", "sealstream_replica", "10.0.0.9/32", "scram-sha-256"] in rows
    assert [row for row in rows if row[:2] == ["host", "replication"]][1:] == []
    assert rows[-1] == ["host", "all", "all", "::/0", "reject"]


def test_a_node_of_an_elasticsearch_cluster_is_told_of_the_others() -> None:
    """Whom to ask, who chooses the first master, and that nodes prove who they are by the CA."""
    cluster = {
        "url": "https://10.0.0.8,https://10.0.0.9:9201",
        "listen": "10.0.0.9:9201",
        "seeds": ["10.0.0.8:9300", "10.0.0.9:9301"],
        "masters": ["node-1", "node-2"],
    }
    settings = settings_with(elasticsearch=cluster)
    assert elasticsearch_urls(settings) == ["https://10.0.0.8:9200", "https://10.0.0.9:9201"]
    told = elasticsearch._yaml(settings, Path("/data/elasticsearch")).splitlines()
    assert 'network.host: "10.0.0.9"' in told
    assert "http.port: 9201" in told
    assert "transport.port: 9301" in told
    assert 'discovery.seed_hosts: ["10.0.0.8:9300", "10.0.0.9:9301"]' in told
    assert 'cluster.initial_master_nodes: ["node-1", "node-2"]' in told
    assert "xpack.security.transport.ssl.enabled: true" in told
    assert own_transport(settings) == Address("10.0.0.9", 9301)
    assert 'discovery.type: "single-node"' in elasticsearch._yaml(settings_with(), Path("/data")).splitlines()


def test_ports_between_the_nodes_of_a_cluster_are_closed_to_others() -> None:
    """Nftables names the controllers' and the search nodes' port as soon as there are several."""
    several = settings_with(
        kafka={"bootstrap": BOOTSTRAP, "controllers": THREE, "node_id": 2}, elasticsearch={"seeds": ["127.0.0.1:9300"]}
    )
    assert {9093, 9300} <= set(node_ports(several).values())
    assert "9093" in nftables.render(several, Approval())
    assert not {9093, 9300} & set(node_ports(settings_with()).values())


def test_redis_is_reached_with_a_password_from_other_machines(tmp_path: Path) -> None:
    """On the loopback it has none; ours is not started for others without one."""
    (tmp_path / "word").write_text("a/b:c\n")
    far = {"url": "redis://10.0.0.5:6379/0", "password_file": tmp_path / "word"}
    assert redis_password(settings_with(redis=far).redis) == "a/b:c"
    assert redis_password(settings_with(redis={**far, "url": "redis://[::1]:6379/0"}).redis) == ""
    gone = settings_with(redis={**far, "password_file": tmp_path / "none"})
    assert redis_password(gone.redis) == "", "one that somebody else runs may ask for none"
    with pytest.raises(ConfigError, match="wants a password"):
        redis_component(gone, None)
    with pytest.raises(ConfigError, match="no address"):
        Address.parse("10.0.0.5:x", 1)

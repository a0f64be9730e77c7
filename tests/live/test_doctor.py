"""`sealstream doctor` on real stores: it finds nothing wrong, and tells their releases and clocks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from infra.doctor.stores import check_elasticsearch, check_kafka, check_kafka_write, check_postgresql, check_stores
from infra.settings import ElasticsearchSettings, KafkaSettings, Settings
from schemas.errors import ConfigError
from tests.running_stack import run_cli

pytestmark = pytest.mark.live


def with_prefix(settings: Settings, **kafka: object) -> Settings:
    """Its own topic, so that other tests see none of it."""
    kafka_settings = KafkaSettings(**{**settings.kafka.model_dump(), "topic_prefix": f"doctor-{os.getpid()}.", **kafka})
    return settings.model_copy(update={"kafka": kafka_settings})


async def test_running_stores_are_well(backing: Settings) -> None:
    """All of them, with what they are; twice, since the topic is there the second time."""
    settings = with_prefix(backing)
    for _ in range(2):
        found = {finding.name: finding for finding in await check_stores(settings)}
        assert [finding for finding in found.values() if not finding.passed] == []
        assert "clock within" in found["at postgresql"].told
        assert "clock within" in found["at redis"].told
        assert "clock within" in found["kafka write"].told
        assert found["at kafka"].told.startswith("4.1 at")
        assert found["at elasticsearch"].told.startswith("9.5")
    await check_kafka_write(settings)


async def test_more_replicas_than_brokers_are_told(backing: Settings) -> None:
    """The cluster is asked how many there are."""
    with pytest.raises(ConfigError, match="1 brokers cannot keep"):
        await check_kafka(with_prefix(backing, replication=3))


async def test_another_ca_and_another_password_are_told(backing: Settings, tmp_path: Path) -> None:
    """A certificate that we do not take, and a user that is refused, by the setting to mend."""
    from infra import pki

    pki.make_ca(tmp_path)
    (tmp_path / "password").write_text("wrong\n")
    ours = backing.elasticsearch.model_dump()
    for change, told in (
        ({"ca_file": tmp_path / "ca.pem"}, "is elasticsearch.ca_file its CA"),
        ({"password_file": tmp_path / "password"}, "refuses the user"),
    ):
        settings = backing.model_copy(update={"elasticsearch": ElasticsearchSettings(**{**ours, **change})})
        with pytest.raises(ConfigError, match=told):
            await check_elasticsearch(settings)
    wrong = backing.postgresql.model_copy(update={"password_file": tmp_path / "password"})
    with pytest.raises(Exception, match="lets us not in"):
        await check_postgresql(backing.model_copy(update={"postgresql": wrong}))


def test_the_command_finds_a_running_stack_well(backing: Settings) -> None:
    """Stack and settings, stores and ports: its own processes are not held against it."""
    told = run_cli(backing.node.data_dir, "doctor", "--json")
    findings = json.loads(told.stdout)["findings"]
    assert [it for it in findings if not it["passed"]] == []
    assert told.returncode == 0
    assert {"java", "settings", "at kafka", "certificate"} <= {it["name"] for it in findings}

"""`sealstream doctor`: every fault that it knows is told with what to do, and what is well is not taken for one."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import socket
import struct
from pathlib import Path

import pytest

from infra import pki
from infra.datadir import DataDir
from infra.doctor import machine, run
from infra.doctor.certificates import check_server, is_named
from infra.doctor.contradictions import find_contradictions
from infra.doctor.finding import check
from infra.doctor.machine import check_disk, check_files, check_fsync, check_memory, check_port, check_secrets
from infra.doctor.releases import ask_release, read_release
from infra.doctor.run import Scope, examine
from infra.doctor.stores import check_kafka, check_postgresql, check_redis, compare_clock, require_release
from infra.settings import Settings
from infra.stack.installation import prepare_installation
from infra.stack.ports import PortRule, choose_port
from schemas.errors import ConfigError, SealstreamError, UnavailableError
from tests.running_stack import run_cli

NOW = dt.datetime.now(dt.UTC)


def settings_with(root: Path = Path("/nowhere"), **tables: object) -> Settings:
    return Settings(node={"data_dir": root, **tables.pop("node", {})}, **tables)  # type: ignore[arg-type,dict-item]


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"kafka": {"replication": 3, "min_insync": 4, "bootstrap": "a:1,b:1"}}, "nothing would be acknowledged"),
        ({"kafka": {"replication": 3, "min_insync": 3, "bootstrap": "a:1,b:1"}}, "set kafka.min_insync = 2"),
        ({"kafka": {"replication": 3, "min_insync": 1, "bootstrap": "a:1,b:1"}}, "lost with it"),
        ({"kafka": {"replication": 3, "min_insync": 2, "bootstrap": "a:1"}}, "name all of them"),
        ({"gateway": {"agent_port": 10001}, "live": {"port": 10003}}, "an even port of 10000 to 11000"),
        ({"gateway": {"agent_port": 20000}, "live": {"port": 10001}}, "an even port of 10000 to 11000"),
        ({"live": {"port": 10002}}, "an odd port of 10001 to 11001"),
        ({"gateway": {"https_port": 10000}}, "are both 10000"),
        ({"gateway": {"host": "0.0.0.0"}}, "their own machine"),
        ({"node": {"advertise": "monitor.example.org"}}, "serves this machine alone"),
        ({"node": {"advertise": "0.0.0.0"}}, "no address to connect to"),
        ({"node": {"approved": ["0.0.0.0/0"]}}, "approves everybody"),
        ({"elasticsearch": {"url": "http://127.0.0.1:9200"}}, "use https"),
        ({"postgresql": {"dsn": "postgresql://us:word@127.0.0.1/us"}}, "put it into a file"),
        ({"archive": {"fsync": "never"}}, 'set "commit"'),
        ({"accounts": {"idle_s": 90_000}}, "longer than a session"),
        ({"oidc": {"issuer": "https://login.example.org"}}, "without oidc.client_id"),
        ({"oidc": {"issuer": "http://login.example.org", "client_id": "us"}}, "use https"),
        ({"oidc": {"role_claim": "groups"}}, "give both, or neither"),
        ({"oidc": {"auto_create": True}}, "nobody has one"),
        ({"retention": {"streams": {"screen": 3, "index": 3}, "days": 30}}, "keeps screen, index for fewer days"),
        ({"retention": {"streams": {"screen": 30, "index": 0}}}, "goes with the first of them"),
    ],
)
def test_contradictions_are_told_with_what_to_do(tables: dict[str, object], told: str) -> None:
    """Each alone, and once."""
    (found,) = find_contradictions(settings_with(**tables))
    assert told in found


def test_usual_settings_contradict_nothing() -> None:
    """Neither those of one machine, nor those of a fleet."""
    fleet = {"replication": 3, "min_insync": 2, "bootstrap": "k-0:9092,k-1:9092,k-2:9092"}
    assert find_contradictions(settings_with()) == []
    assert (
        find_contradictions(settings_with(kafka=fleet, node={"advertise": "m.example.org"}, gateway={"host": "::"}))
        == []
    )


def test_a_taken_port_is_told_with_who_has_it() -> None:
    """Unless that is one of our own processes."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=rf"{port} is taken by .*pid {os.getpid()}.*set gateway.https_port"):
            check_port("gateway.https_port", port, "127.0.0.1", set())
        assert "our own" in check_port("gateway.https_port", port, "127.0.0.1", {os.getpid()})
    assert "is free" in check_port("gateway.https_port", port, "127.0.0.1", set())


def test_an_address_of_another_machine_is_told() -> None:
    """Nothing can listen there."""
    with pytest.raises(ConfigError, match=r"nothing can listen on 192\.0\.2\.1"):
        check_port("gateway.https_port", 0, "192.0.2.1", set())


def test_limits_are_told_with_the_number_that_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open files, memory, disk, and a disk that is slow."""
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _: (1024, 4096))
    with pytest.raises(ConfigError, match="LimitNOFILE=13024"):
        check_files(12_000)
    assert "4096 allowed" in check_files(1000)
    with pytest.raises(UnavailableError, match=r"gateway\.memory_budget_bytes"):
        check_memory(1 << 60)
    monkeypatch.setattr(machine, "NEEDED_DISK", 1 << 62)
    with pytest.raises(UnavailableError, match="move the data directory"):
        check_disk(tmp_path / "not/yet")
    assert " ms until" in check_fsync(tmp_path)
    monkeypatch.setattr(machine, "SLOW_FSYNC_MS", 0.0)
    with pytest.raises(UnavailableError, match="survives a power cut"):
        check_fsync(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_secrets_that_others_read_are_told(tmp_path: Path) -> None:
    """By name, with the command that mends it; and those that are missing."""
    settings = prepare_installation(DataDir(tmp_path), ports=PortRule.RANDOM, tell=lambda _: None)
    assert "none open to others" in check_secrets(settings)
    (tmp_path / "secrets/postgresql.password").chmod(0o644)
    (tmp_path / "secrets/kek.passphrase").unlink()
    with pytest.raises(ConfigError, match=r"chmod 600 .*postgresql\.password") as caught:
        check_secrets(settings)
    assert "kek.passphrase: No such file" in str(caught.value)


def test_certificates_are_told_before_they_end(tmp_path: Path) -> None:
    """Ended, about to end, not yet begun, of another name, of another key."""
    pki.make_ca(tmp_path)
    issued = pki.issue(tmp_path, "gateway", server=True, hosts=["m.example.org", "10.0.0.7"])
    ends = NOW + dt.timedelta(days=365 * 20)
    assert "names m.example.org, 10.0.0.7" in check_server(issued.cert, issued.key, "10.0.0.7", NOW)
    for name, now, told in (
        ("other.example.org", NOW, "agents are sent to other.example.org"),
        ("m.example.org", ends, "ended on"),
        ("m.example.org", NOW - dt.timedelta(days=400), "clock right"),
    ):
        with pytest.raises(ConfigError, match=told):
            check_server(issued.cert, issued.key, name, now)
    other = pki.issue(tmp_path, "other", server=True, hosts=["m.example.org"])
    with pytest.raises(ConfigError, match="is not the key of"):
        check_server(issued.cert, other.key, "m.example.org", NOW)
    with pytest.raises(ConfigError, match="cannot be read"):
        check_server(tmp_path / "none.pem", issued.key, "m.example.org", NOW)
    with pytest.raises(ConfigError, match="no certificate in PEM"):
        check_server(issued.key, issued.key, "m.example.org", NOW)


def test_a_certificate_about_to_end_is_told_with_its_days(tmp_path: Path) -> None:
    """Three weeks before."""
    pki.make_ca(tmp_path)
    issued = pki.issue(tmp_path, "gateway", server=True, hosts=["m.example.org"])
    from infra.doctor.certificates import load

    soon = load(issued.cert).not_valid_after_utc - dt.timedelta(days=9, hours=1)
    with pytest.raises(ConfigError, match="in 9 days: issue it anew"):
        check_server(issued.cert, issued.key, "m.example.org", soon)


@pytest.mark.parametrize(
    ("host", "fits"), [("a.example.org", True), ("A.Example.org", True), ("a.b.example.org", False), ("10.0.0.7", True)]
)
def test_names_are_compared_as_clients_do(host: str, fits: bool) -> None:  # noqa: FBT001
    """A star stands for one label."""
    assert is_named(host, ["*.example.org", "10.0.0.7"]) is fits


def answer_of(level: int | None, *, error: int = 0) -> bytes:
    """What a broker answers to ApiVersions, version 3."""
    keys = b"\x03" + struct.pack(">hhh", 0, 0, 11) + b"\0" + struct.pack(">hhh", 18, 0, 4) + b"\0"
    name = b"metadata.version"
    feature = bytes([len(name) + 1]) + name + struct.pack(">hh", 1, level or 0) + b"\0"
    tags = b"\0" if level is None else b"\x01\x00" + bytes([len(feature) + 1]) + b"\x02" + feature
    return struct.pack(">ih", 1, error) + keys + struct.pack(">i", 0) + tags


@pytest.mark.parametrize(
    ("level", "release"),
    [(7, "3.3"), (19, "3.7"), (21, "3.9"), (25, "4.0"), (27, "4.1"), (29, "4.2 or later"), (None, "before 3.3")],
)
def test_a_brokers_release_is_read_from_its_features(level: int | None, release: str) -> None:
    """Whatever tags it sends, and none."""
    assert read_release(answer_of(level)) == release


def test_an_answer_that_is_not_kafkas_is_told() -> None:
    """Cut short at any byte, or an error."""
    whole = answer_of(27)
    for end in range(len(whole)):
        with pytest.raises(UnavailableError, match="cut short"):
            read_release(whole[:end])
    with pytest.raises(UnavailableError, match="error 35"):
        read_release(answer_of(27, error=35))


async def test_a_broker_that_wants_tls_is_told() -> None:
    """It closes the connection without a word."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        with pytest.raises(UnavailableError, match="does it want TLS"):
            await ask_release("127.0.0.1", server.sockets[0].getsockname()[1])


@pytest.mark.parametrize(
    ("name", "release", "new_enough"),
    [
        ("postgresql", "15.18", True),
        ("postgresql", "14.20", False),
        ("kafka", "4.1", True),
        ("kafka", "3.6", False),
        ("kafka", "before 3.3", False),
        ("elasticsearch", "8.19.1", False),
        ("redis", "6.0.16", False),
        ("redis", "8.2.1", True),
    ],
)
def test_old_releases_are_told(name: str, release: str, new_enough: bool) -> None:  # noqa: FBT001
    """With the oldest that does."""
    finding = check("it", lambda: require_release(name, release) or "fine")  # type: ignore[func-returns-value]
    assert finding.passed is new_enough
    assert new_enough or "or later is needed" in finding.told


def test_clocks_are_compared_without_the_answers_way() -> None:
    """A slow answer is no wrong clock; one outside what the way allows is, and its direction is told."""
    assert "within" in compare_clock("Redis", 100.0, 130.0, 115.0)
    with pytest.raises(UnavailableError, match=r"60\.0 s behind"):
        compare_clock("Redis", 100.0, 100.1, 40.0)
    with pytest.raises(UnavailableError, match=r"59\.9 s ahead"):
        compare_clock("Redis", 100.0, 100.1, 160.0)


async def test_stores_that_are_away_are_told(tmp_path: Path) -> None:
    """Each with the setting that names it."""
    port = choose_port("kafka")
    prepare_installation(DataDir(tmp_path), ports=PortRule.RANDOM, tell=lambda _: None)
    settings = settings_with(
        tmp_path,
        kafka={"bootstrap": f"127.0.0.1:{port}"},
        redis={"url": f"redis://127.0.0.1:{port}/0"},
        postgresql={"dsn": f"postgresql://sealstream@127.0.0.1:{port}/sealstream"},
    )
    for look, told in (
        (check_kafka, "mend kafka.bootstrap"),
        (check_redis, "mend redis.url"),
        (check_postgresql, "password_file"),
    ):
        with pytest.raises(SealstreamError, match=told):
            await look(settings)


async def test_a_redis_with_another_word_is_told() -> None:
    """What it says stands in the finding."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"-NOAUTH Authentication required.\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConfigError, match="NOAUTH"):
            await check_redis(settings_with(redis={"url": f"redis://127.0.0.1:{port}/0"}))


async def test_wrong_settings_are_one_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is asked by them."""
    (tmp_path / "sealstream.toml").write_text("[kafka]\nreplicas = 3\n")
    monkeypatch.setenv("SEALSTREAM_DATA", str(tmp_path))
    (finding,) = await examine(DataDir(tmp_path))
    assert not finding.passed
    assert "kafka.replicas" in finding.told


async def test_a_host_without_settings_is_asked_for_the_stack(tmp_path: Path) -> None:
    """What `sealstream up` needs, and no store."""
    names = [finding.name for finding in await examine(DataDir(tmp_path))]
    assert names[:3] == ["java", "maven", "postgresql"]
    assert not [name for name in names if name.startswith("at ")]


async def test_a_node_of_a_fleet_is_asked_for_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings without a local stack are those of a node: no Java is needed, its stores are."""
    data = DataDir(tmp_path)
    prepare_installation(data, ports=PortRule.RANDOM, tell=lambda _: None)
    monkeypatch.setenv("SEALSTREAM_DATA", str(tmp_path))
    asked: list[Settings] = []

    async def answer(settings: Settings) -> list[object]:
        asked.append(settings)
        return []

    monkeypatch.setattr(run, "check_stores", answer)
    found = await examine(data)
    assert [finding.name for finding in found if not finding.passed] == []
    assert len(asked) == 1
    names = {finding.name for finding in found}
    assert "java" not in names
    assert {"port https", "certificate", "fsync"} < names
    assert "java" in {finding.name for finding in await examine(data, Scope.STACK)}


async def test_a_node_without_a_gateway_needs_none_of_its_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its ports, nor its certificate and key."""
    data = DataDir(tmp_path)
    prepare_installation(data, ports=PortRule.RANDOM, tell=lambda _: None)
    monkeypatch.setenv("SEALSTREAM_DATA", str(tmp_path))
    (tmp_path / "pki/gateway.key").unlink()

    async def answer(_: Settings) -> list[object]:
        return []

    monkeypatch.setattr(run, "check_stores", answer)
    found = await examine(data, Scope.WORKER)
    assert [finding.name for finding in found] == ["settings", "data disk", "fsync", "secrets"]
    assert all(finding.passed for finding in found)
    wrong = [finding.name for finding in await examine(data, Scope.NODE) if not finding.passed]
    assert wrong == ["certificate", "secrets"]


def test_the_command_ends_with_1_when_something_is_wrong(tmp_path: Path) -> None:
    """In words and as JSON; an unknown scope is wrong usage."""
    (tmp_path / "sealstream.toml").write_text("[kafka]\nmin_insync = -1\n")
    told = run_cli(tmp_path, "doctor")
    assert told.returncode == 1
    assert told.stdout.startswith("FAIL  settings")
    answer = json.loads(run_cli(tmp_path, "doctor", "--json").stdout)
    assert answer["healthy"] is False
    assert answer["findings"][0]["name"] == "settings"
    assert run_cli(tmp_path, "doctor", "--for", "moon").returncode == 2

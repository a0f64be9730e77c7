"""What the first start makes, and what a later one leaves as it is."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest

from agent.policy import Policy
from infra.datadir import DataDir
from infra.keys import load_identities
from infra.settings import load_settings, read_secret
from infra.stack.installation import DEFAULT_POLICY, ports_of, prepare_installation, set_port
from infra.stack.ports import USUAL, PortRule, binding_fault, check_port, choose_ports, who_listens
from schemas.errors import UnavailableError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DataDir:
    data = DataDir(tmp_path_factory.mktemp("data"))
    prepare_installation(data, ports=PortRule.RANDOM, tell=lambda _: None)
    return data


def silent(_detail: str) -> None:
    pass


def everything(data: DataDir) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in data.root.rglob("*") if path.is_file()}


def test_a_second_start_changes_nothing(made: DataDir) -> None:
    """Ports, passwords, keys and certificates stay as they are."""
    before = everything(made)
    prepare_installation(made, ports=PortRule.USUAL, tell=silent)
    assert everything(made) == before


def test_secrets_are_for_the_owner_alone(made: DataDir) -> None:
    """Every secret and private key is 0600, in directories that are 0700."""
    private = [*made.secrets.iterdir(), *made.pki.glob("*.key"), made.keys / "server.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (made.secrets, made.pki, made.keys)} == {0o700}


def test_the_kek_opens_with_its_passphrase(made: DataDir) -> None:
    """The server's private KEK is protected by the passphrase in its file."""
    settings = load_settings(made.config)
    passphrase = read_secret(settings.keys.passphrase_file).encode()
    assert b"ENCRYPTED" in (made.keys / "server.pem").read_bytes()
    assert len(load_identities(settings.keys.dir, passphrase)) == 1


def test_random_ports_lie_where_they_may(made: DataDir) -> None:
    """The agent port is even and between 10000 and 11000; no two are the same."""
    ports = ports_of(load_settings(made.config))
    assert set(ports) == set(USUAL)
    assert len(set(ports.values())) == len(ports)
    assert 10000 <= ports["agent"] <= 11000
    assert ports["agent"] % 2 == 0


def test_a_taken_port_is_replaced_when_asked(tmp_path: Path) -> None:
    """With `auto` only the taken port changes, in the settings file too, whose comments stay."""
    data = DataDir(tmp_path)
    before = ports_of(prepare_installation(data, ports=PortRule.RANDOM, tell=silent))
    told: list[str] = []
    with socket.create_server(("127.0.0.1", before["redis"])):
        after = ports_of(prepare_installation(data, ports=PortRule.AUTO, tell=told.append))
    assert {name for name in before if before[name] != after[name]} == {"redis"}
    assert str(before["redis"]) in told[0]
    assert data.config.read_text().startswith("# Settings of this installation")


@pytest.mark.parametrize("name", list(USUAL))
def test_each_port_can_be_set(tmp_path: Path, name: str) -> None:
    """Setting a port changes that one alone."""
    data = DataDir(tmp_path)
    text = "".join(
        f"[{table}]\n{row}\n"
        for table, row in [
            ("kafka", 'bootstrap = "127.0.0.1:9092"'),
            ("elasticsearch", 'url = "https://127.0.0.1:9200"'),
            ("postgresql", 'dsn = "postgresql://sealstream@127.0.0.1:5432/sealstream"'),
            ("redis", 'url = "redis://127.0.0.1:6379/0"'),
            ("gateway", "agent_port = 10000\nhttps_port = 443\nmirror_port = 42001"),
        ]
    )
    data.config.write_text(set_port(text, name, 12344))
    assert ports_of(load_settings(data.config)) == {**USUAL, name: 12344}


def test_a_taken_port_says_by_whom() -> None:
    """The error names the program that listens, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert binding_fault(port)
        assert "python" in who_listens(port) or "pytest" in who_listens(port)
        with pytest.raises(UnavailableError, match="--ports auto"):
            check_port("kafka", port)


def test_automatic_ports_are_the_usual_ones_where_they_are_free() -> None:
    """Only what is taken differs from the usual."""
    for name, port in choose_ports(PortRule.AUTO).items():
        assert port == USUAL[name] or binding_fault(USUAL[name])


def test_agents_understand_the_default_policy() -> None:
    """The policy that the installation begins with lists streams, and says why people are recorded."""
    policy = Policy.from_json(json.loads(json.dumps(DEFAULT_POLICY)))
    assert policy.streams == {"screen", "keystrokes", "email", "activity"}
    assert policy.purpose

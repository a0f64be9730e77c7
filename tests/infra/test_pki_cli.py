"""`sealstream pki`: what a person does with it, in a folder without a stack."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest

from agent.tls_key import make_key, write_request
from infra import cli, pki
from infra.cli.exits import Exit
from infra.pki.progress import HEARD_NAME
from infra.pki.server_pins import load_pins

AGENT = UUID("6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1")


class Operator:
    """Runs commands in one data directory; `said` is what the last one printed."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data = data
        self.said = ""
        self.complained = ""
        self._capsys = capsys

    def run(self, *arguments: str) -> int:
        code = cli.run(["--data", str(self.data), "pki", *arguments])
        self.said, self.complained = self._capsys.readouterr()
        return code


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setenv("SEALSTREAM_DATA", str(tmp_path))
    monkeypatch.delenv("SEALSTREAM_CONFIG", raising=False)
    (tmp_path / "sealstream.toml").write_text('[kafka]\nbootstrap = "127.0.0.1:1"\n')
    return Operator(tmp_path, capsys)


def test_a_ca_changes_by_command_and_waits_for_agents(operator: Operator) -> None:
    """Each step says what comes next; none goes on while an agent is behind, unless told to."""
    assert operator.run("list") == Exit.NOTHING
    assert operator.run("init", "--host", "gw.example.org") == Exit.OK
    directory = operator.data / "pki"
    request = write_request(make_key()).encode()
    pki.issue_agent(directory, AGENT.bytes, request)
    assert operator.run("rotate", "ca", "switch") == Exit.USAGE
    assert operator.run("rotate", "ca", "begin") == Exit.OK
    assert "rotate ca switch" in operator.said
    assert operator.run("rotate", "ca", "switch") == Exit.USAGE
    assert f"1 of 1 agents do not say that they know the next CA ({AGENT})" in operator.complained
    (operator.data / "enrol").mkdir(exist_ok=True)
    heard = operator.data / "enrol" / HEARD_NAME
    heard.write_text(json.dumps({str(AGENT): load_pins(directory).version}))
    assert operator.run("rotate", "ca", "switch") == Exit.OK
    assert "gateway" in operator.said
    assert operator.run("rotate", "ca", "finish") == Exit.USAGE
    assert "have no certificate of the CA that signs" in operator.complained
    pki.issue_agent(directory, AGENT.bytes, request)
    assert operator.run("rotate", "ca", "status") == Exit.OK
    assert "1 have a certificate of the CA that signs" in operator.said
    assert operator.run("rotate", "ca", "finish") == Exit.OK
    assert operator.run("rotate", "ca", "finish") == Exit.USAGE
    assert len(pki.load_bundle(directory)) == 1


def test_a_rotation_is_taken_back_step_by_step(operator: Operator) -> None:
    """After `switch` the CA before signs again, after `begin` the next one is forgotten."""
    operator.run("init")
    first = pki.load_bundle(operator.data / "pki")
    for step in ("begin", "switch", "back", "back"):
        assert operator.run("rotate", "ca", step) == Exit.OK, operator.complained
    assert pki.load_bundle(operator.data / "pki") == first


def test_keys_change_and_pins_are_shown(operator: Operator) -> None:
    """The version grows with each change, and what is shown is what agents are told."""
    operator.run("init")
    assert operator.run("rotate", "key") == Exit.OK
    assert operator.run("pins", "list", "--json") == Exit.OK
    told = json.loads(operator.said)
    assert (told["version"], [one["state"] for one in told["pins"]]) == (2, ["current", "backup", "retired"])
    assert operator.run("pins", "retire") == Exit.OK
    assert operator.run("pins", "add", "gateway-2", told["pins"][2]["pin"]) == Exit.OK
    assert operator.run("pins", "list") == Exit.OK
    assert "gateway-2" in operator.said
    assert "agents keep to them" in operator.said
    assert operator.run("pins", "remove", told["pins"][2]["pin"]) == Exit.OK
    assert operator.run("pins", "remove", told["pins"][0]["pin"]) == Exit.USAGE
    assert operator.run("pins", "add", "x", "short") == Exit.REFUSED


def test_what_is_revoked_is_shown_so_and_is_done_although_kafka_is_away(operator: Operator) -> None:
    """A stolen certificate cannot wait for the audit; that it is not in there is said."""
    operator.run("init")
    pki.issue_agent(operator.data / "pki", AGENT.bytes, write_request(make_key()).encode())
    assert operator.run("list", "--json") == Exit.OK
    states = {row["name"]: row["state"] for row in json.loads(operator.said)}
    assert states == {"gateway": "good", str(AGENT): "good"}
    assert operator.run("revoke", str(AGENT)) == Exit.OK
    assert "not in the audit" in operator.complained
    operator.run("list", "--json")
    assert {row["name"]: row["state"] for row in json.loads(operator.said)}[str(AGENT)] == "revoked"
    assert operator.run("revoke", "everybody") == Exit.REFUSED


def test_certificates_are_issued_for_names(operator: Operator) -> None:
    """A server's needs a host; what newer ones have replaced is shown on request."""
    operator.run("init")
    assert operator.run("issue", "gateway-2") == Exit.USAGE
    assert operator.run("issue", "gateway-2", "--host", "gw2.example.org") == Exit.OK
    assert operator.run("issue", "gateway-2", "--host", "gw2.example.org", "--host", "gw2") == Exit.OK
    assert operator.run("list", "--all") == Exit.OK
    assert operator.said.count("gateway-2") == 2
    assert "replaced" in operator.said

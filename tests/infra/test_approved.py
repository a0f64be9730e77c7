"""The approved nodes: settings, file and table together, and what a fault in one of them leaves."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path

import pytest

from infra.approved import Approval, ApprovedNodes, read_file
from infra.settings import Settings
from schemas.errors import ConfigError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(node={"data_dir": tmp_path, "approved": ["127.0.0.1"]})  # type: ignore[arg-type]


def write(settings: Settings, text: str, age_s: int = 0) -> None:
    """The file, with a time that differs from that of the one before."""
    path = settings.node.data_dir / "approved"
    path.write_text(text)
    os.utime(path, (1_700_000_000 - age_s, 1_700_000_000 - age_s))


@pytest.mark.parametrize(
    ("address", "approved"),
    [
        ("127.0.0.1", True), ("127.0.0.2", False), ("::ffff:127.0.0.1", True), ("::1", True), ("::2", False),
        ("10.1.2.3", True), ("10.2.0.1", False), ("fe80::1%eth0", True), ("", False), ("localhost", False),
    ],
)  # fmt: skip
def test_who_is_approved(address: str, *, approved: bool) -> None:
    """By address alone, whatever clothes it comes in."""
    approval = Approval.parse(["127.0.0.1", "::1", "10.1.0.0/16", "fe80::/64"], "here")
    assert approval.approves(address) is approved


def test_the_file_adds_to_the_settings_without_a_restart(settings: Settings) -> None:
    """An address that is written there is served, one that is taken out is not; the settings' own stay."""
    told: list[bool] = []
    nodes = ApprovedNodes(settings, lambda: told.append(True))
    assert not nodes.approves("10.0.0.7")
    write(settings, "# the miners\n10.0.0.7  # miner-1\n\n10.9.0.0/16\n")
    assert nodes.reload()
    assert all(nodes.approves(it) for it in ("10.0.0.7", "10.9.3.4", "127.0.0.1"))
    assert "10.0.0.7" in nodes
    write(settings, "10.9.0.0/16\n", age_s=5)
    assert nodes.reload()
    assert not nodes.approves("10.0.0.7")
    (settings.node.data_dir / "approved").unlink()
    assert nodes.reload()
    assert not nodes.approves("10.9.3.4")
    assert not nodes.reload()
    assert told == [True] * 3


def test_a_file_that_becomes_unusable_leaves_what_was_known(settings: Settings) -> None:
    """A slip of the hand neither locks nodes out nor lets others in."""
    write(settings, "10.0.0.7\n")
    nodes = ApprovedNodes(settings)
    write(settings, "10.0.0.0.7\n", age_s=5)
    assert not nodes.reload()
    assert nodes.approves("10.0.0.7")


def test_an_unusable_file_stops_a_start_and_is_told_with_its_line(settings: Settings) -> None:
    """Nobody begins with half a list."""
    write(settings, "10.0.0.7\nminer-2\n")
    with pytest.raises(ConfigError, match=r"approved, line 2: 'miner-2'"):
        ApprovedNodes(settings)


def test_a_setting_that_is_no_address_is_told(tmp_path: Path) -> None:
    """A mistyped setting stops the start."""
    with pytest.raises(ConfigError, match=r"node\.approved"):
        ApprovedNodes(Settings(node={"data_dir": tmp_path, "approved": ["10.0.0.0.1"]}))  # type: ignore[arg-type]


def test_the_tables_copy_holds_for_a_start_without_the_database(settings: Settings) -> None:
    """What the table said last is known before it can be asked again."""
    settings.data.run.mkdir()
    (settings.data.run / "approved.table").write_text("10.4.0.0/16\n")
    assert ApprovedNodes(settings).approves("10.4.5.6")


def test_networks_by_version_are_sorted_and_none_lies_in_another() -> None:
    """Packet filters refuse sets whose intervals overlap."""
    approval = Approval.parse(["10.1.0.0/16", "10.1.2.0/24", "::1", "10.0.0.9"], "here")
    assert approval.of_version(4) == (ip_network("10.0.0.9/32"), ip_network("10.1.0.0/16"))
    assert approval.of_version(6) == (ip_network("::1/128"),)


def test_no_file_is_an_empty_list(tmp_path: Path) -> None:
    """Approving nobody is not a fault."""
    assert read_file(tmp_path / "approved") == Approval()

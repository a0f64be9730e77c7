"""Updating nodes over SSH, against Debian's own sshd: one at a time, with a way back, and to nobody else's host."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.nodes import rollout
from infra.nodes.fleet import Fleet, fingerprint, parse_address, parse_host_key, wheel_of
from infra.nodes.remote import connect, shown_host_key
from infra.nodes.rollout import Progress, RollOut, Undrained, load_progress
from infra.nodes.steps import NodeUpdate, Release
from infra.settings import Settings
from schemas.errors import ConfigError, UnavailableError
from tests.infra.sshd import SSHD, SshNode, add_node, make_key, make_wheel, running_node, settings_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(SSHD).exists(), reason="needs sshd: `apt-get install openssh-server`"),
]


class Noting:
    """A drainer that notes who was drained and taken back."""

    def __init__(self) -> None:
        self.did: list[str] = []

    async def drain(self, node: str) -> None:
        self.did.append(f"drain {node}")

    async def resume(self, node: str) -> None:
        self.did.append(f"resume {node}")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of the node that updates the others."""
    return settings_for(tmp_path / "data")


@pytest.fixture
def fleet(settings: Settings) -> Fleet:
    return Fleet(settings)


@pytest.fixture
def nodes(tmp_path: Path, settings: Settings, fleet: Fleet) -> Iterator[list[SshNode]]:
    """Two nodes that are updated from here."""
    assert settings.update.key_file
    public = settings.update.key_file.with_name("nodes.ssh.pub").read_text()
    with ExitStack() as stack:
        found = [stack.enter_context(running_node(tmp_path / name, name, public)) for name in ("node-2", "node-3")]
        for node in found:
            add_node(fleet, node)
        yield found


async def roll_out(settings: Settings, fleet: Fleet, wheel: Path, drainer: Noting | None = None) -> Progress:
    """Update all nodes; how it ended, with the steps that each took in the messages' place."""

    async def tell(_progress: Progress) -> None:
        pass

    release = Release(*wheel_of(wheel), wheel)
    return await RollOut(settings, fleet, release, drainer or Undrained(), tell).run(list(fleet.nodes()))


async def test_nodes_are_updated_one_after_the_other(
    settings: Settings, fleet: Fleet, nodes: list[SshNode], tmp_path: Path
) -> None:
    """Each is drained, gets the release beside the old one, is restarted, is well, serves; then the next begins."""
    drainer = Noting()
    first = await roll_out(settings, fleet, make_wheel(tmp_path, "1.0"), drainer)
    assert (first.state, {one.step for one in first.nodes.values()}) == ("done", {"done"})
    assert drainer.did == ["drain node-2", "resume node-2", "drain node-3", "resume node-3"]
    second = await roll_out(settings, fleet, make_wheel(tmp_path, "1.1"))
    assert [one.before for one in second.nodes.values()] == ["1.0", "1.0"]
    for node in nodes:
        assert node.current.startswith("releases/1.1-")
        assert len(list((node.root / "releases").iterdir())) == 2
        assert [one.split("/")[1][:3] for one in node.restarts] == ["1.0", "1.1"]
    assert load_progress(fleet.folder) == second


@pytest.mark.parametrize(("version", "step"), [("2.0+bad", "check"), ("2.0+stuck", "restart")])
async def test_a_node_that_is_not_well_is_taken_back(
    settings: Settings, fleet: Fleet, nodes: list[SshNode], tmp_path: Path, version: str, step: str
) -> None:
    """The old release runs again and serves, the next node was not touched, and what happened is said."""
    await roll_out(settings, fleet, make_wheel(tmp_path, "1.0"))
    drainer = Noting()
    ended = await roll_out(settings, fleet, make_wheel(tmp_path, version), drainer)
    told = ended.nodes["node-2"]
    assert (ended.state, told.step, ended.nodes["node-3"].step) == ("failed", "back", "waiting")
    assert told.message.startswith(f"{step} failed")
    assert told.message.endswith("The release before runs again, and is well")
    assert [node.current[:13] for node in nodes] == ["releases/1.0-", "releases/1.0-"]
    assert len(nodes[1].restarts) == 1
    assert drainer.did == ["drain node-2", "resume node-2"]


async def test_what_cannot_be_installed_changes_nothing(
    settings: Settings, fleet: Fleet, nodes: list[SshNode], tmp_path: Path
) -> None:
    """A wheel that pip does not take: the node goes on as it was, and was not restarted."""
    await roll_out(settings, fleet, make_wheel(tmp_path, "1.0"))
    broken = tmp_path / "sealstream-9.0-py3-none-any.whl"
    broken.write_bytes(b"no wheel")
    ended = await roll_out(settings, fleet, broken)
    assert ended.nodes["node-2"].message.startswith("install failed")
    assert "Nothing was changed in what runs there" in ended.nodes["node-2"].message
    assert len(nodes[0].restarts) == 1


async def test_another_host_key_is_refused(
    settings: Settings, fleet: Fleet, nodes: list[SshNode], tmp_path: Path
) -> None:
    """Somebody else answers at the node's address: nothing is sent there, and the roll-out ends."""
    make_key(tmp_path / "other")
    add_node(fleet, nodes[0], (tmp_path / "other.pub").read_text())
    ended = await roll_out(settings, fleet, make_wheel(tmp_path, "1.0"))
    assert (ended.state, ended.nodes["node-2"].step) == ("failed", "failed")
    assert "another host key" in ended.nodes["node-2"].message
    assert not list((nodes[0].root).glob("wheels/*"))
    assert "Accepted" not in (nodes[0].folder / "sshd.log").read_text()


async def test_an_interrupted_roll_out_goes_on(
    settings: Settings, fleet: Fleet, nodes: list[SshNode], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at any step: run again it leaves the nodes that were done, and does this one's steps again."""
    await roll_out(settings, fleet, make_wheel(tmp_path, "1.0"))
    wheel = make_wheel(tmp_path, "1.1")

    class KilledError(BaseException):
        pass

    async def killed(_self: NodeUpdate) -> None:
        raise KilledError

    for step in ("copy", "install", "switch", "restart"):
        with monkeypatch.context() as patch:
            patch.setattr(NodeUpdate, step, killed)
            with pytest.raises(KilledError):
                await roll_out(settings, fleet, wheel)
    before = load_progress(fleet.folder)
    assert before is not None
    assert before.state == "running"
    with monkeypatch.context() as patch:
        patch.setattr(
            rollout.RollOut, "_check", lambda _self, _steps: killed(_steps) if nodes[1].restarts[1:] else _pass()
        )
        with pytest.raises(KilledError):
            await roll_out(settings, fleet, wheel)
    assert (await roll_out(settings, fleet, wheel)).state == "done"
    assert len(nodes[0].restarts) == 2, "it was done before"
    assert [node.current[:13] for node in nodes] == ["releases/1.1-"] * 2
    assert (nodes[1].root / "previous").readlink().name.startswith("1.0-")


async def _pass() -> None:
    pass


async def test_a_wheel_that_was_changed_on_its_way_is_not_installed(
    settings: Settings, fleet: Fleet, nodes: list[SshNode], tmp_path: Path
) -> None:
    """What arrived is compared with what was sent."""
    wheel = make_wheel(tmp_path, "1.0")
    release = Release("1.0", "0" * 64, wheel)
    async with connect(fleet.find("node-2"), fleet.known_hosts, settings.update.key_file) as remote:
        steps = NodeUpdate(remote, release, python="python3")
        with pytest.raises(Exception, match="arrived with another hash"):
            await steps.copy()
    assert not list((nodes[0].root / "wheels").glob("*.whl"))


async def test_a_version_of_the_nodes_own_index(
    settings: Settings, fleet: Fleet, nodes: list[SshNode], tmp_path: Path
) -> None:
    """Nothing is copied: the node's pip has it."""
    (tmp_path / "index").mkdir()
    make_wheel(tmp_path / "index", "3.0")

    async def tell(_progress: Progress) -> None:
        pass

    ended = await RollOut(settings, fleet, Release("3.0"), Undrained(), tell).run(["node-3"])
    assert (ended.state, nodes[1].current) == ("done", "releases/3.0")


async def test_a_node_that_does_not_know_our_key(settings: Settings, fleet: Fleet, nodes: list[SshNode]) -> None:
    """Is told apart from one that does not answer."""
    (nodes[0].folder / "authorized_keys").write_text("")
    with pytest.raises(Exception, match="does not know our key"):
        async with connect(fleet.find("node-2"), fleet.known_hosts, settings.update.key_file):
            pass


async def test_a_node_that_is_away(settings: Settings, fleet: Fleet, tmp_path: Path) -> None:
    """Ends the roll-out before anything was drained."""
    assert settings.update.key_file
    with running_node(tmp_path / "node-4", "node-4", "") as node:
        add_node(fleet, node)
    drainer = Noting()
    ended = await roll_out(settings, fleet, make_wheel(tmp_path, "1.0"), drainer)
    assert (ended.state, drainer.did) == ("failed", [])
    assert "does not answer" in ended.nodes["node-4"].message


async def test_the_key_that_a_node_shows(fleet: Fleet, nodes: list[SshNode]) -> None:
    """Is its own, with the fingerprint that `ssh-keygen -l` shows."""
    key = await shown_host_key(fleet.find("node-2"))
    assert key == parse_host_key(nodes[0].host_key)
    command = ["ssh-keygen", "-l", "-f", str(nodes[0].folder / "host_key.pub")]
    shown = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert fingerprint(key) in shown.stdout


def test_one_roll_out_at_a_time(fleet: Fleet) -> None:
    """A second one is told of the first."""
    with fleet.locked(), pytest.raises(UnavailableError, match="already"), fleet.locked():
        pass


def test_the_fleet_is_kept(fleet: Fleet, tmp_path: Path) -> None:
    """Nodes with their host keys; a removed one is forgotten with its key."""
    make_key(tmp_path / "key")
    key = (tmp_path / "key.pub").read_text()
    fleet.add(parse_address("node-2", "ssh://me@10.0.0.7"), parse_host_key(key))
    fleet.add(parse_address("node-3", "ssh://me@[::1]:2222"), parse_host_key(f"[::1]:2222 {key}"))
    assert [node.address for node in fleet.nodes().values()] == ["ssh://me@10.0.0.7:22", "ssh://me@[::1]:2222"]
    assert fleet.known_hosts.read_text().startswith("10.0.0.7 ssh-ed25519 ")
    fleet.remove("node-2")
    assert list(fleet.nodes()) == ["node-3"]
    assert "10.0.0.7" not in fleet.known_hosts.read_text()
    with pytest.raises(ConfigError, match="there are: node-3"):
        fleet.find("node-2")


@pytest.mark.parametrize(
    ("name", "address", "says"),
    [
        ("node-2", "ssh://me:secret@10.0.0.7", "a password in the address is refused"),
        ("node-2", "10.0.0.7", "write it like"),
        ("node-2", "ssh://10.0.0.7", "write it like"),
        ("node-2", "ssh://me@10.0.0.7:99999", "no usable port"),
        ("Node 2", "ssh://me@10.0.0.7", "cannot be a node's name"),
    ],
)
def test_addresses_that_cannot_be(name: str, address: str, says: str) -> None:
    """Each is refused with what to write instead; a password never gets as far as a file."""
    with pytest.raises(ConfigError, match=says):
        parse_address(name, address)


def test_a_file_that_is_no_wheel_of_ours(tmp_path: Path) -> None:
    """By its name alone."""
    with pytest.raises(ConfigError, match="no wheel of sealstream"):
        wheel_of(tmp_path / "other-1.0-py3-none-any.whl")

"""Public files that several nodes have alike, by a real PostgreSQL: masters publish, all follow, and no more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

import infra.sharing
from gateway.policy import PolicyFiles, read_policy
from gateway.unlock.tokens import ApiTokens
from infra.keys.signer import make_signer, pinned_signers
from infra.keys.table import connected
from infra.pki.authority import begin_rotation, finish_rotation, load_bundle, switch_rotation
from infra.pki.server_pins import load_pins, publish
from infra.settings import PostgresqlSettings, Settings
from infra.sharing import follow_shared
from infra.site_files import Edition, digest, sign_edition
from infra.site_follow import SiteFollower, survey
from tests.live.shared_nodes import away, make_node, own_database
from tests.site_trust import until

pytestmark = pytest.mark.live

Make = Callable[..., Settings]


@pytest.fixture
async def database(backing: Settings) -> AsyncIterator[PostgresqlSettings]:
    async with own_database(backing) as made:
        yield made


@pytest.fixture
def node(database: PostgresqlSettings, tmp_path: Path) -> Make:
    """Makes nodes of one installation."""
    return lambda name, *roles: make_node(tmp_path / name, database, roles=roles or ("master", "app"))


def write_policy(settings: Settings, **fields: object) -> None:
    settings.gateway.policy_file.write_text(json.dumps(fields))


def told(settings: Settings) -> str:
    return str(read_policy(settings.gateway.policy_file).get("organisation", ""))


def kept(settings: Settings) -> list[str]:
    """What replaced policies of a node said."""
    found = sorted(settings.gateway.policy_file.parent.glob("policy.json.replaced-*"))
    return [json.loads(path.read_text())["organisation"] for path in found]


async def exchange(*nodes: Settings) -> None:
    for settings in nodes:
        async with connected(settings) as connection:
            await SiteFollower(settings).exchange(connection)


async def test_an_edit_on_a_master_reaches_running_nodes(node: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their gateways see the file change, with the same version; killed and started again, nothing more happens."""
    monkeypatch.setattr(infra.sharing, "INTERVAL_S", 0.05)
    one, two, app = node("one"), node("two"), node("app", "app")
    following = [asyncio.create_task(follow_shared(settings)) for settings in (one, two, app)]
    policies = PolicyFiles(app.gateway.policy_file, app.gateway.recipients_dir)
    for master, words in ((one, "first"), (two, "second")):
        write_policy(master, organisation=words)
        await until(lambda: all(told(it) == words for it in (one, two, app)))  # noqa: B023 - it is waited for here
        assert policies.reload()
        assert policies.told.policy["organisation"] == words
    versions = {read_policy(settings.gateway.policy_file)["version"] for settings in (one, two, app)}
    assert len(versions) == 1, "a policy without a version has the same one everywhere"
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    await exchange(one, two, app)
    assert kept(one) + kept(two) + kept(app) == []
    assert app.gateway.policy_file.stat().st_mode & 0o777 == 0o644
    assert not list(app.node.data_dir.rglob(".*json-*"))


async def test_one_process_of_a_node_follows_and_when_it_ends_another_does(
    node: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, the node has one connection for it."""
    monkeypatch.setattr(infra.sharing, "INTERVAL_S", 0.05)
    one, app = node("one"), node("app", "app")
    async with connected(one) as connection:
        processes = [asyncio.create_task(follow_shared(app)) for _ in range(3)]
        write_policy(one, organisation="first")
        await exchange(one)
        await until(lambda: told(app) == "first")
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert await connection.fetchval(count) == 1
        processes[0].cancel()
        write_policy(one, organisation="second")
        await exchange(one)
        await until(lambda: told(app) == "second")
        for task in processes:
            task.cancel()
        await asyncio.gather(*processes, return_exceptions=True)


async def test_a_node_that_is_no_master_only_follows(node: Make) -> None:
    """What somebody changed there is replaced, and kept beside; before anything is published it stays."""
    one, app = node("one"), node("app", "app", "miner")
    write_policy(app, organisation="own")
    await exchange(app)
    assert told(app) == "own"
    write_policy(one, organisation="ours")
    await exchange(one, app)
    assert (told(app), kept(app)) == ("ours", ["own"])
    write_policy(app, organisation="own again")
    app.gateway.policy_file.with_name("nothing.json").write_text("{}")
    await exchange(app, one, app)
    assert (told(one), told(app), kept(app)) == ("ours", "ours", ["own", "own again"])


async def test_of_two_changes_at_once_the_first_in_the_table_wins(node: Make) -> None:
    """The other is kept beside it; so is what a master changed while its database was away and another's did not."""
    one, two = node("one"), node("two")
    write_policy(one, organisation="begin")
    await exchange(one, two)
    write_policy(one, organisation="one's")
    write_policy(two, organisation="two's")
    await asyncio.gather(exchange(one), exchange(two))
    await exchange(one, two)
    won = {told(one), told(two)}
    assert len(won) == 1
    assert {*kept(one), *kept(two), *won} == {"one's", "two's"}


async def test_a_file_in_error_is_not_published(node: Make) -> None:
    """Half a file, a mistyped name: other nodes keep what they have; a file that goes comes back."""
    one, app = node("one"), node("app", "app")
    write_policy(one, organisation="good")
    await exchange(one, app)
    for text in ('{"organisation": "ha', '{"organization": "mistyped"}', ""):
        one.gateway.policy_file.write_text(text)
        await exchange(one, app)
        assert told(app) == "good"
    one.gateway.policy_file.unlink()
    await exchange(one)
    assert told(one) == "good"


async def test_an_officer_who_is_taken_away_is_taken_away_everywhere(node: Make, tmp_path: Path) -> None:
    """Public halves of signers come and go on all nodes; a KEK that one node lost comes back."""
    one, app = node("one"), node("app", "app")
    make_signer(one.keys.dir, "ann", b"an officer's passphrase", tmp_path / "stick")
    await exchange(one, app)
    assert list(pinned_signers(app.keys.dir)) == ["ann"]
    (one.keys.dir / "signers" / "ann.pub.pem").unlink()
    (one.keys.dir / "server.pub.pem").unlink()
    await exchange(one, app, one)
    assert pinned_signers(one.keys.dir) == pinned_signers(app.keys.dir) == {}
    assert (one.keys.dir / "server.pub.pem").exists()
    make_signer(one.keys.dir, "ann", b"another passphrase", tmp_path / "drawer")
    await exchange(one, app)
    assert pinned_signers(app.keys.dir) == pinned_signers(one.keys.dir)
    assert len(pinned_signers(app.keys.dir)) == 1


async def test_a_database_writes_nothing_that_our_ca_did_not_sign(node: Make) -> None:
    """Other names, private keys, unsigned and changed rows, old editions: nothing of it reaches a node."""
    one, app = node("one"), node("app", "app")
    write_policy(one, organisation="old")
    await exchange(one, app)
    async with connected(one) as connection:
        old = await connection.fetchrow("SELECT * FROM site_file WHERE name = 'policy.json'")
        write_policy(one, organisation="good")
        await exchange(one, app)
        before = {path: path.read_bytes() for path in app.node.data_dir.rglob("*") if path.is_file()}
        secret = (one.gateway.ca_file.parent / "ca.key").read_bytes()
        evil = b'{"organisation": "evil"}'
        for name, content in [
            ("../evil", evil),
            ("secrets/accounts.key", evil),
            ("pki/gateway.key", secret),
            ("keys/evil.pem", secret),
            ("keys/evil.pub.pem", secret),
            ("sealstream.toml", b"[node]"),
        ]:
            edition = Edition(1, digest(content))
            signed = sign_edition(one.gateway.ca_file.parent, name, edition)
            await connection.execute(
                "INSERT INTO site_file VALUES ($1, 1, $2, $3, $4, 'x')", name, content, edition.sha256, signed
            )
        change = (
            "UPDATE site_file SET version = $1, content = $2, sha256 = $3, signatures = $4 WHERE name = 'policy.json'"
        )
        for version, content, sha256, signed in [
            (9, evil, digest(evil), []),
            (9, evil, digest(evil), old["signatures"]),
            (9, evil, old["sha256"], old["signatures"]),
            (2, evil, digest(b'{"organisation": "good"}'), old["signatures"]),
            (1, old["content"], old["sha256"], old["signatures"]),
        ]:
            await connection.execute(change, version, content, sha256, signed)
            await exchange(app)
            after = {path: path.read_bytes() for path in app.node.data_dir.rglob("*") if path.is_file()}
            assert after == before
    await exchange(one, app)
    assert told(app) == "good", "a master brings a table that was set back up to date"


@pytest.mark.slow
async def test_the_ca_changes_on_all_nodes(node: Make) -> None:
    """Step by step; afterwards the files are signed by the CA that is left, so that a new node takes them."""
    one, app = node("one"), node("app", "app")
    pki = one.gateway.ca_file.parent
    write_policy(one, organisation="ours")
    await exchange(one, app)
    for step in (begin_rotation, switch_rotation, finish_rotation):
        step(pki)
        publish(pki, load_pins(pki).pins)
        await exchange(one, app)
        assert app.gateway.ca_file.read_bytes() == one.gateway.ca_file.read_bytes()
        assert load_pins(app.gateway.ca_file.parent) == load_pins(pki)
    late = node("late", "app")
    (late.gateway.ca_file).write_bytes(one.gateway.ca_file.read_bytes())
    await exchange(late)
    assert told(late) == "ours"
    ca = load_bundle(late.gateway.ca_file.parent)[0].public_key()
    async with connected(one) as connection:
        rows = await connection.fetch("SELECT * FROM site_file")
    assert len(rows) >= 4
    for row in rows:
        words = [b"sealstream site file", row["name"].encode(), str(row["version"]).encode(), row["sha256"].encode()]
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        ca.verify(row["signatures"][0], b"\0".join(words), pss, hashes.SHA256())  # type: ignore[call-arg, union-attr]


async def test_a_token_of_one_master_is_known_by_another(node: Make) -> None:
    """Its hash is; a node that is no master does not get that either."""
    one, two, app = node("one"), node("two"), node("app", "app")
    token = ApiTokens(one.unlock.tokens_file).issue("ann", 1)
    await exchange(one, two, app)
    assert ApiTokens(two.unlock.tokens_file).person(token) == "ann"
    assert two.unlock.tokens_file.stat().st_mode & 0o777 == 0o600
    assert not app.unlock.tokens_file.exists()
    ApiTokens(two.unlock.tokens_file).withdraw("ann")
    await exchange(two, one)
    assert ApiTokens(one.unlock.tokens_file).person(token) == ""


async def test_a_person_sees_how_the_files_stand(node: Make) -> None:
    """What is published, by whom, and whether this node has it so."""
    one, app = node("one"), node("app", "app")
    write_policy(one, organisation="ours")
    assert {standing.here for standing in await survey(one)} == {"new"}
    await exchange(one)
    assert {(it.name, it.version, it.changed_by, it.here) for it in await survey(app)} == {
        ("policy.json", 1, "one", "missing"),
        ("keys/server.pub.pem", 1, "one", "same"),
        ("pki/ca.pem", 1, "one", "same"),
        ("pki/pins.json", 1, "one", "same"),
    }
    write_policy(app, organisation="own")
    async with connected(one) as connection:
        await connection.execute("UPDATE site_file SET signatures = '{}' WHERE name = 'pki/pins.json'")
    states = {it.name: it.here for it in await survey(app)}
    assert (states["policy.json"], states["pki/pins.json"]) == ("differs", "unusable")


async def test_without_its_database_a_node_goes_on_with_its_files(node: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing ends, nothing is written."""
    monkeypatch.setattr(infra.sharing, "INTERVAL_S", 0.01)
    one = away(node("one"))
    write_policy(one, organisation="ours")
    following = asyncio.create_task(follow_shared(one))
    done, _ = await asyncio.wait([following], timeout=0.3)
    following.cancel()
    assert not done
    assert told(one) == "ours"

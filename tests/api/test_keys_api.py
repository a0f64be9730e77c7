"""Keys by the API: seen with where they are and what they protect, changed with an audit, and never a private half."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.api.access import Role
from infra.keys import make_kek
from infra.settings import Settings
from schemas.envelope import peek
from schemas.keys import Identity, Recipient
from schemas.kinds import StreamKind
from schemas.seal import Epoch
from sinks.archive.headers import HeaderStore, load_day
from sinks.archive.layout import Layout
from sinks.archive.rewrapping import key_files
from tests.api.ground import PASSPHRASE, Ground, open_ground

pytestmark = pytest.mark.live

AGENT, DAY = bytes(range(16)), "2026-11-23"


@pytest.fixture
async def ground(backing: Settings, tmp_path: Path) -> AsyncIterator[Ground]:
    """The API over keys of its own: the server's KEK is there."""
    async with open_ground(backing, tmp_path / "data") as ground:
        make_kek(ground.settings.keys.dir, "server", PASSPHRASE.encode(), 2048)
        yield ground


def public_pem() -> str:
    return Identity.generate(2048).recipient.to_pem().decode()


def archive(settings: Settings, *names: str) -> bytes:
    """An epoch in the archive that is sealed to these KEKs; its id."""
    recipients = [Recipient.from_pem((settings.keys.dir / f"{name}.pub.pem").read_bytes()) for name in names]
    epoch = Epoch.begin(agent_id=AGENT, kind=StreamKind.EMAIL, recipients=recipients, created_ms=0)
    epoch_id = peek(epoch.seal(b"what was said", capture_ms=0)).id.epoch_id
    HeaderStore(Layout(settings.archive.dir)).add(AGENT, DAY, [(epoch_id, epoch.header)])
    return epoch_id


async def key(ground: Ground, name: str) -> Any:
    return await ground.get(f"/keys/kek/{name}")


async def test_a_kek_is_told_with_its_file(ground: Ground) -> None:
    """Purpose, state, size, key id, where its private half is, and how it is guarded."""
    [server] = (await ground.get("/keys"))["keys"]
    assert (server["name"], server["purpose"], server["state"]) == ("server", "server", "active")
    assert (server["algorithm"], server["private_half"], server["rounds"]) == ("RSA-2048", "file", 600_000)
    assert len(server["key_id"]) == 64
    await ground.get("/keys/kek/nobody", 404)


async def test_a_public_half_is_registered(ground: Ground) -> None:
    """It lies in the folder of keys and in the table afterwards, audited; a second one of that name is refused."""
    await ground.post("/keys/register", name="officers-2027", pem=public_pem(), reason="a new year")
    told = await key(ground, "officers-2027")
    assert (told["purpose"], told["private_half"]) == ("end_to_end", "none")
    assert (ground.settings.keys.dir / "officers-2027.pub.pem").exists()
    assert ("register_kek", "kek officers-2027", "done") in ground.audited
    await ground.post("/keys/register", 409, name="officers-2027", pem=public_pem())


async def test_a_private_half_is_refused(ground: Ground) -> None:
    """With a message that says what happened to it, and nothing of it is anywhere."""
    files = make_kek(ground.settings.node.data_dir, "mine", b"a passphrase of mine", 2048)
    for pem in (
        files.private.read_text(),
        public_pem() + files.private.read_text(),
        "-----begin rsa " + "private key-----",
    ):
        told = await ground.post("/keys/register", 400, name="mine", pem=pem)
        assert (told["error"], "nothing of it was kept" in told["message"]) == ("private_key", True)
    assert not list(ground.settings.keys.dir.glob("mine*"))


@pytest.mark.parametrize("pem", ["what", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
async def test_what_is_no_key_is_refused(ground: Ground, pem: str) -> None:
    """Before anything is written."""
    assert (await ground.post("/keys/register", 400, name="x", pem=pem))["error"] == "bad_key"
    assert [one["name"] for one in (await ground.get("/keys"))["keys"]] == ["server"]


@pytest.mark.parametrize("name", ["../x", "a/b", ".x", "", "x" * 200])
async def test_a_name_is_a_files_name(ground: Ground, name: str) -> None:
    """Nothing can be written elsewhere."""
    await ground.post("/keys/register", 422, name=name, pem=public_pem())


async def test_a_rotation_goes_there_and_back(ground: Ground) -> None:
    """Each step is audited; a step that is not there says what to do instead."""
    for name in ("old", "new"):
        await ground.post("/keys/register", name=name, pem=public_pem())
    await ground.post("/keys/kek/old/rotation", 400, step="finish")
    await ground.post("/keys/kek/old/rotation", 422, step="begin")
    await ground.post("/keys/kek/old/rotation", 404, step="begin", successor="nobody")
    told = await ground.post("/keys/kek/old/rotation", step="begin", successor="new")
    assert "sealstream keys distribute" in told["says"]
    assert (await key(ground, "old"))["successor"] == "new"
    await ground.post("/keys/kek/old/rotation", step="finish")
    assert (await key(ground, "old"))["state"] == "opening"
    await ground.post("/keys/kek/old/rotation", step="back")
    assert ((await key(ground, "old"))["state"], (await key(ground, "new"))["state"]) == ("active", "opening")
    actions = [action for action, target, _ in ground.audited if target == "kek old"]
    assert actions[-3:] == ["rotate_kek_begin", "rotate_kek_finish", "rotate_kek_back"]


async def test_what_cannot_be_audited_is_not_done(ground: Ground) -> None:
    """Kafka is away: nothing changed, in the table or in the folder."""
    for name in ("old", "new"):
        await ground.post("/keys/register", name=name, pem=public_pem())
    ground.publisher.holding = True
    asyncio.get_running_loop().call_later(0.5, ground.publisher.release, None, _failed())
    await ground.post("/keys/kek/old/rotation", 503, step="begin", successor="new")
    asyncio.get_running_loop().call_later(0.5, ground.publisher.release, None, _failed())
    await ground.post("/keys/register", 503, name="third", pem=public_pem())
    ground.publisher.holding = False
    assert (await key(ground, "old"))["successor"] == ""
    await ground.get("/keys/kek/third", 404)
    assert not (ground.settings.keys.dir / "third.pub.pem").exists()


def _failed() -> Any:
    from gateway.publisher import Outcome

    return Outcome.FAILED


async def test_the_servers_kek_is_exchanged_whole(ground: Ground) -> None:
    """Made, rotated, re-wrapped with progress, retired: the way that the page leads, without a passphrase in it."""
    epoch_id = archive(ground.settings, "server")
    await ground.post("/keys/make", name="server-2027", bits=2048, reason="once a year")
    assert (await key(ground, "server-2027"))["private_half"] == "file"
    await ground.post("/keys/kek/server/rotation", step="begin", successor="server-2027")
    await ground.post("/keys/kek/server/rotation", step="finish")
    assert (await ground.post("/keys/kek/server/retire", 409))["error"] == "still_needed"
    await ground.post("/keys/kek/server/rewrap", 202)
    job = await ended(ground, "server")
    assert (job["state"], job["progress"]["rewrapped"], job["progress"]["failed"]) == ("done", 1, 0), job
    [path] = key_files(Layout(ground.settings.archive.dir))
    new = bytes.fromhex((await key(ground, "server-2027"))["key_id"])
    assert new in load_day(path).headers[epoch_id][0]
    await ground.post("/keys/kek/server/retire")
    assert (await key(ground, "server"))["state"] == "retired"


async def ended(ground: Ground, name: str) -> Any:
    """The job once it has ended."""
    for _ in range(600):
        job = (await ground.get(f"/keys/kek/{name}/rewrap"))["job"]
        if job["state"] != "running":
            return job
        await asyncio.sleep(0.1)
    raise AssertionError(job)


async def test_what_an_officer_alone_can_do_is_said(ground: Ground) -> None:
    """An end-to-end KEK is not re-wrapped by the server."""
    for name in ("old", "new"):
        await ground.post("/keys/register", name=name, pem=public_pem())
    told = await ground.post("/keys/kek/old/rewrap", 400, to="new")
    assert (told["error"], "sealstream keys rewrap old" in told["message"]) == ("needs_passphrase", True)


async def test_one_rewrap_at_a_time(ground: Ground) -> None:
    """A second one is told of the first; one whose gateway ended does not stand in the way for long."""
    await ground.post("/keys/make", name="server-2027", bits=2048)
    connection = await asyncpg.connect(ground.dsn)
    insert = "INSERT INTO job (kind, subject, node_id, by_account) VALUES ('rewrap', 'server', 'gone', 'ann')"
    await connection.execute(insert)
    assert (await ground.post("/keys/kek/server/rewrap", 409, to="server-2027"))["error"] == "under_way"
    await connection.execute("UPDATE job SET beat_at = now() - interval '1 minute'")
    assert (await ground.get("/keys/kek/server/rewrap"))["job"]["state"] == "interrupted"
    await ground.post("/keys/kek/server/rewrap", 202, to="server-2027")
    assert (await ended(ground, "server"))["state"] == "done"
    await connection.close()


async def test_what_keks_protect_is_counted(ground: Ground) -> None:
    """Epochs with what the index says they hold; what only one KEK opens is told apart; strangers' KEKs too."""
    await ground.post("/keys/register", name="vault", pem=public_pem())
    both, alone = archive(ground.settings, "server", "vault"), archive(ground.settings, "server")
    connection = await asyncpg.connect(ground.dsn)
    await connection.execute("INSERT INTO archive_file VALUES ('f', 'email', '2026-11-23', 0)")
    for at, epoch_id in enumerate((both, alone)):
        await connection.execute(
            "INSERT INTO archive_run VALUES ('f', $1, 1000, '6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1', $2, 0, 9, 'email', "
            "now(), now())",
            *(at, epoch_id),
        )
    await connection.close()
    told = await ground.get("/keys/protects")
    for _ in range(600):
        if told["counted_at_ms"]:
            break
        assert told["counting"]
        await asyncio.sleep(0.1)
        told = await ground.get("/keys/protects")
    counts = {one["name"]: (one["epochs"], one["alone"], one["envelopes"], one["bytes"]) for one in told["keys"]}
    assert counts == {"server": (2, 1, 20, 2000), "vault": (1, 0, 10, 1000)}


async def test_assignments_wait_for_an_officer(ground: Ground) -> None:
    """They are stored and audited, and what comes next is said; the server's KEK cannot be assigned."""
    await ground.post("/keys/register", name="officers", pem=public_pem())
    told = await ground.post("/keys/assignments", kek="officers", scope="default", streams=["email", "screen"])
    assert "keys distribute" in told["next"]
    assert {one["stream"] for one in (await key(ground, "officers"))["assignments"]} == {"email", "screen"}
    await ground.post("/keys/groups", name="finance", add=["PC-17"])
    assert (await ground.get("/keys/sets"))["groups"] == {"finance": ["pc-17"]}
    await ground.post("/keys/assignments", 400, kek="server", scope="default", streams=["email"])
    await ground.post("/keys/assignments", 422, kek="officers", scope="agent", subject="me", streams=["email"])
    await ground.post("/keys/assignments", kek="officers", scope="default", streams=["email"], remove=True)
    await ground.post("/keys/assignments", 404, kek="officers", scope="default", streams=["email"], remove=True)
    assert [one["stream"] for one in (await key(ground, "officers"))["assignments"]] == ["screen"]


async def test_checks_are_those_of_the_command(ground: Ground) -> None:
    """What needs a person is marked."""
    (ground.settings.keys.dir / "stray.pub.pem").write_text(public_pem())
    findings = (await ground.get("/keys/checks"))["findings"]
    assert [one["subject"] for one in findings if one["problem"]] == ["stray.pub.pem"]


async def test_revoking_wants_a_reason(ground: Ground) -> None:
    """And is at once; the last KEK of a purpose cannot go."""
    await ground.post("/keys/register", name="officers", pem=public_pem())
    await ground.post("/keys/kek/officers/revoke", 422, reason="")
    assert "last KEK" in (await ground.post("/keys/kek/officers/revoke", 400, reason="laptop stolen"))["message"]
    await ground.post("/keys/register", name="others", pem=public_pem())
    await ground.post("/keys/kek/officers/revoke", reason="laptop stolen")
    assert (await key(ground, "officers"))["state"] == "revoked"


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.OFFICER, Role.AUDITOR, Role.SUBJECT])
async def test_who_may_what(ground: Ground, role: Role) -> None:
    """Administrators alone change keys; a recorded person does not see them."""
    ground.become(role)
    await ground.get("/keys", 403 if role is Role.SUBJECT else 200)
    await ground.post("/keys/register", 403, name="x", pem=public_pem())
    await ground.post("/keys/kek/server/rotation", 403, step="back")
    await ground.post("/keys/kek/server/rewrap", 403)

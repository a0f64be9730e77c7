"""Backups of files and archive: what is in them, who can read them, damage, interruption, and the way back."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from infra import cli
from infra.backup.archive import Previous
from infra.backup.database import find_differences, split_password
from infra.backup.manifest import NAME, Manifest, find_faults, read_manifest
from infra.backup.restoring import check_backup, restore_files, settings_to_change
from infra.backup.taking import Wish, take_backup
from infra.cli.backup import next_steps
from infra.cli.exits import Exit
from infra.settings import Settings
from schemas.errors import ConfigError, MalformedError
from sinks.archive.headers import HeaderStore
from sinks.archive.layout import Layout, day_of
from sinks.archive.sink import ArchiveSink
from sinks.archive.verify import verify
from tests.infra.backup_site import FILES, NOT_KEPT, SECRET, fill_archive, make_site, values, whole_bytes
from tests.sinks.envelopes import NOON_MS, agent, as_records, begin, seal

NOW_MS = 1_795_800_000_000


async def take(settings: Settings, root: Path, *, keys: bool = True, previous: Previous | None = None) -> Manifest:
    wish = Wish(keys=keys, database=False, previous=previous)
    return await take_backup(settings, root, wish, measure=whole_bytes, now_ms=NOW_MS)


@pytest.fixture
async def site(tmp_path: Path) -> Settings:
    """An installation with an archive that nobody writes."""
    settings = make_site(tmp_path / "site")
    await (await fill_archive(settings.archive.dir)).close()
    return settings


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def test_what_is_restored_is_what_was_backed_up(site: Settings, tmp_path: Path) -> None:
    """Every file of keys, pki, secrets, settings and policy, with its permissions; every envelope."""
    made = await take(site, tmp_path / "backup")
    assert (made.node, made.made_ms, made.with_keys, made.left_out) == ("node-7", NOW_MS, True, [])
    manifest = check_backup(tmp_path / "backup")
    assert manifest == made
    restore_files(tmp_path / "backup", manifest, tmp_path / "new")
    for name, text in FILES.items():
        assert (tmp_path / "new" / name).read_text("utf-8") == text
        assert (tmp_path / "new" / name).stat().st_mode == (tmp_path / "site" / name).stat().st_mode, name
    assert not any((tmp_path / "new" / name).exists() for name in NOT_KEPT)
    assert values(tmp_path / "new" / "archive") == values(site.archive.dir)
    *_, (_, report) = verify(tmp_path / "new" / "archive")
    assert report.sound
    assert (report.records, report.torn_bytes, report.gaps) == (11, 0, [])
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        *{name.split("/")[0] for name in FILES},
        "archive",
    }


async def test_a_backup_is_for_its_owner_alone(site: Settings, tmp_path: Path) -> None:
    """Directories are 0700, files 0600, whatever they were."""
    await take(site, tmp_path / "deep" / "backup")
    for path in [tmp_path / "deep" / "backup", *(tmp_path / "deep" / "backup").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


async def test_private_keys_can_be_left_out(site: Settings, tmp_path: Path) -> None:
    """Then nothing in the backup is a private key or a secret, and the manifest says what is missing."""
    manifest = await take(site, tmp_path / "backup", keys=False)
    assert set(manifest.left_out) == SECRET
    assert not manifest.with_keys
    held = contents(tmp_path / "backup")
    assert not any(b"PRIVATE KEY" in data or b"correct horse" in data for data in held.values())
    assert "data/keys/server.pub.pem" in held


async def test_an_archive_that_is_written_is_cut_after_its_last_whole_record(tmp_path: Path) -> None:
    """A torn block at the end of a growing file is not copied; what comes later is not missed."""
    settings = make_site(tmp_path / "site")
    sink = await fill_archive(settings.archive.dir)
    before = values(settings.archive.dir)
    growing = max(settings.archive.dir.rglob("*.open"))
    with growing.open("ab") as file:
        file.write(b"\x02\x80\x80torn")
    await take(settings, tmp_path / "backup")
    await sink.close()
    assert values(tmp_path / "backup" / "archive") == before
    *_, (_, report) = verify(tmp_path / "backup" / "archive")
    assert report.sound
    assert report.torn_bytes == 0


async def test_an_archive_that_is_written_meanwhile_is_copied_whole(tmp_path: Path) -> None:
    """While files grow, are sealed and begun: every record copied has its header, and none is there twice."""
    settings = make_site(tmp_path / "site")
    sink = ArchiveSink(settings.archive.dir, file_bytes=20_000, fsync=False)
    await sink.open()
    assert await sink.write(as_records(seal(begin(1_000), 1))) == []
    await sink.flush()
    stop = asyncio.Event()

    async def write() -> int:
        count = 0
        while not stop.is_set():
            count += 1
            assert await sink.write(as_records(seal(begin(count), 4, 2000), offset=4 * count)) == []
            await sink.flush()
        return 4 * count + 1

    writing = asyncio.create_task(write())
    copied = []
    for number in range(4):
        await asyncio.sleep(0.05)
        root = tmp_path / f"backup-{number}"
        await asyncio.to_thread(asyncio.run, take(settings, root))
        check_backup(root)
        *_, (_, report) = verify(root / "archive")
        assert (report.damage, report.duplicates, report.torn_bytes) == ([], [], 0)
        copied.append(report.records)
    stop.set()
    written = await writing
    await sink.close()
    assert 0 < copied[0] < copied[-1] <= written


async def test_a_restored_archive_goes_on(site: Settings, tmp_path: Path) -> None:
    """A sink opens it, knows what it has, and adds what is new."""
    restore_files(tmp_path / "b", await take(site, tmp_path / "b"), tmp_path / "new")
    sink = ArchiveSink(tmp_path / "new" / "archive")
    await sink.open()
    old = [value for value in values(site.archive.dir) if len(value) < 10_000]
    assert await sink.write(as_records([*old, *seal(begin(9), 2)])) == []
    await sink.flush()
    await sink.close()
    assert sink.duplicates == len(old)
    assert len(values(tmp_path / "new" / "archive")) == 13


async def test_sealed_files_are_linked_to_the_backup_before(site: Settings, tmp_path: Path) -> None:
    """They take no room twice; growing files and epoch headers are copied; both backups are whole."""
    first = await take(site, tmp_path / "1")
    second = await take(site, tmp_path / "2", previous=Previous(tmp_path / "1", first))
    assert second.files == first.files
    same = {name for name in second.files if (tmp_path / "1" / name).samefile(tmp_path / "2" / name)}
    assert same == {name for name in second.files if name.startswith("archive/envelopes") and name.endswith(".avro")}
    assert same
    shutil.rmtree(tmp_path / "1")
    assert list(find_faults(tmp_path / "2", second)) == []


async def test_a_sealed_file_that_is_another_is_copied(site: Settings, tmp_path: Path) -> None:
    """Size and time tell: of what does not fit the backup before, nothing is taken from there."""
    first = await take(site, tmp_path / "1")
    path = min(path for path in site.archive.dir.rglob("*.avro") if "envelopes" in str(path))
    path.write_bytes(path.read_bytes())
    second = await take(site, tmp_path / "2", previous=Previous(tmp_path / "1", first))
    name = f"archive/{path.relative_to(site.archive.dir)}"
    assert not (tmp_path / "1" / name).samefile(tmp_path / "2" / name)
    assert list(find_faults(tmp_path / "2", second)) == []


async def test_erasing_does_not_reach_into_a_backup(site: Settings, tmp_path: Path) -> None:
    """Headers are overwritten in place: a backup has copies of its own, so its manifest goes on to fit."""
    manifest = await take(site, tmp_path / "backup")
    assert HeaderStore(Layout(site.archive.dir)).erase(agent(1), day_of(NOON_MS), NOW_MS) == 1
    assert list(find_faults(tmp_path / "backup", manifest)) == []
    again = await take(site, tmp_path / "later")
    assert any(name.endswith(".erased") for name in again.files)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\0"), "was changed"),
        (lambda path: path.write_bytes(b""), "has 0 bytes"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/passwd")), "cannot be read"),
        (lambda path: (path.unlink(), path.mkdir()), "is no file"),
        (lambda path: path.with_name("more.pem").write_text("x"), "more.pem: is not of this backup"),
    ],
)
async def test_tampering_is_found_and_nothing_restored(
    site: Settings, tmp_path: Path, change: object, told: str
) -> None:
    """A file that was changed, cut, removed, replaced or added."""
    await take(site, tmp_path / "backup")
    change(tmp_path / "backup/data/keys/server.pem")  # type: ignore[operator]
    with pytest.raises(MalformedError, match=told):
        check_backup(tmp_path / "backup")
    assert cli.run(["backup", "verify", str(tmp_path / "backup")]) == Exit.NOTHING
    assert cli.run(["restore", str(tmp_path / "backup"), "--into", str(tmp_path / "new")]) == Exit.REFUSED
    assert not (tmp_path / "new").exists()


async def test_the_digest_tells_of_another_manifest(site: Settings, tmp_path: Path) -> None:
    """Who can change files can change the manifest: its digest, kept elsewhere, shows it."""
    await take(site, tmp_path / "backup")
    _, digest = read_manifest(tmp_path / "backup")
    check_backup(tmp_path / "backup", digest.upper())
    body = json.loads((tmp_path / "backup" / NAME).read_bytes())
    (tmp_path / "backup" / NAME).write_text(json.dumps({**body, "node": "other"}), "utf-8")
    check_backup(tmp_path / "backup")
    with pytest.raises(MalformedError, match="digest"):
        check_backup(tmp_path / "backup", digest)
    assert cli.run(["backup", "verify", str(tmp_path / "backup"), "--digest", digest]) == Exit.NOTHING


@pytest.mark.parametrize(
    "files",
    [
        {"../evil": {"size": 0, "sha256": ""}},
        {"/etc/evil": {"size": 0, "sha256": ""}},
        {"a//b": {"size": 0, "sha256": ""}},
        {"": {"size": 0, "sha256": ""}},
        {"a": {"size": 0}},
        {"a": 7},
        [],
    ],
)
def test_a_manifest_that_leads_out_is_refused(files: object, tmp_path: Path) -> None:
    """So is one that is not of its form, or of another format."""
    good = json.loads(Manifest(1, "n", with_keys=True).encode())
    for data in (json.dumps({**good, "files": files}), json.dumps({**good, "format": 2}), "[]", "{", "{}"):
        (tmp_path / NAME).write_text(data, "utf-8")
        with pytest.raises(MalformedError):
            read_manifest(tmp_path)


async def test_an_interrupted_backup_is_none(site: Settings, tmp_path: Path) -> None:
    """Whatever stopped it, there is no manifest; it is not verified, restored, linked to, or gone on with."""

    def stop(_path: Path) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await take_backup(site, tmp_path / "b", Wish(database=False), measure=stop, now_ms=NOW_MS)
    assert any((tmp_path / "b").rglob("*.open"))
    for line in (
        ["backup", "verify", str(tmp_path / "b")],
        ["restore", str(tmp_path / "b"), "--into", str(tmp_path / "new")],
        ["--data", str(site.data.root), "backup", str(tmp_path / "c"), "--since", str(tmp_path / "b")],
    ):
        assert cli.run(line) == Exit.USAGE
    with pytest.raises(ConfigError, match="not empty"):
        await take(site, tmp_path / "b")


@pytest.mark.parametrize("files", [1, 4, 9, 12])
def test_a_backup_that_is_killed_is_none_or_whole(site: Settings, tmp_path: Path, files: int) -> None:
    """SIGKILL after so many files: either there is no manifest, or everything that it names is there."""
    root = tmp_path / "b"
    command = [sys.executable, "-m", "infra.cli", "--data", str(site.data.root), "backup", str(root)]
    with subprocess.Popen([*command, "--without-database"], stderr=subprocess.DEVNULL) as running:
        while running.poll() is None and sum(path.is_file() for path in root.rglob("*")) < files:
            pass
        running.kill()
    if (root / NAME).exists():
        check_backup(root)
    else:
        with pytest.raises(ConfigError, match="is no backup"):
            check_backup(root)


async def test_an_interrupted_restore_is_begun_again(site: Settings, tmp_path: Path) -> None:
    """What was gathered is thrown away; nothing of it was in its place."""
    manifest = await take(site, tmp_path / "backup")
    (tmp_path / "new" / ".restoring" / "keys").mkdir(parents=True)
    (tmp_path / "new" / ".restoring" / "keys" / "server.pem").write_text("half", "utf-8")
    restore_files(tmp_path / "backup", manifest, tmp_path / "new")
    assert (tmp_path / "new" / "keys" / "server.pem").read_text("utf-8") == FILES["keys/server.pem"]
    assert not (tmp_path / "new" / ".restoring").exists()


async def test_nothing_is_restored_over_anything(site: Settings, tmp_path: Path) -> None:
    """A directory with one file in it is refused, and left as it was."""
    manifest = await take(site, tmp_path / "backup")
    before = contents(site.data.root)
    with pytest.raises(ConfigError, match="not empty"):
        restore_files(tmp_path / "backup", manifest, site.data.root)
    assert contents(site.data.root) == before


async def test_a_backup_does_not_hold_itself(site: Settings) -> None:
    """A directory within what is backed up is refused."""
    for place in (site.archive.dir, site.keys.dir, site.data.secrets):
        with pytest.raises(ConfigError, match="name another directory"):
            await take(site, place / "backup")


async def test_files_that_lie_elsewhere_are_kept_and_told(tmp_path: Path) -> None:
    """Settings may name files outside of the data directory: they are kept by their whole path, the archive too."""
    outside = tmp_path / "etc" / "kek.passphrase"
    outside.parent.mkdir()
    outside.write_text("battery staple", "utf-8")
    text = f'[keys]\npassphrase_file = "{outside}"\n[archive]\ndir = "{tmp_path / "vault"}"\n'
    settings = make_site(tmp_path / "site", **{"sealstream.toml": text})
    await (await fill_archive(settings.archive.dir)).close()
    manifest = await take(settings, tmp_path / "backup")
    restore_files(tmp_path / "backup", manifest, tmp_path / "new")
    assert (tmp_path / "new" / "elsewhere" / str(outside).lstrip("/")).read_text("utf-8") == "battery staple"
    assert len(values(tmp_path / "new" / "archive")) == 11
    told = settings_to_change(manifest, tmp_path / "new" / "sealstream.toml")
    assert [str(outside) in told[0], "archive.dir is" in told[1]] == [True, True]
    without = await take(settings, tmp_path / "without", keys=False)
    assert f"elsewhere{outside}" in without.left_out


def test_a_password_is_taken_out_of_an_address() -> None:
    """It goes to PostgreSQL's programs by their environment, never by their command line."""
    assert split_password("postgresql://u:p%40ss@h:5/d") == ("postgresql://u@h:5/d", "p@ss")
    assert split_password("postgresql://u@h:5/d") == ("postgresql://u@h:5/d", "")
    assert split_password("postgresql://h/d") == ("postgresql://h/d", "")


def test_tables_are_compared() -> None:
    """Missing, additional and shorter tables are told."""
    assert find_differences({"a": 1, "b": 2, "c": 0}, {"a": 1, "b": 1, "d": 0}) == [
        "c: is missing",
        "d: is not of the backup",
        "b: 1 rows instead of 2",
    ]


def test_what_to_do_next_is_in_an_order_that_works() -> None:
    """The index is made while PostgreSQL runs, and stores alone are ended before the whole stack is started."""
    with_tables, without = Manifest(1, "n", with_keys=True, tables={"a": 1}), Manifest(1, "n", with_keys=True)

    def words(manifest: Manifest, *, done: bool) -> list[str]:
        steps = next_steps(Path("/b"), manifest, database_done=done)
        return [step.partition("#")[0].strip() for step in steps]

    assert words(with_tables, done=False) == [
        "archive verify",
        "up --backing",
        "restore /b --database",
        "archive reindex",
        "down",
        "up",
        "archive reconcile",
    ]
    assert words(with_tables, done=True) == ["archive verify", "archive reindex", "up", "archive reconcile"]
    assert words(without, done=False) == ["archive verify", "up", "archive reindex", "archive reconcile"]


def test_wrong_usage_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A restore of nothing, of no backup, or of a database that is not in it; help says what there is."""
    (tmp_path / NAME).write_bytes(Manifest(1, "n", with_keys=True).encode())
    assert cli.run(["restore", str(tmp_path)]) == Exit.USAGE
    assert cli.run(["restore", str(tmp_path), "--database"]) == Exit.USAGE
    assert cli.run(["restore", str(tmp_path / "none"), "--into", str(tmp_path / "new")]) == Exit.USAGE
    assert capsys.readouterr().err.count("\n") == 3
    assert cli.run(["backup", "--help"]) == Exit.OK
    assert "verify" in capsys.readouterr().out

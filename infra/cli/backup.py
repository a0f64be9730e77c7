"""`sealstream backup` and `sealstream restore`: keys, certificates, secrets, settings, PostgreSQL and the archive.

Never restores over anything that is there, and never prints what is in a file.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from infra.cli.exits import Exit
from infra.cli.trust_audit import note_change
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from infra.backup.manifest import Manifest

_HELP = "Back up keys, settings, PostgreSQL and the archive: `sealstream backup DIR`, which is `backup take DIR`."

Backup = Annotated[Path, typer.Argument(metavar="DIR", help="The directory of the backup.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]
Digest = Annotated[str, typer.Option(help="The manifest's SHA-256, as `backup` printed it.")]


class TakeFirst(TyperGroup):
    """`backup DIR` is `backup take DIR`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `take` where no command of the group is named."""
        if args and args[0] not in {*self.commands, "--help", "-h"}:
            args = ["take", *args]
        return super().parse_args(ctx, args)


def register(root: typer.Typer) -> None:
    """Add `sealstream backup` and `restore`."""
    app = typer.Typer(cls=TakeFirst, no_args_is_help=True, help=_HELP)
    app.command()(take)
    app.command()(verify)
    root.add_typer(app, name="backup")
    root.command("restore")(restore)


def take(
    directory: Backup,
    without_keys: Annotated[bool, typer.Option("--without-keys", help="Leave private keys and secrets out.")] = False,
    without_database: Annotated[bool, typer.Option("--without-database", help="Leave PostgreSQL out.")] = False,
    since: Annotated[
        Path | None, typer.Option(help="A backup before: archive files that it has are linked, not copied.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Back up into a new directory, while everything runs. Holds secrets: readable by its owner alone.

    Elasticsearch and Kafka are not in it: documents are made again from the archive. Keep the digest that is printed
    somewhere else; `verify` and `restore` compare it. Written into the audit.

    Examples: `sealstream backup /srv/backup/2026-11-27`,
    `sealstream backup /srv/backup/2026-11-28 --since /srv/backup/2026-11-27`
    """
    from infra.backup.archive import Previous
    from infra.backup.manifest import read_manifest
    from infra.backup.taking import Wish, take_backup
    from infra.lifecycle import wall_clock_ms
    from infra.settings import load_settings

    settings = load_settings()
    previous = Previous(since, read_manifest(since)[0]) if since else None
    wish = Wish(keys=not without_keys, database=not without_database, previous=previous)
    manifest = asyncio.run(
        take_backup(settings, directory.absolute(), wish, measure=_whole_bytes, now_ms=wall_clock_ms())
    )
    note_change(settings, "backup", f"backup {directory.absolute()}", keys="no" if without_keys else "yes")
    _, digest = read_manifest(directory)
    if as_json:
        print(json.dumps(_summary(manifest, digest), indent=2))
        return
    print(f"{len(manifest.files)} files, {manifest.size} bytes, {sum(manifest.tables.values())} rows of PostgreSQL")
    if manifest.left_out:
        print(f"left out: {len(manifest.left_out)} private keys and secrets")
    print(f"sha256 of the manifest: {digest}")


def _whole_bytes(path: Path) -> int:
    """How many bytes of an archive file that grows are whole records."""
    from sinks.archive.marks import Marks
    from sinks.archive.scan import map_file, whole_length

    with map_file(path) as data:
        return whole_length(data, Marks())[0]


def verify(directory: Backup, digest: Digest = "", as_json: AsJson = False) -> None:
    """Check every byte of a backup against its manifest. Exit code 1 if something is missing, changed or not of it.

    Example: `sealstream backup verify /srv/backup/2026-11-27`
    """
    from infra.backup.manifest import find_faults, read_manifest

    manifest, found = read_manifest(directory)
    faults = list(find_faults(directory, manifest))
    if digest and digest.lower() != found:
        faults.insert(0, f"the manifest is another one: its SHA-256 is {found}")
    if as_json:
        print(json.dumps({"sound": not faults, "faults": faults, **_summary(manifest, found)}, indent=2))
    else:
        print("\n".join([*(f"DAMAGE: {fault}" for fault in faults), "NOT SOUND" if faults else "sound"]))
    if faults:
        raise typer.Exit(Exit.NOTHING)


def restore(
    directory: Backup,
    into: Annotated[Path | None, typer.Option(help="The new data directory that gets files and archive.")] = None,
    database: Annotated[
        bool, typer.Option("--database", help="Fill the empty database that the settings name.")
    ] = False,
    digest: Digest = "",
) -> None:
    """Restore a backup: files into a new data directory, the dump into an empty database. Checks all of it first.

    Then says what to do next. Exit code 4 when the backup is damaged: nothing is restored.

    Examples: `sealstream restore /srv/backup/2026-11-27 --into /var/lib/sealstream`,
    `sealstream --data /var/lib/sealstream restore /srv/backup/2026-11-27 --database`
    """
    from infra.backup.restoring import check_backup, restore_files

    if into is None and not database:
        raise ConfigError("say what to restore: --into DATA for files and archive, --database for PostgreSQL, or both")
    manifest = check_backup(directory, digest)
    if database and not manifest.tables:
        raise ConfigError(f"{directory} has no PostgreSQL in it: it was taken with --without-database")
    if into is not None:
        restore_files(directory, manifest, into.absolute())
        print(f"{len(manifest.files)} files are in {into.absolute()}")
    if database:
        _fill_database(directory, manifest, into)
    if into is not None:
        _tell_next(directory.absolute(), manifest, into.absolute(), database_done=database)


def _fill_database(directory: Path, manifest: Manifest, into: Path | None) -> None:
    from infra.backup.database import find_differences, load_database
    from infra.backup.manifest import DUMP
    from infra.datadir import DataDir
    from infra.settings import load_settings, postgresql_dsn

    settings = load_settings(DataDir.find(into).config if into else None)
    found = asyncio.run(load_database(postgresql_dsn(settings), directory.absolute() / DUMP))
    differences = find_differences(manifest.tables, found)
    for line in differences:
        print(f"DIFFERENT: {line}", file=sys.stderr)
    if differences:
        raise typer.Exit(Exit.NOTHING)
    print(f"{len(found)} tables with {sum(found.values())} rows are in PostgreSQL, as many as were backed up")


def _tell_next(directory: Path, manifest: Manifest, data: Path, *, database_done: bool) -> None:
    from infra.backup.restoring import settings_to_change
    from infra.datadir import DataDir

    command = f"sealstream --data {data}"
    if manifest.left_out:
        print("Private keys and secrets were left out of this backup; put them back first:")
        print("\n".join(f"  {name}" for name in manifest.left_out))
    for line in settings_to_change(manifest, DataDir(data).config):
        print(f"Look at the settings: {line}")
    print("Next:")
    print("\n".join(f"  {command} {step}" for step in next_steps(directory, manifest, database_done=database_done)))


def next_steps(directory: Path, manifest: Manifest, *, database_done: bool) -> list[str]:
    """The commands that make an installation whole again once its files are there."""
    index = "archive reindex            # PostgreSQL's index of the archive"
    steps = ["archive verify"]
    if database_done:
        steps.append(index)
    elif manifest.tables:
        steps += ["up --backing               # not where postgresql.dsn names a database elsewhere, an empty one"]
        steps += [f"restore {directory} --database", index, "down"]
    steps.append("up")
    if not manifest.tables:
        steps.append(index)
    return [*steps, "archive reconcile          # Elasticsearch: all documents again, from the archive"]


def _summary(manifest: Manifest, digest: str) -> dict[str, Any]:
    return {
        "made_ms": manifest.made_ms,
        "node": manifest.node,
        "files": len(manifest.files),
        "bytes": manifest.size,
        "with_keys": manifest.with_keys,
        "left_out": manifest.left_out,
        "tables": manifest.tables,
        "manifest_sha256": digest,
    }

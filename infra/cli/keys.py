"""`sealstream keys`: KEKs by command line, while everything runs (R6.8).

Never prints a private key or a passphrase.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from infra.cli.exits import Exit
from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from infra.keys.registry import Registered
    from infra.settings import Settings

T = TypeVar("T")

Directory = Annotated[Path | None, typer.Option("--dir", help="Folder of the keys; the settings' keys.dir otherwise.")]
PassphraseFile = Annotated[
    Path | None, typer.Option(help="File with the passphrase (or a token's PIN); asked for at the terminal otherwise.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For scripts.")]
Why = Annotated[str, typer.Option("--reason", help="Why; goes into the audit.")]


def register(app: typer.Typer) -> None:
    """Add `keys` to the command line."""
    from infra.cli.key_protection import protects
    from infra.cli.key_rotation import add_rotation
    from infra.cli.key_sets import add_key_sets

    keys = typer.Typer(help="KEKs: make, register, assign, distribute, rotate, retire, check.", no_args_is_help=True)
    keys.command("make")(make)
    keys.command("register")(register_key)
    keys.command("list")(show)
    keys.command("check")(check)
    keys.command("protects")(protects)
    add_key_sets(keys)
    add_rotation(keys)
    app.add_typer(keys, name="keys")


def make(
    name: Annotated[str, typer.Argument(help="Name of the key, such as officers-2026.")],
    directory: Directory = None,
    bits: Annotated[int, typer.Option(help="Size of the RSA key: 2048 or more.")] = 3072,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a KEK: NAME.pub.pem to seal to, and NAME.pem under a passphrase for those who may open.

    It is used once it is registered. Example: sealstream keys make officers-2026
    """
    from infra.keys import make_kek

    made = make_kek(_folder(directory), name, ask_passphrase(passphrase_file, confirm=True), bits)
    if as_json:
        print(json.dumps({"key_id": made.key_id.hex(), "public": str(made.public), "private": str(made.private)}))
        return
    print(f"key id   {made.key_id.hex()}")
    print(f"public   {made.public}")
    print(f"private  {made.private}   keep it with its passphrase: without both, nothing sealed to it opens")
    print(f"next: `sealstream keys register {name}` for end-to-end streams, with `--server` for what miners read")


def register_key(
    name: Annotated[str, typer.Argument(help="Name of the key: NAME.pub.pem lies in the folder of keys.")],
    server: Annotated[bool, typer.Option("--server", help="For what miners read; not end-to-end.")] = False,
    pkcs11: Annotated[
        str, typer.Option(help="The private half is in a token: its PKCS#11 URI (module-path, token, object).")
    ] = "",
    passphrase_file: PassphraseFile = None,
    reason: Why = "",
) -> None:
    """Register a KEK that lies in the folder of keys; every node uses it within seconds, without a restart.

    The same as the datasheet's `insert into encryption_kek (pub_datafile, priv_datafile, priv_encrypted) values
    ('x.pub.pem','x.pem',true)`. With `--pkcs11` the public half is read from the token and written as NAME.pub.pem.

    Examples: `sealstream keys register officers-2026`, `sealstream keys register server-2 --server`, and
    `sealstream keys register vault --pkcs11 'pkcs11:token=officers;object=kek?module-path=/usr/lib/libpkcs11.so'`
    """
    from infra.keys.registry import Purpose, Registered

    settings = load()
    if pkcs11:
        from infra.keys.token import export_public

        pin = ask_passphrase(passphrase_file, what="PIN")
        export_public(pkcs11, pin, settings.keys.dir, name, settings.keys.pkcs11_modules)
    purpose = Purpose.SERVER if server else Purpose.END_TO_END
    row = Registered(
        f"{name}.pub.pem", pkcs11 or private_beside(settings, name), bool(pkcs11) or locked(settings, name), purpose
    )
    recipient = row.recipient(settings.keys.dir)  # raises before anything is told
    run(add_registered(settings, row, reason))
    print(f"{name} is registered for {purpose.value}: {recipient.key_id.hex()}")
    if not row.private:
        print("its private half is not on this node: nothing is unlocked here with it")
    from infra.keys.inspection import look_at

    for finding in look_at(settings, row):
        if finding.problem:
            print(f"PROBLEM  {finding.says}")


async def add_registered(settings: Settings, row: Registered, reason: str) -> None:
    """Register a KEK, audited first."""
    from infra.audit import audit_trail
    from infra.keys.table import add_row, connected, read_rows

    async with connected(settings) as connection, audit_trail(settings) as write, connection.transaction():
        await add_row(connection, row)  # in force when the audit has it
        await write("register_kek", f"kek {row.name}", purpose=reason, detail={"purpose": row.purpose.value})
    await read_rows(settings)


def show(directory: Directory = None, as_json: AsJson = False) -> None:
    """List the KEKs: what each is for, its state, what it is assigned to. With `--dir`, the files of a folder alone.

    Example: `sealstream keys list --json | jq '.[] | select(.state == "active")'`
    """
    from infra.keys.registry import known_rows

    if directory:
        folder, rows, note = directory, known_rows(directory), ""
        assignments: dict[str, list[str]] = {}
    else:
        settings = load()
        folder = settings.keys.dir
        rows, assignments, note = run(_registered(settings))
    described = [_describe(row, folder, assignments.get(row.public, [])) for row in rows]
    if as_json:
        print(json.dumps(described))
    elif not rows:
        print(f"no keys in {folder}; `sealstream keys make NAME` makes one")
    for one in [] if as_json else described:
        half = {"file": "private half here", "token": "in a token", "": "public half only"}[one["private_half"]]
        successor = f" → {one['successor']}" if one["successor"] else ""
        size = f"RSA-{one['bits']}" if one["bits"] else f"NOT USABLE: {one['problem']}"
        print(
            f"{one['name']:20} {one['key_id'][:16]:16}  {size}  {one['purpose']:10} {one['state']}{successor}  {half}"
        )
        for line in one["assigned"]:
            print(f"{'':20} {line}")
    if note:
        print(note)
    if not rows:
        raise typer.Exit(Exit.NOTHING)


async def _registered(settings: Settings) -> tuple[list[Registered], dict[str, list[str]], str]:
    from infra.keys.registry import known_rows
    from infra.keys.roster import fetch_assignments
    from infra.keys.table import connected, fetch_rows

    try:
        async with connected(settings) as connection:
            rows, assignments = await fetch_rows(connection), await fetch_assignments(connection)
    except UnavailableError as error:
        return known_rows(settings.keys.dir), {}, f"({error}: this node's copy, without assignments)"
    told: dict[str, list[str]] = {}
    for one in assignments:
        marks = [word for word, on in (("break-glass", one.break_glass), ("always", one.always)) if on]
        marks += [] if one.blind_index else ["no blind index"]
        subject = f"{one.scope.value} {one.subject}".rstrip()
        told.setdefault(one.public, []).append(
            f"{one.stream} of {subject}" + (f" ({', '.join(marks)})" if marks else "")
        )
    return rows, told, ""


def _describe(row: Registered, folder: Path, assigned: list[str]) -> dict[str, Any]:
    key_id, bits, problem, here = "", 0, "", False
    try:
        recipient = row.recipient(folder)
        key_id, bits = recipient.key_id.hex(), recipient.public_key.key_size
        here = bool(row.private) and not row.in_token and row.private_path(folder).exists()
    except ConfigError as error:
        problem = str(error)
    return {
        "name": row.name,
        "key_id": key_id,
        "bits": bits,
        "purpose": row.purpose.value,
        "state": row.state.value,
        "successor": row.successor.removesuffix(".pub.pem"),
        "private_half": "token" if row.in_token else "file" if here else "",
        "assigned": assigned,
        "problem": problem,
    }


def check(as_json: AsJson = False) -> None:
    """Check every KEK: files, permissions, work factor, state; the signers; and that what is assigned is distributed.

    Ends with 1 when something needs a person. No passphrase is asked for, but the server's own is tried.

    Example: `sealstream keys check`
    """
    from infra.keys.inspection import inspect

    findings = run(inspect(load()))
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings]))
    else:
        for finding in findings:
            print(f"{'PROBLEM' if finding.problem else 'ok':8} {finding.subject:24} {finding.says}")
    if any(finding.problem for finding in findings):
        raise typer.Exit(Exit.NOTHING)


# What the other modules of `keys` use too.


def load() -> Settings:
    """The settings."""
    from infra.settings import load_settings

    return load_settings()


def run(question: Coroutine[Any, Any, T]) -> T:
    """Its answer."""
    return asyncio.run(question)


def ask_passphrase(file: Path | None, *, confirm: bool = False, what: str = "Passphrase") -> bytes:
    """The passphrase from its file, or from the person at the terminal."""
    from infra.keys import read_passphrase

    if file:
        return read_passphrase(file)
    return str(typer.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True)).encode()


def private_beside(settings: Settings, name: str) -> str:
    """The file of the private half, empty when it is not in the folder."""
    return f"{name}.pem" if (settings.keys.dir / f"{name}.pem").exists() else ""


def locked(settings: Settings, name: str) -> bool:
    """Whether the private half is under a passphrase; one that is not here is taken to be."""
    path = settings.keys.dir / f"{name}.pem"
    return not path.exists() or b"ENCRYPTED" in path.read_bytes()


def _folder(given: Path | None) -> Path:
    return given or load().keys.dir

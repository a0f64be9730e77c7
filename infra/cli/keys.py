"""`sealstream keys`: KEKs by command line (R6.8).

Never prints a private key or a passphrase.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add `keys` to the command line."""
    keys = typer.Typer(help="Make and look at KEKs, the keys that recordings are sealed to.", no_args_is_help=True)
    keys.command("make")(make)
    keys.command("list")(show)
    app.add_typer(keys, name="keys")


Directory = Annotated[Path | None, typer.Option("--dir", help="Folder of the keys; the settings' keys.dir otherwise.")]


def make(
    name: Annotated[str, typer.Argument(help="Name of the key, such as officers-2026.")],
    directory: Directory = None,
    bits: Annotated[int, typer.Option(help="Size of the RSA key: 2048 or more.")] = 3072,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="File with the passphrase; asked for at the terminal otherwise.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Make a KEK: NAME.pub.pem for agents, and NAME.pem under a passphrase for those who may open.

    Example: sealstream keys make officers-2026 --dir ./keys
    """
    from infra.keys import make_kek, read_passphrase

    if passphrase_file:
        passphrase = read_passphrase(passphrase_file)
    else:
        passphrase = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True).encode()
    made = make_kek(_directory(directory), name, passphrase, bits)
    if as_json:
        print(json.dumps({"key_id": made.key_id.hex(), "public": str(made.public), "private": str(made.private)}))
        return
    print(f"key id   {made.key_id.hex()}")
    print(f"public   {made.public}   give it to agents (R6.2) or put it into the server's keys")
    print(f"private  {made.private}   keep it with its passphrase: without both, nothing sealed to it opens")


def show(
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """List the KEKs in the folder: id, size, and whether the private half lies there too.

    Example: sealstream keys list --json
    """
    from infra.keys import PRIVATE_SUFFIX, PUBLIC_SUFFIX, load_recipients

    folder = _directory(directory)
    rows = [
        {
            "name": path.name.removesuffix(PUBLIC_SUFFIX),
            "key_id": recipient.key_id.hex(),
            "bits": recipient.public_key.key_size,
            "private_half": path.with_name(path.name.removesuffix(PUBLIC_SUFFIX) + PRIVATE_SUFFIX).exists(),
        }
        for path, recipient in zip(sorted(folder.glob("*" + PUBLIC_SUFFIX)), load_recipients(folder), strict=True)
    ]
    if as_json:
        print(json.dumps(rows))
    elif not rows:
        print(f"no keys in {folder}; `sealstream keys make NAME` makes one")
    else:
        for row in rows:
            half = "private half here" if row["private_half"] else "public half only"
            print(f"{row['name']:24} {row['key_id']}  RSA-{row['bits']}  {half}")
    if not rows:
        from infra.cli.exits import Exit

        raise typer.Exit(Exit.NOTHING)


def _directory(given: Path | None) -> Path:
    from infra.settings import load_settings

    return given or load_settings().keys.dir

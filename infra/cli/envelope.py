"""`sealstream envelope`: look at one envelope in a file, with or without a key.

Never shows plaintext unless it opened under the key that was given.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.cli.plain import plain_json


def register(app: typer.Typer) -> None:
    """Add `envelope` to the command line."""
    envelope = typer.Typer(help="Look at an envelope: its clear header, or what is sealed in it.", no_args_is_help=True)
    envelope.command("peek")(peek)
    envelope.command("open")(open_)
    app.add_typer(envelope, name="envelope")


File = Annotated[Path, typer.Argument(help="File that holds one envelope; - for standard input.")]
Json = Annotated[bool, typer.Option("--json", help="For scripts.")]


def peek(file: File, as_json: Json = False) -> None:
    """Show what anybody can see: who, which stream, when, for which keys. Needs no key.

    Example: sealstream archive cat --limit 1 --out /tmp/one && sealstream envelope peek /tmp/one/*.envelope
    """
    from schemas.envelope import peek as peek_envelope

    seen = peek_envelope(_read(file))
    _show(describe(seen), as_json)


def open_(
    file: File,
    key: Annotated[Path | None, typer.Option(help="Private KEK in PEM; the server's own keys otherwise.")] = None,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="File with its passphrase; asked for at the terminal otherwise.")
    ] = None,
    raw: Annotated[bool, typer.Option(help="The sealed bytes themselves, not their events.")] = False,
) -> None:
    """Open the envelope and show its events as JSON lines.

    Example: sealstream envelope open lost.envelope --key officers-2026.pem
    """
    from schemas.opening import Opener
    from schemas.records import decode_segment

    opened = Opener(_identities(key, passphrase_file)).open(_read(file))
    if raw:
        sys.stdout.buffer.write(opened.plaintext)
        return
    if opened.record.more_parts:
        print("this is one part of a larger segment: `--raw` shows its bytes", file=sys.stderr)
        raise typer.Exit(1)
    for event in decode_segment(opened.record.kind, opened.plaintext):
        print(plain_json(event, default=bytes_as_text))


def describe(seen: Any) -> dict[str, Any]:
    """The clear fields of a `Peek`, by name."""
    return {
        "agent": seen.id.agent,
        "stream": seen.record.kind.label,
        "epoch": seen.epoch.epoch_id.hex(),
        "sequence": seen.record.sequence,
        "captured": _time(seen.record.capture_ms),
        "epoch_created": _time(seen.epoch.created_ms),
        "end_to_end": seen.epoch.end_to_end,
        "final": seen.record.final,
        "more_parts": seen.record.more_parts,
        "padded": seen.record.padded,
        "signed": bool(seen.epoch.signature),
        "bytes": seen.record.length,
        "key_ids": [key_id.hex() for key_id in seen.epoch.key_ids],
    }


def _identities(key: Path | None, passphrase_file: Path | None) -> list[Any]:
    from infra.keys import load_identities, load_identity, read_passphrase
    from infra.settings import load_settings

    if key is None:
        keys = load_settings().keys
        return list(load_identities(keys.dir, read_passphrase(passphrase_file or keys.passphrase_file or Path())))
    if passphrase_file:
        return [load_identity(key, read_passphrase(passphrase_file))]
    return [load_identity(key, typer.prompt("Passphrase", hide_input=True, err=True).encode())]


def _read(file: Path) -> bytes:
    from schemas.errors import ConfigError

    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None


def _show(fields: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(fields))
        return
    for name, value in fields.items():
        shown = "\n              ".join(value) if isinstance(value, list) else value
        print(f"{name:13} {shown}")


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def bytes_as_text(value: Any) -> Any:
    """Bytes as JSON may show them: as text where they are, else in hexadecimal, the beginning of long ones."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"hex": value.hex() if len(value) <= 4096 else value[:64].hex(), "bytes": len(value)}
    raise TypeError(type(value).__name__)

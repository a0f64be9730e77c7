"""`sealstream pki`: the CA, certificates, pins, and the way from one key to the next without an outage.

Never prints a private key.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exits import Exit
from infra.cli.pki_shared import exchange, show_shared
from infra.cli.trust_audit import note_change

if TYPE_CHECKING:
    from infra.pki.progress import Progress
    from infra.pki.server_pins import ServerPins
    from infra.settings import Settings

AsJson = Annotated[bool, typer.Option("--json", help="JSON, for scripts.")]
Hosts = Annotated[list[str] | None, typer.Option("--host", help="A name or address that it serves under; repeat it.")]


def register(app: typer.Typer) -> None:
    """Add `pki` with its commands."""
    from infra.cli.pki_rotate import rotate_commands

    pki = typer.Typer(no_args_is_help=True, help="The CA, certificates, and the pins of keys.")
    pki.command("init")(init)
    pki.command("issue")(issue)
    pki.command("list")(show)
    pki.command("revoke")(revoke)
    pki.command("shared")(show_shared)
    pins = typer.Typer(no_args_is_help=True, help="Keys of our servers that agents know them by (R3.4).")
    pins.command("list")(list_pins)
    pins.command("add")(add_pin)
    pins.command("remove")(remove_pin)
    pins.command("accept")(accept)
    pins.command("retire")(retire)
    pki.add_typer(pins, name="pins")
    pki.add_typer(rotate_commands(), name="rotate")
    app.add_typer(pki, name="pki")


def init(hosts: Hosts = None) -> None:
    """Make the CA, the gateway's certificate and its pins, where they are not there yet. `sealstream up` does it, too.

    Example: `sealstream pki init --host monitor.example.org --host 192.0.2.7`
    """
    from infra.pki import issue as issue_certificate
    from infra.pki import make_ca
    from infra.pki.server_pins import prepare_pins

    settings, directory = _open()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    make_ca(directory)
    name = settings.gateway.key_file.stem
    names = hosts or ["127.0.0.1", "::1", "localhost", settings.node.advertise]
    made = issue_certificate(directory, name, server=True, hosts=list(dict.fromkeys(names)))
    known = prepare_pins(directory, name, enforced=settings.gateway.pin_server)
    print(f"CA           {directory / 'ca.pem'}   keep ca.key safe: who has it can make agents and servers")
    print(f"certificate  {made.cert}")
    print(f"pins         {len(known.pins)}, version {known.version}; the backup key may be kept elsewhere")


def issue(
    name: Annotated[str, typer.Argument(help="File name of the certificate, such as gateway-2.")],
    hosts: Hosts = None,
    client: Annotated[bool, typer.Option("--client", help="A client's certificate, not a server's.")] = False,
) -> None:
    """Issue a certificate over a new key, or anew over the key that is there: NAME.pem and NAME.key.

    Example: `sealstream pki issue gateway-2 --host gw2.example.org`
    """
    from infra.pki import issue as issue_certificate
    from infra.pki.pins import pin_of_file
    from schemas.errors import ConfigError

    if not client and not hosts:
        raise ConfigError("a server's certificate names at least one --host")
    settings, directory = _open()
    made = issue_certificate(directory, name, server=not client, hosts=hosts or [])
    print(f"certificate  {made.cert}\nkey          {made.key}\npin          {pin_of_file(made.cert)}")
    note_change(settings, "pki_issue", name, hosts=" ".join(hosts or []), pin=pin_of_file(made.cert))


def show(
    as_json: AsJson = False,
    every: Annotated[bool, typer.Option("--all", help="Also those that newer ones have replaced.")] = False,
) -> None:
    """List the certificates that masters issued, newest of each holder: until when they hold, and what is revoked.

    Example: `sealstream pki list --json | jq '.[] | select(.state == "ends soon")'`
    """
    from infra.cli.table import render_table

    settings, directory = _open()
    exchange(settings)
    rows = _certificates(settings, directory, every=every)
    if as_json:
        print(json.dumps(rows))
    elif rows:
        head = ("KIND", "NAME", "STATE", "UNTIL", "CA", "SERIAL")
        print(render_table(head, [[row[key.lower()] for key in head] for row in rows]))
    else:
        print(f"nothing is issued yet in {directory}: `sealstream pki init`")
        raise typer.Exit(Exit.NOTHING)


def revoke(
    what: Annotated[str, typer.Argument(help="An agent's id, or serial:HEX for one certificate (`pki list`).")],
) -> None:
    """Revoke an agent, or one certificate, for good: who is connected with it, anywhere, is cut off within seconds.

    Examples: `sealstream pki revoke 6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1`, `sealstream pki revoke serial:7A01FF`
    """
    from infra.pki.revocations import Revocations

    settings, _ = _open()
    line = Revocations(settings.node.data_dir / "enrol").add(what)
    exchange(settings)
    print(f"{line} is revoked")
    note_change(settings, "revoke", line)


def list_pins(as_json: AsJson = False) -> None:
    """List the pins that agents are told: SHA-256 of each key's SPKI, in base64, as `openssl` and browsers have it.

    Example: `sealstream pki pins list`
    """
    from dataclasses import asdict

    from infra.cli.table import render_table
    from infra.pki.server_pins import load_pins

    settings, directory = _open()
    known = load_pins(directory)
    if as_json:
        print(json.dumps({"version": known.version, "enforced": known.enforced, "pins": list(map(asdict, known.pins))}))
        return
    print(render_table(("NAME", "STATE", "PIN"), [(one.name, one.state, one.pin) for one in known.pins]))
    print(f"version {known.version}; agents {_habit(settings)}")


def add_pin(
    name: Annotated[str, typer.Argument(help="Whose key it is, such as gateway-2.")],
    pin: Annotated[str, typer.Argument(help="Base64 of 32 bytes.")],
) -> None:
    """Tell agents of a key that is not here: another node's, a load balancer's, one kept elsewhere.

    Example: `sealstream pki pins add gateway-2 "$(ssh gw2 sealstream pki pins list --json | jq -r '.pins[0].pin')"`
    """
    from infra.pki.server_pins import add_pin as add

    settings, directory = _open()
    _tell(settings, "pins_add", add(directory, name, pin), name=name, pin=pin)


def remove_pin(pin: Annotated[str, typer.Argument(help="As `pki pins list` shows it.")]) -> None:
    """Take a pin off the list; the key in use stays.

    Example: `sealstream pki pins remove 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=`
    """
    from infra.pki.server_pins import remove_pin as remove

    settings, directory = _open()
    _tell(settings, "pins_remove", remove(directory, pin), pin=pin)


def accept(name: Annotated[str, typer.Argument(help="Whose key it is.")] = "gateway") -> None:
    """Tell agents of the key that lies at NAME.key now, although none of them has pinned it.

    Example: `sealstream pki pins accept gateway`. Better: `sealstream pki rotate key`, which they have pinned before.
    """
    from infra.pki.server_pins import accept_key

    settings, directory = _open()
    _tell(settings, "pins_accept", accept_key(directory, name), name=name)


def retire() -> None:
    """Take keys that were in use before off the list, once every agent has heard of those after them.

    Example: `sealstream pki pins retire`
    """
    from infra.pki.server_pins import retire_keys

    settings, directory = _open()
    _tell(settings, "pins_retire", retire_keys(directory))


def _open() -> tuple[Settings, Path]:
    """The settings, and the folder of the PKI."""
    from infra.settings import load_settings

    settings = load_settings()
    return settings, settings.gateway.ca_file.parent


def _tell(settings: Settings, action: str, known: ServerPins, **detail: str) -> None:
    note_change(settings, action, "pins", version=str(known.version), **detail)
    print(
        f"version {known.version}: {len(known.pins)} pins; agents hear of it when they connect, and every ten minutes"
    )


def _habit(settings: Settings) -> str:
    return "keep to them" if settings.gateway.pin_server else "are not told (gateway.pin_server is off)"


def _certificates(settings: Settings, directory: Path, *, every: bool) -> list[dict[str, str]]:
    from infra.pki.progress import newest
    from infra.pki.register import Register
    from infra.pki.revocations import Revocations

    revoked = Revocations(settings.node.data_dir / "enrol")
    latest = {entry.serial for entry in newest(directory).values()}
    now = dt.datetime.now(dt.UTC)
    rows = []
    for entry in Register(directory).read():
        if entry.serial not in latest and not every:
            continue
        until = dt.datetime.fromtimestamp(entry.expires_ms / 1000, dt.UTC)
        if entry.name in revoked or revoked.has_serial(entry.serial):
            state = "revoked"
        elif entry.serial not in latest:
            state = "replaced"
        elif until < now:
            state = "expired"
        else:
            state = "ends soon" if until < now + dt.timedelta(days=30) else "good"
        rows.append(
            {
                "kind": entry.kind,
                "name": entry.name,
                "state": state,
                "until": until.date().isoformat(),
                "ca": entry.issuer[:8],
                "serial": entry.serial,
                "pin": entry.pin,
                "backup_pin": entry.backup_pin,
            }
        )
    return rows


def describe_progress(progress: Progress) -> str:
    """How far agents are, for a person."""
    told = progress.agents - len(progress.not_told)
    renewed = progress.agents - len(progress.not_renewed)
    return f"{told} of {progress.agents} agents say they know it; {renewed} have a certificate of the CA that signs"

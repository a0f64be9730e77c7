"""`sealstream pki rotate`: a new key for a server, and a new CA, step by step with a way back.

Never lets a CA go that agents still need, unless told to.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.pki_shared import exchange
from infra.cli.trust_audit import note_change

if TYPE_CHECKING:
    from infra.pki.progress import Progress
    from infra.settings import Settings

Force = Annotated[bool, typer.Option("--force", help="Do it although agents are behind: those must enrol again.")]

_SHOWN = 5


def rotate_commands() -> typer.Typer:
    """The group `rotate`."""
    rotate = typer.Typer(no_args_is_help=True, help="New keys without an outage.")
    rotate.command("key")(rotate_key)
    ca = typer.Typer(no_args_is_help=True, help="A new CA: begin, switch, finish; back undoes a step.")
    ca.command("begin")(begin)
    ca.command("switch")(switch)
    ca.command("finish")(finish)
    ca.command("back")(back)
    ca.command("status")(status)
    rotate.add_typer(ca, name="ca")
    return rotate


def rotate_key(name: Annotated[str, typer.Argument(help="Whose key.")] = "gateway") -> None:
    """Let a server's backup key, which agents have pinned long ago, take over; a new backup comes after it.

    The gateway shows the new certificate within seconds, without a restart. The key before stays pinned until
    `sealstream pki pins retire`.

    Example: `sealstream pki rotate key`
    """
    from infra.pki.server_pins import rotate_key as rotate

    settings, directory = _open()
    known = rotate(directory, name)
    print(f"{name} has a new key; pins are version {known.version}")
    print("next: `sealstream pki pins retire`, when all agents have connected since")
    note_change(settings, "rotate_key", name, version=str(known.version))


def begin() -> None:
    """Make the next CA and let everybody trust it beside the one that signs.

    Example: `sealstream pki rotate ca begin`
    """
    from infra.pki.authority import begin_rotation

    settings, directory = _open()
    coming = begin_rotation(directory)
    _publish(directory)
    note_change(settings, "rotate_ca", "begin", ca=coming.subject.rfc4514_string())
    print(f"{coming.subject.rfc4514_string()} is trusted from now on; agents hear of it within ten minutes")
    print("next: `sealstream pki rotate ca switch`, when `rotate ca status` says that all agents know it")


def switch(force: Force = False) -> None:
    """Let the next CA sign: our servers' certificates are issued anew over the same keys, agents renew theirs.

    Example: `sealstream pki rotate ca switch`. Ends with 2 while agents do not know the next CA yet.
    """
    from infra.pki.authority import switch_rotation

    settings, directory = _open()
    _want(settings, directory, renewed=False, force=force)
    switch_rotation(directory)
    names = _reissue(directory)
    _publish(directory)
    note_change(settings, "rotate_ca", "switch", forced=str(force).lower())
    print(f"the next CA signs; issued anew: {', '.join(names)} (the gateway takes its own up by itself)")
    print("next: `sealstream pki rotate ca finish`, when `rotate ca status` says that all agents have renewed;")
    print("before it, restart what keeps the certificates it started with (`sealstream down`, `sealstream up`)")


def finish(force: Force = False) -> None:
    """Trust the CA that signs alone: certificates of the one before are refused from then on, live.

    Example: `sealstream pki rotate ca finish`. Ends with 2 while agents have certificates of the one before.
    """
    from infra.pki.authority import finish_rotation, signs_newer
    from schemas.errors import ConfigError

    settings, directory = _open()
    if not signs_newer(directory):
        raise ConfigError("the next CA does not sign yet: `sealstream pki rotate ca switch` first, or `back`")
    _want(settings, directory, renewed=True, force=force)
    gone = finish_rotation(directory)
    _publish(directory)
    note_change(settings, "rotate_ca", "finish", gone=gone.subject.rfc4514_string(), forced=str(force).lower())
    print(f"{gone.subject.rfc4514_string()} is not trusted any more")


def back(force: Force = False) -> None:
    """Undo the last step: after `switch` the CA before signs again, after `begin` the next one is forgotten.

    Example: `sealstream pki rotate ca back`
    """
    from infra.pki.authority import finish_rotation, signs_newer, switch_rotation

    settings, directory = _open()
    if signs_newer(directory):
        switch_rotation(directory)
        names = _reissue(directory)
        _publish(directory)
        note_change(settings, "rotate_ca", "back", to="the CA before")
        print(f"the CA before signs again; issued anew: {', '.join(names)}")
        print("next: `back` once more forgets the other CA, when all agents have renewed; `switch` takes it again")
        return
    _want(settings, directory, renewed=True, force=force)
    gone = finish_rotation(directory)
    _publish(directory)
    note_change(settings, "rotate_ca", "back", gone=gone.subject.rfc4514_string())
    print(f"{gone.subject.rfc4514_string()} is forgotten")


def status() -> None:
    """Say which CAs are trusted, which signs, and how far agents are.

    Example: `sealstream pki rotate ca status`
    """
    from infra.cli.pki import describe_progress
    from infra.pki.authority import load_bundle

    settings, directory = _open()
    signing, *others = load_bundle(directory)
    print(f"signs    {signing.subject.rfc4514_string()}, until {signing.not_valid_after_utc.date()}")
    for other in others:
        print(f"trusted  {other.subject.rfc4514_string()}, until {other.not_valid_after_utc.date()}")
    print(describe_progress(_progress(settings, directory)))


def _open() -> tuple[Settings, Path]:
    from infra.settings import load_settings

    settings = load_settings()
    return settings, settings.gateway.ca_file.parent


def _progress(settings: Settings, directory: Path) -> Progress:
    from infra.pki.progress import measure
    from infra.pki.revocations import Revocations

    enrolment = settings.node.data_dir / "enrol"
    heard = exchange(settings)
    return measure(directory, enrolment, Revocations(enrolment), heard)


def _want(settings: Settings, directory: Path, *, renewed: bool, force: bool) -> None:
    """Raise `ConfigError` while agents are behind."""
    from schemas.errors import ConfigError

    progress = _progress(settings, directory)
    behind = progress.not_renewed if renewed else progress.not_told
    if behind and not force:
        shown = ", ".join(behind[:_SHOWN]) + (", …" if len(behind) > _SHOWN else "")
        what = "have no certificate of the CA that signs" if renewed else "do not say that they know the next CA"
        raise ConfigError(
            f"{len(behind)} of {progress.agents} agents {what} ({shown}): wait for them, revoke those that are gone, "
            "or --force, and they must enrol again"
        )


def _reissue(directory: Path) -> list[str]:
    """Certificates of servers and clients that lie here, anew from the CA that signs."""
    from infra.pki.authority import Issued
    from infra.pki.certificates import is_foreign, reissue
    from infra.pki.progress import newest

    names = [entry.name for entry in newest(directory).values() if entry.kind != "agent"]
    places = {name: Issued(directory / f"{name}.pem", directory / f"{name}.key") for name in names}
    here = sorted(name for name, place in places.items() if place.key.exists() and not is_foreign(place))
    for name in here:
        reissue(directory, name)
    return here


def _publish(directory: Path) -> None:
    """Give agents the CAs as they are now, under a new version."""
    from infra.pki.server_pins import load_pins, publish

    publish(directory, load_pins(directory).pins)

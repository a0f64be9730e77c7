"""`sealstream tls`: what a TLS listener really offers, found by asking it, against what its profile says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exits import Exit

if TYPE_CHECKING:
    from infra.settings import Settings
    from infra.tls import Listener, Profile
    from infra.tls.survey import Offer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("tls")(show)


def show(
    place: Annotated[str, typer.Argument(help="HOST:PORT; both TLS ports of this node otherwise.")] = "",
    profile: Annotated[str, typer.Option(help="With HOST:PORT: the profile to hold it against.")] = "",
    listener: Annotated[str, typer.Option(help="With --profile: its `agent` or its `https` port.")] = "agent",
    as_json: Annotated[bool, typer.Option("--json", help="JSON, for scripts.")] = False,
) -> None:
    """Ask a listener for every version, suite and group, and show what it agrees to. No handshake is finished.

    Ends with 1 when that is not what the profile says: nothing more, nothing less.

    Examples: `sealstream tls`, `sealstream tls gw2.example.org:443 --profile datasheet --listener https`
    """
    from dataclasses import asdict

    from infra.settings import load_settings
    from infra.tls.check import differences

    asked = _asked(load_settings(), place, profile, listener)
    rows, wrong = [], False
    for where, wanted, kind in asked:
        offer = _survey(where)
        elliptic = any("ECDSA" in suite for suite in offer.suites)
        faults = differences(offer, wanted, kind, elliptic=elliptic) if wanted else []
        wrong = wrong or bool(faults)
        if as_json:
            found = {**asdict(offer), "primes": [f"{prime.bit_length()} bits" for prime in offer.primes]}
            rows.append({"place": where, "profile": wanted, **found, "differences": faults})
        else:
            print(_describe(where, offer, wanted, faults))
    if as_json:
        print(json.dumps(rows))
    if wrong:
        raise typer.Exit(Exit.NOTHING)


def _asked(settings: Settings, place: str, profile: str, listener: str) -> list[tuple[str, Profile | None, Listener]]:
    """What to ask, and which profile's listener it should be."""
    from infra.tls import Profile
    from schemas.errors import ConfigError

    if place:
        if listener not in ("agent", "https"):
            raise ConfigError("--listener is agent or https")
        try:
            wanted = Profile(profile) if profile else None
        except ValueError:
            raise ConfigError(f"there is no profile {profile!r}; there are {', '.join(Profile)}") from None
        return [(place, wanted, "agent" if listener == "agent" else "https")]
    gateway = settings.gateway
    host = "127.0.0.1" if gateway.host in ("0.0.0.0", "::") else gateway.host  # noqa: S104 - asked, not opened
    return [
        (f"{host}:{gateway.https_port}", gateway.https_tls_profile or gateway.tls_profile, "https"),
        (f"{host}:{gateway.agent_port}", gateway.agent_tls_profile or gateway.tls_profile, "agent"),
    ]


def _survey(place: str) -> Offer:
    from infra.tls.survey import ask_address, survey
    from schemas.errors import ConfigError, UnavailableError

    host, _, port = place.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal():
        raise ConfigError(f"{place!r} is not HOST:PORT")
    try:
        name = "" if host.replace(".", "").isdecimal() or ":" in host else host
        return survey(ask_address(host, int(port)), name)
    except OSError as error:
        raise UnavailableError(f"{place} does not answer: {error.strerror or error}") from None


def _describe(place: str, offer: Offer, wanted: Profile | None, faults: list[str]) -> str:
    verdict = (
        "no TLS that we know"
        if not offer.versions
        else "asks clients for a certificate"
        if offer.asks_certificate
        else ""
    )
    lines = [f"{place}  {verdict}".rstrip()]
    lines += [f"  versions   {', '.join(offer.versions)}"]
    lines += [f"  TLS 1.3    {', '.join(offer.modern_suites)} on {', '.join(offer.modern_groups)}"] * bool(
        offer.modern_suites
    )
    lines += [f"  TLS 1.2    {', '.join(offer.suites)}"] * bool(offer.suites)
    lines += [f"             ECDHE on {', '.join(offer.groups)}"] * bool(offer.groups)
    lines += [f"             DHE with a prime of {prime.bit_length()} bits" for prime in sorted(offer.primes)]
    if wanted:
        lines.append(f"  profile    {wanted}: {'; '.join(faults) or 'exactly that'}")
    return "\n".join(lines)

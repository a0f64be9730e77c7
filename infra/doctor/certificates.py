"""The gateway's certificate and its CA: how long they hold, whether key and names fit.

Never opens a private key that has a passphrase, and never tells anything of a key but whether it fits.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from infra.doctor.finding import Finding, check
from infra.pki.files import read_key
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from infra.settings import Settings

SOON = dt.timedelta(days=21)


def check_certificates(settings: Settings, now: dt.datetime) -> Iterator[Finding]:
    """The gateway's certificate, and the CA that agents are enrolled by."""
    gateway = settings.gateway
    yield check("certificate", lambda: check_server(gateway.cert_file, gateway.key_file, settings.node.advertise, now))
    yield check("ca", lambda: check_term(gateway.ca_file, load(gateway.ca_file), now))


def check_server(cert_file: Path, key_file: Path, name: str, now: dt.datetime) -> str:
    """It holds, names where agents are sent to, and its key is the one beside it."""
    certificate = load(cert_file)
    told = check_term(cert_file, certificate, now)
    names = names_of(certificate)
    if not is_named(name, names):
        raise ConfigError(
            f"{cert_file} names {', '.join(names) or 'nobody'}, and agents are sent to {name}: set node.advertise "
            "to one of these, or issue it anew: docs/pki.md"
        )
    try:
        fits = read_key(key_file).public_key() == certificate.public_key()
    except OSError as error:
        raise ConfigError(f"the key {key_file} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise ConfigError(f"{key_file} is no private key in PEM without passphrase") from None
    if not fits:
        raise ConfigError(f"{key_file} is not the key of {cert_file}: put the pair there that was issued together")
    return f"{told}, names {', '.join(names)}"


def check_term(path: Path, certificate: x509.Certificate, now: dt.datetime) -> str:
    """It holds now, and for some weeks more."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begins:
        raise ConfigError(f"{path} holds from {begins:%Y-%m-%d %H:%M} UTC on alone: is this machine's clock right?")
    if now >= ends:
        raise ConfigError(f"{path} ended on {ends:%Y-%m-%d}: issue it anew: docs/pki.md")
    if ends - now < SOON:
        raise ConfigError(f"{path} ends on {ends:%Y-%m-%d}, in {(ends - now).days} days: issue it anew: docs/pki.md")
    return f"{path.name} holds until {ends:%Y-%m-%d}"


def load(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file; raises `ConfigError`."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"the certificate {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{path} is no certificate in PEM") from None


def names_of(certificate: x509.Certificate) -> list[str]:
    """The DNS names and addresses that it is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def is_named(host: str, names: list[str]) -> bool:
    """Whether a client that connects to `host` takes the certificate; `*` stands for one label."""
    try:
        return str(ipaddress.ip_address(host)) in names
    except ValueError:
        wanted = host.lower()
    return any(wanted == it.lower() or (it[:2] == "*." and wanted.partition(".")[2] == it[2:].lower()) for it in names)

"""Who is at the other end: the agent id that a client certificate names, and the TLS it speaks.

Never believes what an agent says of itself: its certificate does.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cryptography import x509

from infra.hosts import authority
from infra.pki.pins import pin_of_certificate
from infra.pki.register import format_serial
from schemas.errors import MalformedError, WireError
from schemas.frames import GoodbyeCode

if TYPE_CHECKING:
    from asyncio import BaseTransport

    from starlette.requests import Request

URN_PREFIX = "urn:uuid:"


@dataclass(frozen=True, slots=True)
class Peer:
    """The TLS side of a connection. `address` is host and port as text."""

    agent_id: str
    address: str
    version: str
    suite: str
    serial: str = ""
    """Of its certificate: hex, capitals."""
    pin: bytes = b""
    """SHA-256 of its key."""
    issuer: bytes = b""
    """Key id of the CA that issued to it; empty where the certificate does not say."""

    @property
    def forward_secret(self) -> bool:
        """Whether a key stolen later leaves this connection closed: RSA key transport does not."""
        return self.version == "TLSv1.3" or self.suite.startswith(("ECDHE", "DHE"))


def identify_peer(transport: BaseTransport) -> Peer:
    """The peer behind a TLS transport; raises `WireError` when its certificate names no agent."""
    certificate = transport.get_extra_info("peercert") or {}
    suite, _since, _bits = transport.get_extra_info("cipher") or ("none", "none", 0)
    tls = transport.get_extra_info("ssl_object")
    version = (tls and tls.version()) or "none"  # what `cipher` tells is the version that brought the suite
    address = address_text(transport.get_extra_info("peername"))
    shown = (tls and tls.getpeercert(binary_form=True)) or b""
    return Peer(certified_agent(certificate), address, version, suite, *read_credential(shown))


def read_credential(certificate: bytes) -> tuple[str, bytes, bytes]:
    """Serial number, pin, and the issuer's key id of a certificate (DER)."""
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        serial, pin = format_serial(parsed.serial_number), pin_of_certificate(certificate)
    except (ValueError, MalformedError):
        raise WireError("the certificate cannot be read", GoodbyeCode.NOT_IDENTIFIED) from None
    try:
        issuer = parsed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except (x509.ExtensionNotFound, ValueError):
        issuer = None
    return serial, pin, issuer or b""


def certified_agent(certificate: Mapping[str, Any]) -> str:
    """The agent id of a certificate as `ssl.SSLSocket.getpeercert` shows it: its URN, else its common name."""
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "URI"]
    urns = [name.removeprefix(URN_PREFIX) for name in names if name.startswith(URN_PREFIX)]
    subject = dict(pair for rdn in certificate.get("subject", ()) for pair in rdn)
    candidates = urns or [subject.get("commonName", "")]
    try:
        (agent_id,) = {str(UUID(candidate)) for candidate in candidates}
    except ValueError:
        raise WireError("the certificate names no agent", GoodbyeCode.NOT_IDENTIFIED) from None
    return agent_id


def address_text(peername: object) -> str:
    """Host and port; an IPv4 address within IPv6 as the IPv4 address that it is."""
    if isinstance(peername, tuple) and len(peername) >= 2 and isinstance(peername[0], str):
        return authority(peername[0].removeprefix("::ffff:"), peername[1])
    return ""


def origin_of(peername: object) -> str:
    """Who counts as one when connections are counted: an IPv4 address, or an IPv6 network of 64 bits.

    Whoever has an IPv6 address has all of its network.
    """
    host = peername[0] if isinstance(peername, tuple) and peername else ""
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and not address.ipv4_mapped:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


def address_of(request: Request) -> str:
    """Where a request's connection really comes from; no header changes that."""
    return request.client.host if request.client else ""

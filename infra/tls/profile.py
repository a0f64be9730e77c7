"""The profiles of R3.1 to R3.5: each names exactly what a listener offers.

Light to import, since agents use it; never lets a default of the library decide what is offered.
"""

from __future__ import annotations

import ssl
from enum import StrEnum
from pathlib import Path
from typing import Literal

from infra.tls.groups import name_groups

Listener = Literal["agent", "https"]

DH_PARAMETERS = Path(__file__).with_name("ffdhe2048.pem")
"""The 2048-bit group of RFC 7919, which R3.1 asks for."""

_ECDHE = ("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256")
_DHE = ("DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256")
_RSA = ("AES256-GCM-SHA384", "AES128-GCM-SHA256", "AES256-SHA256", "AES128-SHA256", "AES256-SHA", "AES128-SHA")
_MODERN = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)


class Profile(StrEnum):
    """What a listener offers."""

    MODERN = "modern"
    """TLS 1.3, and 1.2 with forward secrecy alone (R3.5)."""
    DATASHEET = "datasheet"
    """R3.1 on the HTTPS port and R3.2 on the agent port, to the letter."""
    DATASHEET_ECDHE = "datasheet_ecdhe"
    """The same with the agent port reduced to the two ECDHE suites (R3.3)."""


SUITES: dict[tuple[Profile, Listener], tuple[str, ...]] = {
    (Profile.MODERN, "https"): _MODERN,
    (Profile.MODERN, "agent"): _MODERN,
    (Profile.DATASHEET, "https"): _ECDHE + _DHE,
    (Profile.DATASHEET, "agent"): _ECDHE + _RSA,
    (Profile.DATASHEET_ECDHE, "https"): _ECDHE + _DHE,
    (Profile.DATASHEET_ECDHE, "agent"): _ECDHE,
}
"""TLS 1.2 suites by OpenSSL's names, in order of preference; TLS 1.3 has its own, which `modern` alone offers."""

SUITES_1_3 = ("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256")
"""What `modern` offers in TLS 1.3: what OpenSSL does by itself."""

GROUPS: dict[Profile, tuple[str, ...]] = {
    Profile.MODERN: ("X25519", "secp256r1", "secp384r1"),
    Profile.DATASHEET: ("secp384r1",),
    Profile.DATASHEET_ECDHE: ("secp384r1",),
}
"""Groups of ECDHE by their IANA names; those of TLS 1.3 are the same."""


def server_context(
    profile: Profile, cert: Path, key: Path, client_ca: Path | None = None, *, listener: Listener
) -> ssl.SSLContext:
    """A listener's context. With `client_ca` a client must show a certificate of that CA.

    Make it before workers fork, so that session tickets of one are good for all.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _offer(context, profile, listener)
    if profile is Profile.MODERN:
        name_groups(context, GROUPS[profile])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(cert, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    profile: Profile, ca: Path, cert: Path | None = None, key: Path | None = None, *, listener: Listener = "agent"
) -> ssl.SSLContext:
    """A client's context: it trusts `ca` alone, and asks for what the profile's listener offers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _offer(context, profile, listener)
    context.load_verify_locations(ca)
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context


def _offer(context: ssl.SSLContext, profile: Profile, listener: Listener) -> None:
    """Set versions, suites and groups. Level 2 forbids keys under 2048 bits; level 3 would forbid RSA key transport."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(SUITES[profile, listener]) + ":@SECLEVEL=2")
    if profile is Profile.MODERN:
        return  # a client may know more groups than our listeners: they choose
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ecdh_curve("secp384r1")
    context.load_dh_params(str(DH_PARAMETERS))

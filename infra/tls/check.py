"""The start-up check of a listener (R3.1 to R3.5): it offers what its profile says, nothing more and nothing less.

Never lets a listener open that fails it.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from infra.tls.profile import DH_PARAMETERS, GROUPS, SUITES, SUITES_1_3, Listener, Profile
from infra.tls.survey import Offer, ask_context, survey
from schemas.errors import ConfigError


def check_listener(
    context: ssl.SSLContext, profile: Profile, listener: Listener, *, wants_certificate: bool, elliptic: bool = False
) -> Offer:
    """Ask the context as a stranger would (0.1 s); raises `ConfigError` that tells every difference.

    `elliptic`: the listener's own certificate is ECDSA, so that it can offer the suites for that alone.
    """
    offer = survey(ask_context(context))
    faults = differences(offer, profile, listener, elliptic=elliptic)
    if (context.verify_mode is ssl.CERT_REQUIRED) != wants_certificate:
        faults.append("asks clients for no certificate" if wants_certificate else "asks clients for a certificate")
    if faults:
        raise ConfigError(
            f"the {listener} port does not offer what profile {profile.value!r} says: {'; '.join(faults)}. "
            f"It was not opened: {ssl.OPENSSL_VERSION} or its configuration is in the way"
        )
    return offer


def differences(offer: Offer, profile: Profile, listener: Listener, *, elliptic: bool = False) -> list[str]:
    """What the offer has too much and too little, in words; empty where it is the profile's."""
    modern = profile is Profile.MODERN
    suites = [suite for suite in SUITES[profile, listener] if ("ECDSA" in suite) == (elliptic and modern)]
    faults = _compare("version", offer.versions, ["TLSv1.2", "TLSv1.3"] if modern else ["TLSv1.2"])
    faults += _compare("suite", offer.suites, suites)
    faults += _compare("suite", offer.modern_suites, SUITES_1_3 if modern else [])
    # In TLS 1.2 an ECDSA certificate needs its own curve among the client's: others than that one cannot be asked for.
    faults += _compare("group", offer.groups, offer.groups if elliptic and modern else GROUPS[profile])
    faults += _compare("group", offer.modern_groups, GROUPS[profile] if modern else [])
    if any(suite.startswith("DHE-") for suite in suites) and offer.primes != {ffdhe2048_prime()}:
        faults.append("Diffie-Hellman on another group than ffdhe2048")
    if offer.compresses:
        faults.append("compression")
    return faults


@cache
def ffdhe2048_prime(file: Path = DH_PARAMETERS) -> int:
    """The prime of RFC 7919's 2048-bit group."""
    lines = file.read_text("ascii").splitlines()
    der = base64.b64decode("".join(line for line in lines if not line.startswith("-")))
    size = int.from_bytes(der[6:8])  # 30 82 LL LL, a sequence; 02 82 LL LL, its first number
    return int.from_bytes(der[8 : 8 + size])


def _compare(what: str, offered: Iterable[str], wanted: Iterable[str]) -> list[str]:
    more, less = set(offered) - set(wanted), set(wanted) - set(offered)
    return [f"{what} {name} more" for name in sorted(more)] + [f"{what} {name} lacks" for name in sorted(less)]

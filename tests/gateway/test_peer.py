"""Who is at the other end: addresses as text, and the agent that a certificate names."""

from __future__ import annotations

import pytest

from gateway.peer import address_text, certified_agent
from schemas.errors import WireError

AGENT = "6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1"


def test_addresses_as_text() -> None:
    """IPv6 in brackets, mapped IPv4 as what it is."""
    texts = [address_text(name) for name in (("1.2.3.4", 5), ("::1", 5, 0, 0), ("::ffff:1.2.3.4", 5, 0, 0), None)]
    assert texts == ["1.2.3.4:5", "[::1]:5", "1.2.3.4:5", ""]


def test_the_certificate_names_one_agent() -> None:
    """Its URN counts, else its common name; none or two different ones are refused."""
    urn = ("URI", f"urn:uuid:{AGENT}")
    name = ((("commonName", AGENT),),)
    assert certified_agent({"subjectAltName": (urn,)}) == AGENT
    assert certified_agent({"subject": name}) == AGENT
    other = ("URI", "urn:uuid:00000000-0000-0000-0000-000000000001")
    for certificate in ({}, {"subjectAltName": (urn, other)}, {"subject": ((("commonName", "gateway"),),)}):
        with pytest.raises(WireError):
            certified_agent(certificate)

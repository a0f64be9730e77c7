"""The product's PKI: its CA, the certificates of servers and agents, the register of them, and pins.

Never writes a private key that others than its owner can read, and never overwrites one unasked.
"""

from infra.pki.authority import CA_CERT, CA_KEY, Issued, ca_fingerprint, load_bundle, make_ca
from infra.pki.certificates import agent_of, issue, issue_agent
from infra.pki.files import write_public, write_secret
from infra.pki.pins import pin_of_certificate

__all__ = [
    "CA_CERT",
    "CA_KEY",
    "Issued",
    "agent_of",
    "ca_fingerprint",
    "issue",
    "issue_agent",
    "load_bundle",
    "make_ca",
    "pin_of_certificate",
    "write_public",
    "write_secret",
]

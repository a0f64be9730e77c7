"""The enrolment token: where to enrol, by whose certificate to know the server, and the secret to show.

Never logged: whoever holds an unused token may enrol one agent.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass

from schemas.errors import MalformedError
from schemas.trust import read_pin, write_pin

PREFIX = "sealstream-1."
ENROL_PATH = "/api/v1/enrol"
CA_PATH = "/api/v1/ca"
ASSIGN_PATH = "/api/v1/assign"

_FINGERPRINT_BYTES = 32
_MAX_TOKEN_CHARS = 4096


@dataclass(frozen=True, slots=True)
class EnrolmentToken:
    """What a token says. `fingerprint` is SHA-256 of the server's CA certificate (DER)."""

    server: str
    """Host and port of the HTTPS listener, such as ``monitor.example.org:443``."""

    fingerprint: bytes
    secret: str
    signers: tuple[bytes, ...] = ()
    """Fingerprints (SHA-256 of the SPKI) of those whose key sets the agent is to take."""

    pins: tuple[bytes, ...] = ()
    """Pins of the server's keys (`schemas.trust`): with them the first connection of all is to that server alone."""

    def __str__(self) -> str:
        body: dict[str, object] = {"server": self.server, "ca": self.fingerprint.hex(), "secret": self.secret}
        if self.signers:
            body["signers"] = [signer.hex() for signer in self.signers]
        if self.pins:
            body["pins"] = [write_pin(pin) for pin in self.pins]
        text = json.dumps(body, separators=(",", ":")).encode()
        return PREFIX + base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    def __repr__(self) -> str:
        return f"EnrolmentToken(server={self.server!r})"

    @classmethod
    def parse(cls, text: str) -> EnrolmentToken:
        """Read a token as a person pasted it (line breaks and blanks are ignored); raises `MalformedError`."""
        compact = "".join(text.split())
        if re.match(r"sealstream-\d+\.", compact) and not compact.startswith(PREFIX):
            raise MalformedError("the enrolment token is of another version: update this agent", "bad_token")
        if not compact.startswith(PREFIX) or len(compact) > _MAX_TOKEN_CHARS:
            raise MalformedError(f"not an enrolment token: it begins with {PREFIX}", "bad_token")
        encoded = compact.removeprefix(PREFIX)
        try:
            body = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
            signers = tuple(bytes.fromhex(signer) for signer in body.get("signers", ()))
            pins = tuple(read_pin(pin) for pin in body.get("pins", ()))
            token = cls(body["server"], bytes.fromhex(body["ca"]), body["secret"], signers, pins)
            whole = all(isinstance(part, str) and part for part in (token.server, token.secret))
        except (binascii.Error, ValueError, KeyError, TypeError, AttributeError, RecursionError, MalformedError):
            raise MalformedError("the enrolment token is cut or mistyped: copy it whole", "bad_token") from None
        if not whole or any(len(one) != _FINGERPRINT_BYTES for one in (token.fingerprint, *token.signers)):
            raise MalformedError("the enrolment token is cut or mistyped: copy it whole", "bad_token")
        return token

"""One-time codes by the clock (RFC 6238), and recovery codes for when the device is lost.

Never takes a code's step twice, and never keeps a recovery code, only its hash.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import secrets
import time
from typing import TYPE_CHECKING
from uuid import UUID

import pyotp
import segno

if TYPE_CHECKING:
    from sinks.postgresql.connection import Connection

ISSUER = "sealstream"
STEP_S = 30
DRIFT = 1
"""Steps before and after now whose codes are taken: clocks differ."""

LABEL = "totp"
RECOVERY_CODES = 10
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_TAKE_STEP = "UPDATE account SET totp_last_step = $2 WHERE account_id = $1 AND totp_last_step < $2"
_TAKE_CODE = """
UPDATE recovery_code SET used_at = now() WHERE account_id = $1 AND code_hash = $2 AND used_at IS NULL"""


def make_totp_secret() -> str:
    """160 random bits, in base 32."""
    return pyotp.random_base32()


def provisioning_uri(secret: str, name: str, issuer: str = ISSUER) -> str:
    """What an authenticator reads from the picture."""
    return pyotp.TOTP(secret, name=name, issuer=issuer).provisioning_uri()


def picture_of(uri: str) -> str:
    """The QR code, as an SVG in a `data:` address."""
    out = io.BytesIO()
    segno.make(uri, error="m").save(out, kind="svg", scale=5, border=3, xmldecl=False, light="#fff", dark="#000")
    return segno_data(out.getvalue())


def segno_data(svg: bytes) -> str:
    """An SVG as a `data:` address."""
    from urllib.parse import quote

    return f"data:image/svg+xml,{quote(svg.decode(), safe='')}"


def matching_step(secret: str, code: str, now_s: float | None = None) -> int | None:
    """The step of a code that is right now, or nearly; all candidates are compared, so that time tells nothing."""
    totp, step, found = pyotp.TOTP(secret), int(time.time() if now_s is None else now_s) // STEP_S, None
    typed = "".join(code.split())
    for candidate in range(step - DRIFT, step + DRIFT + 1):
        if hmac.compare_digest(totp.generate_otp(candidate).encode(), typed.encode()):
            found = candidate
    return found


async def take_code(connection: Connection, account_id: UUID, secret: str, code: str) -> bool:
    """Whether the code is right and its step was not used before; it is used now."""
    step = matching_step(secret, code)
    if step is None:
        return False
    taken: str = await connection.execute(_TAKE_STEP, account_id, step)
    return taken == "UPDATE 1"


def make_recovery_codes() -> list[str]:
    """Ten codes of 50 bits, such as `k4m7q-9xw2p`."""
    return [
        "-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(2)) for _ in range(RECOVERY_CODES)
    ]


async def keep_recovery_codes(connection: Connection, account_id: UUID, codes: list[str]) -> None:
    """Those are the account's codes now; the ones of before are no more. In a transaction."""
    await connection.execute("DELETE FROM recovery_code WHERE account_id = $1", account_id)
    await connection.executemany(
        "INSERT INTO recovery_code (account_id, code_hash) VALUES ($1, $2)",
        [(account_id, _code_hash(account_id, code)) for code in codes],
    )


async def take_recovery_code(connection: Connection, account_id: UUID, code: str) -> bool:
    """Whether it is one of the account's that was not used; it is used now."""
    taken: str = await connection.execute(_TAKE_CODE, account_id, _code_hash(account_id, code))
    return taken == "UPDATE 1"


async def recovery_codes_left(connection: Connection, account_id: UUID) -> int:
    """How many were not used."""
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM recovery_code WHERE account_id = $1 AND used_at IS NULL", account_id
        )
    )


def looks_like_recovery_code(code: str) -> bool:
    """Whether it cannot be a code of six digits."""
    return not "".join(code.split()).isdigit()


def _code_hash(account_id: UUID, code: str) -> bytes:
    """Slow enough for 50 bits: whoever reads the table has 10 codes of each account to guess."""
    typed = "".join(char for char in code.lower() if char in _ALPHABET)
    return hashlib.scrypt(typed.encode(), salt=account_id.bytes, n=2**12, r=8, p=1, dklen=32)

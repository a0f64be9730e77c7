"""How much work a key file asks for before anybody knows whether its passphrase is right.

Never derives: what is asked for is read from the file, and what no honest file asks for is refused.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from schemas.errors import ConfigError

MAX_PBKDF2_ROUNDS = 5_000_000
"""One to two seconds; the product writes 600,000. The browser's limits are the same."""

MAX_SCRYPT_BYTES = 1 << 27
MAX_SCRYPT_WORK = 1 << 22
"""N * r * p; OpenSSL's own choice is 2^17."""

MAX_KEY_FILE_BYTES = 1 << 20

_BLOCK = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----([A-Za-z0-9+/=\s]*)-----END", re.ASCII)
_PBKDF2 = bytes.fromhex("2a864886f70d01050c")
_SCRYPT = bytes.fromhex("2b06010401da47040b")
_INTEGER, _OBJECT_ID, _SEQUENCE = 0x02, 0x06, 0x30


def check_work_factor(pem: bytes) -> None:
    """Raises `ConfigError` when a key in `pem` asks for more than is reasonable; says nothing of other faults."""
    if len(pem) > MAX_KEY_FILE_BYTES:
        raise ConfigError("this file is too large for a key file")
    for body in _BLOCK.findall(pem):
        try:
            name, numbers = _derivation(binascii.a2b_base64(body))
        except (ValueError, IndexError, StopIteration):
            continue  # whoever loads it will say what is wrong
        if name == _PBKDF2 and not 1 <= numbers[0] <= MAX_PBKDF2_ROUNDS:
            raise ConfigError(f"the key asks for {numbers[0]} rounds of PBKDF2: there are 1 to {MAX_PBKDF2_ROUNDS}")
        if name == _SCRYPT:
            cost, block, parallel = numbers[:3]
            too_much = 128 * cost * block > MAX_SCRYPT_BYTES or cost * block * parallel > MAX_SCRYPT_WORK
            if too_much or cost < 2 or cost & (cost - 1):
                raise ConfigError(f"the key asks for scrypt with N={cost}, r={block}, p={parallel}")


def pbkdf2_rounds(pem: bytes) -> int | None:
    """The work factor of the first key under PBES2 with PBKDF2; none when there is no such key."""
    for body in _BLOCK.findall(pem):
        try:
            name, numbers = _derivation(binascii.a2b_base64(body))
        except (ValueError, IndexError, StopIteration):
            continue
        if name == _PBKDF2:
            return numbers[0]
    return None


def _derivation(der: bytes) -> tuple[bytes, list[int]]:
    """Name of the key-derivation function of a PBES2 key, and the numbers among its parameters, in their order."""
    algorithm = _inside(_inside(der))  # EncryptedPrivateKeyInfo, then its AlgorithmIdentifier
    parameters = dict(_values(algorithm)).get(_SEQUENCE, b"")
    function = dict(_values(_inside(parameters)))
    name, arguments = function.get(_OBJECT_ID, b""), function.get(_SEQUENCE, b"")
    numbers = [int.from_bytes(content, "big") for tag, content in _values(arguments) if tag == _INTEGER]
    if (name == _PBKDF2 and not numbers) or (name == _SCRYPT and len(numbers) < 3):
        raise ValueError(name)
    return name, numbers


def _inside(der: bytes) -> bytes:
    """The content of the sequence that `der` begins with."""
    tag, content = next(_values(der))
    if tag != _SEQUENCE:
        raise ValueError(tag)
    return content


def _values(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each value, one after the other."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            digits = length & 0x7F
            length = int.from_bytes(der[at : at + digits], "big")
            at += digits
        if at + length > len(der):
            raise ValueError(length)
        yield tag, der[at : at + length]
        at += length

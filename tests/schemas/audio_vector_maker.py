"""Makes `schemas/vectors/audio_packet.json`: the same bytes at every run.

    python -m tests.schemas.audio_vector_maker > schemas/vectors/audio_packet.json

Holds no secret of anybody: keys and salts are hashes of labels.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

from schemas.audio_packet import KEY_BYTES, SALT_BYTES, AudioSealer, Suite

BODIES = {"an opus packet": bytes(range(59)), "quiet": b"", "one block": bytes(8), "the longest": bytes(range(240)) * 5}
TIME_MS = 1_795_420_800_123
STREAM_ID = 0x01020304


def secret(label: str, size: int) -> bytes:
    """Bytes that anybody can make."""
    return hashlib.sha256(label.encode()).digest()[:size]


def make_vectors() -> list[dict[str, Any]]:
    """A packet of each body in each suite, and ways in which one must not open."""
    rows: list[dict[str, Any]] = []
    for suite in Suite:
        key, salt = secret(f"key {suite}", KEY_BYTES), secret(f"salt {suite}", SALT_BYTES)
        for name, body in BODIES.items():
            sealer = AudioSealer(suite, STREAM_ID, key, salt)
            sealer.sequence = 0xFEDCBA98
            packet = sealer.seal(body, TIME_MS)
            row = {"suite": int(suite), "stream_id": STREAM_ID, "key": key.hex(), "salt": salt.hex()}
            rows.append({"name": name, **row, "packet": packet.hex(), "body": body.hex(), "outcome": "opens"})
            if name == "an opus packet":
                rows += [{"name": f"{name}, {how}", **row, "packet": wrong.hex(), "outcome": outcome}
                         for how, wrong, outcome in spoilt(packet)]  # fmt: skip
    return rows


def spoilt(packet: bytes) -> list[tuple[str, bytes, str]]:
    """What was done to it, and what a receiver makes of it."""
    other = Suite.BLOWFISH_CTR_HMAC_SHA256 if packet[0] == 1 else Suite.CHACHA20_POLY1305
    return [
        ("a bit of the tag", packet[:-1] + bytes([packet[-1] ^ 1]), "does not open"),
        ("a bit of the time", packet[:16] + bytes([packet[16] ^ 1]) + packet[17:], "does not open"),
        ("a bit of the body", packet[:20] + bytes([packet[20] ^ 0x80]) + packet[21:], "does not open"),
        ("under the other suite's name", bytes([other]) + packet[1:], "other_stream"),
        ("of another stream", packet[:4] + bytes([packet[4] ^ 1]) + packet[5:], "other_stream"),
        ("cut", packet[:32], "length"),
        ("too long", packet + bytes(1200), "length"),
    ]


if __name__ == "__main__":
    json.dump(make_vectors(), sys.stdout, indent=1)
    sys.stdout.write("\n")

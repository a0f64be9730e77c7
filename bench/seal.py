"""Sealing and opening 64 KiB segments against `openssl speed -evp aes-256-gcm` on the same block size, in turns.

Usage: python -m bench.seal [--size BYTES] [--seconds S] [--repeat N] [--quick]
Prints a line for each repetition, and one JSON line. Everything that an envelope costs is counted on our side (header,
nonce, hash chain, copying); on openssl's side the cipher alone. Figure to beat: at least 1.2 times openssl, both ways.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable

from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.opening import Opener
from schemas.seal import Epoch

MB = 1_000_000
ROUND = 64
"""Segments between two looks at the clock."""


def measure(step: Callable[[int], object], size: int, seconds: float) -> float:
    """MB a second of CPU of `step`, which is called with 0, 1, … and handles `size` bytes each time."""
    started = time.process_time()
    done = 0
    while time.process_time() - started < seconds:
        for number in range(ROUND):
            step(number)
        done += ROUND
    return done * size / MB / (time.process_time() - started)


def measure_openssl(size: int, seconds: float) -> float:
    """MB a second of CPU of the system's OpenSSL, sealing blocks of `size`: it too counts CPU time."""
    command = ["openssl", "speed", "-mr", "-evp", "aes-256-gcm", "-bytes", str(size), "-seconds", str(round(seconds))]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures = [line for line in told.splitlines() if line.startswith("+F:")]
    return float(figures[-1].rpartition(":")[2]) / MB


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=65536, help="bytes of a segment")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one second, three times")
    options = parser.parse_args()
    seconds, repeat = (1.0, 3) if options.quick else (options.seconds, options.repeat)

    identity = Identity.generate(3072)
    agent, segment = os.urandom(16), os.urandom(options.size)

    def begin() -> Epoch:
        return Epoch.begin(
            agent_id=agent, kind=StreamKind.SCREEN, recipients=[identity.recipient], created_ms=time.time_ns() // MB
        )

    epoch = begin()
    envelopes = [epoch.seal(segment, capture_ms=number) for number in range(ROUND)]
    opener = Opener([identity])
    if any(opener.open(envelope).plaintext != segment for envelope in envelopes):
        raise SystemExit("what was opened is not what was sealed")

    seals: list[float] = []
    opens: list[float] = []
    peers: list[float] = []
    for _ in range(repeat):
        epoch = begin()  # one DEK seals 64 GiB, which all the turns together may well exceed
        seals.append(measure(lambda number, epoch=epoch: epoch.seal(segment, capture_ms=number), options.size, seconds))
        peers.append(measure_openssl(options.size, seconds))
        opens.append(measure(lambda number: opener.open(envelopes[number]), options.size, seconds))
        print(f"seal {seals[-1]:7.0f} MB/s   open {opens[-1]:7.0f} MB/s   openssl {peers[-1]:7.0f} MB/s")
    seal, opening, peer = (statistics.median(figures) for figures in (seals, opens, peers))
    row = {
        "bench": "seal", "bytes": options.size, "repetitions": repeat,
        "seal_mb_s": round(seal), "open_mb_s": round(opening),
        "peer": "openssl speed -evp aes-256-gcm", "peer_mb_s": round(peer),
        "seal_ratio": round(seal / peer, 2), "open_ratio": round(opening / peer, 2),
        "ratio": round(min(seal, opening) / peer, 2),
    }  # fmt: skip
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()

"""What traces cost a gateway: the same load with no collector, and with one at several ratios, in turns.

Usage: python -m bench.tracing [--bootstrap HOST:PORT] [--total BYTES] [--repeat N]
The collector is on this machine and throws away what it gets. Prints the CPU of the gateway's process for a gigabyte of
64 KB envelopes, the median of its runs, and its ratio to that without a collector.
"""

from __future__ import annotations

import argparse
import http.server
import os
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bench.gateway import Bench
from infra.settings import load_settings

RATIOS = ("", "0.001", "1")


class _Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collector() -> Iterator[str]:
    """A collector's address, while the context lasts."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces"
    server.shutdown()


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", default="")
    parser.add_argument("--total", type=int, default=256 << 20, help="bytes of each repetition")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--connections", type=int, default=50)
    options = parser.parse_args()
    used: dict[str, list[float]] = {ratio: [] for ratio in RATIOS}
    with (
        collector() as address,
        Bench(options.bootstrap or load_settings().kafka.bootstrap, options.connections) as bench,
    ):
        for _ in range(options.repeat):
            for ratio, runs in used.items():
                os.environ["SEALSTREAM_TRACING__ENDPOINT"] = address if ratio else ""
                os.environ["SEALSTREAM_TRACING__RATIO"] = ratio or "0"
                runs.append(bench.run_ours(options.total).cpu_s_per_gb)
    off = statistics.median(used[""])
    for ratio, runs in used.items():
        median = statistics.median(runs)
        print(f"{ratio or 'off':6} {median:6.2f} CPU-s/GB  {median / off:.2f}  {[round(run, 2) for run in runs]}")


if __name__ == "__main__":
    main()

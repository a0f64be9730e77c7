"""The gateway against syslog-ng: 50 TLS connections into real Kafka, acks=all, the same load, in turns.

Usage: python -m bench.gateway [--bootstrap HOST:PORT] [--mode events|records|latency|all] [--total BYTES] [--repeat N]
Prints a table for a person, and one JSON line for each mode. CPU is that of the gateway's or syslog-ng's process alone.
Figures to beat: 1 KB events at most 0.4 times its CPU and at least 1.4 times its rate; 64 KB records at most 1.0
times its CPU; at 26 MB/s ack median at most 2 ms and 99th percentile at most 5 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from infra.kafka import ensure_topics
from infra.pki import issue, make_ca
from infra.pki.authority import load_ca
from infra.pki.forms import leaf_builder
from infra.settings import load_settings
from schemas.keys import Identity

MB = 1_000_000
BLOCK = 65536
OFFERED = 26 * MB
START_S = 180.0
"""Longest wait for a gateway to listen: on a busy machine its start takes as long as half a minute."""
WARM_S = 3.0
"""Start of a run whose latencies do not count: a producer's first requests to topics that were just made."""

TICKS = os.sysconf("SC_CLK_TCK")

SYSLOG_NG = """@version: 3.38
options {{ stats-freq(0); log-msg-size(262144); threaded(yes); log-fifo-size(2000000); }};
source s {{ network(ip("127.0.0.1") port({port}) transport("tls") flags(no-parse) max-connections(200)
  log-iw-size(400000) log-fetch-limit(1000)
  tls(key-file("{key}") cert-file("{cert}") peer-verify(optional-untrusted))); }};
destination d {{ kafka-c(bootstrap-servers("{bootstrap}") topic("{topic}") message("$MSG") workers({workers})
  config("acks" => "all" "linger.ms" => "5"
    "queue.buffering.max.kbytes" => "1048576" "message.max.bytes" => "1200000")); }};
log {{ source(s); destination(d); flags(flow-control); }};
"""


@dataclass(frozen=True)
class Run:
    """One measurement."""

    seconds: float
    cpu_s: float
    sent: int
    load: dict[str, float]

    @property
    def mb_s(self) -> float:
        """Megabytes (10^6) a second, from the first byte to the last that is stored."""
        return self.sent / MB / self.seconds

    @property
    def cpu_s_per_gb(self) -> float:
        """CPU-seconds of the process for each 10^9 bytes."""
        return self.cpu_s / (self.sent / 1e9)


class Bench:
    """A data directory of its own, with certificates, agents and topics."""

    def __init__(self, bootstrap: str, connections: int) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="sealstream-bench-"))
        self.bootstrap = bootstrap
        self.connections = connections
        self.prefix = f"bench-{uuid4().hex[:6]}-"
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.ports = {name: _free_port() for name in ("agent", "https", "mirror", "syslog")}
        make_ca(self.root / "pki")
        issue(self.root / "pki", "gateway", server=True, hosts=["127.0.0.1"])
        (self.root / "keys").mkdir()
        (self.root / "keys/server.pub.pem").write_bytes(Identity.generate(3072).recipient.to_pem())
        (self.root / "secrets").mkdir()
        (self.root / "secrets/postgresql.password").write_text("none")
        (self.root / "agents").mkdir()
        self.authority = load_ca(self.root / "pki")
        self.ids = [self._enrol() for _ in range(connections)]
        (self.root / "agents/ids").write_text("\n".join(self.ids))
        (self.root / "sealstream.toml").write_text(
            f'[kafka]\nbootstrap = "{bootstrap}"\ntopic_prefix = "{self.prefix}"\n[redis]\nprefix = "{self.prefix}"\n'
            f'[postgresql]\ndsn = "postgresql://nobody@127.0.0.1:{_free_port()}/none"\n[gateway]\n'
            f"agent_port = {self.ports['agent']}\nhttps_port = {self.ports['https']}\n"
            f"mirror_port = {self.ports['mirror']}\n"
        )

    def _enrol(self) -> str:
        """As `infra.pki` issues, with the CA's key loaded once: that takes 100 ms."""
        agent, key = uuid4(), ec.generate_private_key(ec.SECP256R1())
        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        ca, ca_key = self.authority
        name = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(agent.urn)])
        builder = leaf_builder(str(agent), ca, key.public_key(), server=False).add_extension(name, critical=False)
        cert = builder.sign(ca_key, hashes.SHA256()).public_bytes(pem)
        (self.root / f"agents/{agent}.pem").write_bytes(cert)
        (self.root / f"agents/{agent}.key").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
        return str(agent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop_topics()
        shutil.rmtree(self.root, ignore_errors=True)

    def drop_topics(self) -> None:
        """Delete what a run wrote, so that the disk does not fill."""
        names = [name for name in self.admin.list_topics(timeout=10).topics if name.startswith(self.prefix)]
        for future in self.admin.delete_topics(names).values() if names else ():
            future.result(30)
        time.sleep(1.0)

    def run_ours(self, total: int, *, rate: float = 0.0) -> Run:
        """The gateway under load until everything is acknowledged."""
        with self.gateway() as process:
            load = self._load("agents", self.ports["agent"], total, process.pid, rate=rate)
            used = cpu_seconds(process.pid) - load["cpu_before"]
        self.drop_topics()
        return Run(load["end"] - load["start"], used, int(load["units"]) * BLOCK, load)

    @contextmanager
    def gateway(self, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """The gateway as an operator starts it, while the context lasts; `settings` of its table, by name."""
        environment = {**os.environ, "SEALSTREAM_DATA": str(self.root)}
        environment |= {f"SEALSTREAM_GATEWAY__{name.upper()}": value for name, value in settings.items()}
        asyncio.run(ensure_topics(load_settings(self.root / "sealstream.toml")))
        command = [sys.executable, "-m", "infra.cli", "gateway", "run"]
        with (self.root / "gateway.log").open("ab") as log:
            process = subprocess.Popen(command, env=environment, stderr=log)
        try:
            _wait_for_port(self.ports["agent"])
            time.sleep(2.0)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def run_syslog_ng(self, total: int, line: int, workers: int) -> Run:
        """syslog-ng with its TLS source and its Kafka destination; done when Kafka has every record."""
        topic = self.prefix + "syslog"
        self.admin.create_topics([NewTopic(topic, 6, config={"max.message.bytes": "1200000"})])[topic].result(30)
        config = self.root / "syslog-ng.conf"
        pki = self.root / "pki"
        config.write_text(
            SYSLOG_NG.format(
                port=self.ports["syslog"],
                key=pki / "gateway.key",
                cert=pki / "gateway.pem",
                bootstrap=self.bootstrap,
                topic=topic,
                workers=workers,
            )
        )
        command = [
            "syslog-ng",
            "-F",
            "-f",
            str(config),
            "--no-caps",
            "-R",
            str(self.root / "syslog.persist"),
            "-c",
            str(self.root / "syslog.ctl"),
            "-p",
            str(self.root / "syslog.pid"),
        ]
        with (self.root / "syslog.log").open("ab") as log:
            process = subprocess.Popen(command, stderr=log, stdout=log)
        try:
            _wait_for_port(self.ports["syslog"])
            time.sleep(1.0)
            load = self._load("lines", self.ports["syslog"], total, process.pid, line=line)
            records = int(load["units"]) * (BLOCK // line)
            end = self._wait_for_records(topic, records)
            used = cpu_seconds(process.pid) - load["cpu_before"]
        finally:
            process.terminate()
            process.wait(30)
        self.drop_topics()
        return Run(end - load["start"], used, int(load["units"]) * BLOCK, load)

    def _load(
        self, kind: str, port: int, total: int, pid: int, *, rate: float = 0.0, line: int = 1024
    ) -> dict[str, float]:
        """Load until everything is sent; `cpu_before` is what process `pid` had used when all had connected."""
        command = [
            sys.executable,
            "-m",
            "bench.agents_load",
            kind,
            "--port",
            str(port),
            "--ca",
            str(self.root / "pki/ca.pem"),
            "--agents",
            str(self.root / "agents/ids"),
            "--recipient",
            str(self.root / "keys/server.pub.pem"),
            "--connections",
            str(self.connections),
            "--total",
            str(total),
            "--size",
            str(BLOCK),
            "--line",
            str(line),
            "--rate",
            str(rate),
            "--warm",
            str(WARM_S),
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
            assert load.stdin
            assert load.stdout
            if load.stdout.readline() != "ready\n":
                logs = "".join(file.read_text()[-2000:] for file in self.root.glob("*.log"))
                raise RuntimeError(f"the load generator could not connect; the logs end:\n{logs}")
            time.sleep(0.5)
            before = cpu_seconds(pid)
            answer, _ = load.communicate("go\n", timeout=600)
        result: dict[str, float] = json.loads(answer)
        result["cpu_before"] = before
        return result

    def _wait_for_records(self, topic: str, count: int) -> float:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "bench", "enable.auto.commit": False})
        partitions = [TopicPartition(topic, number) for number in range(6)]
        deadline = time.time() + 120
        stored = 0
        while time.time() < deadline:
            stored = sum(consumer.get_watermark_offsets(part, cached=False)[1] for part in partitions)
            if stored >= count:
                consumer.close()
                return time.time()
            time.sleep(0.02)
        raise RuntimeError(f"syslog-ng stored {stored} of {count} records")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def compare(bench: Bench, mode: str, total: int, repeat: int, workers: int) -> dict[str, object]:
    """Interleaved repetitions; medians and their ratios."""
    line = 1024 if mode == "events" else BLOCK
    ours, peer = [], []
    for _ in range(repeat):
        ours.append(bench.run_ours(total))
        show(mode, "sealstream", ours[-1])
        peer.append(bench.run_syslog_ng(total, line, workers))
        show(mode, "syslog-ng", peer[-1])
    rate = [statistics.median(run.mb_s for run in runs) for runs in (ours, peer)]
    cpu = [statistics.median(run.cpu_s_per_gb for run in runs) for runs in (ours, peer)]
    return {
        "bench": "gateway",
        "mode": mode,
        "connections": bench.connections,
        "repetitions": repeat,
        "mb_s": round(rate[0], 1),
        "events_s": round(rate[0] * MB / line),
        "cpu_s_per_gb": round(cpu[0], 2),
        "peer": "syslog-ng",
        "peer_mb_s": round(rate[1], 1),
        "peer_cpu_s_per_gb": round(cpu[1], 2),
        "rate_ratio": round(rate[0] / rate[1], 2),
        "cpu_ratio": round(cpu[0] / cpu[1], 2),
    }


def show(mode: str, name: str, run: Run) -> None:
    """One measurement, for a person."""
    print(f"{mode:8} {name:10} {run.mb_s:7.1f} MB/s {run.cpu_s_per_gb:6.2f} CPU-s/GB {run.load['suite']}", flush=True)


def measure_latency(bench: Bench, repeat: int) -> dict[str, object]:
    """Ack latency at a steady 26 MB/s."""
    runs = [bench.run_ours(OFFERED * 15, rate=OFFERED) for _ in range(repeat)]
    for run in runs:
        print(
            f"latency  median {run.load['ack_median_ms']:.2f} ms, p99 {run.load['ack_p99_ms']:.2f} ms, "
            f"max {run.load['ack_max_ms']:.1f} ms at {run.mb_s:.1f} MB/s, {run.cpu_s_per_gb:.2f} CPU-s/GB"
        )
    best = {
        name: round(statistics.median(run.load[name] for run in runs), 2) for name in ("ack_median_ms", "ack_p99_ms")
    }
    return {"bench": "gateway", "mode": "latency", "offered_mb_s": OFFERED / MB, "repetitions": repeat, **best}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_for_port(port: int) -> None:
    deadline = time.time() + START_S
    while time.time() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nothing listens on port {port}")


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bootstrap", default="", help="brokers; those of the data directory's settings when not given"
    )
    parser.add_argument("--mode", choices=["events", "records", "latency", "all"], default="all")
    parser.add_argument("--total", type=int, default=1 << 30, help="bytes of each repetition")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--alone", action="store_true", help="without the peer, for profiling")
    parser.add_argument("--peer-workers", type=int, default=1, help="syslog-ng's Kafka workers")
    options = parser.parse_args()
    with Bench(options.bootstrap or load_settings().kafka.bootstrap, options.connections) as bench:
        for mode in ("events", "records"):
            if options.mode in (mode, "all") and options.alone:
                for _ in range(options.repeat):
                    show(mode, "sealstream", bench.run_ours(options.total))
            elif options.mode in (mode, "all"):
                print(json.dumps(compare(bench, mode, options.total, options.repeat, options.peer_workers)), flush=True)
        if options.mode in ("latency", "all"):
            print(json.dumps(measure_latency(bench, options.repeat)), flush=True)


if __name__ == "__main__":
    main()

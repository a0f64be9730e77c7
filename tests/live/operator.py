"""What an operator and an endpoint do on a real stack: the product's commands, and foreign programs beside them.

Never reaches into the product: what a command or another program says is all there is.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import Consumer, Message, TopicPartition
from elasticsearch import Elasticsearch

from infra.settings import Settings, read_secret
from schemas.topics import HEARTBEATS
from tests.running_stack import run_cli

T = TypeVar("T")


def sealstream(settings: Settings, *arguments: str, timeout_s: float = 120, code: int = 0) -> str:
    """What `sealstream ARGUMENTS` prints; it must end with `code`."""
    done = run_cli(settings.data.root, *arguments, timeout_s=timeout_s)
    assert done.returncode == code, f"sealstream {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def until(what: str, look: Callable[[], T], within_s: float = 120.0, every_s: float = 0.3) -> T:
    """What `look` gives as soon as it gives something; fails when that takes too long."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {within_s:.0f} s for {what}, in vain; last seen: {found!r}"
        time.sleep(every_s)


@dataclass(frozen=True)
class EnrolledAgent:
    """An agent directory with an identity in it."""

    settings: Settings
    directory: Path
    agent_id: str

    @classmethod
    def enrol(cls, settings: Settings, directory: Path, toml: str = "") -> EnrolledAgent:
        """By token, as an operator does it. `toml` becomes its settings."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "agent.toml").write_text(toml)
        token = sealstream(settings, "agent", "token").strip()
        sealstream(settings, "agent", "enrol", token, "--dir", str(directory))
        identity = json.loads((directory / "identity.json").read_text())
        return cls(settings, directory, identity["agent_id"])

    @contextmanager
    def running(self, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """`sealstream agent run` while this lasts; it ends in order unless it was killed before."""
        process = self.start(**environment)
        try:
            yield process
        finally:
            end(process)

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start `sealstream agent run`, and wait until it is connected."""
        command = [sys.executable, "-m", "infra.cli", "agent", "run", "--dir", str(self.directory)]
        with (self.directory / "agent.log").open("ab") as log:
            process = subprocess.Popen(
                command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            until("the agent's connection", lambda: self.status().get("uplink", {}).get("state") == "connected")
        except BaseException:
            end(process)
            raise
        return process

    def status(self) -> dict[str, Any]:
        """`sealstream agent status --json`; empty when none runs."""
        done = run_cli(self.settings.data.root, "agent", "status", "--dir", str(self.directory), "--json")
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def end(process: subprocess.Popen[Any], within_s: float = 30.0) -> int:
    """Ask a process that we started to end, and make it when it does not; its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def search(settings: Settings, *arguments: str) -> list[dict[str, Any]]:
    """Hits of `sealstream search … --json`; none when it ends with 1."""
    done = run_cli(settings.data.root, "search", *arguments, "--json")
    assert done.returncode in (0, 1), done.stderr
    body = json.loads(done.stdout or "[]")
    return list(body["hits"] if isinstance(body, dict) else body)


@contextmanager
def elasticsearch_of(settings: Settings) -> Iterator[Elasticsearch]:
    """A plain client of the cluster, as anybody would make one."""
    store = settings.elasticsearch
    client = Elasticsearch(
        store.url, ca_certs=str(store.ca_file), basic_auth=(store.username, read_secret(store.password_file))
    )
    try:
        yield client
    finally:
        client.close()


def documents_of(settings: Settings, agents: list[str]) -> list[dict[str, Any]]:
    """Every document of these agents, `_id` included, by a plain client."""
    found: list[dict[str, Any]] = []
    alias = f"{settings.elasticsearch.index_prefix}-documents"
    with elasticsearch_of(settings) as client:
        client.indices.refresh(index=alias, ignore_unavailable=True)
        after = None
        while True:
            page = client.search(
                index=alias,
                query={"terms": {"agent_id": agents}},
                sort=[{"agent_id": "asc"}, {"@timestamp": "asc"}, {"sequence": "asc"}, {"stream": "asc"}],
                size=2000,
                ignore_unavailable=True,
                search_after=after,
                timeout="30s",
            )["hits"]["hits"]
            found += [{**hit["_source"], "_id": hit["_id"], "_index": hit["_index"]} for hit in page]
            if len(page) < 2000:
                return found
            after = page[-1]["sort"]


def read_topic(settings: Settings, topic: str) -> list[Message]:
    """Every record that a topic holds now, by a client that belongs to no group of ours."""
    name = settings.kafka.topic_prefix + topic
    reader = Consumer(
        {"bootstrap.servers": settings.kafka.bootstrap, "group.id": "reader", "enable.auto.commit": False}
    )
    try:
        partitions = reader.list_topics(name, timeout=30).topics[name].partitions
        found: list[Message] = []
        for number in partitions:
            place = TopicPartition(name, number, 0)
            first, end = reader.get_watermark_offsets(place, timeout=30)
            place.offset = first
            reader.assign([place])
            at = first
            while at < end:
                records = reader.consume(min(1000, end - at), timeout=60)
                assert records, f"{name}/{number} ends at {at}, not at {end}"
                at = records[-1].offset() + 1
                found += [record for record in records if record.offset() < end]
        return found
    finally:
        reader.close()


def psql(settings: Settings, statement: str) -> list[list[str]]:
    """Rows of a statement, by PostgreSQL's own command."""
    password = read_secret(settings.postgresql.password_file)
    done = subprocess.run(
        ["psql", settings.postgresql.dsn, "-AtX", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", statement],
        env={**os.environ, "PGPASSWORD": password},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def lagging(settings: Settings) -> list[dict[str, Any]]:
    """Where a consumer group has records yet to read; heartbeats, which never end, left out."""
    done = run_cli(settings.data.root, "lag", "--json")
    if done.returncode not in (0, 1):
        return [{"topic": "unknown", "lag": -1, "error": done.stderr}]
    rows: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return [row for row in rows if row["lag"] and row["topic"] != HEARTBEATS.name]


def lag(settings: Settings) -> int:
    """Records of any topic but heartbeats that some consumer group has yet to read."""
    return sum(int(row["lag"]) for row in lagging(settings))


def until_caught_up(settings: Settings, within_s: float = 180.0) -> None:
    """Wait until every consumer group has read, and committed, all that there is."""
    deadline = time.monotonic() + within_s
    while behind := lagging(settings):
        assert time.monotonic() < deadline, f"still behind after {within_s:.0f} s: {behind}"
        time.sleep(1.0)


def mirror_lines(settings: Settings, request: str, *options: str, for_s: float = 3.0) -> list[dict[str, Any]]:
    """What `nc` reads from port 42001 after saying `request`, until `for_s` after the first of it, or its end."""
    command = ["nc", *options, settings.gateway.host, str(settings.gateway.mirror_port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin
    assert process.stdout
    with contextlib.suppress(BrokenPipeError), process.stdin as asking:
        asking.write(f"{request}\n".encode() if request else b"")
    output, deadline = b"", time.monotonic() + 60
    while select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if not (data := os.read(process.stdout.fileno(), 1 << 16)):
            break
        deadline = deadline if output else time.monotonic() + for_s
        output += data
    process.kill()
    process.wait()
    process.stdout.close()
    lines = output.splitlines()
    return [json.loads(line) for line in lines if line.endswith(b"}")]

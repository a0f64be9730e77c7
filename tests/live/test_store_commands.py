# tests look at a real disk
"""`sealstream search`, `dead-letters` and `archive`, as a person runs them, on real stores."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.datadir import CONFIG_VARIABLE, VARIABLE
from infra.kafka import producer, topic_name
from infra.settings import Settings
from schemas.identity import agent_text
from schemas.topics import DEAD_LETTERS
from sinks.archive.layout import Layout
from sinks.archive.sink import ArchiveSink
from sinks.dead_letters import KafkaDeadLetters
from sinks.elasticsearch.client import request
from sinks.elasticsearch.mapping import alias_name
from sinks.elasticsearch.sink import ElasticsearchSink
from sinks.sink import Reject
from tests.live.test_sinks import ends, place  # noqa: F401  # fixture
from tests.live.test_stores import AGENT, cluster, document  # noqa: F401  # fixture
from tests.sinks.contract import put
from tests.sinks.envelopes import NOON_MS, agent, as_records, begin, seal

pytestmark = pytest.mark.live

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(place: Settings, cluster: tuple[Any, str], tmp_path: Path) -> Cli:  # noqa: F811
    """Runs a command with this test's settings."""
    search = place.elasticsearch.model_copy(update={"index_prefix": cluster[1]})
    environment = {name: value for name, value in os.environ.items() if name != CONFIG_VARIABLE}
    (tmp_path / "sealstream.toml").write_text(
        f'[kafka]\nbootstrap = "{place.kafka.bootstrap}"\ntopic_prefix = "{place.kafka.topic_prefix}"\n'
        f'[elasticsearch]\nurl = "{search.url}"\nca_file = "{search.ca_file}"\nusername = "{search.username}"\n'
        f'password_file = "{search.password_file}"\nindex_prefix = "{search.index_prefix}"\n'
    )

    def run(*arguments: str, **overrides: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "infra.cli", *arguments],
            env={**environment, VARIABLE: str(tmp_path), **overrides},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


async def test_search(cli: Cli, cluster: tuple[Any, str]) -> None:  # noqa: F811
    """A hit names agent, person, computer, stream, time and words; exit code 1: nothing found, 3: not reachable."""
    client, prefix = cluster
    sink = ElasticsearchSink(client, prefix)
    await sink.open()
    await put(sink, [document(1, "the \x1b[31m invoice is overdue", title="Inbox"), document(2, "nothing")])
    await request(client, "POST", f"/{alias_name(prefix)}/_refresh")
    found = await asyncio.to_thread(cli, "search", "invoice overdue", "--stream", "screen", "--since", "2026-11-01")
    assert found.returncode == 0, found.stderr
    for part in (AGENT, "Ann on PC-1", "screen", "2026-11-23", "»invoice«", "»overdue«", "Inbox"):
        assert part in found.stdout
    assert "\x1b" not in found.stdout
    as_json = json.loads((await asyncio.to_thread(cli, "search", "invoice", "--json")).stdout)
    assert (as_json["total"], as_json["hits"][0]["agent_id"]) == (1, AGENT)
    assert (await asyncio.to_thread(cli, "search", "invoice", "--user", "bob")).returncode == 1
    away = await asyncio.to_thread(cli, "search", "x", SEALSTREAM_ELASTICSEARCH__URL="https://127.0.0.1:9")
    assert (away.returncode, away.stderr.count("\n")) == (3, 1)
    assert (await asyncio.to_thread(cli, "search", "x", "--since", "soon")).returncode == 2


async def test_dead_letters(cli: Cli, place: Settings) -> None:  # noqa: F811
    """Listed, shown, published again, dropped; what is settled is no longer open."""
    records = as_records(seal(begin(), 2))
    sending = producer(place)
    await sending.start()
    letters = KafkaDeadLetters(sending, topic_name(place, DEAD_LETTERS.name), lambda: NOON_MS)
    await letters.put([Reject(records[0], "rejected"), Reject(records[1]._replace(value=b"junk"), "malformed")], "mine")
    await sending.stop()
    listed = json.loads((await asyncio.to_thread(cli, "dead-letters", "list", "--json")).stdout)
    assert [letter["reason"] for letter in listed] == ["rejected", "malformed"]
    shown = await asyncio.to_thread(cli, "dead-letters", "show", listed[0]["id"])
    assert json.loads(shown.stdout)["envelope"]["sequence"] == 0
    again = await asyncio.to_thread(cli, "dead-letters", "retry", listed[0]["id"])
    assert again.returncode == 0, again.stderr
    assert sum((await ends(place, ("envelopes.keystrokes",))).values()) == 1
    assert (await asyncio.to_thread(cli, "dead-letters", "drop", "--reason", "malformed")).returncode == 0
    assert (await asyncio.to_thread(cli, "dead-letters", "list")).returncode == 1
    settled = json.loads((await asyncio.to_thread(cli, "dead-letters", "list", "--all", "--json")).stdout)
    assert [letter["state"].split()[0] for letter in settled] == ["retried", "dropped"]
    assert (await asyncio.to_thread(cli, "dead-letters", "retry", "no-0-0")).returncode == 2


async def test_archive(cli: Cli, place: Settings, tmp_path: Path) -> None:  # noqa: F811
    """Taken out byte for byte, erased with an audit entry, verified; a flipped bit is exit code 1."""
    assert (await asyncio.to_thread(cli, "archive", "verify")).returncode == 3
    records = as_records([*seal(begin(1), 2), *seal(begin(2), 1)])
    sink = ArchiveSink(place.archive.dir, file_bytes=1)
    await sink.open()
    await put(sink, records)
    await sink.close()
    out = tmp_path / "out"
    taken = await asyncio.to_thread(cli, "archive", "cat", "--out", str(out))
    assert len(taken.stdout.splitlines()) == 3
    assert sorted(path.read_bytes() for path in out.iterdir()) == sorted(record.value for record in records)
    who = json.loads(taken.stdout.splitlines()[0])["agent_id"]
    erased = await asyncio.to_thread(cli, "archive", "erase", "--agent", who, "--day", "2026-11-23", "--yes")
    assert erased.returncode == 0, erased.stderr
    assert sum((await ends(place, ("audit",))).values()) == 2
    assert len((await asyncio.to_thread(cli, "archive", "cat")).stdout.splitlines()) == 1
    sound = await asyncio.to_thread(cli, "archive", "verify", "--json")
    assert (sound.returncode, json.loads(sound.stdout)["erased"]) == (0, 2)
    [path] = Layout(place.archive.dir).all_files()
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    assert (await asyncio.to_thread(cli, "archive", "verify")).returncode == 1
    assert who == agent_text(agent(1))

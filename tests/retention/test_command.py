"""`sealstream retention`, as a person runs it, on stores of a test's own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from infra import cli
from infra.datadir import CONFIG_VARIABLE, VARIABLE
from infra.settings import Settings
from tests.live.test_sinks import ends, place  # noqa: F401  # fixture
from tests.live.test_stores import cluster, dsn  # noqa: F401  # fixtures

pytestmark = [pytest.mark.live, pytest.mark.slow]

AGENT = "00000000-0000-0000-0000-0000000000a1"


async def test_retention(
    place: Settings,  # noqa: F811
    dsn: str,  # noqa: F811
    cluster: tuple[Any, str],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is kept, holds from placing to release, and a run, each in the audit; what is wrong is told."""
    search = place.elasticsearch
    (tmp_path / "sealstream.toml").write_text(
        f'[kafka]\nbootstrap = "{place.kafka.bootstrap}"\ntopic_prefix = "{place.kafka.topic_prefix}"\n'
        f'[elasticsearch]\nurl = "{search.url}"\nca_file = "{search.ca_file}"\nusername = "{search.username}"\n'
        f'password_file = "{search.password_file}"\nindex_prefix = "{cluster[1]}"\n'
    )
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/postgresql.password").touch()  # the address has it
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setenv("SEALSTREAM_POSTGRESQL__DSN", dsn)

    async def run(*arguments: str, days: str = "0") -> tuple[int, str]:
        monkeypatch.setenv("SEALSTREAM_RETENTION__DAYS", days)
        code = await asyncio.to_thread(cli.run, ["retention", *arguments])
        captured = capsys.readouterr()
        told.append(captured.err)
        return code, captured.out

    told: list[str] = []

    assert (await run("apply", "--yes"))[0] == 2, "everything is kept for ever"
    assert (await run("hold", "--purpose", "x"))[0] == 2, "nobody is named"
    assert (await run("hold", "--agent", AGENT, "--since", "2026-11-01", "--purpose", "case 4711"))[0] == 0
    shown = json.loads((await run("show", "--json", days="30"))[1])
    assert (shown["days"]["screen"], shown["days"]["audit"], shown["last_run"]) == (30, 0, None)
    [hold] = shown["holds"]
    assert (hold["agent"], hold["since"], hold["until"], hold["purpose"]) == (AGENT, "2026-11-01", None, "case 4711")
    code, dry = await run("apply", "--dry-run", days="30")
    assert (code, dry.splitlines()[0]) == (0, "archive: 0 files with 0 bytes would go")
    code, done = await run("apply", "--yes", "--json", days="30")
    assert (code, json.loads(done)["faults"]) == (0, [])
    _, text = await run("show", days="30")
    assert "case 4711" in text
    assert ", done\n" in text
    assert (await run("release", str(hold["id"]), "--purpose", "closed"))[0] == 0
    assert (await run("release", str(hold["id"]), "--purpose", "closed"))[0] == 1
    assert "no holds" in (await run("holds"))[1]
    assert await run("hold", "--person", "nobdoy", "--purpose", "x") == (0, "hold 2 is in force for 0 agents\n")
    assert "nobody is known as nobdoy" in told[-1]
    assert AGENT in (await run("holds", "--all"))[1]
    assert sum((await ends(place, ("audit",))).values()) == 2 + 2 + 4 + 2

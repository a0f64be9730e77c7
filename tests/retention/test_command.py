"""`sealstream retention`, as a person runs it, on stores of a test's own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.datadir import CONFIG_VARIABLE, VARIABLE
from infra.settings import Settings
from tests.live.test_sinks import ends, place  # noqa: F401  # fixture
from tests.live.test_stores import cluster, dsn  # noqa: F401  # fixtures

pytestmark = [pytest.mark.live, pytest.mark.slow]

AGENT = "00000000-0000-0000-0000-0000000000a1"


async def test_retention(place: Settings, dsn: str, cluster: tuple[Any, str], tmp_path: Path) -> None:  # noqa: F811
    """What is kept, holds from placing to release, and a run, each in the audit; what is wrong is told."""
    search = place.elasticsearch
    (tmp_path / "sealstream.toml").write_text(
        f'[kafka]\nbootstrap = "{place.kafka.bootstrap}"\ntopic_prefix = "{place.kafka.topic_prefix}"\n'
        f'[elasticsearch]\nurl = "{search.url}"\nca_file = "{search.ca_file}"\nusername = "{search.username}"\n'
        f'password_file = "{search.password_file}"\nindex_prefix = "{cluster[1]}"\n'
    )
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/postgresql.password").touch()  # the address has it
    environment = {
        **{name: value for name, value in os.environ.items() if name != CONFIG_VARIABLE},
        VARIABLE: str(tmp_path),
        "SEALSTREAM_POSTGRESQL__DSN": dsn,
    }

    async def run(*arguments: str, days: str = "0") -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "infra.cli", "retention", *arguments],
            env={**environment, "SEALSTREAM_RETENTION__DAYS": days},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert (await run("apply", "--yes")).returncode == 2, "everything is kept for ever"
    assert (await run("hold", "--purpose", "x")).returncode == 2, "nobody is named"
    placed = await run("hold", "--agent", AGENT, "--since", "2026-11-01", "--purpose", "case 4711")
    assert placed.returncode == 0, placed.stderr
    shown = json.loads((await run("show", "--json", days="30")).stdout)
    assert (shown["days"]["screen"], shown["days"]["audit"], shown["last_run"]) == (30, 0, None)
    [hold] = shown["holds"]
    assert (hold["agent"], hold["since"], hold["until"], hold["purpose"]) == (AGENT, "2026-11-01", None, "case 4711")
    dry = await run("apply", "--dry-run", days="30")
    assert (dry.returncode, dry.stdout.splitlines()[0]) == (0, "archive: 0 files with 0 bytes would go")
    done = await run("apply", "--yes", "--json", days="30")
    assert (done.returncode, json.loads(done.stdout)["faults"]) == (0, []), done.stderr
    told = (await run("show", days="30")).stdout
    assert "case 4711" in told
    assert ", done\n" in told
    assert (await run("release", str(hold["id"]), "--purpose", "closed")).returncode == 0
    assert (await run("release", str(hold["id"]), "--purpose", "closed")).returncode == 1
    assert "no holds" in (await run("holds")).stdout
    assert AGENT in (await run("holds", "--all")).stdout
    assert sum((await ends(place, ("audit",))).values()) == 2 + 2 + 4

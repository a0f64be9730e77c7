"""A real Prometheus finds the processes of a node by itself, scrapes them, and takes our rules."""

from __future__ import annotations

import asyncio
import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.datadir import DataDir
from infra.health import HealthServer, Serving
from infra.metrics import Metrics
from infra.stack.ports import choose_port

RULES = Path(__file__).parents[2] / "infra" / "monitoring" / "alerts.yml"
pytestmark = pytest.mark.slow

CONFIGURATION = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: sealstream-fleet
    http_sd_configs: [{{url: "http://127.0.0.1:{port}/targets", refresh_interval: 1s}}]
"""


@asynccontextmanager
async def prometheus(directory: Path, first_port: int) -> AsyncIterator[str]:
    """A Prometheus of its own that knows where one process of a node is; its address."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed: `apt-get install prometheus` brings it")
    (directory / "prometheus.yml").write_text(CONFIGURATION.format(rules=RULES, port=first_port), "utf-8")
    address = f"127.0.0.1:{choose_port('https')}"
    process = await asyncio.create_subprocess_exec(
        "prometheus", f"--config.file={directory / 'prometheus.yml'}", f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address={address}", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield address
    finally:
        process.terminate()
        await process.wait()


async def ask(address: str, path: str, **query: str) -> Any:
    def get() -> Any:
        url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    return await asyncio.to_thread(get)


async def until_up(address: str, processes: set[str]) -> list[dict[str, Any]]:
    """What Prometheus says of `up`, once all of these are."""
    async with asyncio.timeout(90):
        while True:
            try:
                found = (await ask(address, "query", query="up == 1"))["result"]
            except OSError:
                found = []
            if {one["metric"]["process"] for one in found} == processes:
                return list(found)
            await asyncio.sleep(0.5)


async def test_one_address_is_enough_to_scrape_all_processes_of_a_node(tmp_path: Path) -> None:
    """The process on the first port tells of the others; node and process are labels; our rules are taken."""
    data = DataDir(tmp_path / "node")
    serving = Serving(first_port=choose_port("https"), node="app-1")
    async with (
        HealthServer(data, "gateway-10000", {}, Metrics(()), serving=serving) as first,
        HealthServer(data, "front", {}, Metrics(()), serving=serving),
    ):
        port = int(first.url.removesuffix("/healthz").rpartition(":")[2])
        async with prometheus(tmp_path, port) as address:
            found = await until_up(address, {"gateway-10000", "front"})
            assert {one["metric"]["node"] for one in found} == {"app-1"}
            built = (await ask(address, "query", query="count by (version) (sealstream_build)"))["result"]
            assert [one["value"][1] for one in built] == ["2"]
            groups = (await ask(address, "rules"))["groups"]
            assert len([rule for group in groups for rule in group["rules"]]) > 40

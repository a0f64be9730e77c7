"""The health port of a process: where it is opened, whom it answers, and what every process shows there."""

from __future__ import annotations

import json
import socket
import urllib.request
from asyncio import to_thread
from pathlib import Path
from urllib.error import HTTPError

import pytest

from infra.datadir import DataDir
from infra.health import HealthServer, Serving, is_loopback
from infra.metrics import Kind, Metric, Metrics, Rows
from infra.monitoring.serving import serving_of
from infra.settings import MetricsSettings, NodeSettings, Settings


def own_address() -> str:
    """An address of this machine that is not the loopback; the test is skipped where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.9", 9))  # nothing is sent
            address = str(probe.getsockname()[0])
        except OSError:
            address = ""
    if not address or is_loopback(address):
        pytest.skip("this machine has no address but the loopback")
    return address


async def ask(target: str, path: str = "/metrics") -> tuple[int, str]:
    def get() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{target}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as refused:
            return refused.code, ""

    return await to_thread(get)


async def test_from_another_node_approved_addresses_alone_are_answered(tmp_path: Path) -> None:
    """The same question from the same address, before and after that is approved; the node itself always may."""
    address = own_address()
    settings = Settings(
        node=NodeSettings(id="app-1", data_dir=tmp_path, advertise=address), metrics=MetricsSettings(host="0.0.0.0")
    )
    async with HealthServer(settings.data, "gateway", {}, Metrics(()), serving=serving_of(settings)) as server:
        near = server.url.removeprefix("http://").removesuffix("/healthz")
        far = near.replace("127.0.0.1", address)
        assert (await ask(far))[0] == (await ask(far, "/healthz"))[0] == (await ask(far, "/targets"))[0] == 403
        assert (await ask(near))[0] == 200
        (tmp_path / "approved").write_text(f"{address}  # Prometheus\n", "utf-8")
        status, text = await ask(far)
        assert status == 200
        assert 'sealstream_build{version="' in text
        assert json.loads((await ask(far, "/targets"))[1]) == [
            {"targets": [far], "labels": {"node": "app-1", "process": "gateway"}}
        ]


async def test_nobody_from_afar_reaches_the_loopback(tmp_path: Path) -> None:
    """As it is without settings."""
    address = own_address()
    async with HealthServer(DataDir(tmp_path), "gateway", {}, Metrics(())) as server:
        port = int(server.url.removesuffix("/healthz").rpartition(":")[2])
        with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
            await ask(f"{address}:{port}")


async def test_ports_are_taken_in_order_from_the_first_that_is_free(tmp_path: Path) -> None:
    """Whichever process has the first one tells the targets of all."""
    data = DataDir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        serving = Serving(first_port=first, node="n")
        async with (
            HealthServer(data, "one", {}, Metrics(()), serving=serving) as one,
            HealthServer(data, "two", {}, Metrics(()), serving=serving) as two,
        ):
            ports = [int(server.url.removesuffix("/healthz").rpartition(":")[2]) for server in (one, two)]
            assert first < ports[0] < ports[1] < first + 100
            told = json.loads((await ask(f"127.0.0.1:{ports[0]}", "/targets"))[1])
            assert [group["labels"]["process"] for group in told] == ["one", "two"]
            assert [group["targets"] for group in told] == [[f"127.0.0.1:{port}"] for port in ports]


async def test_every_process_shows_its_version_and_its_disk(tmp_path: Path) -> None:
    """As they are when somebody asks; a place that is not there is not a number."""
    metrics = Metrics(())
    metrics.watch_disk("archive", tmp_path / "none")
    async with HealthServer(DataDir(tmp_path), "here", {}, metrics):
        lines = dict(line.rsplit(" ", 1) for line in metrics.expose().decode().splitlines() if line[0] != "#")
    free, size = (float(lines[f'sealstream_disk_{what}_bytes{{place="data"}}']) for what in ("free", "size"))
    assert 0 < free < size
    assert lines['sealstream_disk_free_bytes{place="archive"}'] == "NaN"
    assert [line for line in lines if line.startswith("sealstream_build{")]


def test_a_row_that_went_is_shown_no_more() -> None:
    """A partition that is read elsewhere now is not counted here too."""
    metrics = Metrics((Metric("lag", Kind.GAUGE, "lag", ("topic", "partition")),))
    rows: Rows[tuple[str, int]] = Rows(metrics.gauge("lag"), lambda place: (place[0], str(place[1])))
    rows.show({("a", 0): 3.0, ("a", 1): 4.0})
    rows.show({("a", 1): 5.0})
    text = metrics.expose().decode()
    assert 'lag{partition="1",topic="a"} 5.0' in text
    assert 'partition="0"' not in text


@pytest.mark.parametrize(
    ("address", "near"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("10.0.0.1", False), ("node.example.org", False), ("", False)],
)  # fmt: skip
def test_what_is_the_loopback(address: str, near: bool) -> None:  # noqa: FBT001 - a fact
    """Also as an IPv4 address in IPv6's clothes."""
    assert is_loopback(address) is near

"""Rules, dashboard and targets for Prometheus and Grafana: true to the metrics that processes expose."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.metrics import TABLE
from infra import cli
from infra.cli.exits import Exit
from infra.datadir import DataDir
from infra.health import HealthServer, write_note
from infra.metrics import COMMON, Kind, Metric, Metrics
from infra.monitoring.panels import build_dashboard
from infra.monitoring.targets import find_targets
from sinks.metrics import METRICS as SINK_METRICS
from streams.metrics import METRICS as STREAM_METRICS
from streams.miner.metrics import METRICS as MINER_METRICS

ROOT = Path(__file__).parent.parent.parent
HERE = ROOT / "infra" / "monitoring"
RULES = (HERE / "alerts.yml").read_text("utf-8")
ALERTS = re.findall(r"- alert: (\w+)", RULES)
TABLES = (*COMMON, *TABLE, *SINK_METRICS, *STREAM_METRICS, *MINER_METRICS)
NAME = re.compile(r"\b(?:gateway|sealstream|streams|miner|process)_[a-z_]+")
SERIES = {
    Kind.COUNTER: ("",),
    Kind.GAUGE: ("",),
    Kind.HISTOGRAM: ("_bucket", "_count", "_sum"),
}


def exposed() -> set[str]:
    """The name of every time series that a process of ours exposes."""
    own = {line.split(" ")[2] for line in Metrics(()).expose().decode().splitlines() if line.startswith("# TYPE")}
    return own | {metric.name + end for metric in TABLES for end in SERIES[metric.kind]}


def describe(metric: Metric) -> str:
    """A metric's row in the docs."""
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


def dashboard_panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads((HERE / "dashboard.json").read_text("utf-8"))["panels"]
    return panels


def dashboard_queries() -> list[str]:
    return [target["expr"] for panel in dashboard_panels() for target in panel.get("targets", [])]


def rule_expressions() -> str:
    """All expressions of the rules, without what is for people to read."""
    return "\n".join(re.findall(r"expr:(.*?)\n +(?:for|labels):", RULES, re.DOTALL))


def promtool(*arguments: str, cwd: Path = HERE) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: `apt-get install prometheus` brings it")
    ran = subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_rules_and_dashboard_name_only_metrics_that_exist() -> None:
    """Every name is one of a process's table."""
    named = set(NAME.findall(rule_expressions() + "\n".join(dashboard_queries())))
    assert named
    assert named <= exposed(), named - exposed()


def test_labels_are_those_of_the_metrics() -> None:
    """What rules and dashboard group and choose by, some metric has, or Prometheus gives."""
    text = rule_expressions() + "\n".join(dashboard_queries())
    grouped = {name.strip() for names in re.findall(r"\bby \(([^)]*)\)", text) for name in names.split(",")}
    chosen = set(re.findall(r"[{,] ?([a-z_]+)(?:=|!=|=~|!~)\"", text))
    known = {label for metric in TABLES for label in metric.labels} | {"instance", "job", "le", "alertstate", "process"}
    assert grouped | chosen <= known, (grouped | chosen) - known


def test_the_dashboard_shows_every_metric_of_the_product() -> None:
    """Nothing is measured that nobody can see; refused readers of metrics are an alert alone."""
    shown = "\n".join(dashboard_queries())
    hidden = {metric.name for metric in TABLES if metric.name not in shown}
    assert hidden == {"gateway_metrics_refused_total"}


def test_the_dashboard_is_what_its_table_says() -> None:
    """Changed in `infra/monitoring/panels.py`, and written anew by `python -m infra.monitoring.panels`."""
    assert json.loads((HERE / "dashboard.json").read_text("utf-8")) == build_dashboard()


def test_the_dashboard_has_a_row_for_each_hop() -> None:
    """From agents to stores, in the order in which an envelope goes."""
    rows = [panel["title"] for panel in dashboard_panels() if panel["type"] == "row"]
    hops = ["Agents", "Gateways", "Workers", "OCR", "Stores", "Nodes and processes"]
    assert [row for row in rows if row in hops] == hops


def test_every_metric_is_on_its_page_with_the_same_words() -> None:
    """docs/metrics.md, process by process, and nothing that is none; a gateway's are in docs/gateway.md."""
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    listed = [metric for metric in TABLES if metric not in TABLE]
    assert [metric.name for metric in listed if describe(metric) not in page] == []
    assert len(re.findall(r"^\| `\w+` \| (?:counter|gauge|histogram)", page, re.MULTILINE)) == len(listed)


def test_panels_have_ids_and_places_of_their_own() -> None:
    """No two panels have one id, and none lies on another."""
    panels = dashboard_panels()
    assert len({panel["id"] for panel in panels}) == len(panels)
    squares = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(squares)) == len(squares)


def test_each_alert_is_tested_both_ways_and_documented() -> None:
    """It fires, it is quiet, and docs/monitoring.md says what it means."""
    tests = (HERE / "alerts.test.yml").read_text("utf-8")
    page = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
    for alert in ALERTS:
        assert f"name: {alert} fires" in tests, alert
        assert f"name: {alert} is quiet" in tests, alert
        assert f"| `{alert}` |" in page, alert
    assert re.findall(r"^\| `([A-Z]\w+)` \|", page, re.MULTILINE) == ALERTS


def test_promtool_finds_the_rules_right() -> None:
    """Rules and configuration are of the form that Prometheus reads."""
    promtool("check", "rules", "alerts.yml")
    promtool("check", "config", "--syntax-only", "prometheus.yml")


def test_promtool_sees_alerts_fire_and_be_quiet() -> None:
    """The unit tests of the rules pass."""
    promtool("test", "rules", "alerts.test.yml")


def test_promtool_can_read_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    """Each is an expression of Prometheus's."""
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(dashboard_queries())]
    (tmp_path / "queries.yml").write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}), "utf-8")
    promtool("check", "rules", "queries.yml", cwd=tmp_path)


async def test_a_process_with_a_health_port_is_a_target(tmp_path: Path) -> None:
    """It is one while it runs; the stack's own note is none."""
    data = DataDir(tmp_path)
    write_note(data.run / "stack.json", {"phase": "ready"})
    async with HealthServer(data, "sink-disk", {}, Metrics(())) as server:
        address = server.url.removeprefix("http://").removesuffix("/healthz")
        assert find_targets(data, "node-1") == [
            {"targets": [address], "labels": {"node": "node-1", "process": "sink-disk"}}
        ]
    assert find_targets(data, "node-1") == []


def test_targets_are_printed_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As JSON for file discovery; exit code 1 when nothing runs, 2 when the file cannot be written."""
    monkeypatch.setenv("SEALSTREAM_DATA", str(tmp_path))
    assert cli.run(["monitoring", "targets"]) == Exit.NOTHING
    assert json.loads(capsys.readouterr().out) == []
    write_note(tmp_path / "run" / "streams-1.json", {"health": "http://127.0.0.1:33871/healthz"})
    assert cli.run(["monitoring", "targets", "--out", str(tmp_path / "targets.json")]) == Exit.OK
    assert json.loads((tmp_path / "targets.json").read_text("utf-8"))[0]["targets"] == ["127.0.0.1:33871"]
    assert cli.run(["monitoring", "targets", "--out", str(tmp_path / "none" / "targets.json")]) == Exit.USAGE

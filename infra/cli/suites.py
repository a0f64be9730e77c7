"""What TLS the agents speak that are connected, as the gateway's own metrics tell; for `sealstream status`.

Never shows a suite without forward secrecy as if it were like the others.
"""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from infra.cli.table import render_table
from infra.stack.probe import http_get

METRIC = "gateway_agents_by_suite"
WEAK = "NO: who steals the server's key later can read what was sent"


async def read_suites(note: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Agents by TLS version and suite, most first; nothing where the gateway does not answer."""
    if note is None or "health" not in note:
        return []
    try:
        status, body = await http_get(str(note["health"]).replace("/healthz", "/metrics"))
    except (OSError, TimeoutError):
        return []
    return parse_suites(body.decode("utf-8", "replace")) if status == 200 else []


def parse_suites(exposed: str) -> list[dict[str, Any]]:
    """The rows in Prometheus's text format."""
    samples = [
        sample for family in text_string_to_metric_families(exposed) for sample in family.samples
        if sample.name == METRIC and sample.value
    ]  # fmt: skip
    rows = [
        {
            "tls": sample.labels["version"],
            "suite": sample.labels["suite"],
            "forward_secret": sample.labels["forward_secret"] == "yes",  # noqa: S105 - a label, no secret
            "agents": int(sample.value),
        }
        for sample in samples
    ]
    return sorted(rows, key=lambda row: (row["forward_secret"], -int(row["agents"])))


def render_suites(rows: list[dict[str, Any]]) -> str:
    """The same as a table, the weak ones first."""
    shown = [(row["agents"], row["tls"], row["suite"], "yes" if row["forward_secret"] else WEAK) for row in rows]
    return render_table(("AGENTS", "TLS", "SUITE", "FORWARD SECRECY"), shown)

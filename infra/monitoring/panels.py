"""The dashboard as a table: rows by hop, panels, and what each asks of Prometheus.

    python -m infra.monitoring.panels > infra/monitoring/dashboard.json

Never asks for a figure of one agent: there is none.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

STAT, LINES = "stat", "timeseries"
_SIZES = {STAT: (4, 4), LINES: (8, 8)}
_WIDTH = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_OPTIONS: dict[str, Any] = {
    STAT: {"reduceOptions": {"calcs": ["lastNotNull"]}},
    LINES: {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
}

Queries = tuple[tuple[str, str], ...]
"""Each an expression, and what its lines are called."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel; `unit` is Grafana's name of it."""

    title: str
    description: str
    unit: str
    queries: Queries
    kind: str = LINES


def _quantiles(metric: str, by: str = "", name: str = "") -> Queries:
    """Half and 99 % of a histogram."""
    grouped = f"{by}, le" if by else "le"
    asked = ((0.5, "half"), (0.99, "99 %"))
    return tuple(
        (f"histogram_quantile({q}, sum by ({grouped}) (rate({metric}_bucket[5m])))", f"{name}{word}")
        for q, word in asked
    )


def _mean(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}_sum[5m])) / sum by ({by}) (rate({metric}_count[5m]))"


def _stat(title: str, description: str, unit: str, expression: str, name: str) -> Panel:
    return Panel(title, description, unit, ((expression, name),), STAT)


OURS = 'job=~"sealstream-.+"'

ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Now",
        (
            _stat("Agents connected", "over all gateways", "short", "sum(gateway_connections)", "agents"),
            _stat("Envelopes a second", "acknowledged: all in-sync replicas have them", "ops",
                  'sum(rate(gateway_envelopes_total{outcome="delivered"}[5m]))', "delivered"),
            _stat("Bytes a second", "sealed, as agents sent them", "Bps",
                  "sum(rate(gateway_received_bytes_total[5m]))", "received"),
            _stat("Not mined yet", "lag of miners, measured after the flush", "short",
                  'sum(streams_lag_records{stage="mine"})', "records"),
            _stat("Not stored yet", "lag of all sinks, measured after the flush", "short",
                  "sum(sealstream_sink_lag_records)", "records"),
            _stat("Alerts that fire", "docs/monitoring.md says what to do", "short",
                  'count(ALERTS{alertstate="firing"}) or vector(0)', "alerts"),
            _stat("Processes away", "that do not answer Prometheus", "short",
                  f"count(up{{{OURS}}} == 0) or vector(0)", "processes"),
            _stat("Processes lost", "whose heartbeats ended without a word, within the last day", "short",
                  "count(max by (node) (streams_node_lost) == 1) or vector(0)", "processes"),
            _stat("Waits in agents' spools", "as agents that are connected said", "bytes",
                  "sum(gateway_agents_spooled_bytes)", "bytes"),
            _stat("Frames that wait for OCR", "over all workers", "short", "sum(streams_ocr_waiting_frames)", "frames"),
            _stat("Kafka's partitions short", "of a replica", "short",
                  'max(streams_kafka_partitions{condition="short"})', "partitions"),
            _stat("Certificate ends in", "the first gateway's that ends", "s",
                  'min(gateway_certificate_expires_timestamp_seconds{certificate="gateway"}) - time()', "gateway"),
        ),
    ),
    (
        "Agents",
        (
            Panel("Agents by gateway", "connections, and TLS handshakes in progress", "short",
                  (("gateway_connections", "{{instance}}"), ("gateway_handshakes", "{{instance}}: handshakes"))),
            Panel("Agents by TLS", "what agents speak now", "short",
                  (("sum by (version, suite) (gateway_agents_by_suite)", "{{version}} {{suite}}"),
                   ("sum(rate(gateway_weak_suites_total[5m])) * 60", "without forward secrecy, a minute"))),
            Panel("Connections, a second", "agents greeted: a storm of reconnections shows here", "ops",
                  (("sum by (version) (rate(gateway_greetings_total[5m]))", "{{version}}"),)),
            Panel("Agents' spools", "bytes that agents connected here keep until they are acknowledged", "bytes",
                  (("gateway_agents_spooled_bytes", "{{instance}}: all"),
                   ("gateway_agents_spooled_most_bytes", "{{instance}}: the fullest"))),
            Panel("Age of what is spooled", "for which the oldest envelope in a spool has waited", "s",
                  (("gateway_agents_spool_oldest_seconds", "{{instance}}"),)),
            Panel("Agents' clocks", "by which they differed when agents were greeted", "s",
                  _quantiles("gateway_agent_clock_seconds")),
            Panel("Assignment", "agents that asked for a server, and agents sent to another, a minute", "short",
                  (("sum by (result) (rate(gateway_assignments_total[5m])) * 60", "{{result}}"),
                   ("sum by (reason) (rate(gateway_moved_total[5m])) * 60", "moved: {{reason}}"))),
            Panel("Turned away, a minute", "connections refused or ended by gateways", "short",
                  (("sum by (reason) (rate(gateway_turned_away_total[5m])) * 60", "{{reason}}"),
                   ("sum by (reason) (rate(gateway_https_ended_total[5m])) * 60", "HTTPS: {{reason}}"),
                   ("sum by (outcome) (rate(gateway_enrolments_total[5m])) * 60", "enrolments: {{outcome}}"))),
            Panel("Gaps", "holes in sequences that gateways saw, and holes that agents told of, by stream", "short",
                  (("sum(increase(gateway_sequence_gaps_total[5m]))", "seen by gateways"),
                   ("sum by (stream) (increase(streams_gaps_total[5m]))", "told: {{stream}}"))),
        ),
    ),
    (
        "Gateways",
        (
            Panel("Envelopes by outcome", "anything other than delivered can never be stored", "ops",
                  (("sum by (outcome) (rate(gateway_envelopes_total[5m]))", "{{outcome}}"),
                   ("sum(rate(gateway_repeated_total[5m]))", "came again"))),
            Panel("Time to acknowledge", "from receiving an envelope to acknowledging it", "s",
                  _quantiles("gateway_ack_seconds")),
            Panel("Time to acknowledge, by gateway", "99 %", "s",
                  (("histogram_quantile(0.99, sum by (instance, le) (rate(gateway_ack_seconds_bucket[5m])))",
                    "{{instance}}"),)),
            Panel("Queue", "bytes held until Kafka has them; bounded by gateway.memory_budget_bytes", "bytes",
                  (("gateway_held_bytes", "{{instance}}"), ("gateway_partial_bytes", "{{instance}}: half frames"),
                   ("min(gateway_budget_bytes)", "budget"))),
            Panel("Waiting", "connections that wait for memory; records published and not settled", "short",
                  (("gateway_waiting_connections", "{{instance}}: connections"),
                   ("gateway_outstanding_records", "{{instance}}: records"))),
            Panel("Short of", "1 while a gateway sends agents elsewhere for it; gateways that each knows", "short",
                  (("max by (instance, component) (gateway_fault)", "{{instance}}: {{component}}"),
                   ("gateway_presence_away", "{{instance}}: Redis"),
                   ("min(gateway_presence_gateways)", "gateways known, the fewest"))),
        ),
    ),
    (
        "Workers",
        (
            Panel("Lag by stage", "records not committed, measured after results were delivered", "short",
                  (("sum by (stage) (streams_lag_records)", "{{stage}}"),)),
            Panel("Lag by partition", "the twelve worst", "short",
                  (("topk(12, max by (stage, topic, partition) (streams_lag_records))",
                    "{{stage}} {{topic}}-{{partition}}"),)),
            Panel("Age of what waits", "the oldest record that is not settled", "s",
                  (("max by (stage) (streams_oldest_seconds)", "{{stage}}"),)),
            Panel("Settled", "records whose results are durable, a second", "ops",
                  (("sum by (stage) (rate(streams_records_settled_total[5m]))", "{{stage}}"),)),
            Panel("Bytes settled", "of those records, a second", "Bps",
                  (("sum by (stage) (rate(streams_record_bytes_total[5m]))", "{{stage}}"),)),
            Panel("From Kafka to durable results", "99 %", "s",
                  (("histogram_quantile(0.99, sum by (stage, le) (rate(streams_settle_seconds_bucket[5m])))",
                    "{{stage}}"),)),
            Panel("Results", "documents, spans, gaps, alerts, a second", "ops",
                  (("sum by (stage) (rate(streams_results_delivered_total[5m]))", "{{stage}}"),)),
            Panel("Wait, and dead letters", "should be nothing", "short",
                  (("sum by (stage) (streams_waiting)", "{{stage}}: wait for a dependency"),
                   ("sum by (stage, reason) (increase(streams_dead_letters_total[5m]))", "{{stage}}: {{reason}}"))),
            Panel("Partitions", "in hand, and times that they were given anew", "short",
                  (("sum by (stage) (streams_partitions_held)", "{{stage}}"),
                   ("sum by (stage) (increase(streams_rebalances_total[5m]))", "{{stage}}: given anew"))),
            Panel("Under way", "records in workers' memory that are not settled", "short",
                  (("sum by (stage) (streams_under_way_records)", "{{stage}}"),)),
            Panel("Bytes under way", "of those records", "bytes",
                  (("sum by (stage) (streams_under_way_bytes)", "{{stage}}"),)),
            Panel("Progress by topic", "offsets a second, of topics that lanes read", "ops",
                  (("sum by (topic) (deriv(streams_next_offset[5m]))", "{{topic}}"),)),
            Panel("Rules of alerts", "rules in force", "short",
                  (("max(streams_rules)", "rules"), ("sum(streams_rule_windows)", "windows"),
                   ("max(streams_rules_age_seconds)", "seconds since they were read"))),
        ),
    ),
    (
        "OCR",
        (
            Panel("Frames that wait", "for OCR, or are being read", "short",
                  (("streams_ocr_waiting_frames", "{{instance}}"),)),
            Panel("Age of the oldest", "frame that waits", "s", (("streams_ocr_oldest_seconds", "{{instance}}"),)),
            Panel("Processes that read", "and such that died", "short",
                  (("sum by (instance) (streams_ocr_busy_processes)", "{{instance}}"),
                   ("sum by (instance) (increase(streams_ocr_deaths_total[5m]))", "{{instance}}: died"))),
            Panel("Frames read", "a second", "ops", (("sum by (instance) (rate(streams_ocr_frames_total[5m]))",
                                                     "{{instance}}"),)),
            Panel("Time of a frame", "the mean of each request's frames", "s", _quantiles("streams_ocr_frame_seconds")),
        ),
    ),
    (
        "Stores",
        (
            Panel("Lag by sink", "records not committed, measured after the flush", "short",
                  (("sum by (sink) (sealstream_sink_lag_records)", "{{sink}}"),
                   ("max by (sink) (sealstream_sink_waiting)", "{{sink}}: waits for its store"))),
            Panel("Lag by partition of sinks", "the twelve worst", "short",
                  (("topk(12, max by (sink, topic, partition) (sealstream_sink_lag_records))",
                    "{{sink}} {{topic}}-{{partition}}"),)),
            Panel("Age of what is not stored", "the oldest record that is not committed", "s",
                  (("max by (sink) (sealstream_sink_oldest_seconds)", "{{sink}}"),)),
            Panel("Written", "records that are durable, a second", "ops",
                  (("sum by (sink) (rate(sealstream_sink_records_total[5m]))", "{{sink}}"),)),
            Panel("Bytes written", "a second; and bytes in memory", "Bps",
                  (("sum by (sink) (rate(sealstream_sink_bytes_total[5m]))", "{{sink}}"),
                   ("sum by (sink) (sealstream_sink_held_bytes)", "{{sink}}: in memory"))),
            Panel("Batches", "records and bytes of one, the mean", "short",
                  ((_mean("sealstream_sink_batch_records", "sink"), "{{sink}}: records"),
                   (_mean("sealstream_sink_batch_bytes", "sink") + " / 1024", "{{sink}}: KiB"))),
            Panel("Time to be durable", "of a batch", "s",
                  (("histogram_quantile(0.99, sum by (sink, le) (rate(sealstream_sink_write_seconds_bucket[5m])))",
                    "{{sink}}: 99 %"),)),
            Panel("From Kafka to the store", "the oldest record of each batch", "s",
                  (("histogram_quantile(0.99, sum by (sink, le) (rate(sealstream_sink_settle_seconds_bucket[5m])))",
                    "{{sink}}: 99 %"),)),
            Panel("Stores away", "part of the time, and attempts that failed, a minute", "short",
                  (("sum by (sink) (rate(sealstream_sink_away_seconds_total[5m]))", "{{sink}}: away"),
                   ("sum by (sink) (rate(sealstream_sink_retries_total[5m])) * 60", "{{sink}}: attempts"))),
            Panel("Refused for good", "kept as dead letters", "short",
                  (("sum by (sink, reason) (increase(sealstream_sink_rejects_total[5m]))", "{{sink}}: {{reason}}"),)),
            Panel("Partitions of sinks", "in hand, and times that they were given anew", "short",
                  (("sum by (sink) (sealstream_sink_partitions_held)", "{{sink}}"),
                   ("sum by (sink) (increase(sealstream_sink_rebalances_total[5m]))", "{{sink}}: given anew"))),
            Panel("Retention: erased", "epochs, rows and documents that were too old, in a day; bytes of archive files",
                  "short",
                  (("sum by (store, kind) (increase(sealstream_retention_erased_total[1d]))", "{{store}}: {{kind}}"),
                   ("sum(increase(sealstream_retention_erased_bytes_total[1d]))", "bytes of archive files"))),
            Panel("Retention: oldest", "age of the oldest of each kind, and time since a run succeeded", "s",
                  (("time() - min by (store, kind) (sealstream_retention_oldest_timestamp_seconds)",
                    "{{store}}: {{kind}}"),
                   ("time() - max(sealstream_retention_last_run_timestamp_seconds)", "last run"))),
        ),
    ),
    (
        "Console, live views and mirror",
        (
            Panel("Console and live", "people who look, and nodes that follow lifecycle events", "short",
                  (("sum(gateway_https_connections)", "HTTPS connections"),
                   ("sum by (stream) (gateway_live_viewers)", "live: {{stream}}"),
                   ("sum(gateway_live_connections)", "viewers to be"),
                   ("sum by (way) (gateway_live_relays)", "streams through Redis, {{way}}"),
                   ("sum(gateway_mirror_readers)", "readers of the mirror"),
                   ("sum(increase(gateway_mirror_dropped_total[5m]))", "readers dropped"))),
            Panel("Live bytes a second", "envelopes handed to viewers, and views that go from gateway to gateway",
                  "Bps",
                  (("sum(rate(gateway_live_bytes_total[5m]))", "to viewers"),
                   ("sum by (way) (rate(gateway_live_relay_bytes_total[5m]))", "through Redis, {{way}}"))),
            Panel("Live events",
                  "packets of sound by what became of them, viewers who fell behind, messages of gateways refused",
                  "ops",
                  (("sum by (event) (rate(gateway_live_events_total[5m]))", "{{event}}"),)),
        ),
    ),
    (
        "Nodes and processes",
        (
            Panel("Processes by state", "as heartbeats and lifecycle events say", "short",
                  (("max by (state) (streams_nodes)", "{{state}}"),)),
            Panel("Calls of miners", "by gRPC, a second, by how they ended; calls of who may not call", "ops",
                  (("sum by (method, code) (rate(miner_calls_total[5m]))", "{{method}}: {{code}}"),
                   ("sum by (reason) (rate(miner_calls_refused_total[5m]))", "refused: {{reason}}"))),
            Panel("Workers of miners", "that live, what they hold, and 1 for a node that is drained", "short",
                  (("miner_workers", "{{instance}}: workers"), ("miner_partitions", "{{instance}}: partitions"),
                   ("miner_drained", "{{instance}}: drained"))),
            Panel("Clocks of nodes", "behind (above 0) or ahead of the worker that judges heartbeats", "s",
                  (("streams_node_clock_seconds", "{{node}}"),)),
            Panel("Kafka's partitions", "without a leader, with too few replicas to write, short of one", "short",
                  (("max by (condition) (streams_kafka_partitions)", "{{condition}}"),)),
            Panel("Servers of stores", "that several nodes keep, as the master sees them that misses most", "short",
                  (('max by (store) (gateway_store_servers{state="away"})', "{{store}}: away"),
                   ('min by (store) (gateway_store_servers{state="there"})', "{{store}}: there"))),
            Panel("Disks", "free, of what there is", "percentunit",
                  (("min by (node, place) (sealstream_disk_free_bytes / sealstream_disk_size_bytes)",
                    "{{node}} {{place}}"),)),
            Panel("Versions", "processes by the version that they run", "short",
                  (("count by (version) (sealstream_build)", "{{version}}"),)),
            Panel("Memory", "resident", "bytes",
                  ((f"process_resident_memory_bytes{{{OURS}}}", "{{process}} on {{node}}"),)),
            Panel("CPU", "cores", "short",
                  ((f"rate(process_cpu_seconds_total{{{OURS}}}[5m])", "{{process}} on {{node}}"),)),
            Panel("Open files", "and sockets", "short",
                  ((f"process_open_fds{{{OURS}}}", "{{process}} on {{node}}"),)),
        ),
    ),
)  # fmt: skip


def build_dashboard() -> dict[str, Any]:
    """The dashboard in Grafana's form; panels flow from left to right, row by row."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS:
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": []})
        panels[-1]["gridPos"] = {"h": 1, "w": _WIDTH, "x": 0, "y": top}
        top += 1
        left = height = 0
        for panel in row:
            width, height = _SIZES[panel.kind]
            if left + width > _WIDTH:
                left, top = 0, top + height
            panels.append(_draw(panel, len(panels) + 1, {"h": height, "w": width, "x": left, "y": top}))
            left += width
        top += height
    datasource = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": "sealstream",
        "title": "sealstream",
        "tags": ["sealstream"],
        "schemaVersion": 38,
        "version": 2,
        "editable": True,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [{**datasource, "current": {}}]},
        "annotations": {"list": []},
        "panels": panels,
    }


def _draw(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0} if _has_floor(panel) else {"unit": panel.unit},
                        "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": expression, "legendFormat": name}
            for index, (expression, name) in enumerate(panel.queries)
        ],
        "options": _OPTIONS[panel.kind],
    }  # fmt: skip


def _has_floor(panel: Panel) -> bool:
    """Whether nothing in it is ever below 0; clocks and what is left of a certificate are."""
    return not any(
        ("clock_seconds" in query and "_bucket" not in query) or "time()" in query for query, _ in panel.queries
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(build_dashboard(), indent=1, ensure_ascii=False) + "\n")

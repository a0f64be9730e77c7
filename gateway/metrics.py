"""The table of the gateway's metrics; `docs/gateway.md` lists them, and a test compares the two.

Never labelled by agent: ten thousand agents would be ten thousand time series.
"""

from __future__ import annotations

from infra.metrics import Kind, Metric

TABLE: tuple[Metric, ...] = (
    Metric("gateway_connections", Kind.GAUGE, "agents connected now"),
    Metric(
        "gateway_greetings_total",
        Kind.COUNTER,
        "connections that were greeted, by TLS version and suite",
        ("version", "suite"),
    ),
    Metric(
        "gateway_agents_by_suite",
        Kind.GAUGE,
        "agents connected now, by TLS version, suite and whether it has forward secrecy",
        ("version", "suite", "forward_secret"),
    ),
    Metric("gateway_weak_suites_total", Kind.COUNTER, "connections without forward secrecy"),
    Metric("gateway_handshakes", Kind.GAUGE, "TLS handshakes in progress now"),
    Metric(
        "gateway_turned_away_total", Kind.COUNTER, "connections refused or ended by the gateway, by reason", ("reason",)
    ),
    Metric("gateway_received_bytes_total", Kind.COUNTER, "bytes of envelopes received"),
    Metric("gateway_envelopes_total", Kind.COUNTER, "envelopes settled, by what became of them", ("outcome",)),
    Metric("gateway_sequence_gaps_total", Kind.COUNTER, "holes seen in the sequence of an epoch"),
    Metric("gateway_repeated_total", Kind.COUNTER, "envelopes that came again on the same connection"),
    Metric("gateway_ack_seconds", Kind.HISTOGRAM, "from receiving an envelope to acknowledging it"),
    Metric("gateway_held_bytes", Kind.GAUGE, "bytes of envelopes in memory now"),
    Metric("gateway_partial_bytes", Kind.GAUGE, "of those, bytes of frames that are not complete"),
    Metric("gateway_budget_bytes", Kind.GAUGE, "bytes of envelopes that may be in memory"),
    Metric("gateway_waiting_connections", Kind.GAUGE, "connections that wait for memory before they are read on"),
    Metric("gateway_agents_spooled_bytes", Kind.GAUGE, "bytes in the spools of agents connected here, as they said"),
    Metric("gateway_agents_spooled_most_bytes", Kind.GAUGE, "bytes in the fullest of these spools"),
    Metric("gateway_agents_spool_oldest_seconds", Kind.GAUGE, "for which the oldest envelope in them has waited"),
    Metric(
        "gateway_agent_clock_seconds",
        Kind.HISTOGRAM,
        "by which an agent's clock differed when it was greeted, either way",
        buckets=(0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86400.0),
    ),
    Metric(
        "gateway_fault", Kind.GAUGE, "1 while the gateway is short of it and sends agents elsewhere", ("component",)
    ),
    Metric(
        "gateway_certificate_expires_timestamp_seconds",
        Kind.GAUGE,
        "when the certificate ends, seconds since 1970",
        ("certificate",),
    ),
    Metric("gateway_outstanding_records", Kind.GAUGE, "records published and not settled now"),
    Metric("gateway_https_connections", Kind.GAUGE, "connections to the HTTPS port now"),
    Metric(
        "gateway_https_ended_total",
        Kind.COUNTER,
        "connections to the HTTPS port refused or ended by the gateway, by reason",
        ("reason",),
    ),
    Metric("gateway_metrics_refused_total", Kind.COUNTER, "requests for metrics from addresses that are not approved"),
    Metric("gateway_enrolments_total", Kind.COUNTER, "enrolments, by outcome", ("outcome",)),
    Metric("gateway_live_viewers", Kind.GAUGE, "people who watch or listen live now, by stream", ("stream",)),
    Metric("gateway_live_connections", Kind.GAUGE, "connections to the viewers' port that are no websocket yet"),
    Metric("gateway_live_bytes_total", Kind.COUNTER, "bytes of envelopes handed to viewers, and to other gateways"),
    Metric(
        "gateway_live_events_total",
        Kind.COUNTER,
        "packets of sound by what became of them, viewers who fell behind, and refused messages of other gateways",
        ("event",),
    ),
    Metric(
        "gateway_live_relays",
        Kind.GAUGE,
        "streams that are seen through other gateways now: got from them, and given to them",
        ("way",),
    ),
    Metric("gateway_live_relay_bytes_total", Kind.COUNTER, "bytes of live views that went through Redis", ("way",)),
    Metric("gateway_assignments_total", Kind.COUNTER, "agents that asked for a server, by what they got", ("result",)),
    Metric("gateway_moved_total", Kind.COUNTER, "agents sent to another gateway, by why", ("reason",)),
    Metric("gateway_presence_gateways", Kind.GAUGE, "gateways that are known now"),
    Metric("gateway_presence_away", Kind.GAUGE, "1 while Redis does not answer, and the lifecycle log tells instead"),
    Metric(
        "gateway_store_servers",
        Kind.GAUGE,
        "servers of a store that several nodes keep, by whether they are there, as a master sees them",
        ("store", "state"),
    ),
    Metric("gateway_mirror_readers", Kind.GAUGE, "readers of the mirror now"),
    Metric("gateway_mirror_dropped_total", Kind.COUNTER, "readers of the mirror that were too slow"),
)
"""Every metric that a gateway process exposes."""

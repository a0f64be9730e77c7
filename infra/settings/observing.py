"""The tables about what operators see of processes: metrics and traces."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from infra.settings.group import Group


class MetricsSettings(Group):
    """Where each process serves its health and metrics."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all. Beyond the loopback approved addresses alone are answered."""
    first_port: Annotated[int, Field(ge=0, le=65435)] = 0
    """First of the ports: each process takes the first free one of 100; 0 for any free port."""


class TracingSettings(Group):
    """Traces of envelopes and requests, by OpenTelemetry; needs `sealstream[tracing]`."""

    endpoint: str = ""
    """Collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`; empty for no traces."""
    ratio: Annotated[float, Field(ge=0, le=1)] = 0.001
    """Part of envelopes and requests that are traced."""

"""What a gateway process shows of itself beside its traffic: what it is short of, and when its certificates end.

Never looks by itself: what is shown is read when somebody asks.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from cryptography import x509

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.health import Health
    from infra.metrics import Metrics
    from infra.settings import GatewaySettings


def show_standing(metrics: Metrics, health: Health, gateway: GatewaySettings) -> None:
    """Show it from now on."""
    fault = metrics.gauge("gateway_fault")
    for component in health.faults:
        fault.labels(component).set_function(partial(_is_short, health, component))
    expires = metrics.gauge("gateway_certificate_expires_timestamp_seconds")
    expires.labels("gateway").set_function(partial(expires_s, gateway.cert_file))
    expires.labels("ca").set_function(partial(expires_s, gateway.ca_file, last=True))


def _is_short(health: Health, component: str) -> float:
    return float(bool(health.faults[component]))


def expires_s(path: Path, *, last: bool = False) -> float:
    """When the certificate in a file ends, seconds since the epoch; not a number where there is none.

    Of several the first is the server's own; `last` takes the one that ends last: a CA that is being replaced may end.
    """
    try:
        ends = [one.not_valid_after_utc.timestamp() for one in x509.load_pem_x509_certificates(path.read_bytes())]
    except (OSError, ValueError):
        return math.nan
    return max(ends) if last else ends[0]

"""Which checks a host gets: those of a local stack, those of a node of a fleet, or both.

Never stops at the first fault: people mend all at once.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

from infra.datadir import DataDir
from infra.doctor.certificates import check_certificates
from infra.doctor.contradictions import find_contradictions
from infra.doctor.finding import Finding
from infra.doctor.machine import check_gateway, check_machine
from infra.doctor.stores import check_stores
from infra.settings import load_settings
from infra.stack.local import sees_running
from infra.stack.preflight import run_checks
from infra.stack.state import load_state
from schemas.errors import ConfigError


class Scope(StrEnum):
    """What a host is there for."""

    AUTO = "auto"
    """By the data directory: a local stack where one was made, or where nothing is yet."""
    STACK = "stack"
    NODE = "node"
    WORKER = "worker"
    """A node without a gateway: it needs neither the gateway's ports nor its certificate."""


async def examine(data: DataDir, scope: Scope = Scope.AUTO) -> list[Finding]:
    """Every finding, in the order in which people would mend things."""
    local = load_state(data) is not None or not data.config.exists()
    found = list(run_checks(data)) if scope is Scope.STACK or (scope is Scope.AUTO and local) else []
    if scope is Scope.STACK or (scope is Scope.AUTO and not data.config.exists()):
        return found
    answering = not local or sees_running(data) is not None
    answering = answering or scope in (Scope.NODE, Scope.WORKER)
    return found + await examine_node(data, gateway=scope is not Scope.WORKER, stores=answering)


async def examine_node(data: DataDir, *, gateway: bool = True, stores: bool = True) -> list[Finding]:
    """What the settings of this host promise, and whether it is so."""
    try:
        settings = load_settings()
    except ConfigError as error:
        return [Finding("settings", passed=False, told=f"{error}: `sealstream settings` lists what there is")]
    wrong = find_contradictions(settings)
    found = [Finding(f"settings {number}", passed=False, told=told) for number, told in enumerate(wrong, 1)]
    if not wrong:
        found.append(Finding("settings", passed=True, told=f"{data.config} is free of contradictions"))
    if gateway:
        found += check_gateway(settings)
        found += check_certificates(settings, dt.datetime.now(dt.UTC))
    found += check_machine(settings, gateway=gateway)
    return found + (await check_stores(settings) if stores else [])

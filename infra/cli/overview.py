"""What `sealstream status` shows: every component of the local stack, asked now, and the lag of what reads Kafka.

Never takes the supervisor's word alone: what it calls ready is probed again.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from infra.cli.suites import read_suites, render_suites
from infra.cli.table import render_table
from infra.datadir import DataDir
from infra.lag import lag_by_group, read_lag
from infra.settings import Settings, load_settings
from infra.stack.probe import check_listens, http_get
from infra.stack.processes import explain_health, find_note, groups_of
from infra.stack.state import ComponentState, Phase, load_state
from infra.tls import client_context
from schemas.errors import SealstreamError

Overview = dict[str, Any]


async def build_overview(data: DataDir) -> Overview:
    """The whole picture, as `--json` prints it."""
    state = load_state(data)
    overview: Overview = {
        "data": str(data.root),
        "version": version("sealstream"),
        "phase": "stopped",
        "healthy": False,
    }
    overview |= {"fault": "", "components": [], "lag": {}, "agents": []}
    if state is None or not (state.supervised or state.survivors):
        overview["fault"] = state.fault if state else ""
        return overview
    settings = load_settings(data.config)
    overview["phase"] = state.phase if state.supervised else "unsupervised"
    overview["components"] = await asyncio.gather(*(_describe(settings, it) for it in state.components.values()))
    gateway = state.components.get("gateway")
    if gateway and gateway.mark and gateway.mark.alive:
        overview["agents"] = await read_suites(find_note(settings.data, gateway.mark.pid))
    try:
        overview["lag"] = lag_by_group(await read_lag(settings))
    except SealstreamError as error:
        overview["fault"] = str(error)
    for component in overview["components"]:
        behind = [overview["lag"][it] for it in groups_of(component["name"]) if it in overview["lag"]]
        component["lag"] = sum(behind) if behind else None
    all_healthy = all(it["healthy"] for it in overview["components"])
    overview["healthy"] = state.supervised and state.phase is Phase.READY and all_healthy
    if state.supervised and state.phase is Phase.READY and not all_healthy:
        overview["phase"] = "degraded"
    return overview


def render_overview(overview: Overview) -> str:
    """The picture as text."""
    lines = [f"{overview['phase']}  {overview['data']}  sealstream {overview['version']}"]
    if overview["fault"]:
        lines.append(f"  {overview['fault']}")
    if overview["phase"] == "stopped":
        return "\n".join([*lines, "  Start it by `sealstream up`."])
    if overview["phase"] == "unsupervised":
        lines.append(
            "  The supervisor is gone, what it ran is not: `sealstream up` takes over, `sealstream down` ends it."
        )
    rows = [
        (
            it["name"],
            it["phase"],
            it["version"],
            it["health"],
            _shown(it["lag"]),
            it["restarts"],
            it["pid"] or "",
            it["address"],
        )
        for it in overview["components"]
    ]
    lines += ["", render_table(("COMPONENT", "PHASE", "VERSION", "HEALTH", "LAG", "RESTARTS", "PID", "ADDRESS"), rows)]
    if overview["lag"]:
        lines += ["", render_table(("GROUP", "LAG"), overview["lag"].items())]
    if overview["agents"]:
        lines += ["", render_suites(overview["agents"])]
    return "\n".join(lines)


def _shown(lag: int | None) -> str:
    return "" if lag is None else str(lag)


async def _describe(settings: Settings, component: ComponentState) -> Overview:
    """One component: what the supervisor noted, and what it answers now."""
    alive = component.mark is not None and component.mark.alive
    resting = component.phase is Phase.STOPPED and bool(component.stopped_by)
    fault = component.detail if alive else component.detail or "its process is gone"
    note = find_note(settings.data, component.mark.pid) if alive and component.mark else None
    if not fault and not resting:
        fault = await (_ask(settings, str(note.get("health", ""))) if note else _knock(component.address))
    healthy = resting or (component.phase is Phase.READY and not fault)
    return {
        "name": component.name,
        "phase": component.phase.value,
        "healthy": healthy,
        "health": component.detail if resting else "ok" if healthy else fault or component.phase.value,
        "version": component.version,
        "address": component.address or (str(note.get("address") or note.get("health", "")) if note else ""),
        "pid": component.mark.pid if alive and component.mark else None,
        "restarts": component.restarts,
        "since_ms": component.since_ms,
    }


async def _ask(settings: Settings, url: str) -> str:
    profile = settings.gateway.https_tls_profile or settings.gateway.tls_profile
    authority = settings.gateway.ca_file
    tls = client_context(profile, authority, listener="https") if url.startswith("https:") else None
    try:
        return explain_health(*await http_get(url, tls))
    except (OSError, TimeoutError):
        return "its health port does not answer"


async def _knock(address: str) -> str:
    """A store has no health port of ours: whether it takes connections."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    if parts.hostname is None or parts.port is None:
        return ""
    try:
        await check_listens(parts.hostname, parts.port)
    except (OSError, TimeoutError):
        return f"does not answer at {address}"
    return ""

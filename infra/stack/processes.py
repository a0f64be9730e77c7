"""Our own processes as components of the stack: gateway, stream workers, sinks.

Never asks them more than their health ports tell.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from infra.datadir import VARIABLE, DataDir
from infra.settings import Settings
from infra.stack.component import Component, NotReadyError
from infra.stack.installation import places_of
from infra.stack.probe import http_get
from infra.stack.roles import Process, processes_of, stores_of
from infra.tls import client_context

_VERSION = version("sealstream")
"""Read once: an installation that is being replaced has none for a moment, and must not end what runs."""


def our_components(settings: Settings) -> list[Component]:
    """Every process of ours that this node's roles need."""
    return [_ours(settings, process) for process in processes_of(settings)]


def groups_of(component: str) -> tuple[str, ...]:
    """The consumer groups in which a component reads Kafka; workers share theirs."""
    if component.startswith("streams-"):
        return ("mine", "streams")
    return (f"sink-{component.removeprefix('sinks-')}",) if component.startswith("sinks-") else ()


def find_note(data: DataDir, session: int) -> dict[str, Any] | None:
    """What a process of that session noted of itself in the run directory."""
    for note in notes(data):
        try:
            if os.getsid(note["pid"]) == session:
                return note
        except (KeyError, TypeError, ProcessLookupError):
            continue
    return None


def explain_health(status: int, body: bytes) -> str:
    """What a health answer says is wrong; empty when nothing is."""
    if status == 200:
        return ""
    try:
        checks = json.loads(body)["checks"]
        faults = [f"{name}: {word}" for name, word in checks.items() if word not in ("ok", True)]
    except (ValueError, KeyError, TypeError, AttributeError):
        faults = []
    return "; ".join(faults) or f"its health check answers {status}"


def _ours(settings: Settings, process: Process) -> Component:
    async def probe(pid: int) -> str:
        note = find_note(settings.data, pid)
        if note is None or not note.get("health"):
            raise NotReadyError("has not opened its health port yet")
        url = str(note["health"])
        secure = url.startswith("https:")
        profile = settings.gateway.https_tls_profile or settings.gateway.tls_profile
        authority = settings.gateway.ca_file
        tls = client_context(profile, authority, listener="https") if secure else None
        if fault := explain_health(*await http_get(url, tls)):
            raise NotReadyError(fault)
        return _VERSION

    return Component(
        name=process.name,
        command=[sys.executable, "-m", "infra.cli", *process.arguments],
        environment={VARIABLE: str(settings.data.root), "PYTHONUNBUFFERED": "1", **process.environment},
        address=process.address,
        after=process.after,
        reach={store: places_of(settings, store) for store in sorted(process.needs - stores_of(settings))},
        probe=probe,
        watched=True,
    )


def notes(data: DataDir) -> Iterator[dict[str, Any]]:
    """What each of our processes noted of itself in the run directory."""
    for path in data.run.glob("*.json"):
        try:
            note = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(note, dict):
            yield note

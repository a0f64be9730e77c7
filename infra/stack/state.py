"""What the supervisor says of the stack while it runs, in a file that commands and the next supervisor read.

Never read half written: every change replaces the file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from infra.datadir import DataDir
from infra.health import write_note
from infra.stack.child import Mark


class Phase(StrEnum):
    """Where a component, or the whole stack, stands."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(slots=True)
class ComponentState:
    """One component. `detail` says what it waits for, or why it ended."""

    name: str
    phase: Phase = Phase.WAITING
    detail: str = ""
    address: str = ""
    version: str = ""
    mark: Mark | None = None
    restarts: int = 0
    since_ms: int = 0
    log: str = ""
    stopped_by: str = ""
    """Who wished that it stays stopped, while it does."""


@dataclass(slots=True)
class StackState:
    """The whole stack. `fault` says why it could not start, and what to do."""

    supervisor: Mark | None = None
    phase: Phase = Phase.STARTING
    detail: str = ""
    fault: str = ""
    exit_code: int = 0
    components: dict[str, ComponentState] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """Whether all components have been ready."""
        return self.phase is Phase.READY

    @property
    def supervised(self) -> bool:
        """Whether the supervisor that wrote this lives."""
        return self.supervisor is not None and self.supervisor.alive

    @property
    def survivors(self) -> list[ComponentState]:
        """Components whose process lives."""
        return [it for it in self.components.values() if it.mark is not None and it.mark.alive]


def state_file(data: DataDir) -> Path:
    """Where the state of that data directory's stack lies."""
    return data.run / "stack.json"


def save_state(data: DataDir, state: StackState) -> None:
    """Replace the file."""
    write_note(state_file(data), dataclasses.asdict(state))


def load_state(data: DataDir) -> StackState | None:
    """What the last supervisor wrote; none where no stack ever ran, or the file is not readable as one."""
    try:
        raw = json.loads(state_file(data).read_text("utf-8"))
        components = {name: _component(row) for name, row in raw["components"].items()}
        return StackState(
            **{**raw, "supervisor": _mark(raw["supervisor"]), "phase": Phase(raw["phase"]), "components": components}
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _component(row: Mapping[str, Any]) -> ComponentState:
    return ComponentState(**{**row, "phase": Phase(row["phase"]), "mark": _mark(row["mark"])})


def _mark(row: Mapping[str, Any] | None) -> Mark | None:
    return None if row is None else Mark(**row)

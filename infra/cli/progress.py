"""Shows a person what the stack does while it starts or stops: a line for each thing that changed.

Never repeats itself, and never leaves a wait unexplained for more than a few seconds.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO, cast

from infra.logging import Unfailing
from infra.stack.state import ComponentState, Phase, StackState

_QUIET_S = 4.0
"""A component's waiting is told once it has lasted so long."""
_REMIND_S = 15.0
"""A wait that goes on is told again after so long."""


class Progress:
    """Prints the changes between the states that it is shown."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or cast("TextIO", Unfailing(sys.stderr))
        self._seen: dict[str, tuple[Phase, str]] = {}
        self._changed_at: dict[str, float] = {}
        self._detail = ""
        self._began = time.monotonic()

    def skip(self, state: StackState | None) -> None:
        """Take what is in `state` as known."""
        for component in state.components.values() if state else ():
            self._seen[component.name] = component.phase, component.detail

    def show(self, state: StackState) -> None:
        """Print what is new in `state`."""
        if state.detail and state.detail != self._detail:
            self._line(state.detail)
        self._detail = state.detail
        for component in state.components.values():
            self._show_component(component)

    def _show_component(self, component: ComponentState) -> None:
        now = time.monotonic()
        phase, detail = self._seen.get(component.name, (Phase.WAITING, ""))
        waited_s = now - self._changed_at.get(component.name, self._began)
        still = component.phase is Phase.STARTING and waited_s > _REMIND_S
        if still or phase is not component.phase or (detail != component.detail and waited_s > _QUIET_S):
            self._tell(component, now)

    def _tell(self, component: ComponentState, now: float) -> None:
        self._seen[component.name] = component.phase, component.detail
        self._changed_at[component.name] = now
        told = component.detail
        if component.phase is Phase.READY:
            told = f"{component.address}  {component.version}"
        self._line(f"{component.name:<20} {component.phase:<10} {told}")

    def _line(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {text}".rstrip(), file=self._out, flush=True)

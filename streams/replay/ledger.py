"""The ledger of replays: one small file a run, so that a run can be listed, resumed and cancelled.

Never holds a record: what was done is known by the next offset of each partition alone.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from infra.health import write_note
from infra.lifecycle import wall_clock_ms
from schemas.errors import ConfigError
from schemas.replays import RUN_ID
from streams.replay.reached import Reached
from streams.replay.request import Request

RUNNING, DONE, CANCELLED, STOPPED = "running", "done", "cancelled", "stopped"


@dataclass(slots=True)
class Run:
    """One replay. `ranges` and `next` are by partition; `done` counts records that were asked for and settled."""

    id: str
    request: Request
    state: str = RUNNING
    pid: int = 0
    started_ms: int = 0
    changed_ms: int = 0
    ranges: dict[int, tuple[int, int]] = field(default_factory=dict)
    next: dict[int, int] = field(default_factory=dict)
    reached: dict[str, Reached] = field(default_factory=dict)
    """From the archive: how far each agent's records are done."""
    done: int = 0
    done_bytes: int = 0
    results: int = 0
    dead: int = 0

    @property
    def left(self) -> int:
        """Offsets that are still to be read."""
        return sum(max(0, end - self.next.get(number, first)) for number, (first, end) in self.ranges.items())

    @property
    def alive(self) -> bool:
        """Whether its process lives."""
        if self.state != RUNNING or not self.pid:
            return False
        try:
            os.kill(self.pid, 0)
        except OSError:
            return False
        return True


class Ledger:
    """The runs of one data directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def begin(self, request: Request, run_id: str = "") -> Run:
        """A new run, named after now unless it has a name; raises `ConfigError` for a name that cannot be one."""
        run_id = run_id or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:4]}"
        if not re.fullmatch(RUN_ID, run_id) or (self._directory / f"{run_id}.json").exists():
            raise ConfigError(f"a replay cannot be called {run_id!r}, or there is one: see `sealstream replay list`")
        run = Run(run_id, request, pid=os.getpid(), started_ms=wall_clock_ms())
        self.save(run)
        return run

    def resume(self, run_id: str) -> Run:
        """An unfinished run, ours from now on; raises `ConfigError` for one that runs or is done."""
        run = self.load(run_id)
        if run.alive:
            raise ConfigError(f"replay {run_id} is running, as process {run.pid}")
        if run.state == DONE:
            raise ConfigError(f"replay {run_id} is done: ask for the range again to read it once more")
        self._cancellation(run_id).unlink(missing_ok=True)
        run.state, run.pid = RUNNING, os.getpid()
        self.save(run)
        return run

    def cancel(self, run_id: str) -> Run:
        """Ask a run to end; one that has no process is marked as ended at once."""
        run = self.load(run_id)
        if run.alive:
            self._cancellation(run_id).touch()
        elif run.state != DONE:
            run.state = CANCELLED
            self.save(run)
        return run

    def is_cancelled(self, run: Run) -> bool:
        """Whether somebody asked the run to end."""
        return self._cancellation(run.id).exists()

    def save(self, run: Run) -> None:
        """Write a run whole."""
        run.changed_ms = wall_clock_ms()
        write_note(self._directory / f"{run.id}.json", {**asdict(run), "request": run.request.to_json()})
        if run.state != RUNNING:
            self._cancellation(run.id).unlink(missing_ok=True)

    def load(self, run_id: str) -> Run:
        """The run of that id; raises `ConfigError`."""
        path = self._directory / f"{run_id}.json"
        if not path.is_file():
            raise ConfigError(f"there is no replay {run_id}: `sealstream replay list` shows those there are")
        data = json.loads(path.read_text("utf-8"))
        ranges = {int(number): (first, end) for number, (first, end) in data.pop("ranges").items()}
        nexts = {int(number): offset for number, offset in data.pop("next").items()}
        reached = {agent: Reached(**one) for agent, one in data.pop("reached").items()}
        request = Request.from_json(data.pop("request"))
        return Run(**data, request=request, ranges=ranges, next=nexts, reached=reached)

    def list(self) -> list[Run]:
        """All runs, oldest first."""
        return [self.load(path.stem) for path in sorted(self._directory.glob("*.json"))]

    def _cancellation(self, run_id: str) -> Path:
        return self._directory / f"{run_id}.cancel"

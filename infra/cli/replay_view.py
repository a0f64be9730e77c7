"""What a person sees of replays: a progress bar with rate and time left, a table, a last line.

Never writes control characters where the output is not a terminal.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from infra.cli.table import render_table

if TYPE_CHECKING:
    from rich.progress import Progress

    from streams.replay.ledger import Run
    from streams.replay.session import Estimate

_LINE_S = 5.0


class RunBar:
    """Shows how far a run is; one line now and then where there is no terminal."""

    def __init__(self, run: Run, *, silent: bool = False) -> None:
        self._silent = silent
        self._began = time.monotonic()
        self._done_before = run.done
        self._bytes_before = run.done_bytes
        self._left_before = run.left
        self._told = self._began
        self._progress: Progress | None = None
        print(f"replay {run.id}", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not self._silent:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._progress.add_task("", total=None)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(self, run: Run, paused: bool) -> None:
        """Show the run as it stands; `paused`: it stands back for live traffic."""
        seconds = max(time.monotonic() - self._began, 0.001)
        rate = (run.done - self._done_before) / seconds
        speed = (run.done_bytes - self._bytes_before) / seconds / 1e6
        text = f"{run.done} envelopes, {rate:.0f}/s, {speed:.2f} MB/s"
        text += ", stands back for live traffic" if paused else ""
        total = sum(end - first for first, end in run.ranges.values())
        if self._progress is not None:
            known = None if run.request.from_archive else total
            self._progress.update(self._task, total=known, completed=total - run.left, description=text)
        elif not self._silent and time.monotonic() - self._told >= _LINE_S:
            self._told = time.monotonic()
            print(f"{text}{self._time_left(run, seconds)}", file=sys.stderr, flush=True)

    def _time_left(self, run: Run, seconds: float) -> str:
        read = self._left_before - run.left
        if run.request.from_archive or read <= 0:
            return ""
        return f", {run.left} offsets left, {seconds * run.left / read:.0f} s"


class JsonLines:
    """Tells how far a run is as a JSON line, about every second, for programs."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __enter__(self) -> Self:
        self.show(self._run, paused=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to close."""

    def show(self, run: Run, paused: bool) -> None:
        """One line: the run's name, its counts, and whether it stands back for live traffic."""
        total = sum(end - first for first, end in run.ranges.values())
        line = {"run": run.id, "state": run.state, "done": run.done, "bytes": run.done_bytes, "results": run.results}
        line |= {"dead": run.dead, "left": run.left, "total": total, "paused": paused}
        print(json.dumps(line), flush=True)


def run_json(run: Run) -> dict[str, Any]:
    """A run for scripts."""
    return {**asdict(run), "request": run.request.to_json(), "alive": run.alive, "left": run.left}


def report(run: Run, *, as_json: bool) -> None:
    """The last word on a run."""
    if as_json:
        print(json.dumps(run_json(run)))
        return
    print(
        f"replay {run.id} is {run.state}: {run.done} envelopes, {run.done_bytes / 1e6:.1f} MB, "
        f"{run.results} results, {run.dead} dead letters"
    )
    if run.state not in {"done", "running"}:
        print(f"go on with it: sealstream replay resume {run.id}")


def print_estimate(estimate: Estimate, *, as_json: bool) -> None:
    """What would be read."""
    if as_json:
        print(json.dumps(asdict(estimate)))
        return
    rows = [(number, first, end, end - first) for number, (first, end) in sorted(estimate.ranges.items())]
    print(render_table(("partition", "first", "end", "records"), rows))
    print(f"{estimate.records} envelopes, {estimate.bytes / 1e6:.1f} MB would be processed again")


def print_runs(runs: Sequence[Run], *, as_json: bool) -> None:
    """All runs, oldest first."""
    if as_json:
        print(json.dumps([run_json(run) for run in runs]))
        return
    rows = [
        (
            run.id,
            "died" if run.state == "running" and not run.alive else run.state,
            run.request.topic,
            "archive" if run.request.from_archive else "kafka",
            datetime.fromtimestamp(run.started_ms / 1000, UTC).isoformat(" ", "seconds"),
            run.done,
            run.results,
            run.left,
        )
        for run in runs
    ]
    print(render_table(("run", "state", "topic", "from", "started", "envelopes", "results", "left"), rows))

"""Replays that run on this node: begun, told how far they are, cancelled and gone on with by the table of them.

Never ends one because who asked went away; what a process that ended left behind, the next one goes on with. Gateway
and miner of a node both offer to run them, and never at once: who holds the lock does.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from infra.commands import child, last_line
from infra.rates import Rates
from infra.settings import Settings
from schemas.errors import SealstreamError

if TYPE_CHECKING:
    import asyncpg

    Database = Callable[[], AbstractAsyncContextManager[asyncpg.Connection[Any]]]
    """Gives a connection for a few questions; raises `UnavailableError`."""

log = structlog.get_logger(__name__)

LOOK_S = 1.0
NOTE_S = 1.0

_ERROR_BYTES = 64 * 1024
_RATE_S = 20.0


class Replays:
    """Runs those of this node, one at a time; `follow` does it until cancelled."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._running: dict[str, asyncio.Task[None]] = {}
        self._cancelled: set[str] = set()

    async def follow(self) -> None:
        """Look for what is to run here, and run it; a database that is away is waited out."""
        while True:
            with self._alone() as alone:
                if alone:
                    await self._keep_looking()
            await asyncio.sleep(LOOK_S)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other process of this node runs replays; while the context lasts, none will."""
        self._settings.data.run.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._settings.data.run / "replays.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield _locked(lock)
        finally:
            os.close(lock)

    async def _keep_looking(self) -> None:
        away = ""
        try:
            while True:
                try:
                    await self._look()
                    away = ""
                except (SealstreamError, OSError, TimeoutError) as error:
                    if away != type(error).__name__:
                        away = type(error).__name__
                        log.info("replays_away", error=away)
                await asyncio.sleep(LOOK_S)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _look(self) -> None:
        async with self._database() as connection:
            rows = await connection.fetch(
                "UPDATE replay_job SET changed_at = now() WHERE node_id = $1 AND state IN ('waiting', 'running') "
                "RETURNING *",
                self._settings.node.id,
            )
        self._running = {name: task for name, task in self._running.items() if not task.done()}
        for row in sorted(rows, key=lambda row: row["asked_at"]):
            run_id, task = row["run_id"], self._running.get(row["run_id"])
            if row["wanted"] == "cancel":
                self._cancelled.add(run_id)
                if task is not None:
                    task.cancel()
                else:
                    await self._note(run_id, "cancelled", json.loads(row["progress"]))
            elif task is None and not self._running:
                self._cancelled.discard(run_id)
                self._running[run_id] = asyncio.create_task(self._run(dict(row)), name=f"replay {run_id}")

    async def _run(self, row: Mapping[str, Any]) -> None:
        """One run to its end; cancelled by somebody's wish, or with this process, which leaves it to the next."""
        run_id, progress = row["run_id"], json.loads(row["progress"])
        state, fault = "failed", ""
        try:
            arguments = self._arguments(row)
            async with child(self._settings, arguments) as process:
                assert process.stdout
                assert process.stderr
                errors = asyncio.create_task(process.stderr.read(_ERROR_BYTES))
                try:
                    async for told in self._tell(process.stdout, row):
                        progress = told
                    code = await process.wait()
                    fault = "" if code == 0 else last_line(await errors) or f"it ended with {code}"
                finally:
                    errors.cancel()
            state = "done" if code == 0 else "failed"
        except asyncio.CancelledError:
            if run_id not in self._cancelled:
                raise
            state = "cancelled"
        except (OSError, ValueError) as error:
            fault = f"it could not be run: {error}"
        await self._settle(run_id, state, {**progress, "paused": False, "eta_s": None}, fault)
        log.info("replay_ended", run=run_id, state=state, reason=fault)

    async def _settle(self, run_id: str, state: str, progress: Mapping[str, Any], fault: str) -> None:
        """Note how it ended, as soon as the database can be told."""
        while True:
            try:
                await self._note(run_id, state, progress, fault)
            except (SealstreamError, OSError, TimeoutError):
                await asyncio.sleep(LOOK_S)
            else:
                return

    async def _tell(self, lines: asyncio.StreamReader, row: Mapping[str, Any]) -> Any:
        """How far it is, noted about once a second."""
        rates, noted = Rates(_RATE_S), 0.0
        expected = row["expected_records"] if json.loads(row["request"])["source"] == "archive" else None
        async for line in lines:
            try:
                told = json.loads(line)
                done, read = float(told["done"]), float(told["total"] - told["left"])
            except (ValueError, KeyError, TypeError):
                continue
            now = time.monotonic()
            rates.look(now, {"done": done, "read": read, "bytes": float(told["bytes"])})
            ahead = told["left"] if expected is None else max(0, expected - done)
            speed = rates.per_second("read" if expected is None else "done")
            told |= {"per_s": rates.per_second("done"), "bytes_per_s": rates.per_second("bytes")}
            told["eta_s"] = ahead / speed if speed else None
            if now - noted >= NOTE_S:
                noted = now
                with contextlib.suppress(SealstreamError, OSError, TimeoutError):
                    await self._note(row["run_id"], "running", told)
            yield told

    def _arguments(self, row: Mapping[str, Any]) -> list[str]:
        """A new run, or one that was begun before and is gone on with."""
        run_id = row["run_id"]
        if (self._settings.data.store("replay") / f"{run_id}.json").exists():
            return ["replay", "resume", run_id, "--json-progress", *_throttle(row)]
        asked = json.loads(row["request"])
        arguments = ["replay", asked["topic"], "--as", run_id, "--json-progress", *_throttle(row)]
        arguments += ["--processor", asked["processor"], "--from", asked["source"]]
        for option, time_ms in (("--since", asked["since_ms"]), ("--until", asked["until_ms"])):
            arguments += [option, _moment(time_ms)] if time_ms is not None else []
        for agent in asked["agents"]:
            arguments += ["--agent", agent]
        for one in asked["offsets"]:
            end = "" if one["end"] is None else f"-{one['end']}"
            arguments += ["--offset", f"{one['partition']}:{one['first']}{end}"]
        return arguments

    async def _note(self, run_id: str, state: str, progress: Mapping[str, Any], fault: str = "") -> None:
        async with self._database() as connection:
            await connection.execute(
                "UPDATE replay_job SET state = $2, progress = $3, fault = $4, changed_at = now() WHERE run_id = $1",
                *(run_id, state, json.dumps(dict(progress)), fault),
            )


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _throttle(row: Mapping[str, Any]) -> list[str]:
    return ["--throttle", str(row["records_per_s"])] if row["records_per_s"] else []


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")

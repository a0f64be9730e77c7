"""Work that goes on beside a page: re-wrapping, roll-outs. One of a kind and subject at a time, in the table `job`.

Never ends because a browser went away, and never goes on once somebody cancelled it, on whichever gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import structlog

from gateway.api.errors import ApiError
from infra.commands import child, last_line
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from gateway.api.services import Services

log = structlog.get_logger(__name__)

BEAT_S = 1.0
SILENT_S = 20.0
"""A running job whose process said nothing for so long was interrupted: its gateway ended."""

_ERROR_BYTES = 64 * 1024

_SELECT = (
    "SELECT *, state = 'running' AND beat_at < now() - make_interval(secs => 20) AS interrupted FROM job "
    "WHERE kind = $1"
)


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it stands. `state` is running, done, failed, cancelled or interrupted."""

    job_id: UUID
    kind: str
    subject: str
    node_id: str
    by_account: str
    state: str
    progress: dict[str, Any]
    message: str
    started_at: datetime
    ended_at: datetime | None


def newest_line(_before: dict[str, Any], line: dict[str, Any]) -> dict[str, Any]:
    """Progress that is told whole each time."""
    return line


class Jobs:
    """Those that this gateway does."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(
        self,
        kind: str,
        subject: str,
        arguments: Sequence[str],
        *,
        by_account: str,
        take: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] = newest_line,
    ) -> UUID:
        """Begin `sealstream ARGUMENTS`, which tells its progress in JSON lines; `take` adds a line to what was told.

        Raises `ApiError` 409 when there is one already.
        """
        async with self._services.database() as connection:
            await connection.execute(
                "UPDATE job SET state = 'failed', message = 'its gateway ended; begin it again', ended_at = now() "
                "WHERE kind = $1 AND subject = $2 AND state = 'running' AND beat_at < now() - $3 * interval '1 second'",
                *(kind, subject, SILENT_S),
            )
            try:
                job_id: UUID = await connection.fetchval(
                    "INSERT INTO job (kind, subject, node_id, by_account) VALUES ($1, $2, $3, $4) RETURNING job_id",
                    *(kind, subject, self._services.facts.reporter, by_account),
                )
            except asyncpg.UniqueViolationError:
                raise ApiError(409, "under_way", f"this is under way already for {subject}: see its progress") from None
        task = asyncio.create_task(self._run(job_id, arguments, take), name=f"job {kind} {subject}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job_id

    async def newest(self, kind: str, subject: str | None = None, limit: int = 1) -> list[Job]:
        """The newest of a kind, of one subject or of all."""
        where = "" if subject is None else " AND subject = $3"
        async with self._services.database() as connection:
            rows = await connection.fetch(
                f"{_SELECT}{where} ORDER BY started_at DESC LIMIT $2",
                *(kind, limit, *(() if subject is None else (subject,))),
            )
        return [_job(row) for row in rows]

    async def cancel(self, kind: str, subject: str) -> bool:
        """Have it ended, wherever it runs; whether there was one."""
        async with self._services.database() as connection:
            told = await connection.execute(
                "UPDATE job SET cancel_wanted = true WHERE kind = $1 AND subject = $2 AND state = 'running'",
                *(kind, subject),
            )
        return not str(told).endswith(" 0")

    async def close(self) -> None:
        """End those that run here: each can be begun again."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(
        self,
        job_id: UUID,
        arguments: Sequence[str],
        take: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]],
    ) -> None:
        progress: dict[str, Any] = {}
        state, message = "failed", "its gateway ended; begin it again"
        try:
            async with child(self._services.settings, arguments) as process:
                assert process.stdout
                assert process.stderr
                errors = asyncio.create_task(process.stderr.read(_ERROR_BYTES))
                beating = asyncio.create_task(self._keep_beating(job_id, process, lambda: progress))
                try:
                    async for line in process.stdout:
                        with contextlib.suppress(ValueError):
                            progress = take(progress, json.loads(line))
                    code = await process.wait()
                    message = last_line(await errors)
                finally:
                    beating.cancel()
                    errors.cancel()
                cancelled = await self._cancel_wanted(job_id)
                state = "done" if code == 0 else "cancelled" if cancelled else "failed"
                message = "" if code == 0 else message or f"it ended with {code}: the server's log says more"
        except (OSError, ValueError) as error:
            message = f"it could not be run: {error}"
        finally:
            await asyncio.shield(self._settle(job_id, state, progress, message))
            log.info("job_ended", job=str(job_id), state=state, reason=message)

    async def _keep_beating(self, job_id: UUID, process: Process, progress: Callable[[], dict[str, Any]]) -> None:
        """Tell how far it is; a database that is away is waited for, the work goes on."""
        asked = False
        while True:
            with contextlib.suppress(UnavailableError, ProcessLookupError):
                async with self._services.database() as connection:
                    cancelled = await connection.fetchval(
                        "UPDATE job SET progress = $2, beat_at = now() WHERE job_id = $1 RETURNING cancel_wanted",
                        *(job_id, json.dumps(progress())),
                    )
                if cancelled and not asked:
                    asked = True
                    process.terminate()  # it ends where it may: a roll-out finishes the node in hand
            await asyncio.sleep(BEAT_S)

    async def _cancel_wanted(self, job_id: UUID) -> bool:
        try:
            async with self._services.database() as connection:
                return bool(await connection.fetchval("SELECT cancel_wanted FROM job WHERE job_id = $1", job_id))
        except UnavailableError:
            return False

    async def _settle(self, job_id: UUID, state: str, progress: dict[str, Any], message: str) -> None:
        try:
            async with self._services.database() as connection:
                await connection.execute(
                    "UPDATE job SET state = $2, progress = $3, message = $4, ended_at = now() WHERE job_id = $1",
                    *(job_id, state, json.dumps(progress), message),
                )
        except UnavailableError as error:
            log.warning("job_end_not_told", job=str(job_id), state=state, reason=str(error))


def _job(row: asyncpg.Record) -> Job:
    return Job(
        row["job_id"],
        row["kind"],
        row["subject"],
        row["node_id"],
        row["by_account"],
        "interrupted" if row["interrupted"] else row["state"],
        json.loads(row["progress"]),
        row["message"],
        row["started_at"],
        row["ended_at"],
    )

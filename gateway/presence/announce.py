"""A gateway tells of itself and of its agents, once a second, in Redis.

Never holds the agent port up and never fails: while Redis is away nothing is told, and everything again afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import structlog

from gateway.presence.store import BEAT_S, REDIS_FAULTS, SILENT_S, Keys, dump_note, dump_report, open_redis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio import Redis
    from redis.asyncio.client import Pipeline

    from gateway.live.room import Present
    from gateway.presence.own import OwnGateway
    from infra.settings import Settings

log = structlog.get_logger()

CHUNK = 1000
"""Agents in one command."""

FORGET_S = 3600.0
"""A gateway that has told nothing for so long is no longer in the list of names."""


class Announcer:
    """Tells for one process until `follow` is cancelled; `tell` does so at once."""

    def __init__(self, settings: Settings, own: OwnGateway) -> None:
        self._own = own
        self._keys = Keys(settings.redis.prefix)
        self._redis: Redis = open_redis(settings.redis, connections=2)
        self._told: dict[str, Present] | None = None
        """Agents as they stand in Redis; none where that is not known."""
        self._away = False
        self._turn = asyncio.Lock()

    async def follow(self) -> None:
        """Tell once a second, and take it all back at the end."""
        try:
            while True:
                await self.tell()
                await asyncio.sleep(BEAT_S)
        finally:
            await self._withdraw()

    async def tell(self) -> None:
        """Tell now; raises nothing."""
        async with self._turn:
            try:
                await self._tell()
            except REDIS_FAULTS as error:
                self._told = None
                if not self._away:
                    log.warning("announcing_stopped", error=type(error).__name__)
                self._away = True
            else:
                if self._away:
                    log.info("announcing_again")
                self._away = False

    async def _tell(self) -> None:
        """One round trip, or two where Redis has lost what was told."""
        self._own.measure()
        present = dict(self._own.present())
        if self._told is not None and await self._write(present, self._told) == len(present):
            self._told = present
            return
        self._told = None
        await self._write(present, None)
        self._told = present

    async def _write(self, present: Mapping[str, Present], told: Mapping[str, Present] | None) -> int:
        """Write the report and what differs from `told`, all if that is none; how many agents stand there after."""
        report, pipeline = self._own.report(), self._redis.pipeline(transaction=True)
        now = time.time()
        pipeline.set(self._keys.gateway(report.name), dump_report(report), px=int(SILENT_S * 1000))
        pipeline.zadd(self._keys.gateways, {report.name: now})
        pipeline.zremrangebyscore(self._keys.gateways, "-inf", now - FORGET_S)
        key = self._keys.agents(report.name)
        if told is None:
            pipeline.delete(key)
        if gone := [agent_id for agent_id in told or {} if agent_id not in present]:
            pipeline.hdel(key, *gone)
        before = told or {}
        self._write_notes(pipeline, key, [one for name, one in present.items() if before.get(name) is not one])
        pipeline.pexpire(key, int(SILENT_S * 1000))
        pipeline.hlen(key)
        return int((await pipeline.execute())[-1])

    def _write_notes(self, pipeline: Pipeline, key: str, agents: list[Present]) -> None:
        for first in range(0, len(agents), CHUNK):
            pairs = [(one.agent_id, dump_note(self._own.note(one))) for one in agents[first : first + CHUNK]]
            pipeline.hset(key, items=[part for pair in pairs for part in pair])

    async def _withdraw(self) -> None:
        """The process ends: nobody should be sent here for the seconds until all of it expires."""
        with contextlib.suppress(*REDIS_FAULTS):
            name = self._own.name
            await self._redis.delete(self._keys.gateway(name), self._keys.agents(name))
            await self._redis.zrem(self._keys.gateways, name)
        with contextlib.suppress(*REDIS_FAULTS):
            await self._redis.aclose()

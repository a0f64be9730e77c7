"""Whether the gateway can keep what it is given: Kafka and disk, looked at again and again.

Never takes what cannot be kept: while something is short, nothing is read from agents.
"""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.budget import Budget
    from gateway.publisher import Publisher

log = structlog.get_logger()

INTERVAL_S = 2.0
MIN_FREE_BYTES = 512 * 1024 * 1024

UNACKED_S = 10.0
"""Kafka may take so long to acknowledge: about as long as a partition is without a leader when a broker dies."""

_KAFKA, _DISK = "kafka", "disk"


class Health:
    """What is wrong now, by component; empty texts when nothing is."""

    def __init__(
        self,
        publisher: Publisher,
        budget: Budget,
        data_dir: Path,
        *,
        min_free_bytes: int = MIN_FREE_BYTES,
        unacked_s: float = UNACKED_S,
    ) -> None:
        self.faults: dict[str, str] = {_KAFKA: "not looked at yet", _DISK: ""}
        self.stopping = False
        self.drained = False
        """Somebody wished that no agents be served here."""
        self._publisher = publisher
        self._budget = budget
        self._data_dir = data_dir
        self._min_free_bytes = min_free_bytes
        self._unacked_s = unacked_s

    @property
    def reasons(self) -> list[str]:
        """Why agents should not come here now, in words; empty when they may."""
        stopping = ["this gateway stops"] if self.stopping else ["this gateway is drained"] if self.drained else []
        return stopping + [fault for fault in self.faults.values() if fault]

    async def kafka(self) -> str:
        """What is wrong with Kafka, as `infra.health` asks."""
        return self.faults[_KAFKA]

    async def disk(self) -> str:
        """What is wrong with the disk."""
        return self.faults[_DISK]

    async def watch(self) -> None:
        """Look again every few seconds, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL_S)

    async def look(self) -> None:
        """Look now. Kafka away needs no closing of the budget: without its acks credit runs out by itself."""
        self._note(_KAFKA, await self._publisher.check() or self._check_acks())
        self._note(_DISK, self._check_disk())
        if self.faults[_DISK]:
            self._budget.close(_DISK)
        else:
            self._budget.open(_DISK)

    def _note(self, component: str, fault: str) -> None:
        if fault and not self.faults[component]:
            log.warning("component_short", what=component, fault=fault)
        elif self.faults[component] and not fault:
            log.info("component_well", what=component)
        self.faults[component] = fault

    def _check_acks(self) -> str:
        """What has a leader that answers may still be out of reach from here: only an ack tells."""
        waited_s = self._publisher.unacked_s
        return f"kafka has not acknowledged a record for {waited_s:.0f} s" if waited_s >= self._unacked_s else ""

    def _check_disk(self) -> str:
        try:
            free = shutil.disk_usage(self._data_dir).free
        except OSError as error:
            return f"the data directory cannot be looked at: {error.strerror}"
        if free >= self._min_free_bytes:
            return ""
        return f"{free >> 20} MiB free on the data directory's disk, {self._min_free_bytes >> 20} MiB needed"

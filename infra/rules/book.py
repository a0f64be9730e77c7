"""The rules in force, followed while a process runs: a change holds within seconds, everywhere.

Never forgets what it knew because PostgreSQL is away, and never takes "not asked yet" for "no rules".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from infra.keys.table import connected
from infra.rules.evaluate import Check, World
from infra.rules.rule import Rule
from infra.rules.store import fetch_rules, fetch_world
from infra.settings import Settings
from schemas.errors import UnavailableError

log = structlog.get_logger(__name__)

INTERVAL_S = 3.0


@dataclass(frozen=True)
class Edition:
    """Rules with the world that they refer to; `number` grows with each change."""

    rules: tuple[Rule, ...]
    world: World
    checks: tuple[Check, ...]
    number: int = 0

    @property
    def windowed(self) -> frozenset[tuple[str, int]]:
        """Id and version of the rules that count."""
        return frozenset((str(rule.rule_id), rule.version) for rule in self.rules if rule.conditions.volume is not None)


class RuleBook:
    """What `read` told last. `follow` keeps it up to date."""

    def __init__(
        self,
        read: Callable[[], Awaitable[tuple[list[Rule], World]]],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._read = read
        self._clock = clock
        self._sleep = sleep
        self._edition: Edition | None = None
        self._read_at = 0.0

    @property
    def edition(self) -> Edition:
        """The rules in force; raises `UnavailableError` until they were read once."""
        if self._edition is None:
            raise UnavailableError("the rules of alerts are not known yet: PostgreSQL was not read")
        return self._edition

    @property
    def rules(self) -> int:
        """How many are in force."""
        return 0 if self._edition is None else len(self._edition.rules)

    @property
    def age_s(self) -> float:
        """Seconds since they were read, or since the start when they never were."""
        return self._clock() - self._read_at if self._read_at else 0.0

    async def follow(self) -> None:
        """Read again and again, until cancelled."""
        away = ""
        self._read_at = self._clock()
        while True:
            try:
                await self.renew()
                if away:
                    log.info("rules_followed_again")
                away = ""
            except UnavailableError as error:
                if str(error) != away:
                    log.warning("rules_not_followed", reason=str(error))
                    away = str(error)
            await self._sleep(INTERVAL_S)

    async def renew(self) -> None:
        """Read once; raises `UnavailableError`."""
        rules, world = await self._read()
        self._read_at = self._clock()
        in_force = tuple(rule for rule in rules if rule.enabled)
        if self._edition is not None and (self._edition.rules, self._edition.world) == (in_force, world):
            return
        number = 0 if self._edition is None else self._edition.number + 1
        self._edition = Edition(in_force, world, tuple(map(Check, in_force)), number)
        log.info("rules_in_force", rules=len(in_force), edition=number)


def rule_book(settings: Settings) -> RuleBook:
    """The book of this deployment."""

    async def read() -> tuple[list[Rule], World]:
        async with connected(settings) as connection:
            return await fetch_rules(connection), await fetch_world(connection)

    return RuleBook(read)

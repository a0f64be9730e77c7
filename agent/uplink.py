"""The way to the server: ask for one, connect, push, and try again for as long as it takes.

Never gives up and never loses an envelope for a server's sake: what is not acknowledged stays in the spool.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import structlog

from agent.clock import Clock, wait_at_most
from agent.https import request
from agent.link import Ended, Link, LinkCounts, LinkEvents, Way
from agent.masters import Masters, reach, split_address
from agent.servers import MAX_SERVERS, Servers
from agent.settings import UplinkSettings
from agent.spool import Spool
from agent.trust import Trust
from schemas.enrolment import ASSIGN_PATH
from schemas.errors import MalformedError, SealstreamError, UnavailableError
from schemas.frames import GoodbyeCode, Hello, LiveFrame, Policy, Welcome

log = structlog.get_logger()

STEADY_S = 10.0
"""A connection that lasted so long was a good one: the next attempt does not wait for the failures before it."""

CLOCK_DIFFERS_MS = 60_000

REACH_S = 3.0
"""A server that does not take a TCP connection within so long is passed over while there is another."""

UNACKED_SPREAD = 1.5
"""Agents of one server leave it over so many times the wait, not all at once."""

HOPELESS = frozenset({GoodbyeCode.REFUSED, GoodbyeCode.NOT_IDENTIFIED, GoodbyeCode.VERSION})
"""Reasons that a person must remove; until then, trying often helps nobody."""


@dataclass(slots=True)
class UplinkStatus:
    """What a person is told of the uplink. `state`: offline, connecting or connected."""

    state: str = "offline"
    server: str = ""
    gateway: str = ""
    since_us: int = 0
    attempts: int = 0
    problem: str = ""
    counts: LinkCounts = field(default_factory=LinkCounts)


class Uplink:
    """Keeps one agent connected. `address` is the HTTPS listener that assigns servers, or several with commas."""

    def __init__(
        self,
        *,
        address: str,
        agent_id: str,
        trust: Trust,
        hello: Callable[[], Hello],
        spool: Spool,
        settings: UplinkSettings,
        clock: Clock,
        welcome: Callable[[Welcome], None],
        policy: Callable[[Policy], None],
        live: Callable[[LiveFrame, Way], None] = lambda _frame, _way: None,
        ended: Callable[[], None] = lambda: None,
        known: Sequence[str] = (),
        remember: Callable[[Sequence[str]], None] = lambda _: None,
        chance: random.Random | None = None,
    ) -> None:
        self.status = UplinkStatus(since_us=clock.now_us())
        self._masters = Masters(address)
        self._agent_id = agent_id
        self._trust = trust
        self._hello = hello
        self._spool = spool
        self._settings = settings
        self._clock = clock
        self._on_welcome = welcome
        self._events = LinkEvents(
            self._welcomed,
            policy,
            self.status.counts,
            trust.check,
            live,
            ended,
            self._patience_s,
            self._elsewhere,
        )
        self._chance = chance or random.Random()  # noqa: S311  # spreads attempts, keeps no secret
        self._next_server = ""
        """Where the last gateway sent us."""
        self._welcome_seen = False
        self._servers = Servers(known, remember)
        self._spread = 1.0

    async def run(self) -> None:
        """Connect and push until cancelled."""
        keeping = asyncio.create_task(self._keep_trust(), name="trust")
        try:
            await self._keep_connected()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _keep_trust(self) -> None:
        every_s, timeout_s = self._settings.trust_check_s, self._settings.connect_timeout_s
        await self._trust.keep(self._masters, self._agent_id, self._clock, every_s=every_s, timeout_s=timeout_s)

    async def _keep_connected(self) -> None:
        failures = 0
        while True:
            started = self._clock.monotonic()
            self._note("connecting")
            try:
                ended = await self._connect_once()
            except SealstreamError as error:
                ended = Ended(str(error))
            steady = self._clock.monotonic() - started >= STEADY_S
            failures = 0 if ended.drained or steady else failures + 1
            self._note("offline", "" if ended.drained else ended.reason)
            log.info("uplink_ended", reason=ended.reason, server=self.status.server, agent=self._agent_id)
            await self._clock.sleep(self._pause(failures, ended))

    async def _connect_once(self) -> Ended:
        """One connection, from asking for a server to its end; of several servers, the first that welcomes us."""
        sent_to, self._next_server = self._next_server, ""
        if sent_to:
            try:
                return await self._use(sent_to)
            except UnavailableError as error:
                log.info("server_passed_over", server=sent_to, reason=str(error))
        self._servers.acknowledged(self.status.counts.acked)
        *servers, last = self._servers.in_order(await self.ask_servers())
        for server in servers:
            try:
                ended = await self._use(server, REACH_S)
            except UnavailableError as error:
                log.info("server_passed_over", server=server, reason=str(error))
            else:
                if self._welcome_seen or ended.code in HOPELESS:
                    return ended
                log.info("server_passed_over", server=server, reason=ended.reason)
        return await self._use(last)

    async def _use(self, server: str, reach_s: float | None = None) -> Ended:
        """One connection to that server, to its end; raises `UnavailableError` where there is none."""
        self.status.server = server
        self._welcome_seen = False
        self._spread = self._chance.uniform(1.0, UNACKED_SPREAD)
        link = await self._open(server, reach_s or self._settings.connect_timeout_s)
        ended = await link.run()
        self._next_server = ended.server
        return ended

    async def ask_servers(self) -> list[str]:
        """The agent ports to try now, best first (R4.2); raises `UnavailableError`.

        While no master answers, or knows any, those that are known are tried again (R1.4).
        """
        path = f"{ASSIGN_PATH}?agent={quote(self._agent_id)}"
        timeout, check = self._settings.connect_timeout_s, self._trust.check
        try:
            answer = await request(
                self._masters, "GET", path, self._trust.context, clock=self._clock, timeout=timeout, check=check
            )
        except UnavailableError as error:
            return self._fall_back(str(error))
        if answer.status != 200:
            return self._fall_back(f"{self._masters.text} assigns no server now (status {answer.status})")
        servers = _servers_in(answer.json())
        if not servers:
            raise MalformedError(f"{self._masters.text} assigns no server", "bad_answer")
        self._servers.assigned(servers)
        return servers

    def _fall_back(self, why: str) -> list[str]:
        if not self._servers.known:
            raise UnavailableError(why)
        log.info("assignment_unavailable", reason=why, servers=self._servers.known)
        return self._servers.known

    def _patience_s(self) -> float:
        """How long a server may acknowledge nothing now."""
        self._servers.acknowledged(self.status.counts.acked)
        return self._servers.patience_s(self._settings.unacked_s) * self._spread

    async def _elsewhere(self) -> str:
        """Another server than this one, which acknowledges nothing; empty when none is known."""
        here = self.status.server
        try:
            servers = await self.ask_servers()
        except SealstreamError:
            servers = []
        other = self._servers.leave(here, [*servers, *self._servers.known])
        log.warning("nothing_acknowledged", server=here, goes_to=other, agent=self._agent_id)
        return other

    async def _open(self, server: str, reach_s: float) -> Link:
        host, port = split_address(server)
        loop = asyncio.get_running_loop()

        def make_link() -> Link:
            return Link(self._hello(), self._spool, self._settings, self._clock, self._events)

        async def connect() -> Link:
            connection = await reach(host, port, reach_s)
            _, link = await loop.create_connection(
                make_link, sock=connection, ssl=self._trust.context, server_hostname=host
            )
            return link

        try:
            return await wait_at_most(self._clock, connect(), self._settings.connect_timeout_s)
        except TimeoutError:
            raise UnavailableError(f"{server} does not answer") from None
        except OSError as error:
            raise UnavailableError(f"{server} cannot be reached: {error.strerror or error}") from None

    def _welcomed(self, welcome: Welcome) -> None:
        self.status.attempts = 0
        self.status.gateway = welcome.gateway
        self._welcome_seen = True
        self._servers.welcomed(self.status.server)
        self._note("connected")
        log.info("uplink_connected", server=self.status.server, gateway=welcome.gateway, agent=self._agent_id)
        if abs(welcome.time_ms - self._clock.now_us() // 1000) > CLOCK_DIFFERS_MS:
            log.warning("clock_differs", ahead_ms=self._clock.now_us() // 1000 - welcome.time_ms)
        self._on_welcome(welcome)

    def _pause(self, failures: int, ended: Ended) -> float:
        """Seconds to wait: full jitter under a ceiling that doubles with each failure."""
        longest = self._settings.backoff_max_s
        if ended.code in HOPELESS or ended.code == GoodbyeCode.OVERLOADED:
            ceiling = longest
        else:
            ceiling = min(longest, self._settings.backoff_first_s * 2 ** min(failures, 30))
        return self._chance.uniform(0, 0 if ended.drained and ended.server else ceiling)

    def _note(self, state: str, problem: str = "") -> None:
        if state == "connecting":
            self.status.attempts += 1
        else:
            self.status.problem = problem
        self.status.state = state
        self.status.since_us = self._clock.now_us()


def _servers_in(answer: dict[str, Any]) -> list[str]:
    """What a master assigns: `server`, and `alternatives` where it is of a release that names some."""
    others = answer.get("alternatives")
    named = [answer.get("server"), *(others if isinstance(others, list) else ())]
    return list(dict.fromkeys(one for one in named if isinstance(one, str)))[:MAX_SERVERS]

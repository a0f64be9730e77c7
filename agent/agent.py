"""The agent, put together: sources, recorder, spool, uplink and control, from start to an orderly end.

Holds no global state: many agents, simulated ones among them, live in one process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from agent.cache import PolicyCache
from agent.clock import Clock, wait_at_most
from agent.control import Control
from agent.endpoint import SOFTWARE, computer_name, make_hello, user_name
from agent.gap import Gap, GapReason
from agent.guest import Guests
from agent.identity import AgentIdentity, save_recipients
from agent.keyring import Keyring
from agent.live import Live, NoSign, Sign
from agent.notice import write_notice
from agent.pause import Pause, load_pause, save_pause
from agent.policy import Policy
from agent.recorder import Recorder
from agent.settings import AgentSettings
from agent.source import Source
from agent.spool import Backlog, Spool
from agent.supervision import Supervised
from agent.trust import Trust
from agent.uplink import Uplink
from schemas.errors import ConfigError, MalformedError
from schemas.frames import Hello, Welcome
from schemas.frames import Policy as PolicyFrame
from schemas.kinds import StreamKind

log = structlog.get_logger()

LINGER_S = 5.0
"""How long an agent that ends waits for the server to take what is in the spool; the rest waits for the next start."""

PAUSE_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What an agent is made of. `directory` `None`: nothing but the spool is kept, and there is no control socket."""

    identity: AgentIdentity
    settings: AgentSettings
    spool: Spool
    keyring: Keyring
    cache: PolicyCache
    trust: Trust
    clock: Clock
    directory: Path | None = None
    user: str = ""
    computer: str = ""


class Agent:
    """One agent. `run` it once. Without `retry` a source that fails ends it."""

    def __init__(
        self,
        parts: Parts,
        sources: Sequence[Source],
        *,
        retry: bool = True,
        linger_s: float = LINGER_S,
        sign: Sign | None = None,
    ) -> None:
        self._linger_s = linger_s
        self._parts = parts
        self._spool = parts.spool
        self._clock = parts.clock
        self._user = parts.user or user_name()
        self._computer = parts.computer or computer_name()
        self._started_us = parts.clock.now_us()
        self._cache = parts.cache
        self._pause = load_pause(parts.directory)
        self.policy_problem = ""
        self.recorder = Recorder(
            agent_id=parts.identity.id_bytes,
            settings=parts.settings.recorder,
            spool=parts.spool,
            keyring=parts.keyring,
            policy=self._effective(self._cache.policy),
            clock=parts.clock,
        )
        self.live = Live(self.recorder, sources, parts.clock, sign or NoSign())
        self.uplink = Uplink(
            address=parts.settings.uplink.server or parts.identity.server,
            agent_id=parts.identity.agent_id,
            trust=parts.trust,
            hello=self._hello,
            spool=parts.spool,
            settings=parts.settings.uplink,
            clock=parts.clock,
            welcome=self._welcomed,
            policy=self._told,
            live=self.live.take,
            ended=self.live.drop,
            known=parts.cache.servers,
            remember=parts.cache.keep_servers,
        )
        retry_s = parts.settings.sources.retry_s if retry else None
        self._supervised = [
            Supervised(source, recorder=self.recorder, spool=parts.spool, clock=parts.clock, retry_s=retry_s)
            for source in sources
        ]
        self.guests = Guests(self.recorder, parts.spool, parts.clock, changed=self._note_recording)
        self._note_recording()

    async def run(self, until: Awaitable[object] | None = None) -> None:
        """Record and push until `until` is done, or cancelled, or every source has ended; then end in order."""
        log.info("agent_started", agent=self._parts.identity.agent_id, software=SOFTWARE, pid=os.getpid())
        sources = [asyncio.create_task(one.run(), name=one.source.name) for one in self._supervised]
        telling = asyncio.create_task(self.recorder.tell_gaps(), name="gaps")
        others = [
            telling,
            asyncio.create_task(self.uplink.run(), name="uplink"),
            asyncio.create_task(self._watch_pause(), name="pause"),
            *([asyncio.create_task(self._control().run(), name="control")] if self._parts.directory else []),
        ]
        ending = asyncio.ensure_future(until if until is not None else asyncio.gather(*sources))
        try:
            await asyncio.wait([ending, *others], return_when=asyncio.FIRST_COMPLETED)
            for task in (ending, *others):
                if task.done():
                    task.result()  # what must never end has failed: in plain sight
        finally:
            self.live.drop()
            await _stop([ending, *sources])
            await _stop([telling])
            await self._close()
            await _stop(others)
            await self._spool.close()
            log.info("agent_ended", agent=self._parts.identity.agent_id, waiting=self._spool.backlog().envelopes)

    async def pause(self, for_s: float | None = None) -> None:
        """Stop recording, for so many seconds or until `resume`; raises `ConfigError` when the policy forbids it."""
        if not self._cache.policy.pause_allowed:
            raise ConfigError("the policy of this computer does not allow a pause")
        now_us = self._clock.now_us()
        self._set_pause(Pause(now_us, None if for_s is None else now_us + int(for_s * 1_000_000)))

    async def resume(self) -> None:
        """Record again."""
        self._set_pause(None)

    def backlog(self) -> Backlog:
        """What waits for the server."""
        return self._spool.backlog()

    def notice(self) -> str:
        """What is recorded, for whom, where it goes."""
        return write_notice(
            replace(self._effective(self._cache.policy), paused=self._cache.policy.paused),
            server=self.uplink.status.server or self._parts.identity.server,
            agent_id=self._parts.identity.agent_id,
            user=self._user,
            computer=self._computer,
            paused_here=self._pause is not None,
            live=self.live.words(),
        )

    def status(self) -> dict[str, Any]:
        """What `sealstream agent status` shows."""
        policy, backlog = self.recorder.policy, self._spool.backlog()
        return {
            "agent_id": self._parts.identity.agent_id,
            "software": SOFTWARE,
            "pid": os.getpid(),
            "started_us": self._started_us,
            "user": self._user,
            "computer": self._computer,
            "uplink": asdict(self.uplink.status),
            "policy": {
                "version": policy.version,
                "streams": sorted(policy.streams),
                "end_to_end": sorted(policy.end_to_end),
                "paused_by_server": self._cache.policy.paused,
                "problem": self.policy_problem,
            },
            "key_set": self._key_set_status(),
            "pause": self._pause._asdict() if self._pause else None,
            "sources": {one.source.name: asdict(one.status) for one in self._supervised},
            "guests": self.guests.count,
            "live": self.live.status(),
            "spool": {**backlog._asdict(), "gaps_owed": len(self._spool.owed())},
            "sealed": self.recorder.sealed(),
            "indexed": self.recorder.indexed(),
            "refused_events": self.recorder.refused,
            "unsealable": self.recorder.unsealable(),
        }

    def _key_set_status(self) -> dict[str, Any]:
        key_sets = self._parts.keyring.key_sets
        current = key_sets.current
        return {
            "signers": sorted(signer.hex() for signer in key_sets.signers),
            "version": current.version if current else None,
            "streams": {label: current.names(label) for label in sorted(current.streams)} if current else {},
            "problem": key_sets.problem,
        }

    def _hello(self) -> Hello:
        kinds = {one.source.kind for one in self._supervised} | {StreamKind.KEYSTROKES, StreamKind.GAP}
        streams = [kind.label for kind in kinds]  # sessions may begin at any time
        now_ms = self._clock.now_us() // 1000
        return make_hello(self._parts.identity.agent_id, streams, now_ms, user=self._user, computer=self._computer)

    def _welcomed(self, welcome: Welcome) -> None:
        self.recorder.limit_envelopes(welcome.max_envelope)
        self._accept(welcome.policy, welcome.recipients, welcome.key_set)
        self.recorder.renew()

    def _told(self, frame: PolicyFrame) -> None:
        self._accept(frame.policy, frame.recipients, frame.key_set)

    def _accept(self, body: dict[str, Any], recipients: list[str], key_set: dict[str, Any]) -> None:
        """Take what the server told; what is not usable is refused as a whole, the key set by itself."""
        before = self._cache.policy
        self._take_key_set(key_set)
        try:
            policy = self._cache.read(body)
            self.recorder.apply(self._effective(policy), recipients)
        except (MalformedError, ConfigError) as error:
            self.policy_problem = str(error)
            log.warning("policy_refused", reason=self.policy_problem)
            return
        self.policy_problem = ""
        self._cache.keep(policy)
        self.live.check()
        self._note_recording()
        self._keep_recipients(recipients)
        if policy != before:
            log.info("policy_applied", version=policy.version, streams=sorted(policy.streams))

    def _take_key_set(self, told: dict[str, Any]) -> None:
        """Seal to the KEKs of a new key set from now on; what was captured before is sealed as the one before said."""
        key_sets = self._parts.keyring.key_sets
        try:
            checked = key_sets.check(told)
        except MalformedError as error:
            key_sets.refuse(error)
            return
        if checked is None:
            return
        self.recorder.end_epochs()
        try:
            key_sets.adopt(checked)
        except OSError as error:
            log.warning("key_set_not_written", reason=error.strerror)

    def _keep_recipients(self, recipients: list[str]) -> None:
        if self._parts.directory is None:
            return
        try:
            save_recipients(self._parts.directory, recipients)
        except OSError as error:
            log.warning("recipients_not_written", reason=error.strerror)

    def _effective(self, policy: Policy) -> Policy:
        """The policy as it is in force: a person's pause, and what officers signed, count too."""
        key_sets = self._parts.keyring.key_sets
        return replace(
            policy,
            paused=policy.paused or self._pause is not None,
            end_to_end=policy.end_to_end | key_sets.bound,
        )

    def _set_pause(self, pause: Pause | None) -> None:
        """Begin or end a person's pause: the gap is told when it begins, and whole when it ends."""
        before, now_us = self._pause, self._clock.now_us()
        streams = [kind.label for kind in self._kinds() if kind.label in self._cache.policy.streams]
        since = before or pause
        if since is not None:
            until = now_us if pause is None else pause.until_us
            for label in streams:
                detail = "a person paused the recording"
                self._spool.owe(Gap(label, GapReason.PAUSED, from_us=since.since_us, until_us=until, detail=detail))
        self._pause = pause
        save_pause(self._parts.directory, pause)
        self.recorder.apply(self._effective(self._cache.policy))
        self.live.check()
        self._note_recording()
        log.info("recording_paused" if pause else "recording_resumed")

    async def _watch_pause(self) -> None:
        while True:
            await self._clock.sleep(PAUSE_LOOK_S)
            if self._pause is not None and self._pause.over(self._clock.now_us()):
                self._set_pause(None)

    def _kinds(self) -> set[StreamKind]:
        return {one.source.kind for one in self._supervised} | self.guests.kinds

    def _note_recording(self) -> None:
        kinds = {kind.label for kind in self._kinds() if self.recorder.policy.allows(kind)}
        self._spool.recording(frozenset(kinds))

    def _control(self) -> Control:
        async def status(_: dict[str, Any]) -> Any:
            return self.status()

        async def notice(_: dict[str, Any]) -> Any:
            return self.notice()

        async def pause(request: dict[str, Any]) -> Any:
            for_s = request.get("for_s")
            await self.pause(float(for_s) if isinstance(for_s, int | float) else None)
            return self.status()["pause"]

        async def resume(_: dict[str, Any]) -> Any:
            await self.resume()

        assert self._parts.directory is not None
        answers: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
            "status": status,
            "notice": notice,
            "pause": pause,
            "resume": resume,
        }
        return Control(self._parts.directory, answers, {"record": self.guests.serve})

    async def _close(self) -> None:
        """Seal and keep all that was recorded, and give the server a moment to take it."""
        with contextlib.suppress(ConfigError):  # no key to seal gaps with: they stay owed
            await self.recorder.close()
        with contextlib.suppress(TimeoutError):
            await wait_at_most(self._clock, self._spool.flush(), self._linger_s)
            if self._worth_waiting():
                await wait_at_most(self._clock, self._taken(), self._linger_s)

    async def _taken(self) -> None:
        while self._spool.backlog().envelopes and self._worth_waiting():
            await self._clock.sleep(0.05)

    def _worth_waiting(self) -> bool:
        """An agent that is offline does not make people wait, unless they said so."""
        return self._linger_s > LINGER_S or self.uplink.status.state != "offline"


async def _stop(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel, and wait for the end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

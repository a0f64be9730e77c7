"""Being watched and heard: what the gateway asks for becomes live epochs and packets of sound, shown to the person.

Never lets anybody watch or listen unseen, nor longer than the gateway keeps asking, nor what the policy does not list.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import structlog

from agent.clock import Clock
from agent.link import Way
from agent.recorder import Recorder
from agent.source import Hearable, Source
from schemas.audio_packet import AudioSealer
from schemas.errors import ConfigError, MalformedError
from schemas.frames import AudioOpen, LiveFrame, LiveStart, LiveState
from schemas.kinds import StreamKind
from schemas.live import Listen, LiveStatus, Watch, load_viewer_key

log = structlog.get_logger()

WORDS = {StreamKind.SCREEN: "Your screen is being watched live now", StreamKind.AUDIO: "You are being heard live now"}


class Sign(Protocol):
    """Where a person sees that they are watched or heard. May be called often; never waits."""

    def show(self, text: str) -> None:
        """Show it, in place of what was shown; nothing when empty."""


class NoSign:
    """There is no place: status and notice tell it all the same."""

    def show(self, text: str) -> None:
        """Nothing."""


@dataclass(slots=True)
class Viewing:
    """A stream that is watched or heard. `viewers` is how many do."""

    viewers: int
    since_us: int


class Sound:
    """Packets of sound on their way to a gateway: a tap of the source."""

    def __init__(self, host: str, listen: Listen) -> None:
        self.stream_id = listen.stream_id
        self._sealer = AudioSealer(listen.suite, listen.stream_id, listen.key, listen.salt)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.connect((host, listen.port))
        except OSError:
            self._socket.close()
            raise

    def __call__(self, body: bytes, time_ms: int) -> None:
        """Seal and send; what the network does not take is lost, as on the way."""
        with contextlib.suppress(OSError):
            self._socket.send(self._sealer.seal(body, time_ms))

    def close(self) -> None:
        """No more."""
        self._socket.close()


class Live:
    """Live viewing of one agent; `sign` is where the person sees it."""

    def __init__(self, recorder: Recorder, sources: Sequence[Source], clock: Clock, sign: Sign) -> None:
        self._recorder = recorder
        self._sources = sources
        self._clock = clock
        self._sign = sign
        self._viewings: dict[StreamKind, Viewing] = {}
        self._leases: dict[StreamKind, asyncio.Task[None]] = {}
        self._sound: Sound | None = None
        self._way: Way | None = None

    def take(self, frame: LiveFrame, way: Way) -> None:
        """What the gateway asks for, answered by one `LiveState`."""
        self._way = way
        label = str(frame.detail.get("stream", ""))
        try:
            if isinstance(frame, LiveStart):
                self._watch(Watch.from_detail(frame.detail))
            elif isinstance(frame, AudioOpen):
                label = StreamKind.AUDIO.label
                self._listen(Listen.from_detail(frame.detail), way)
            else:
                self._end(_kind(label), "nobody asks for it any more")
        except (MalformedError, ConfigError) as error:
            log.warning("live_refused", stream=label[:16], reason=str(error))
            self._tell(label[:16], LiveStatus.REFUSED, str(error))

    def drop(self) -> None:
        """The connection is over, and with it all that was asked by it."""
        self._way = None
        for kind in list(self._viewings):
            self._end(kind, "the connection is over")

    def check(self) -> None:
        """The policy, or a pause, has changed: end what is not allowed any more."""
        for kind in list(self._viewings):
            if refusal := self._refusal(kind):
                self._end(kind, refusal)

    def status(self) -> dict[str, Any]:
        """Streams that are watched or heard now, by their names."""
        return {kind.label: asdict(viewing) for kind, viewing in self._viewings.items()}

    def words(self) -> list[str]:
        """The same as sentences for the person."""
        return [_words(kind, viewing) for kind, viewing in self._viewings.items()]

    def _watch(self, watch: Watch) -> None:
        kind = StreamKind.SCREEN
        self._allow(kind)
        viewers = [load_viewer_key(key) for key in watch.viewer_keys]
        sealed = kind.label in self._recorder.policy.end_to_end
        self._recorder.watch(kind, () if sealed else viewers, fresh=watch.fresh or kind not in self._viewings)
        self._begin(kind, watch.viewers, watch.lease_s)

    def _listen(self, listen: Listen, way: Way) -> None:
        source = self._allow(StreamKind.AUDIO)
        if not isinstance(source, Hearable):
            raise ConfigError("the sound of this agent cannot be heard live")
        if self._sound is None or self._sound.stream_id != listen.stream_id:
            try:
                sound = Sound(way.host, listen)
            except OSError as error:
                raise ConfigError(f"no way for sound to {way.host}: {error.strerror}") from None
            self._mute()
            self._sound = sound
            source.taps.add(sound)
        self._begin(StreamKind.AUDIO, listen.listeners, listen.lease_s)

    def _allow(self, kind: StreamKind) -> Source:
        """The source of that stream; raises `ConfigError` where it may not be watched."""
        if refusal := self._refusal(kind):
            self._end(kind, refusal)
            raise ConfigError(refusal)
        source = next((source for source in self._sources if source.kind is kind), None)
        if source is None:
            raise ConfigError(f"this agent runs no source of {kind.label}")
        return source

    def _refusal(self, kind: StreamKind) -> str:
        policy = self._recorder.policy
        if policy.paused:
            return "recording is paused"
        if not policy.allows(kind):
            return f"the policy does not record {kind.label}"
        return "" if policy.allows_live(kind) else f"the policy does not allow live {kind.label}"

    def _begin(self, kind: StreamKind, viewers: int, lease_s: float) -> None:
        before = self._viewings.get(kind)
        self._viewings[kind] = Viewing(viewers, before.since_us if before else self._clock.now_us())
        self._stop_lease(kind)
        self._leases[kind] = asyncio.create_task(self._run_out(kind, lease_s), name=f"live {kind.label}")
        if before is None or before.viewers != viewers:
            log.info("live_viewing", stream=kind.label, viewers=viewers)
            self._show()
        self._tell(kind.label, LiveStatus.ON, "")

    def _end(self, kind: StreamKind, reason: str) -> None:
        if self._viewings.pop(kind, None) is None:
            return
        self._stop_lease(kind)
        if kind is StreamKind.AUDIO:
            self._mute()
        else:
            self._recorder.unwatch(kind)
        log.info("live_over", stream=kind.label, reason=reason)
        self._show()
        self._tell(kind.label, LiveStatus.OFF, reason)

    def _mute(self) -> None:
        sound, self._sound = self._sound, None
        if sound is not None:
            for source in self._sources:
                if isinstance(source, Hearable):
                    source.taps.discard(sound)
            sound.close()

    async def _run_out(self, kind: StreamKind, lease_s: float) -> None:
        await self._clock.sleep(lease_s)
        self._leases.pop(kind, None)
        self._end(kind, "the server asked for no more")

    def _stop_lease(self, kind: StreamKind) -> None:
        lease = self._leases.pop(kind, None)
        if lease is not None:
            lease.cancel()

    def _show(self) -> None:
        self._sign.show("\n".join(self.words()))

    def _tell(self, label: str, status: LiveStatus, reason: str) -> None:
        if self._way is not None:
            self._way.tell(LiveState({"stream": label, "state": str(status), "reason": reason[:200]}))


def _words(kind: StreamKind, viewing: Viewing) -> str:
    return WORDS[kind] + (f", by {viewing.viewers} people" if viewing.viewers > 1 else "")


def _kind(label: str) -> StreamKind:
    try:
        kind = StreamKind.from_label(label)
    except ValueError as error:
        raise MalformedError(str(error), "bad_live") from None
    if kind not in WORDS:
        raise MalformedError(f"{kind.label} is not watched", "bad_live")
    return kind

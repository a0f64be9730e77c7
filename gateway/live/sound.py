"""Sound of one agent: a UDP port that is opened for its listeners, checks what comes, and hands on the packets (R4.4).

Never takes a packet of another sender, never one twice, and never decodes sound.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from gateway.live.room import Count, LocalRoom, Present
from schemas.audio_packet import KEY_BYTES, SALT_BYTES, AudioOpener, Suite
from schemas.errors import MalformedError, OpenError, UnavailableError
from schemas.frames import AudioOpen
from schemas.kinds import StreamKind
from schemas.live import Listen, LiveMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.live.view import Seat
    from infra.settings import LiveSettings

log = structlog.get_logger()

RECEIVE_BYTES = 256 * 1024
"""Of the socket: over a second of sound of an agent whose packets come in one rush."""

ATTEMPTS = 32

SUITES = {"chacha20-poly1305": Suite.CHACHA20_POLY1305, "blowfish": Suite.BLOWFISH_CTR_HMAC_SHA256}
"""The words of the setting."""


class SoundRoom(LocalRoom):
    """The listeners of one agent. Its port and key are its own, and live as long as it does."""

    what = StreamKind.AUDIO.label

    def __init__(
        self, present: Present, settings: LiveSettings, host: str, count: Count, seats: Iterable[Seat] = ()
    ) -> None:
        super().__init__(present, seats)
        self._settings = settings
        self._bind = host
        self._count = count
        self._port: SoundPort | None = None
        self._listen: Listen | None = None

    def open(self) -> None:
        """Open a port, with a key of its own; raises `UnavailableError` when none is free.

        An agent that has another connection gets another port and key: its sequence begins anew.
        """
        suite = SUITES[self._settings.audio_cipher]
        key, salt, stream_id = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(SALT_BYTES), secrets.randbits(32)
        first, last = self._settings.audio_first_port, self._settings.audio_last_port
        sock = open_port(self._bind, first, last)
        opener = AudioOpener(suite, stream_id, key, salt)
        self._port = SoundPort(sock, self.present.host, opener, self._hand_on, self._count)
        self._listen = Listen(sock.getsockname()[1], stream_id, suite, key, salt)
        super().open()

    def end(self) -> None:
        """Close the port; the key is gone with it."""
        super().end()
        port, self._port, self._listen = self._port, None, None
        if port:
            port.close()

    def _send(self, *, fresh: bool) -> None:  # noqa: ARG002 - every packet stands by itself
        if self._listen:
            detail = self._listen.to_detail() | {"viewers": self.viewers}
            self.present.connection.tell(AudioOpen(detail))

    def _hand_on(self, message: bytes) -> None:
        for seat in self.seats:
            seat.offer(LiveMessage.SOUND, message)


class SoundPort:
    """The socket, and what comes by it. `peer` is the address that the agent is connected from."""

    def __init__(
        self,
        sock: socket.socket,
        peer: str,
        opener: AudioOpener,
        hand_on: Callable[[bytes], None],
        count: Count,
    ) -> None:
        self._socket = sock
        self._peer = peer
        self._opener = opener
        self._hand_on = hand_on
        self._count = count
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._read)

    def close(self) -> None:
        """No more."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _read(self) -> None:
        """Take what has come, up to a burst: others want to be served too."""
        for _ in range(64):
            try:
                packet, address = self._socket.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:  # told of a port that nobody has: not ours to mind
                return
            if str(address[0]).removeprefix("::ffff:") != self._peer:
                self._count("sound_other_sender", 1)
                continue
            self.take(packet)

    def take(self, packet: bytes) -> None:
        """One datagram of the right sender."""
        try:
            opened = self._opener.open(packet)
        except MalformedError as error:
            self._count(f"sound_{error.reason}", 1)
        except OpenError:
            self._count("sound_forged", 1)
        else:
            self._count("sound", 1)
            self._hand_on(opened.sequence.to_bytes(6, "big") + opened.time_ms.to_bytes(6, "big") + opened.body)


def open_port(host: str, first: int, last: int) -> socket.socket:
    """A UDP socket on a random free port of `first` to `last`; raises `UnavailableError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(ATTEMPTS):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.bind((host, first + secrets.randbelow(last - first + 1)))
        except OSError:
            sock.close()
            continue
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        return sock
    raise UnavailableError(f"no UDP port of {first} to {last} is free for sound: see [live] in the settings")


def split_host(address: str) -> str:
    """The host of `host:port`, an IPv6 address without its brackets."""
    return address.rpartition(":")[0].strip("[]")

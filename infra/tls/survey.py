"""All that a listener agrees to: versions, suites and groups, found by asking until it refuses.

Never trusts what a context says of itself: `get_ciphers` lists suites that no handshake would end with.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

from infra.tls.hello import (
    SSL_3,
    TLS_1_0,
    TLS_1_1,
    TLS_1_2,
    TLS_1_3,
    Agreed,
    Question,
    flight_is_complete,
    read_flight,
    write_hello,
)

Ask = Callable[[bytes], bytes]
"""Sends a ClientHello on a new connection and gives back all that the server says to it."""

VERSIONS = {SSL_3: "SSLv3", TLS_1_0: "TLSv1", TLS_1_1: "TLSv1.1", TLS_1_2: "TLSv1.2", TLS_1_3: "TLSv1.3"}
GROUPS = {
    22: "secp256k1",
    23: "secp256r1",
    24: "secp384r1",
    25: "secp521r1",
    29: "X25519",
    30: "X448",
    **{256 + number: f"ffdhe{bits}" for number, bits in enumerate((2048, 3072, 4096, 6144, 8192))},
    0x11EC: "X25519MLKEM768",
}

_SIGNALLING = {0x00FF, 0x5600}
"""Not suites: secure renegotiation, and "I have fallen back"."""

_RANGES = (range(0x100), range(0xC000, 0xC100), range(0xCC00, 0xCD00))
_ALL_SUITES = tuple(code for codes in _RANGES for code in codes if code not in _SIGNALLING)
_SUITES_1_3 = tuple(range(0x1301, 0x1308))
_ALL_GROUPS = (*range(1, 42), *range(0x100, 0x105), *range(0x200, 0x203), *range(0x11EB, 0x11EE), 0x6399)
_MAX_FLIGHT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Offer:
    """What a listener agrees to, by name, in its own order of preference.

    `suites` are those of TLS 1.2, `modern_suites` those of 1.3; `groups` and `modern_groups` likewise.
    """

    versions: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    primes: frozenset[int] = frozenset()
    modern_suites: tuple[str, ...] = ()
    modern_groups: tuple[str, ...] = ()
    compresses: bool = False
    asks_certificate: bool = False


@dataclass(slots=True)
class _Survey:
    """One survey under way. `seen` holds every answer."""

    ask: Ask
    server_name: str
    seen: list[Agreed] = field(default_factory=list)

    def answer(self, version: int, suites: Sequence[int], groups: Sequence[int]) -> Agreed | None:
        if not suites or not groups:
            return None
        agreed = read_flight(self.ask(write_hello(Question(version, suites, groups, self.server_name))))
        if agreed is None or agreed.version != version:
            return None
        self.seen.append(agreed)
        return agreed

    def suites(self, version: int, known: Sequence[int]) -> list[int]:
        """Ask for all, then for all but what was chosen, and so on."""
        found: list[int] = []
        while agreed := self.answer(version, [it for it in known if it not in found], _ALL_GROUPS):
            if agreed.suite in found:
                break  # it insists on what was not offered: no server of ours, but no reason to go on for ever
            found.append(agreed.suite)
        return found

    def groups(self, version: int, suites: Sequence[int]) -> list[int]:
        found: list[int] = []
        while agreed := self.answer(version, suites, [it for it in _ALL_GROUPS if it not in found]):
            if agreed.group in found or not agreed.group:
                break
            found.append(agreed.group)
        return found


def survey(ask: Ask, server_name: str = "") -> Offer:
    """All that the listener behind `ask` agrees to."""
    it = _Survey(ask, server_name)
    old = [version for version in (SSL_3, TLS_1_0, TLS_1_1) if it.answer(version, _ALL_SUITES, _ALL_GROUPS)]
    suites = it.suites(TLS_1_2, _ALL_SUITES)
    elliptic = [suite for suite in suites if suite_name(suite).startswith("ECDHE")]
    groups = it.groups(TLS_1_2, elliptic)
    modern = it.suites(TLS_1_3, _SUITES_1_3)
    modern_groups = it.groups(TLS_1_3, modern)
    versions = [*old, *([TLS_1_2] if suites else []), *([TLS_1_3] if modern else [])]
    return Offer(
        versions=tuple(VERSIONS[version] for version in versions),
        suites=tuple(map(suite_name, suites)),
        groups=tuple(map(group_name, groups)),
        primes=frozenset(agreed.prime for agreed in it.seen if agreed.prime),
        modern_suites=tuple(map(suite_name, modern)),
        modern_groups=tuple(map(group_name, modern_groups)),
        compresses=any(agreed.compression for agreed in it.seen),
        asks_certificate=any(agreed.asks_certificate for agreed in it.seen),
    )


def ask_context(context: ssl.SSLContext) -> Ask:
    """Ask a context in memory, as its listener would be asked."""

    def ask(hello: bytes) -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(hello)
        with contextlib.suppress(ssl.SSLError):  # it wants the rest, or refuses: what it says is in `outgoing`
            server.do_handshake()
        return outgoing.read()

    return ask


def ask_address(host: str, port: int, timeout_s: float = 5.0) -> Ask:
    """Ask a listener over the network; raises `OSError`."""

    def ask(hello: bytes) -> bytes:
        received = bytearray()
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.sendall(hello)
            try:
                while len(received) < _MAX_FLIGHT_BYTES and not flight_is_complete(bytes(received)):
                    chunk = connection.recv(16_384)
                    if not chunk:
                        break
                    received += chunk
            except ConnectionResetError:
                pass  # a way to refuse
        return bytes(received)

    return ask


def suite_name(code: int) -> str:
    """OpenSSL's name of a suite, or its number where this OpenSSL does not know it."""
    return _names().get(code, f"0x{code:04X}")


def group_name(code: int) -> str:
    """The IANA name of a group, or its number."""
    return GROUPS.get(code, f"0x{code:04X}")


@cache
def _names() -> dict[int, str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return {int(suite["id"]) & 0xFFFF: str(suite["name"]) for suite in context.get_ciphers()}

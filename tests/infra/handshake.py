"""A TLS handshake in memory: what a listener really offers, not what its context says."""

from __future__ import annotations

import ssl
from typing import NamedTuple


class Agreed(NamedTuple):
    """What both sides settled on."""

    version: str
    suite: str


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> Agreed | None:
    """What a client and a server agree on, or none where they do not."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    done = [False, False]
    for _ in range(10):
        for number, end in enumerate(ends):
            try:
                end.do_handshake()
                done[number] = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return None
        if all(done):
            suite, version, _ = ends[0].cipher() or ("", "", 0)
            return Agreed(ends[0].version() or version, suite)
    return None


def asking_client(ca: str, version: ssl.TLSVersion, suite: str = "", group: str = "") -> ssl.SSLContext:
    """A client that asks for one version, and if told so one suite and one group, at OpenSSL's lowest level."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    context.set_ciphers(f"{suite or 'ALL'}:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    if group:
        context.set_ecdh_curve(group)
    return context

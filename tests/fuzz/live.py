"""Targets: live viewing: what gateways ask of agents, what viewers say, packets of sound.

Never opens a socket: the parsers take bytes.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from gateway.live.port import _ticket_in, check_origin
from gateway.live.tickets import Ticket, Tickets
from schemas.audio_packet import AudioOpener, AudioSealer, Suite
from schemas.errors import MalformedError, OpenError
from schemas.keys import Identity
from schemas.live import Listen, Watch, dump_viewer_key, load_viewer_key
from tests.fuzz.target import Target

_KEY, _SALT = bytes(32), bytes(12)
_WATCH = Watch(("AAAA",), 2, 60, fresh=True)
_LISTEN = Listen(2000, 7, Suite.CHACHA20_POLY1305, _KEY, _SALT)
_TICKET = Ticket(*["x"] * 12, until_ms=1 << 60)
_VIEWER = dump_viewer_key(Identity.generate(2048).recipient).encode()


def _object(data: bytes) -> dict[str, Any]:
    """As the wire protocol hands a detail on: an object, whatever is in it."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedError("not JSON") from None
    return value if isinstance(value, dict) else {}


def _open_packet(suite: Suite, data: bytes) -> None:
    AudioOpener(suite, 1, _KEY, _SALT).open(data)


def _packet(suite: Suite) -> bytes:
    return AudioSealer(suite, 1, _KEY, _SALT).seal(b"opus", 1)


def _tickets() -> Tickets:
    with tempfile.TemporaryDirectory() as folder:
        tickets = Tickets(Path(folder) / "live.key")
        tickets.load()
    return tickets


_DESK = _tickets()


def _show(data: bytes) -> None:
    """A viewer's first message, up to the ticket; and an origin."""
    text = data.decode("utf-8", "replace")
    check_origin(text, text)
    _DESK.check(_ticket_in(text), 1)


TARGETS = (
    *(
        Target(f"sound_{suite.name.lower()}", lambda data, suite=suite: _open_packet(suite, data),
               (MalformedError, OpenError), (_packet(suite),))
        for suite in Suite
    ),
    Target("live_start", lambda data: Watch.from_detail(_object(data)), (MalformedError,),
           (json.dumps(_WATCH.to_detail()).encode(),), text=True),
    Target("audio_open", lambda data: Listen.from_detail(_object(data)), (MalformedError,),
           (json.dumps(_LISTEN.to_detail()).encode(),), text=True),
    Target("viewer_key", lambda data: load_viewer_key(data.decode("utf-8", "replace")), (MalformedError,), (_VIEWER,)),
    Target("live_ticket", _show, (MalformedError,),
           (json.dumps({"ticket": _DESK.issue(_TICKET)}).encode(),), text=True),
)  # fmt: skip

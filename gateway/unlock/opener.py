"""The process of one unlock: finds what is in scope, opens it with a person's passphrase, seals it for the viewer.

Never outlives its unlock: key, DEKs and plaintext are in this process's memory alone, and its end gives that back
to the system, which clears it. Meanwhile nothing of it is swapped, dumped, or readable by others of the same account.
"""

from __future__ import annotations

import asyncio
import base64
import ctypes
import json
import os
import resource
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from gateway.unlock.finding import Found, epochs, find, read
from gateway.unlock.naming import key_ids
from gateway.unlock.pipe import Kind, encode_frame, read_frame
from gateway.unlock.refusal import NOTHING_FOUND, RefusedError, refusal_of
from gateway.unlock.scope import Scope
from infra.keys.access import open_identities
from infra.keys.registry import USABLE, Purpose, Registered
from infra.keys.registry import find as find_row
from infra.keys.table import registered
from infra.settings import Settings
from schemas.errors import KeyAccessError, MalformedError, OpenError, SealstreamError, WrongPassphraseError
from schemas.keys import Unwrapper
from schemas.kinds import ContentType, StreamKind
from schemas.opening import Opened, Opener, PartJoiner
from schemas.unlock_channel import END, Channel, Offer, pieces, wipe
from sinks.archive.reading import ArchivedEnvelope

if TYPE_CHECKING:
    from gateway.unlock.screens import ScreenStart

_PR_SET_DUMPABLE = 4
_LOCK_WHAT_IS_TOUCHED = 1 | 2 | 4
_KEY_BYTES = 65


class OpenerProcess:
    """The steps of one unlock, in the order in which the starter asks for them."""

    def __init__(self, reading: BinaryIO, writing: BinaryIO) -> None:
        self._reading, self._writing = reading, writing
        self._counts: Counter[str] = Counter()

    def run(self) -> None:
        """Do all of it, or say why not."""
        try:
            self._unlock()
        except EOFError:
            return  # nobody waits for us any more
        except SealstreamError as error:
            refusal = refusal_of(error)
            self._tell(Kind.REFUSED, {"reason": refusal.reason, "message": str(refusal)})

    def _unlock(self) -> None:
        begin = read_frame(self._reading, Kind.BEGIN).fields
        settings, scope = Settings.model_validate(begin["settings"]), Scope.from_json(begin["scope"])
        session = bytes.fromhex(begin["session"])
        found = asyncio.run(find(settings, scope))
        wanted = self._survey(settings, scope, found, begin["keys"], offer := Offer(session))
        channel, identities = self._take_passphrases(settings, wanted, offer)
        self._release(channel, Opener(identities), found, scope)

    def _survey(
        self, settings: Settings, scope: Scope, found: Found, names: list[str] | None, offer: Offer
    ) -> list[Registered]:
        """Tell what is in scope; the KEKs to try."""
        sealed_to: Counter[bytes] = Counter()
        envelopes = 0
        for header, count in epochs(found, scope):
            envelopes += count
            sealed_to.update(dict.fromkeys(header.key_ids, count))
        if not envelopes:
            raise RefusedError(NOTHING_FOUND, "the archive has nothing of that agent, stream and time")
        rows = registered(settings)
        by_id = key_ids(settings, rows)
        wanted = choose(rows, by_id, set(sealed_to), names)
        keys = [
            {"key_id": key_id.hex(), "name": by_id[key_id].name if key_id in by_id else "", "envelopes": count}
            for key_id, count in sealed_to.items()
        ]
        ids = {row: key_id.hex() for key_id, row in by_id.items()}
        trying = [{"name": row.name, "key_id": ids.get(row, "")} for row in wanted]
        public = base64.b64encode(offer.public).decode()
        self._tell(Kind.SURVEY, {"public_key": public, "envelopes": envelopes, "keys": keys, "trying": trying})
        return wanted

    def _take_passphrases(
        self, settings: Settings, wanted: Sequence[Registered], offer: Offer
    ) -> tuple[Channel, list[Unwrapper]]:
        """The KEKs that one passphrase after another opens, until it is time to release; the first must open one."""
        body = read_frame(self._reading, Kind.PASSPHRASE).body
        viewer, channel = body[:_KEY_BYTES], offer.accept(body[:_KEY_BYTES])
        opened = open_wiping(settings, channel.open(body[_KEY_BYTES:]), wanted)
        if not opened.identities:
            raise opened.best_reason
        identities = dict(opened.identities)
        refused: dict[str, str] = {}
        while True:
            told = {"keys": sorted(opened.identities), "closed": opened.hopeful}
            self._tell(Kind.OPENED, told | ({"refused": refused} if refused else {}))
            frame = read_frame(self._reading, Kind.PASSPHRASE, Kind.RELEASE)
            if frame.kind is Kind.RELEASE:
                return channel, list(identities.values())
            if frame.body[:_KEY_BYTES] != viewer:
                raise MalformedError("another viewer began this unlock", "bad_key")
            left = [row for row in wanted if row.name not in identities]
            opened = open_wiping(settings, channel.open(frame.body[_KEY_BYTES:]), left)
            identities |= opened.identities
            refusal = refusal_of(opened.best_reason) if not opened.identities else None
            refused = {"reason": refusal.reason, "message": str(refusal)} if refusal else {}

    def _release(self, channel: Channel, opener: Opener, found: Found, scope: Scope) -> None:
        joiner, screens = PartJoiner(), _screen_start() if StreamKind.SCREEN in scope.kinds else None
        for envelope in read(found, scope):
            in_scope = scope.holds(envelope.capture_ms)
            try:
                whole = joiner.add(opener.open(envelope.value))
                if whole is None:
                    continue
                plaintext = _shown(screens, whole, in_scope=in_scope)
            except OpenError:
                self._counts["sealed_to_other_keks"] += in_scope
                continue
            except MalformedError:
                self._counts["damaged"] += in_scope
                continue
            if plaintext is not None:
                self._counts["segments"] += 1
                self._counts[whole.record.kind.label] += 1
                for piece in pieces(describe(envelope, whole), plaintext):
                    self._tell(Kind.SEALED, channel.seal(piece))
        summary = dict(self._counts)
        self._tell(Kind.SEALED, channel.seal(bytes((END,)) + _json(summary)))
        self._tell(Kind.DONE, summary)

    def _tell(self, kind: Kind, body: bytes | dict[str, Any]) -> None:
        self._writing.write(encode_frame(kind, body))
        self._writing.flush()


def choose(
    rows: Sequence[Registered], by_id: dict[bytes, Registered], sealed_to: set[bytes], names: list[str] | None
) -> list[Registered]:
    """The KEKs that are to be tried: those named, or those registered that something in scope is sealed to."""
    fitting = [row for key_id, row in by_id.items() if key_id in sealed_to]
    if names:
        return [find_row(rows, name) for name in names]
    usable = [row for row in fitting if row.state in USABLE]
    officers = [row for row in usable if row.purpose is Purpose.END_TO_END]
    chosen = officers or usable or fitting
    if not chosen:
        ids = ", ".join(sorted(key_id.hex()[:16] for key_id in sealed_to))
        raise RefusedError(
            "kek_missing",
            f"what is in scope is sealed to KEKs that are not registered here (ids {ids}…): "
            "`sealstream keys register` them",
        )
    return chosen


@dataclass(frozen=True, slots=True)
class Tried:
    """What a passphrase did to KEKs, by name: what it opened, and why it opened the others not."""

    identities: dict[str, Unwrapper] = field(default_factory=dict)
    reasons: dict[str, KeyAccessError] = field(default_factory=dict)

    @property
    def hopeful(self) -> list[str]:
        """KEKs that another passphrase may open."""
        return sorted(name for name, reason in self.reasons.items() if isinstance(reason, WrongPassphraseError))

    @property
    def best_reason(self) -> KeyAccessError:
        """The reason that helps most, where it opened none."""
        return self.reasons[(self.hopeful or list(self.reasons))[0]]


def try_each(settings: Settings, passphrase: bytearray, wanted: Sequence[Registered]) -> Tried:
    """Try a passphrase on each of the KEKs."""
    tried = Tried()
    for row in wanted:
        try:
            (tried.identities[row.name],) = open_identities(settings, passphrase, [row.name])
        except KeyAccessError as error:
            tried.reasons[row.name] = error
    return tried


def open_wiping(settings: Settings, passphrase: bytearray, wanted: Sequence[Registered]) -> Tried:
    """The same, and the passphrase is overwritten."""
    try:
        return try_each(settings, passphrase, wanted)
    finally:
        wipe(passphrase)


def open_each(settings: Settings, passphrase: bytearray, wanted: Sequence[Registered]) -> dict[str, Unwrapper]:
    """Those of the KEKs that the passphrase opens, by name; raises the reason that helps most when it opens none."""
    tried = try_each(settings, passphrase, wanted)
    if not tried.identities:
        raise tried.best_reason
    return tried.identities


def describe(envelope: ArchivedEnvelope, opened: Opened) -> dict[str, Any]:
    """What the viewer is told of a segment beside its plaintext."""
    return {
        "agent": opened.id.agent,
        "stream": opened.record.kind.label,
        "epoch": opened.id.epoch_id.hex(),
        "sequence": opened.id.sequence,
        "capture_ms": envelope.capture_ms,
        "content_type": int(opened.record.content_type),
        "end_to_end": opened.epoch.end_to_end,
    }


def _screen_start() -> ScreenStart:
    from gateway.unlock.screens import ScreenStart  # a third of the time that this process takes to start

    return ScreenStart()


def _shown(screens: ScreenStart | None, opened: Opened, *, in_scope: bool) -> bytes | None:
    screen = opened.record.kind is StreamKind.SCREEN and opened.record.content_type == ContentType.SEGMENT
    if screens is not None and screen:
        return screens.take(opened, in_scope=in_scope)
    return opened.plaintext if in_scope else None


def _json(fields: dict[str, int]) -> bytes:
    return json.dumps(fields).encode()


def shield() -> None:
    """No core dump, no reading by others of this account, no swapping where the system lets us."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY or os.geteuid() == 0:
        libc.mlockall(_LOCK_WHAT_IS_TOUCHED)


def main() -> None:
    """Serve one unlock over standard input and output."""
    shield()
    writing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else prints must not get between the frames
    OpenerProcess(sys.stdin.buffer, writing).run()
    writing.flush()
    os._exit(0)


if __name__ == "__main__":
    main()

"""Mail: messages that come to a Maildir, or lie as .eml files, each told once.

Never stops for a message, whatever it is, and never marks, moves or changes one.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from agent.sources.mailbox import Deposit, Mailbox
from agent.sources.message import MAX_MESSAGE_BYTES, read_message
from agent.sources.seen import Seen
from schemas.errors import UnavailableError
from schemas.kinds import StreamKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.source import CurrentPolicy, Emit
    from schemas.records import Record

LOOK_S = 1.0
"""Between two looks at the mailboxes: a few `stat` calls each."""

KEEP_AFTER_S = 5.0
"""A message is remembered as told only after so long: by then the recorder has it sealed. Told twice beats lost."""

_UNFINISHED_S = 1.0

_log = structlog.get_logger()


class EmailSource:
    """Watches `paths`; `state` is the file in which it remembers what it told."""

    kind = StreamKind.EMAIL
    name = "email"

    def __init__(self, paths: Sequence[Path], state: Path) -> None:
        self._mailboxes = [Mailbox(Path(path)) for path in paths]
        self._paths = list(paths)
        self._state = state
        self._unkept: list[tuple[float, str]] = []
        self._later: dict[str, Deposit] = {}

    def renew(self) -> None:
        """Nothing to do: each message stands by itself."""

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        """Until cancelled; raises `UnavailableError` when a mailbox is not there."""
        seen = await asyncio.to_thread(Seen, self._state)
        try:
            while True:
                now = policy()
                if now.allows(self.kind):
                    await self._look(seen, emit, policy)
                elif now.paused and self.kind.label in now.streams:
                    await self._pass_over(seen)
                self._keep(seen, time.monotonic() - KEEP_AFTER_S)
                await asyncio.sleep(LOOK_S)
        finally:
            self._keep(seen, time.monotonic() - KEEP_AFTER_S)

    async def _look(self, seen: Seen, emit: Emit, policy: CurrentPolicy) -> None:
        for path, mailbox in zip(self._paths, self._mailboxes, strict=True):
            if not mailbox.exists:
                raise UnavailableError(f"there is no mailbox at {path}")
        for deposit in await asyncio.to_thread(self._find, seen):
            if not policy().allows(self.kind):
                self._later[deposit.key] = deposit
                continue
            event, content = await asyncio.to_thread(_take, deposit)
            if event is not None and content not in seen:
                await emit(event)
            if content:
                self._note(seen, deposit.key, content)

    async def _pass_over(self, seen: Seen) -> None:
        """What comes during a pause is never read."""
        for deposit in await asyncio.to_thread(self._find, seen):
            self._note(seen, deposit.key)

    def _find(self, seen: Seen) -> list[Deposit]:
        found, self._later = self._later, {}
        for mailbox in self._mailboxes:
            found |= {deposit.key: deposit for deposit in mailbox.changed() if deposit.key not in seen}
        ready: dict[str, Deposit] = {}
        for key, deposit in found.items():
            (ready if _is_finished(deposit) else self._later)[key] = deposit
        return list(ready.values())

    def _note(self, seen: Seen, *keys: str) -> None:
        for key in keys:
            seen.note(key)
            self._unkept.append((time.monotonic(), key))

    def _keep(self, seen: Seen, until: float) -> None:
        keys = [key for told_at, key in self._unkept if told_at <= until]
        if keys:
            seen.keep(keys)
            self._unkept = self._unkept[len(keys) :]


def _is_finished(deposit: Deposit) -> bool:
    """A Maildir holds finished messages only; another file is finished when nobody wrote to it for a moment."""
    if deposit.path.parent.name in ("new", "cur"):
        return True
    try:
        return time.time() - deposit.path.stat().st_mtime > _UNFINISHED_S
    except OSError:
        return True


def _take(deposit: Deposit) -> tuple[Record | None, str]:
    """The event, and what the message is known by wherever it lies; nothing when it has gone elsewhere meanwhile."""
    try:
        with deposit.path.open("rb") as file:
            data = file.read(MAX_MESSAGE_BYTES)
            size = max(deposit.path.stat().st_size, len(data))
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        _log.warning("message_unreadable", folder=deposit.folder, reason=type(error).__name__)
        return None, ""
    content = hashlib.sha256(data).hexdigest()
    return read_message(data, size=size, folder=deposit.folder, time_us=time.time_ns() // 1000), content

"""Agents that write letters and keep account of them: which envelopes were appended, and which were acknowledged.

Run as a process of its own, so that it can be killed like any agent: `python -m tests.live.load RATE DIRECTORY…`. Each
directory is an enrolled agent's. SIGTERM ends the letters, waits until the server has everything, and ends the agents.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.agent import Agent, Parts
from agent.clock import SystemClock
from agent.gap import Mark
from agent.installation import open_installation
from agent.source import CurrentPolicy, Emit
from agent.spool import Lent, Spool
from schemas.envelope import peek
from schemas.identity import EnvelopeId, agent_bytes
from schemas.kinds import StreamKind
from schemas.records import Record

ACCOUNT = "account.txt"

DRAIN_S = 120.0
"""Longest wait for the server to take all that was sealed, the last envelopes of an ending agent among it."""


@dataclass
class Account:
    """What one agent says of its envelopes. `appended` maps an identity to its capture time, milliseconds."""

    appended: dict[EnvelopeId, int] = field(default_factory=dict)
    streams: dict[EnvelopeId, str] = field(default_factory=dict)
    acknowledged: set[EnvelopeId] = field(default_factory=set)
    acks_s: list[float] = field(default_factory=list)
    """When each was acknowledged, by the monotonic clock that all processes of a machine share."""
    starts: int = 0
    left: int | None = None
    """Envelopes in the spool when it ended in order; none if it was killed."""

    @classmethod
    def read(cls, directory: Path, agent_id: str) -> Account:
        """The account that an agent wrote; a line that a kill cut short is not counted."""
        account = cls()
        path = directory / ACCOUNT
        for line in path.read_text().splitlines(keepends=True) if path.exists() else []:
            words = line.split()
            if not line.endswith("\n"):
                continue
            match words[0]:
                case "start":
                    account.starts += 1
                case "left":
                    account.left = int(words[1])
                case "append":
                    identity = _identity(agent_id, words)
                    account.appended[identity], account.streams[identity] = int(words[3]), words[4]
                case "ack":
                    account.acknowledged.add(_identity(agent_id, words))
                    account.acks_s.append(float(words[3]))
        return account


def _identity(agent_id: str, words: list[str]) -> EnvelopeId:
    return EnvelopeId(agent_bytes(agent_id), bytes.fromhex(words[1]), int(words[2]))


class AccountedSpool:
    """A spool that writes down what is appended before it is, and what is acknowledged once it is."""

    def __init__(self, spool: Spool, directory: Path) -> None:
        self._spool = spool
        self._file = os.open(directory / ACCOUNT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lent: dict[int, EnvelopeId] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spool, name)

    def note(self, line: str) -> None:
        """One line, whole."""
        os.write(self._file, f"{line}\n".encode())

    def append(self, envelope: bytes, mark: Mark) -> None:
        """Take an envelope."""
        epoch, record, _ = peek(envelope)
        self.note(f"append {epoch.epoch_id.hex()} {record.sequence} {record.capture_ms} {record.kind.label}")
        self._spool.append(envelope, mark)

    def take(self, max_bytes: int) -> list[Lent]:
        """The next envelopes."""
        taken = self._spool.take(max_bytes)
        self._lent |= {one.number: peek(one.envelope).id for one in taken}
        return taken

    def release(self, next_number: int) -> None:
        """The server has these."""
        for number in sorted(number for number in self._lent if number < next_number):
            identity = self._lent.pop(number)
            self.note(f"ack {identity.epoch_id.hex()} {identity.sequence} {time.monotonic():.3f}")
        self._spool.release(next_number)


class Letters:
    """A source that writes `rate` letters a second, each with a number of its own, until told to stop."""

    kind = StreamKind.EMAIL
    name = "letters"

    def __init__(self, rate: float, stop: asyncio.Event) -> None:
        self._rate = rate
        self._stop = stop

    def renew(self) -> None:
        """Each letter stands by itself."""

    async def run(self, emit: Emit, policy: CurrentPolicy) -> None:
        """Write until stopped."""
        begun = f"{time.time_ns() // 1_000_000:x}"
        number = 0
        while not self._stop.is_set():
            if policy().allows(self.kind):
                await emit(_letter(f"letter{begun}n{number}"))
                number += 1
            await asyncio.sleep(1 / self._rate)


def _letter(word: str) -> Record:
    return {
        "time_us": time.time_ns() // 1000,
        "message_id": f"<{word}@example.com>",
        "folder": "INBOX",
        "sender": "helen@example.com",
        "recipients": ["ann@example.com"],
        "subject": word,
        "sent_ms": None,
        "text": f"Dear Ann, this is {word} about the overdue invoice.\n" * 20,
        "attachments": [],
        "size": 1000,
    }


async def _run_agent(directory: Path, rate: float, stop: asyncio.Event) -> None:
    parts: Parts = await open_installation(directory, SystemClock())
    spool = AccountedSpool(parts.spool, directory)
    spool.note("start")
    agent = Agent(replace(parts, spool=spool), [Letters(rate, stop)], linger_s=DRAIN_S)
    await agent.run(until=stop.wait())
    spool.note(f"left {parts.spool.backlog().envelopes}")


async def _main(rate: float, directories: list[Path]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.gather(*(_run_agent(directory, rate, stop) for directory in directories))


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]]))

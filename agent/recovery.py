"""What a spool finds when it starts: envelopes that survived, and an account of those that did not.

Never deletes what it cannot read: damaged bytes are kept in `quarantine/`, and every hole becomes a gap that is owed.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import structlog

from agent.gap import Gap, GapReason, Mark, gaps_of
from agent.journal import Damage, Entry, EntryHead, scan
from agent.ledger import Ledger
from agent.volume import SUFFIX, Volume
from infra.files import sync_directory, write_whole
from schemas.kinds import StreamKind

LEDGER = "ledger"
QUARANTINE = "quarantine"
NO_LIMIT = 1 << 63
NOBODY_KNOWS = frozenset({StreamKind.GAP.label})
"""Stands for what was recorded when the ledger that would say so is damaged: the gap stream itself has the gap."""

log = structlog.get_logger()


class Recovered(NamedTuple):
    """A spool that can go on: volumes in order, and the ledger with all that is owed (not yet written)."""

    volumes: list[Volume]
    ledger: Ledger


class Survey:
    """Goes through entries and damage in order, and finds which envelopes are missing."""

    def __init__(self, head: int) -> None:
        self.marks: dict[StreamKind, Mark] = {}
        self.gaps: list[Gap] = []
        self.next = head
        self._damages = 0
        self._unexplained = 0
        self._damaged_bytes = 0
        self._seen: dict[tuple[StreamKind, bytes], tuple[Mark, int]] = {}

    def damage(self, damage: Damage) -> None:
        """Bytes that are no entry stand here."""
        self._damages += 1
        self._damaged_bytes += damage.end - damage.at
        lost = [(head.mark, head.length) for head in damage.heads if head.number >= self.next]
        self.gaps += gaps_of(lost, GapReason.SPOOL_CORRUPT, "an envelope in the spool was damaged")
        self._unexplained += 0 if lost else 1
        for mark, _ in lost:
            self._see(mark)

    def entry(self, head: EntryHead) -> None:
        """A whole entry stands here."""
        mark = head.mark
        before, damages = self._seen.get((mark.kind, mark.epoch_id), (None, 0))
        if before is not None and damages < self._damages and mark.sequence > before.sequence + 1:
            self._unexplained = 0
            detail = "envelopes in the spool were damaged"
            first, last = before.sequence + 1, mark.sequence - 1
            times = before.until_us, mark.from_us
            self.gaps.append(
                Gap(mark.kind.label, GapReason.SPOOL_CORRUPT, mark.epoch_id, first, last, *times, detail=detail)
            )
        self._see(mark)
        self.next = head.number + 1

    def finish(self, streams: frozenset[str]) -> list[Gap]:
        """Every gap; damage that no stream's sequence explains may have been any of `streams`."""
        if self._unexplained:
            detail = f"{self._damaged_bytes} damaged bytes of the spool are in quarantine"
            for label in sorted(streams | {kind.label for kind in self.marks} or {StreamKind.GAP.label}):
                self.gaps.append(Gap(label, GapReason.SPOOL_CORRUPT, lost_bytes=self._damaged_bytes, detail=detail))
        return self.gaps

    def _see(self, mark: Mark) -> None:
        self.marks[mark.kind] = mark
        self._seen[mark.kind, mark.epoch_id] = mark, self._damages


@dataclass(slots=True)
class Found:
    """What a volume really holds. `volume` is as it is once `mend` was called."""

    volume: Volume
    survey: Survey
    data: bytes
    kept: list[Entry]

    def mend(self) -> None:
        """Write the volume without what is damaged or torn; raises `OSError`, and the volume stays as it was."""
        if self.volume.size == len(self.data):
            return
        mended = b"".join(self.data[entry.at : entry.at + entry.head.size] for entry in self.kept)
        if self.data.startswith(mended):
            os.truncate(self.volume.path, len(mended))  # a torn tail is cut even when the disk is full
        else:
            write_whole(self.volume.path, mended)


def recover(directory: Path, now_us: int) -> Recovered:
    """Read the spool in `directory`, mend what is torn, set aside what is damaged, and owe gaps for what was lost.

    The gaps are durable before the damage is taken away: killed in between, the next start finds both again.
    """
    ledger_path = directory / LEDGER
    raw = ledger_path.read_bytes() if ledger_path.exists() else None
    paths = sorted(path for path in directory.glob(f"*{SUFFIX}") if path.stem.isdecimal())
    ledger = Ledger.from_bytes(raw) if raw else None
    if ledger is None:
        fresh = raw is None and not paths
        ledger = Ledger(clean=fresh, recording=frozenset() if fresh else NOBODY_KNOWS)
    survey = Survey(ledger.head)
    limits = [*(int(path.stem) for path in paths[1:]), NO_LIMIT]
    found = [
        survey_volume(Volume.at(path), limit, ledger.head, survey, torn=limit == NO_LIMIT and not ledger.clean)
        for path, limit in zip(paths, limits, strict=False)
    ]
    _account(ledger, survey, [one.volume for one in found], now_us)
    try:
        ledger.write(ledger_path, durable=True)
        for one in found:
            one.mend()
    except OSError as error:
        log.warning("spool_mend_failed", reason=error.strerror)
        for one in found:
            one.volume.size = len(one.data)  # damage that stays is met, and mended, when it is read
    return Recovered([one.volume for one in found], ledger)


def _account(ledger: Ledger, survey: Survey, volumes: list[Volume], now_us: int) -> None:
    """Bring the ledger up to what was found: gaps, and the last envelope of each stream."""
    if volumes and ledger.head > max(volume.next for volume in volumes):
        ledger.head = volumes[0].first  # the ledger is of another journal: send again rather than lose
    ledger.marks |= survey.marks
    gaps = survey.finish(ledger.recording)
    if not ledger.clean:
        gaps += _killed(ledger, now_us)
    for gap in gaps:
        ledger.owe(gap)
    ledger.clean = False


def survey_volume(volume: Volume, limit: int, head: int, survey: Survey | None = None, *, torn: bool = False) -> Found:
    """What `volume` really holds: entries below `limit`; a `torn` tail is expected, any other damage is set aside."""
    survey = survey or Survey(head)
    found = Found(Volume.at(volume.path), survey, b"", [])
    try:
        found.data = volume.path.read_bytes()
    except OSError as error:
        log.warning("spool_volume_unreadable", file=volume.path.name, reason=error.strerror)
        survey.damage(Damage(0, volume.size, ()))
        with contextlib.suppress(OSError):
            volume.path.replace(volume.path.parent / QUARANTINE / volume.path.name)
        return found
    items = list(scan(found.data))
    if torn and items and isinstance(items[-1], Damage):
        items.pop()  # a write that was never durable: the gap of the killed agent says so
    for at, item in enumerate(items):
        if isinstance(item, Damage):
            if not _released(items[at + 1 :], head):
                _set_aside(volume.path, found.data, item)
                survey.damage(item)
        elif found.volume.next <= item.head.number < limit:
            survey.entry(item.head)
            found.volume.count([item.head])
            found.kept.append(item)
    return found


def _released(rest: list[Entry | Damage], head: int) -> bool:
    """Whether what stands before `rest` was acknowledged: the next entry that can be read is at most the head."""
    following = next((item for item in rest if isinstance(item, Entry)), None)
    return following is not None and following.head.number <= head


def _set_aside(path: Path, data: bytes, damage: Damage) -> None:
    """Keep damaged bytes where a person can look at them."""
    aside = path.parent / QUARANTINE / f"{path.stem}.{damage.at}.damaged"
    log.warning("spool_damage_quarantined", file=aside.name, size=damage.end - damage.at)
    try:
        write_whole(aside, data[damage.at : damage.end])
    except OSError as error:
        log.warning("spool_quarantine_failed", file=aside.name, reason=error.strerror)


def _killed(ledger: Ledger, now_us: int) -> list[Gap]:
    """What a kill cost: of each stream that was being recorded, all since its last durable envelope."""
    marks = {mark.kind.label: mark for mark in ledger.marks.values()}
    gaps: list[Gap] = []
    for label in sorted(ledger.recording):
        since, detail = ledger.since_us or None, "the agent did not end by itself"
        gap = Gap(label, GapReason.AGENT_KILLED, from_us=since, until_us=now_us, detail=detail)
        if mark := marks.get(label):
            gap = replace(gap, epoch_id=mark.epoch_id, first_sequence=mark.sequence + 1, from_us=mark.until_us)
        gaps.append(gap)
    return gaps


def prepare(directory: Path) -> None:
    """Make the spool's directories."""
    (directory / QUARANTINE).mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    sync_directory(directory)


def read_heads(volume: Volume) -> list[EntryHead]:
    """Head of every entry of a volume, damaged ones too where the head survived."""
    try:
        data = volume.path.read_bytes()
    except OSError:
        return []
    heads: list[EntryHead] = []
    for item in scan(data):
        heads += [item.head] if isinstance(item, Entry) else item.heads
    return heads

"""The spool's volumes in order, and the two places in them: what is released ends, what is lent ends.

Knows no task and no time; whoever has it does one thing with it at a time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

from agent.gap import Mark
from agent.journal import EntryHead
from agent.spool import Lent
from agent.volume import Volume


@dataclass(slots=True)
class Place:
    """The entry `number`, at offset `at` of `volume`."""

    volume: Volume
    at: int
    number: int


@dataclass(slots=True)
class Loan:
    """An entry that is being sent."""

    place: Place
    head: EntryHead
    envelope: bytes


class Shelf:
    """Volumes, oldest first; the last one is written to."""

    def __init__(self, directory: Path, volumes: list[Volume], head: int, volume_bytes: int) -> None:
        self._directory = directory
        self._volume_bytes = volume_bytes
        self.next = max([head, *(volume.next for volume in volumes)])
        """Number of the next entry that is written."""
        for volume in volumes:
            if not volume.size or volume.next <= head:
                volume.remove()
        self.volumes = deque(volume for volume in volumes if volume.size and volume.next > head)
        self.volumes.append(Volume.create(directory, self.next))
        self._loans: deque[Loan] = deque()
        self._done: deque[Volume] = deque()
        first = self.volumes[0]
        self._reading = Place(first, first.find(head), max(head, first.first))

    @property
    def active(self) -> Volume:
        """The volume that is written to."""
        return self.volumes[-1]

    @property
    def head(self) -> Place:
        """The first entry that is not released."""
        return self._loans[0].place if self._loans else self._reading

    @property
    def reading(self) -> Volume:
        """The volume that is lent from."""
        return self._reading.volume

    def limit(self, volume: Volume) -> int:
        """The number that every entry of `volume` is below."""
        following = self.volumes.index(volume) + 1
        return self.volumes[following].first if following < len(self.volumes) else self.next

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(volume.size for volume in self.volumes)

    @property
    def waiting(self) -> tuple[int, int]:
        """Entries that are not released, and their bytes on disk."""
        return self.next - self.head.number, self.size - self.head.at

    @property
    def readable(self) -> bool:
        """Whether there is something to lend."""
        return self._reading.at < self._reading.volume.size

    def make_room(self, *, turn: bool = False) -> None:
        """Write to a new volume from now on when the active one is full, or holds anything and it is `turn`."""
        if self.active.size >= (1 if turn else self._volume_bytes):
            self.active.close()
            self.volumes.append(Volume.create(self._directory, self.next))
            self._tidy()

    def count(self, heads: list[EntryHead]) -> None:
        """Entries with these heads are durable in the active volume."""
        self.active.count(heads)
        self.next = self.active.next

    def take(self, max_bytes: int) -> list[Lent]:
        """Lend the next entries; raises `DamagedError` when the first of them is not what was written."""
        taken: list[Lent] = []
        reading = self._reading
        for head, envelope in reading.volume.read(reading.at, max_bytes):
            place = Place(reading.volume, reading.at, head.number)
            self._loans.append(Loan(place, head, envelope))
            taken.append(Lent(head.number, envelope))
            reading.at += head.size
            reading.number = head.number + 1
        self._tidy()
        return taken

    def loan(self, number: int) -> Loan | None:
        """The entry of that number, if it is lent."""
        return next((loan for loan in self._loans if loan.head.number == number), None)

    def rewind(self) -> None:
        """Lend again from the first entry that is not released."""
        self._reading = self.head
        self._loans.clear()

    def release(self, next_number: int) -> None:
        """Forget entries below `next_number`; `clear` deletes the volumes that held no others."""
        while self._loans and self._loans[0].head.number < next_number:
            self._loans.popleft()
        self._tidy()

    def drop_oldest(self) -> None:
        """Forget the oldest volume, whatever is in it; `clear` deletes it."""
        gone = self.volumes[0]
        self._loans = deque(loan for loan in self._loans if loan.place.volume is not gone)
        if self._reading.volume is gone:
            self._reading.at = gone.size
        self._tidy()

    def unreleased(self, heads: list[EntryHead]) -> list[tuple[Mark, int]]:
        """Which of `heads` were not released, with their sizes."""
        return [(head.mark, head.length) for head in heads if head.number >= self.head.number]

    def replace(self, damaged: Volume, mended: Volume) -> None:
        """Put `mended` where `damaged` was; both places stay at their entries."""
        self.volumes[self.volumes.index(damaged)] = mended
        for place in (self._reading, *(loan.place for loan in self._loans)):
            if place.volume is damaged:
                place.volume, place.at = mended, mended.find(place.number)
        damaged.close()
        self._tidy()

    def clear(self) -> None:
        """Delete the volumes that nothing is in any more; only once every gap that they leave is durable."""
        while self._done:
            self._done.popleft().remove()

    def close(self) -> None:
        """Let all files go."""
        for volume in self.volumes:
            volume.close()

    def _tidy(self) -> None:
        """Step over the ends of volumes, and take out those before the first entry that is not released."""
        while self._reading.at >= self._reading.volume.size and self._reading.volume is not self.active:
            following = self.volumes[self.volumes.index(self._reading.volume) + 1]
            self._reading = Place(following, 0, max(self._reading.number, following.first))
        while self.volumes[0] is not self.head.volume:
            self._done.append(self.volumes.popleft())

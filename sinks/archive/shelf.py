"""One stream and day of the archive: its sealed files' marks, and the file that grows.

Never writes a record that one of its files has.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from infra.files import write_whole
from schemas.errors import MalformedError
from schemas.identity import EnvelopeId
from schemas.kinds import StreamKind
from sinks.archive.layout import MARKS_SUFFIX, OPEN_SUFFIX, Layout
from sinks.archive.marks import Marks
from sinks.archive.scan import map_file, whole_length
from sinks.archive.writer import GrowingFile, Pieces

log = structlog.get_logger(__name__)


class Shelf:
    """Opened by reading what is there. After any `OSError`: `close` it, and open it again."""

    def __init__(self, layout: Layout, kind: StreamKind, day: str, *, file_bytes: int) -> None:
        self.kind, self.day = kind, day
        self.used_s = 0.0
        self._layout, self._file_bytes = layout, file_bytes
        self._sealed = Marks()
        self._file: GrowingFile | None = None
        for path in layout.files(kind, day):
            if path.suffix == OPEN_SUFFIX:
                self._seal()  # two that grow are the trace of a kill between rename and create: seal the older one
                self._file = GrowingFile.reopen(path)
            else:
                self._sealed.update(load_marks(path))

    @property
    def dirty(self) -> bool:
        """Whether something is not durable yet."""
        return self._file is not None and self._file.size != self._file.durable

    @property
    def grows(self) -> bool:
        """Whether it has a file that is not sealed."""
        return self._file is not None

    def claim(self, envelope_id: EnvelopeId) -> bool:
        """Whether this one is still to be written; whoever asks writes it then."""
        key = envelope_id.agent_id + envelope_id.epoch_id
        if self._sealed.has(key, envelope_id.sequence):
            return False
        return self._growing().marks.add(key, envelope_id.sequence)

    def append(self, entries: list[Pieces]) -> None:
        """Write entries that were claimed."""
        self._growing().append(entries)

    def make_durable(self, *, fsync: bool) -> None:
        """Return when all is on the disk; a file that is large enough is sealed."""
        if self._file is None:
            return
        self._file.make_durable(fsync=fsync)
        if self._file.size >= self._file_bytes:
            self._seal()

    def seal(self) -> None:
        """Seal the file that grows, if there is one. Must be durable."""
        self._seal()

    def close(self) -> None:
        """Let go of the file that grows."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _growing(self) -> GrowingFile:
        if self._file is None:
            self._file = GrowingFile.create(self._layout.new_file(self.kind, self.day))
        return self._file

    def _seal(self) -> None:
        if self._file is None:
            return
        self._file.seal()
        self._sealed.update(self._file.marks)
        self._file = None


def load_marks(path: Path) -> Marks:
    """What a sealed file holds, by its file of marks, or by reading it when that is missing or damaged."""
    beside = path.with_name(path.name + MARKS_SUFFIX)
    try:
        return Marks.decode(beside.read_bytes())
    except (FileNotFoundError, MalformedError):
        marks = Marks()
    with map_file(path) as data:
        end, _ = whole_length(data, marks)
        if end != len(data):
            log.error("sealed_file_is_damaged", file=path.name, whole_bytes=end, bytes=len(data))
    write_whole(beside, marks.encode())
    return marks

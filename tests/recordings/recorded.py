"""An archive with recordings of one agent: screens that change every second, a shell, mails, activity.

Every picture is known, so what a reader shows can be compared with what was recorded, pixel by pixel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from gateway.recordings.asking import Ask, Job
from gateway.recordings.jobs import Tools, serve
from gateway.recordings.library import Library
from infra.settings import ArchiveSettings, Settings
from schemas.identity import agent_text
from schemas.keys import Identity, Recipient
from schemas.kinds import StreamKind
from schemas.opening import Opener
from schemas.records import Record, encode_segment
from schemas.seal import Epoch
from schemas.tiles import FrameEncoder, bgra_of
from sinks.archive.index import runs_of
from sinks.archive.layout import Layout, day_of
from sinks.archive.ranges import Stretch
from sinks.archive.scan import map_file
from tests.sinks.envelopes import as_records, identity
from tests.sinks.test_archive import store

AGENT = bytes(15) + b"\7"
OTHER = bytes(15) + b"\x08"
NOON_MS = 1_795_435_200_000
SIZE = (160, 100)
OFFICER = Identity.generate(2048)


def picture(second: int, display: int = 0, size: tuple[int, int] = SIZE) -> Image.Image:
    """What a display shows in that second: a bar that grows, on a colour of the display's."""
    pixels = np.full((size[1], size[0], 3), (40 + 60 * display, 90, 160), np.uint8)
    pixels[10 : 20 + second % 60, 10 : 20 + second % 120] = (second % 251, 200, 30)
    return Image.fromarray(pixels)


@dataclass
class Camera:
    """Frames of displays, a key frame when asked."""

    displays: int = 1
    encoders: dict[int, FrameEncoder] = field(default_factory=dict)

    def look(self, second: int, *, key: bool = False, late_us: int = 0) -> list[Record]:
        """The frames of that second."""
        if key:
            self.encoders.clear()
        frames = []
        for display in range(self.displays):
            encoder = self.encoders.setdefault(display, FrameEncoder(display))
            time_us = (NOON_MS + 1000 * second) * 1000 + late_us
            shot = bgra_of(picture(second, display))
            frame = encoder.encode(shot, *SIZE, time_us=time_us, application="Editor", title=f"note {second}")
            frames += [frame] if frame else []
        return frames


@dataclass
class Recording:
    """Batches of envelopes as they came; `store` puts them into an archive."""

    root: Path
    recipients: Sequence[Recipient] = ()
    batches: list[list[bytes]] = field(default_factory=list)

    def epoch(
        self, kind: StreamKind, second: int = 0, *, agent: bytes = AGENT, to: Sequence[Recipient] | None = None
    ) -> Epoch:
        """A new epoch; `to` officers when it is end to end."""
        recipients = list(to or self.recipients or [identity().recipient])
        created_ms = NOON_MS + 1000 * second
        return Epoch.begin(
            agent_id=agent, kind=kind, recipients=recipients, created_ms=created_ms, end_to_end=to is not None
        )

    def add(self, epoch: Epoch, second: int, events: list[Record], *, parts: int = 1) -> None:
        """Seal a segment, as a batch of its own."""
        segment = encode_segment(epoch.kind, events)
        length = -(-len(segment) // parts)
        pieces = [segment[at : at + length] for at in range(0, len(segment), length)]
        capture_ms = NOON_MS + 1000 * second
        self.batches.append(
            [
                epoch.seal(piece, capture_ms=capture_ms, more_parts=number < len(pieces) - 1)
                for number, piece in enumerate(pieces)
            ]
        )

    def screens(self, seconds: Iterable[int], *, key_every: int = 30, agent: bytes = AGENT) -> None:
        """Screens of one display, a segment each second."""
        camera, epoch = Camera(), None
        for second in seconds:
            if epoch is None:
                epoch = self.epoch(StreamKind.SCREEN, second, agent=agent)
                self.add(epoch, second, camera.look(second, key=True))
            else:
                self.add(epoch, second, camera.look(second, key=second % key_every == 0))

    async def store(self) -> None:
        """Write all of it; each batch is a block of its own."""
        offset, batches = 0, []
        for batch in self.batches:
            batches.append(as_records(batch, offset=offset))
            offset += len(batch)
        await store(self.root, *batches)


def stretches(root: Path, kind: StreamKind, since_ms: int, until_ms: int) -> tuple[Stretch, ...]:
    """What the index holds of that time."""
    layout, found = Layout(root), []
    for path in layout.all_files():
        if path.parent.parent.name != kind.label:
            continue
        with map_file(path) as data:
            for _, runs in runs_of(data):
                found += [
                    Stretch(layout.name(path), run.first.start, run.last.end)
                    for run in runs
                    if run.last_capture_ms >= since_ms and run.first_capture_ms < until_ms
                ]
    return tuple(found)


def ask(root: Path, job: Job, since: int, until: int, *kinds: StreamKind, near_s: int = 60, **options: object) -> Ask:
    """A request about the seconds from `since` on and before `until`; `near_s`: what is read with them at first."""
    since_ms, until_ms = NOON_MS + 1000 * since, NOON_MS + 1000 * until
    wanted = kinds or (StreamKind.SCREEN,)
    near = [one for kind in wanted for one in stretches(root, kind, since_ms - 1000 * near_s, until_ms)]
    far = set(stretches(root, StreamKind.SCREEN, 0, since_ms)) - set(near)
    indexed = {Layout(root).name(path): path.stat().st_size for path in Layout(root).all_files()}
    days = tuple(sorted({day_of(since_ms), day_of(until_ms)}))
    return Ask(job, (AGENT,), wanted, since_ms, until_ms, tuple(near), tuple(sorted(far)), days, indexed, options)


def tools_for(root: Path, *identities: Identity) -> Tools:
    """What a reader has, with these KEKs."""
    settings = Settings(archive=ArchiveSettings(dir=root))
    return Tools(Library(settings, Opener(list(identities) or [identity()])), 8 * 1024 * 1024)


def run(tools: Tools, wish: Ask) -> tuple[bytes, dict[str, object]]:
    """All of an answer."""
    steps, pieces = serve(tools, wish), []
    while True:
        try:
            pieces.append(next(steps))
        except StopIteration as end:
            return b"".join(pieces), end.value


def messages(answer: bytes) -> list[tuple[dict[str, object], bytes]]:
    """The messages of an answer with segments."""
    found, at = [], 0
    while at < len(answer):
        length, head = (int.from_bytes(answer[at + n : at + n + 4], "big") for n in (0, 4))
        found.append((json.loads(answer[at + 8 : at + 8 + head]), answer[at + 8 + head : at + 4 + length]))
        at += 4 + length
    assert at == len(answer)
    return found


AGENT_TEXT = agent_text(AGENT)

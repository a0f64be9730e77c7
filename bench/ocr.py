"""OCR of scripted desktops: ours against Tesseract on every frame, with recall and precision; one JSON line at the end.

Never lets a peer skip work that it would do: slow peers read a sample of the frames, and the output says how many.

    python bench/ocr.py            all traces, 64 frames each: about ten minutes
    python bench/ocr.py --quick    24 frames of each, two frames a trace for the peers: two minutes
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["OMP_THREAD_LIMIT"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tesserocr
from PIL import Image

from bench.desktop.scene import tokens
from bench.desktop.traces import FRAMES, TRACES
from infra.ocr.cache import LineCache
from infra.ocr.reader import ScreenReader
from infra.ocr.recognizer import Recognizer, find_tessdata
from schemas.kinds import StreamKind
from schemas.records import encode_segment
from schemas.tiles import FrameEncoder, bgra_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.desktop.scene import Scene
    from infra.ocr.text import ScreenText

OFFICE_SHARES = {
    "chat": 0.02, "development": 0.02, "mail": 0.02, "notes": 0.04, "spreadsheet": 0.03, "switching": 0.005,
    "web": 0.015,
}  # fmt: skip
"""Share of an office hour's seconds in which the screen changes as in that trace; in the rest nothing moves."""


@dataclass
class Score:
    """Words counted over frames, as a bag for each frame, and CPU seconds spent on them."""

    frames: int = 0
    seconds: float = 0.0
    wanted: int = 0
    found: int = 0
    told: int = 0
    wrong: int = 0

    def count(self, scene: Scene, text: str, seconds: float) -> None:
        """Judge one frame's text against what was drawn; words covered in part neither help nor harm."""
        whole: Counter[str] = Counter()
        partial: Counter[str] = Counter()
        for word, is_whole in scene.tell():
            (whole if is_whole else partial)[word] += 1
        read = Counter(tokens(text))
        self.frames += 1
        self.seconds += seconds
        self.wanted += whole.total()
        self.found += (whole & read).total()
        self.told += read.total()
        self.wrong += (read - whole - partial).total()

    def add(self, other: Score) -> None:
        """Join the counts of another trace."""
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def recall(self) -> float:
        """Share of the drawn words that were read."""
        return self.found / max(1, self.wanted)

    @property
    def precision(self) -> float:
        """Share of the read words that were drawn."""
        return 1 - self.wrong / max(1, self.told)

    @property
    def pace(self) -> float:
        """CPU seconds a frame."""
        return self.seconds / max(1, self.frames)


@dataclass
class Visible:
    """The text on a screen, kept only from what appeared and what went."""

    lines: Counter[str] = field(default_factory=Counter)

    def follow(self, text: ScreenText) -> None:
        """Take the events of one frame."""
        self.lines.update(line["text"] for line in text.appeared)
        self.lines.subtract(line["text"] for line in text.went)

    def text(self) -> str:
        """All visible lines."""
        return "\n".join((+self.lines).elements())


def cpu_s() -> float:
    """CPU seconds of this process and of the children that ended."""
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def read_by_command(scene: Scene) -> tuple[str, float]:
    """The `tesseract` command on the frame as a picture, page segmentation 3."""
    out = io.BytesIO()
    Image.fromarray(scene.pixels).save(out, "PPM")
    start = cpu_s()
    done = subprocess.run(["tesseract", "-", "-", "--psm", "3"], input=out.getvalue(), capture_output=True, check=True)
    return done.stdout.decode(), cpu_s() - start


def read_whole(api: tesserocr.PyTessBaseAPI, scene: Scene) -> tuple[str, float]:
    """The best whole-frame reading: in process, enlarged twice, page segmentation 11."""
    start = cpu_s()
    image = Image.fromarray(scene.pixels).convert("L")
    api.SetImage(image.resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC))
    return api.GetUTF8Text(), cpu_s() - start


def spread(frames: int, samples: int) -> set[int]:
    """Which frames a slow peer reads."""
    return {round((number + 0.5) * frames / samples - 0.5) for number in range(min(frames, samples))}


class Bench:
    """Runs the traces through ours and the peers; one cache and one Tesseract for all traces, as a worker has."""

    def __init__(self, frames: int, samples: int, seed: int = 1) -> None:
        self._frames, self._seed = frames, seed
        self._sampled = spread(frames, samples)
        self._cache = LineCache()
        self._recognizer = Recognizer()
        self._api = tesserocr.PyTessBaseAPI(
            path=str(find_tessdata("eng")), lang="eng", psm=tesserocr.PSM.SPARSE_TEXT, oem=tesserocr.OEM.LSTM_ONLY
        )
        self.totals = {name: Score() for name in ("ours", "command", "whole")}
        self.megabytes_an_hour: dict[str, float] = {}

    def run(self, name: str) -> None:
        """One trace, and a line about it."""
        scores = {way: Score() for way in self.totals}
        size = 0
        for number, (scene, seconds, text, stored) in enumerate(self._read(TRACES[name](self._frames, self._seed))):
            scores["ours"].count(scene, text, seconds)
            size += stored if number else 0
            if number in self._sampled:
                scores["command"].count(scene, *read_by_command(scene))
                scores["whole"].count(scene, *read_whole(self._api, scene))
        self.megabytes_an_hour[name] = size / max(1, self._frames - 1) * 3600 / 1e6
        for way, score in scores.items():
            self.totals[way].add(score)
        print(_row(name, scores), f"{self.megabytes_an_hour[name]:8.1f}", flush=True)

    def _read(self, scenes: Iterator[Scene]) -> Iterator[tuple[Scene, float, str, int]]:
        """Each scene with the CPU seconds it took, what is visible after it, and its bytes in a segment."""
        encoder = FrameEncoder()
        reader = ScreenReader(self._cache, self._recognizer)
        visible = Visible()
        for number, scene in enumerate(scenes):
            frame = encoder.encode(
                bgra_of(Image.fromarray(scene.pixels)), scene.width, scene.height, time_us=number * 1_000_000
            )
            seconds, stored = 0.0, 0
            if frame is not None:
                start = cpu_s()
                visible.follow(reader.read(frame))
                seconds = cpu_s() - start
                stored = len(encode_segment(StreamKind.SCREEN, [frame]))
            yield scene, seconds, visible.text(), stored

    def result(self) -> dict[str, float | int]:
        """The figures of the JSON line."""
        ours, command, whole = (self.totals[way] for way in ("ours", "command", "whole"))
        return {
            "frames": ours.frames,
            "peer_frames": command.frames,
            "ours_cpu_s_per_frame": round(ours.pace, 4),
            "command_cpu_s_per_frame": round(command.pace, 3),
            "whole_cpu_s_per_frame": round(whole.pace, 3),
            "ratio_to_command": round(command.pace / ours.pace, 1),
            "ratio_to_whole": round(whole.pace / ours.pace, 1),
            "recall": round(ours.recall, 4),
            "recall_command": round(command.recall, 4),
            "recall_whole": round(whole.recall, 4),
            "recall_to_whole": round(ours.recall / max(1e-9, whole.recall), 4),
            "precision": round(ours.precision, 4),
            "precision_command": round(command.precision, 4),
            "precision_whole": round(whole.precision, 4),
            "cache_hits": self._cache.hits,
            "cache_misses": self._cache.misses,
            "office_mb_per_hour": round(self._office(), 2),
        }

    def _office(self) -> float:
        return sum(self.megabytes_an_hour.get(name, 0) * share for name, share in OFFICE_SHARES.items())


def _row(name: str, scores: dict[str, Score]) -> str:
    cells = (f"{s.pace * 1000:7.0f} {s.recall:6.3f} {s.precision:6.3f}" for s in scores.values())
    return f"{name:12} " + " | ".join(cells)


def main() -> None:
    """Run and print; exit status 0 whatever the figures are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="24 frames of each trace, peers read 2 of them")
    parser.add_argument("--traces", default=",".join(TRACES), help="comma-separated names")
    parser.add_argument("--frames", type=int, help="of each trace")
    parser.add_argument("--samples", type=int, help="frames of each trace that the peers read")
    parser.add_argument("--seed", type=int, default=2, help="of the traces; whoever tunes the reading uses 1 for that")
    options = parser.parse_args()
    frames = options.frames or (24 if options.quick else FRAMES)
    bench = Bench(frames, options.samples or (2 if options.quick else 6), options.seed)
    print("CPU ms a frame, word recall, precision: ours | tesseract command | best whole-frame reading; MB an hour")
    for name in options.traces.split(","):
        bench.run(name)
    print(_row("all", bench.totals))
    print(
        "MB an hour counts a trace that never rests; an office hour, by the shares in this file, is in the JSON line."
    )
    print(json.dumps({"bench": "ocr", "quick": options.quick, "seed": options.seed, **bench.result()}))


if __name__ == "__main__":
    main()

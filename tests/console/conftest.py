"""What the console's tests share: installed packages, and the material that both runtimes read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.console.blind import make_blind
from tests.console.harness import Console, chromium
from tests.console.key_files import KeyFiles, make_other_key
from tests.console.node import install_packages
from tests.console.sealed import (
    make_agent_key,
    make_frames,
    make_journey,
    make_large_frame,
    make_refused_frames,
    make_segments,
)
from tests.console.texts import make_texts


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSON file with vectors, key files, envelopes and frames; its keys are made for this run."""
    install_packages()
    folder = tmp_path_factory.mktemp("material")
    keys = KeyFiles(folder)
    other, other_key = make_other_key()
    vectors = resources.files("schemas") / "vectors"
    path = folder / "material.json"
    content = {
        "envelopes": json.loads((vectors / "envelope.json").read_text("utf-8")),
        "agentKey": make_agent_key(),
        "blindIndex": json.loads((vectors / "blind_index.json").read_text("utf-8")),
        "unlockChannel": json.loads((vectors / "unlock_channel.json").read_text("utf-8")),
        "keys": keys.make_all(),
        "journey": make_journey(keys.identity),
        "otherKey": other_key,
        "otherJourney": make_journey(other),
        "blind": make_blind(keys.identity),
        "segments": make_segments(),
        "frames": make_frames(),
        "largeFrame": make_large_frame(),
        "texts": make_texts(),
        "refusedFrames": make_refused_frames(),
    }
    path.write_text(json.dumps(content), "utf-8")
    return path


@pytest.fixture(scope="module")
def console(stack: Settings) -> Iterator[Console]:
    """The console of the running stack, and a browser for it; its pages are those that `make console` built."""
    with chromium() as browser:
        yield Console(stack, browser)

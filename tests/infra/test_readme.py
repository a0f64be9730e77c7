"""The README: every command that it shows exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.cli import COMMANDS

ROOT = Path(__file__).parent.parent.parent
SHOWN = sorted(set(re.findall(r"^sealstream ([a-z-]+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)))
TARGETS = sorted(set(re.findall(r"`?make ([a-z0-9-]+)", (ROOT / "README.md").read_text("utf-8"))))


@pytest.mark.parametrize("command", SHOWN)
def test_every_command_that_the_readme_shows_exists(command: str) -> None:
    """A command in the README is one that the command line knows."""
    assert command in {name for names in COMMANDS.values() for name in names}


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_that_the_readme_names_exists(target: str) -> None:
    """`make TARGET` in the README is in the Makefile."""
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)

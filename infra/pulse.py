"""Whether a process of ours on this node is well: for the health checks of containers, and for updates over SSH.

    python -m infra.pulse                     every process that noted itself in the run directory, at least one
    python -m infra.pulse gateway sink-disk   these
    python -m infra.pulse --alive streams-1   whether it answers at all, whatever it waits for

Ends with 0 when all are well, with 1 when one is not; one line says which. Never imports more than it needs:
it runs every few seconds.
"""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from infra.datadir import DataDir

TIMEOUT_S = 6.0


def find_faults(data: DataDir, names: Sequence[str], *, alive: bool = False) -> list[str]:
    """What is wrong, a line for each process that is not well."""
    noted = sorted(path.stem for path in data.run.glob("*.json") if _notes_process(path))
    if not names and not noted:
        return [f"nothing runs in {data.root}"]
    return [f"{name}: {fault}" for name in names or noted if (fault := _ask(data, name, alive=alive))]


def _notes_process(path: Path) -> bool:
    """Whether that file is a process's note, or was: the stack and wishes keep files beside them."""
    try:
        return "health" in json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return False
    except (ValueError, TypeError):
        return True


def _ask(data: DataDir, name: str, *, alive: bool) -> str:
    try:
        url = urlsplit(str(json.loads((data.run / f"{name}.json").read_text("utf-8"))["health"]))
        connection = http.client.HTTPConnection(url.hostname or "127.0.0.1", url.port, timeout=TIMEOUT_S)
        connection.request("GET", url.path)
        answer = connection.getresponse()
        body = answer.read()
    except FileNotFoundError:
        return "does not run"
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        return f"does not answer ({type(error).__name__})"
    return "" if alive or answer.status == http.client.OK else body.decode("utf-8", "replace").strip()


def main(arguments: Sequence[str]) -> int:
    """Ask, and give the exit code."""
    names = [name for name in arguments if name != "--alive"]
    faults = find_faults(DataDir.find(), names, alive="--alive" in arguments)
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

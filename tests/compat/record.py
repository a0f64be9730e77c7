"""Adds to the recorded contracts what is new today: `python -m tests.compat.record`.

Never changes or takes away what is recorded: where today's contract is no superset of it, it says why and ends with 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.compat.api_contract import api_contract, api_faults, describe_api
from tests.compat.miner_contract import describe_miner, miner_contract, miner_faults

Json = dict[str, Any]
FOLDER = Path(__file__).parent / "recorded"

CONTRACTS: dict[str, tuple[Callable[[], Json], Callable[[Json, Json], list[str]]]] = {
    "api": (lambda: api_contract(describe_api()), api_faults),
    "miner": (lambda: miner_contract(describe_miner()), miner_faults),
}
"""By the recorded file's name: how today's contract is had, and what is wrong with it beside the recorded one."""


def main(folder: Path = FOLDER) -> int:
    """Check every contract, then write those that have grown."""
    faults, grown = [], {}
    for name, (today_of, faults_of) in CONTRACTS.items():
        place, today = folder / f"{name}.json", today_of()
        if place.exists():
            recorded = json.loads(place.read_text("utf-8"))
            faults += [f"{name}: {fault}" for fault in faults_of(recorded, today)]
        grown[place] = written(today) + "\n"
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    if faults:
        return 1
    for place, text in grown.items():
        if not place.exists() or place.read_text("utf-8") != text:
            place.write_text(text, "utf-8")
            sys.stdout.write(f"{place}: recorded\n")
    return 0


def written(value: Any, indent: str = "") -> str:
    """JSON with a line for each field, so that a change of the contract is read as one."""
    if not isinstance(value, dict) or not any(isinstance(one, dict) for one in value.values()) or "types" in value:
        return json.dumps(value, sort_keys=True)
    deeper = indent + " "
    rows = [f"{deeper}{json.dumps(name)}: {written(one, deeper)}" for name, one in sorted(value.items())]
    return "{\n" + ",\n".join(rows) + f"\n{indent}}}"


if __name__ == "__main__":
    sys.exit(main())

"""The policy file: its fields and their types (`agent/policy.py` says what each means).

Never takes a policy that an agent would refuse, nor one with a name that is no policy's: a mistyped one.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError
from schemas.kinds import StreamKind
from schemas.live import LIVE_STREAMS

FIELD_TYPES: dict[str, type | tuple[type, ...]] = {
    "version": int,
    "streams": list,
    "end_to_end": list,
    "blind_index": list,
    "endpoint_ocr": bool,
    "live": list,
    "exclude_applications": list,
    "exclude_titles": list,
    "paused": bool,
    "pause_allowed": bool,
    "key_frame_interval_s": (int, float),
    "max_frames_per_second": (int, float),
    "idle_after_s": (int, float),
    "organisation": str,
    "purpose": str,
    "contact": str,
}
"""Each field that a policy may have, and the type of its value."""


def parse_policy(text: bytes, path: Path) -> dict[str, Any]:
    """The policy in the text of a `.json` or `.toml` file; raises `ConfigError` that names the file."""
    try:
        policy = tomllib.loads(text.decode()) if path.suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the policy {path} is not {path.suffix.lstrip('.')}: {error}") from None
    if not isinstance(policy, dict):
        raise ConfigError(f"the policy {path} is not an object")
    check_policy(policy, path)
    return policy


def check_policy(policy: dict[str, Any], path: Path) -> None:
    """Raise `ConfigError` for what an agent would refuse, or for a name that is no policy's: a mistyped one."""
    known = {kind.label for kind in StreamKind if kind is not StreamKind.INDEX}
    faults = [f"{name!r} is not a policy's field" for name in policy if name not in FIELD_TYPES]
    faults += [
        f"{name!r} has the wrong type"
        for name, kind in FIELD_TYPES.items()
        if name in policy and (not isinstance(policy[name], kind) or (kind is not bool and policy[name] is True))
    ]
    for name in ("streams", "end_to_end", "blind_index", "live"):
        listed = policy.get(name, [])
        strange = [label for label in listed if label not in known] if isinstance(listed, list) else []
        faults += [f"{name!r} lists {label!r}; there are {', '.join(sorted(known))}" for label in strange]
    live = policy.get("live", [])
    if isinstance(live, list) and any(label in known - LIVE_STREAMS for label in live):
        faults.append(f"'live' lists what cannot be watched; there are {', '.join(sorted(LIVE_STREAMS))}")
    if faults:
        raise ConfigError(f"the policy {path}: " + "; ".join(faults))

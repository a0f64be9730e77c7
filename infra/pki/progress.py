"""How far agents have followed a change of the CA: what they say that they know, and whose certificates they have.

Never counts a revoked agent, nor one whose certificate has expired: nobody waits for those.
"""

from __future__ import annotations

import json
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.pki.authority import load_bundle
from infra.pki.forms import key_id
from infra.pki.register import Entry, Register
from infra.pki.server_pins import load_pins

HEARD_NAME = "trust-heard.json"
"""In the enrolment directory: which version each agent says that it has."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Agents whose certificates hold; those behind, by id."""

    agents: int
    not_told: tuple[str, ...]
    """They do not say that they have the newest CAs and pins."""
    not_renewed: tuple[str, ...]
    """Their newest certificate is of a CA that does not sign any more."""


def newest(directory: Path) -> dict[str, Entry]:
    """The newest certificate of each agent and server, by `kind/name`."""
    entries = sorted(Register(directory).read(), key=lambda entry: entry.issued_ms)  # other nodes' may come late
    return {f"{entry.kind}/{entry.name}": entry for entry in entries}


def read_heard(path: Path) -> dict[str, int]:
    """Which version each agent says that it has; what cannot be read counts as not heard."""
    try:
        body = json.loads(path.read_bytes())
        return {str(agent): int(version) for agent, version in body.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def measure(
    directory: Path, enrolment: Path, revoked: Container[str], heard_elsewhere: Mapping[str, int] | None = None
) -> Progress:
    """How far the agents of this CA are, by what this node heard and by what others did."""
    now_ms = time.time() * 1000
    entries = [
        entry
        for entry in newest(directory).values()
        if entry.kind == "agent" and entry.expires_ms > now_ms and entry.name not in revoked
    ]
    heard, version = read_heard(enrolment / HEARD_NAME), load_pins(directory).version
    for agent, told in (heard_elsewhere or {}).items():
        heard[agent] = max(told, heard.get(agent, told))
    signing = key_id(load_bundle(directory)[0]).digest.hex()
    return Progress(
        len(entries),
        tuple(entry.name for entry in entries if heard.get(entry.name, -1) < version),
        tuple(entry.name for entry in entries if entry.issuer != signing),
    )

"""Registered KEKs by the ids that envelopes name them by.

Never looks at a private half.
"""

from __future__ import annotations

from collections.abc import Sequence

from infra.keys.registry import Registered
from infra.settings import Settings
from schemas.errors import ConfigError


def key_ids(settings: Settings, rows: Sequence[Registered]) -> dict[bytes, Registered]:
    """Registered KEKs by their id; those whose public half is not here are left out."""
    found: dict[bytes, Registered] = {}
    for row in rows:
        try:
            found[row.recipient(settings.keys.dir).key_id] = row
        except ConfigError:
            continue
    return found

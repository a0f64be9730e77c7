"""All targets of the fuzz, by name.

Never lists a parser twice: one that reads what others wrote and is missing here is not tested for hostility.
"""

from __future__ import annotations

from tests.fuzz import files, live, peers, sealed, servers
from tests.fuzz.target import Target

_ALL = (*sealed.TARGETS, *peers.TARGETS, *files.TARGETS, *servers.TARGETS, *live.TARGETS)

TARGETS: dict[str, Target] = {target.name: target for target in _ALL}

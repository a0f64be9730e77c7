"""What the archive holds of each epoch, without opening anything: what a comparison with documents begins with.

Never counts what nobody may mine: end-to-end epochs, and those that were erased.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.envelope import EpochFlags
from sinks.archive.reading import ArchivedEnvelope
from sinks.envelopes import Glancer


@dataclass(slots=True)
class EpochSurvey:
    """One epoch of one stream of one agent: its records in the time asked for."""

    agent: str
    epoch: str
    stream: str
    first_capture_ms: int
    sequences: list[int] = field(default_factory=list)


def survey(envelopes: Iterable[ArchivedEnvelope]) -> list[EpochSurvey]:
    """The epochs that a miner opens, in the order of the archive."""
    found: dict[tuple[str, str], EpochSurvey] = {}
    glancer = Glancer()
    for envelope in envelopes:
        if glancer.glance(envelope.value).epoch.flags & EpochFlags.END_TO_END:
            continue
        key = envelope.id.agent, envelope.id.epoch_id.hex()
        epoch = found.get(key)
        if epoch is None:
            epoch = found[key] = EpochSurvey(*key, envelope.kind.label, envelope.capture_ms)
        epoch.first_capture_ms = min(epoch.first_capture_ms, envelope.capture_ms)
        epoch.sequences.append(envelope.id.sequence)
    return list(found.values())

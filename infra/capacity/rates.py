"""What a load comes to: bytes, envelopes, frames and documents, in the busiest second and over the days that are kept.

Never rounds: only what a person reads is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.capacity import figures
from infra.capacity.figures import Case
from infra.capacity.load import Load

HOUR_S = 3600.0
MB = 1e6
GIB = 2.0**30
WEEK = 7


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates are of the busiest second; hours are those of all agents' work in the days of retention."""

    bytes_s: float
    envelopes_s: float
    frames_s: float
    """Changed frames that miners read; those sealed end to end are not among them."""
    documents_s: float
    kept_hours: float
    kafka_hours: float
    envelopes_hour: float
    """Of one agent, as the next two."""
    bytes_hour: float
    documents_hour: float


def rates_of(load: Load, case: Case) -> Rates:
    """The rates of a load in one case."""
    moving = figures.MOVING.at(case) * HOUR_S
    frames_hour = moving * load.frames_per_second
    screen_segments = moving * min(1.0, load.frames_per_second)  # a segment holds the frames of a second
    envelopes_hour = screen_segments + figures.OTHER_ENVELOPES.at(case)
    documents_hour = screen_segments * figures.DOCUMENTS_PER_FRAME.at(case) + figures.OTHER_DOCUMENTS.at(case)
    peak = load.agents * load.peak_factor / HOUR_S
    hours_a_day = load.agents * load.hours_per_day
    share = figures.WORKDAYS.at(case)
    return Rates(
        bytes_s=peak * load.mb_per_hour * MB,
        envelopes_s=peak * envelopes_hour,
        frames_s=peak * frames_hour * (1 - load.end_to_end_share),
        documents_s=peak * documents_hour,
        kept_hours=hours_a_day * work_days(load.retention_days, share),
        kafka_hours=hours_a_day * work_days(load.kafka_retention_days, share),
        envelopes_hour=envelopes_hour,
        bytes_hour=load.mb_per_hour * MB,
        documents_hour=documents_hour,
    )


def work_days(days: float, share: float) -> float:
    """The most days with work that so many days in a row hold."""
    weeks, rest = divmod(days, WEEK)
    return weeks * WEEK * share + min(rest, WEEK * share)

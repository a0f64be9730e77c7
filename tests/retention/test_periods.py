"""What is too old, to the day, and what is kept all the same."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from pydantic import ValidationError

from infra.settings import RetentionSettings
from schemas.kinds import StreamKind
from sinks.retention.duty import is_due
from sinks.retention.periods import ACTIVITY, ALERTS, OTHER, SESSIONS, Hold, Kept, Periods

NOW = datetime(2026, 11, 28, 0, 30, tzinfo=UTC)
ANN, BOB = bytes(16), bytes([1] * 16)


def first_kept(now: datetime = NOW, **settings: object) -> dict[str, date]:
    return dict(Periods.of(RetentionSettings.model_validate(settings), now).first_kept)


def test_nothing_goes_by_default() -> None:
    """Without days everything is kept for ever."""
    assert first_kept() == {}
    assert not RetentionSettings().is_set


@pytest.mark.parametrize(
    ("now", "first"),
    [
        (datetime(2026, 11, 28, 0, 0, tzinfo=UTC), date(2026, 11, 27)),
        (datetime(2026, 11, 28, 23, 59, 59, tzinfo=UTC), date(2026, 11, 27)),
        (datetime(2026, 11, 29, 0, 0, tzinfo=UTC), date(2026, 11, 28)),
        (datetime(2026, 11, 29, 0, 30, tzinfo=UTC).astimezone(tz=None), date(2026, 11, 28)),
    ],
)
def test_a_day_goes_at_midnight_utc(now: datetime, first: date) -> None:
    """Of what is kept for a day, a day goes when the whole day after it has passed, wherever the clock is."""
    assert first_kept(now, days=1)["screen"] == first


def test_a_stream_has_days_of_its_own() -> None:
    """Longer, shorter, or for ever, whatever the rest has."""
    found = first_kept(days=30, streams={"screen": 7, "keystrokes": 90, "email": 0})
    assert found["screen"] == date(2026, 11, 21)
    assert found["keystrokes"] == NOW.date() - timedelta(days=90)
    assert "email" not in found
    assert found["audio"] == found[OTHER] == date(2026, 10, 29)


def test_one_stream_alone_may_go() -> None:
    """With no days for the rest, all else is kept for ever; only the index of its text goes with it."""
    assert first_kept(streams={"screen": 7}) == {"screen": date(2026, 11, 21), "index": date(2026, 11, 21)}


def test_sums_and_alerts_go_as_the_rest_unless_they_have_days() -> None:
    """`activity_days` and `alerts_days`; 0 for ever."""
    found = first_kept(days=30)
    assert found[ACTIVITY] == found[ALERTS] == found[OTHER]
    found = first_kept(days=30, activity_days=365, alerts_days=0)
    assert found[ACTIVITY] == NOW.date() - timedelta(days=365)
    assert ALERTS not in found


def test_the_index_of_texts_never_outlives_what_it_is_of() -> None:
    """It may hold the text of any stream: it goes with the first, unless it has days of its own."""
    assert RetentionSettings(days=90, streams={"screen": 30}).days_of(StreamKind.INDEX) == 30
    assert RetentionSettings(days=20, streams={"screen": 30, "email": 60}).days_of(StreamKind.INDEX) == 20
    assert RetentionSettings(days=90, streams={"screen": 30, "index": 0}).days_of(StreamKind.INDEX) == 0


def test_who_used_which_agent_is_known_as_long_as_anything_of_it() -> None:
    """Connections are kept for the longest of all."""
    assert RetentionSettings(days=30, streams={"keystrokes": 90}, alerts_days=40).days_of_sessions == 90
    assert SESSIONS not in first_kept(days=30, streams={"screen": 0})


def test_a_stream_that_there_is_not_is_refused() -> None:
    """A mistyped name would keep something for ever."""
    with pytest.raises(ValidationError, match="screne"):
        RetentionSettings(streams={"screne": 30})
    with pytest.raises(ValidationError):
        RetentionSettings(days=-1)


def test_a_hold_keeps_its_days_both_included() -> None:
    """Of its agents, and of nobody else."""
    kept = Kept((Hold(frozenset({ANN}), date(2026, 11, 3), date(2026, 11, 5)),))
    assert [day for day in range(1, 8) if kept.keeps(ANN, date(2026, 11, day))] == [3, 4, 5]
    assert not kept.keeps(BOB, date(2026, 11, 4))
    [(agent, since, until)] = kept.spans()
    assert (agent, since, until) == (ANN, datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 6, tzinfo=UTC))


def test_a_hold_keeps_epochs_that_began_the_day_before() -> None:
    """What they recorded after midnight is of the held day."""
    kept = Kept((Hold(frozenset({ANN}), date(2026, 11, 3), date(2026, 11, 5)),))
    assert [day for day in range(1, 8) if kept.keeps_epochs(ANN, date(2026, 11, day))] == [2, 3, 4, 5]


def test_a_hold_without_bounds_keeps_everything() -> None:
    """From the beginning, without an end."""
    kept = Kept((Hold(frozenset({ANN})),))
    assert kept.keeps_epochs(ANN, date(1970, 1, 1))
    assert kept.keeps_epochs(ANN, date(9999, 1, 1))


def test_agents_out_of_scope_are_kept() -> None:
    """A run of some agents alone touches nobody else's."""
    kept = Kept(only=frozenset({BOB}))
    assert kept.keeps(ANN, NOW.date())
    assert not kept.keeps(BOB, NOW.date())


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        ("2026-11-27 02:00", "2026-11-28 01:59", False),
        ("2026-11-27 02:00", "2026-11-28 02:00", True),
        ("2026-11-28 02:00", "2026-11-28 23:00", False),
        ("2026-11-25 09:00", "2026-11-28 01:00", True),
        ("2026-11-28 01:00", "2026-11-28 02:00", True),
    ],
)
def test_a_run_is_due_once_a_day(last: str, now: str, due: bool) -> None:  # noqa: FBT001  # the parameter
    """From the hour on; one that was missed is made up for at once."""
    before, then = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (last, now))
    assert is_due(before, then, hour=2) is due

"""What a recorded person is told of how long what was recorded of them is kept."""

from __future__ import annotations

from gateway.accounts.recorded import kept_words
from infra.settings import RetentionSettings


def test_without_days_it_is_kept_until_somebody_erases_it() -> None:
    """And who looked for good, as ever."""
    told = kept_words(RetentionSettings())
    assert "until your organisation erases it" in told
    assert "nobody can look without a trace" in told


def test_one_number_of_days_is_told_once() -> None:
    """And that it is erased by itself, or kept for a legal matter."""
    told = kept_words(RetentionSettings(days=90))
    assert told.startswith(
        "What was recorded is kept 90 days. Then it is erased by itself. It may be kept longer while"
    )


def test_each_number_of_days_is_told_with_what_it_is_of() -> None:
    """The shortest first, and at last what is kept for ever."""
    told = kept_words(RetentionSettings(days=90, streams={"screen": 30, "email": 0}, activity_days=365))
    assert told.startswith(
        "What was recorded is kept 30 days for pictures of your screens; "
        "90 days for your terminals, windows' titles and activity, sound and alerts; "
        "365 days for sums of your activity; until your organisation erases it for your emails. Then"
    )

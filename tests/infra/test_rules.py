"""Rules of alerts: what they accept, what they match, and that windows count each thing once."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.rules.book import RuleBook
from infra.rules.evaluate import Check, Week, Windows, World, evaluate
from infra.rules.observation import Observation, of_span
from infra.rules.rule import Conditions, Rule
from infra.rules.store import as_rule, conditions_json
from infra.rules.words import MARK_END, MARK_START, Globs, Wanted, flatten
from schemas.errors import MalformedError

MONDAY_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE_MS = 60_000


def at(day: int = 0, hour: int = 12, minute: int = 0) -> int:
    """Milliseconds of a time in the week that begins on Monday, 23 November 2026, UTC."""
    return int(datetime(2026, 11, 23 + day, hour, minute, tzinfo=UTC).timestamp() * 1000)


def rule(**conditions: Any) -> Rule:
    return Rule(rule_id=UUID(int=1), name="r", conditions=Conditions.model_validate(conditions))


def document(text: str = "", time_ms: int = at(), **fields: Any) -> Observation:
    known: dict[str, Any] = {"identity": "d", "agent_id": "a", "person": "ann", "stream": "screen", "kind": "screen"}
    title = fields.get("title", "")
    return Observation(**{"subject": "document", "time_ms": time_ms, "texts": (text, title), **known, **fields})


def matches(wanted: Rule, seen: Observation, world: World | None = None) -> bool:
    return bool(evaluate([Check(wanted)], world or World(), Windows(), seen))


@pytest.mark.parametrize(
    ("asked", "text", "found"),
    [
        ("invoice", "The INVOICE is late", True),
        ("invoice", "invoices", False),
        ("invoic*", "two invoices", True),
        ("late invoice", "an invoice that is late", True),
        ("late invoice", "an invoice", False),
        ('"final notice"', "this is the final\nnotice", True),
        ('"final notice"', "notice the final", False),
        ("ann@example.org", "to: Ann@Example.org", True),
        ("ann@example.org", "ann at org", False),
        ("straße", "Die STRASSE", False),
        ("café", "le cafe\u0301", True),
        ("a_b", "x a b y", True),
    ],
)
def test_words_are_whole_and_phrases_stand_together(asked: str, text: str, *, found: bool) -> None:
    """Letter case and how an accent is written are nothing; a star is a beginning; no word is guessed."""
    assert Wanted(asked).met_by([flatten(text)]) is found


@pytest.mark.parametrize(
    ("glob", "value", "found"),
    [
        ("mail", "Mail", True), ("mail", "Mails", False), ("mail*", "Mails", True), ("*", "", True),
        ("*a*b", "xaxb", True), ("a*a", "a", False), ("a*a", "aa", True), ("b?b", "bob", True), ("b?b", "bb", False),
        ("*b?b*", "a bob c", True), ("*[x].*", "a[X].txt", True), ("*\n*", "a\nb", True), ("", "a", False),
    ],
)  # fmt: skip
def test_names_with_stars(glob: str, value: str, *, found: bool) -> None:
    """A star is any run, also none; a question mark is one character; all else is itself."""
    assert Globs([glob]).fit(value) is found


@given(st.lists(st.sampled_from("ab*?"), max_size=8), st.text("ab", max_size=10))
def test_names_fit_as_a_pattern_says(glob: list[str], value: str) -> None:
    """The way without going back finds what the plain translation finds."""
    pattern = "".join({"*": ".*", "?": "."}.get(char, char) for char in glob)
    assert Globs(["".join(glob)]).fit(value) is (re.fullmatch(pattern, value) is not None)


def test_no_name_takes_long() -> None:
    """What would cost a pattern hours is answered at once."""
    assert not Globs(["*a" * 60 + "b"]).fit("a" * 10_000)


def test_what_has_no_word_is_refused() -> None:
    """Blanks and signs alone would match everything or nothing."""
    with pytest.raises(MalformedError, match="no word"):
        Wanted('"" !?')


def test_a_fragment_shows_the_words() -> None:
    """The piece of text round the first of them, marked."""
    text = "x " * 60 + "the Invoice of May " + "y " * 200
    piece = Wanted("invoice may").fragment(["nothing", text])
    assert f"{MARK_START}Invoice{MARK_END} of {MARK_START}May{MARK_END}" in piece
    assert len(piece) < 180


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_text_has_its_own_words(before: str, text: str) -> None:
    """Whatever is typed as a phrase is found where it stands."""
    try:
        wanted = Wanted(f'"{text.replace(chr(34), "")}"')
    except MalformedError:
        return
    assert wanted.met_by([flatten(f"{before} {text.replace(chr(34), '')} {before}")])


@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        ({}, "needs a condition"),
        ({"words": ["??"]}, "no word"),
        ({"time_zone": "Mars/Olympus", "words": ["x"]}, "no time zone"),
        ({"volume": {"measure": "documents", "more_than": 1, "within_minutes": 7}}, "whole number of such windows"),
        ({"volume": {"measure": "active_minutes", "more_than": 60, "within_minutes": 60}}, "more minutes than"),
        (
            {"words": ["x"], "volume": {"measure": "mebibytes", "more_than": 1, "within_minutes": 60}},
            "told apart by words",
        ),
        ({"persons": ["ann"], "unknown": 1}, "Extra inputs"),
        ({"persons": ["a\0"]}, "should match pattern"),
        ({"times": [{"weekdays": [1], "from_time": "09:00Z", "until_time": "10:00"}]}, "local to the zone"),
    ],
)
def test_a_rule_that_could_not_be_judged_is_refused(conditions: dict[str, Any], told: str) -> None:
    """The error says what to change."""
    with pytest.raises(ValidationError, match=told):
        Conditions.model_validate(conditions)


def test_all_conditions_must_be_met_and_any_value_of_each() -> None:
    """Names are globs of any letter case; a stream is met by the stream or the kind of a document."""
    wanted = rule(words=["invoice", "salary"], applications=["*Mail*"], persons=["ann", "b?b"], streams=["terminal"])
    good = document("the salary", application="thunderMAIL 1", person="bob", kind="terminal", stream="keystrokes")
    assert matches(wanted, good)
    for change in ({"application": "editor"}, {"person": "bobby"}, {"kind": "x"}, {"texts": ("lunch",)}):
        assert not matches(wanted, Observation(**{**_fields(good), **change}))


def _fields(seen: Observation) -> dict[str, Any]:
    return {name: getattr(seen, name) for name in Observation.__dataclass_fields__}


def test_teams_are_those_of_now() -> None:
    """A person is in the scope by the world that the rule is judged in."""
    wanted = rule(teams=["sales"])
    assert matches(wanted, document(), World({"sales": frozenset({"ann"})}))
    assert not matches(wanted, document(), World({"sales": frozenset({"bob"})}))
    assert not matches(wanted, document())


def test_times_may_go_over_midnight_and_are_local() -> None:
    """A span that ends before it begins ends on the next day; the zone shifts it, in summer and in winter."""
    night = rule(times=[{"weekdays": [5], "from_time": "22:00", "until_time": "06:00"}])
    assert matches(night, document(time_ms=at(4, 22)))
    assert matches(night, document(time_ms=at(5, 5, 59)))
    assert not matches(night, document(time_ms=at(5, 6)))
    assert not matches(night, document(time_ms=at(4, 5)))
    berlin = rule(times=[{"weekdays": [1], "from_time": "09:00", "until_time": "10:00"}], time_zone="Europe/Berlin")
    assert matches(berlin, document(time_ms=at(0, 8)))
    assert not matches(berlin, document(time_ms=at(0, 9)))
    summer = int(datetime(2026, 7, 6, 7, 30, tzinfo=UTC).timestamp() * 1000)
    assert matches(berlin, document(time_ms=summer))


def test_working_hours_are_those_of_the_first_team_that_has_some() -> None:
    """Everybody else has the default week; a team without hours works never."""
    day = (time(9), time(17))
    world = World(
        {"a": frozenset({"ann"}), "b": frozenset({"ann", "bob"}), "none": frozenset({"eve"})},
        {"": Week("UTC", {1: [day]}), "b": Week("Asia/Tokyo", {1: [day]}), "none": Week()},
    )
    outside = rule(outside_working_hours=True)
    assert matches(outside, document(time_ms=at(0, 12)), world)  # 21:00 in Tokyo
    assert not matches(outside, document(time_ms=at(0, 1)), world)
    assert not matches(outside, document(person="kim", time_ms=at(0, 12)), world)
    assert matches(outside, document(person="eve", time_ms=at(0, 12)), world)


def test_a_volume_is_told_once_a_window_and_person() -> None:
    """The one that goes beyond is told; those after it, and those that come again, are not."""
    wanted = rule(volume={"measure": "documents", "more_than": 2, "within_minutes": 15})
    windows, found = Windows(), []
    for number in (1, 1, 2, 3, 3, 4):
        found += evaluate([Check(wanted)], World(), windows, document(identity=str(number)))
    assert [(one.seen.identity, one.amount, one.until_ms - one.since_ms) for one in found] == [("3", 3, 900_000)]
    assert not evaluate([Check(wanted)], World(), windows, document(identity="5", person="bob"))


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_order_and_repetition_change_no_window(order: list[int], again: set[int]) -> None:
    """In whatever order things come, and however often, the same windows are told under the same ids."""
    wanted = Check(rule(volume={"measure": "documents", "more_than": 2, "within_minutes": 15}))
    seen = [document(identity=str(n), time_ms=at() + n * 4 * MINUTE_MS, person="ab"[n % 2]) for n in range(12)]

    def told(numbers: list[int]) -> set[str]:
        windows = Windows()
        return {m.alert_id for n in numbers for m in evaluate([wanted], World(), windows, seen[n])}

    assert told([*order, *again]) == told(list(range(12)))


def test_windows_are_forgotten_when_there_are_too_many() -> None:
    """Memory is bounded: the window that was not touched for longest goes."""
    wanted = Check(rule(volume={"measure": "documents", "more_than": 1, "within_minutes": 5}))
    windows = Windows(most=10)
    for number in range(100):
        evaluate([wanted], World(), windows, document(identity=str(number), time_ms=at() + number * 5 * MINUTE_MS))
    assert len(windows) == 10


def test_a_span_is_seen_run_by_run() -> None:
    """Runs stand at their own time; a span from before runs were told stands at its hour."""
    span = {
        "agent_id": "a", "epoch_id": "e", "sequence": 1, "ordinal": 0, "user": "ann", "computer": "pc",
        "application": "Editor", "hour_ms": 0, "active_ms": 30,
    }  # fmt: skip
    runs = [{"from_ms": 5, "until_ms": 15}, {"from_ms": 40, "until_ms": 60}]
    assert [(one.time_ms, one.amount) for one in of_span({**span, "active": runs})] == [(5, 10), (40, 20)]
    assert [(one.time_ms, one.amount) for one in of_span({**span, "active": []})] == [(0, 30)]
    assert list(of_span({**span, "active": [], "active_ms": 0})) == []


def test_a_rule_of_teams_judges_nobody_else() -> None:
    """Whatever its conditions say, and as the teams are now; of no team it judges nobody."""
    asked = rule(words=["invoice"], persons=["ann"])
    world = World({"east": frozenset({"ann", "bob"}), "west": frozenset({"eve"})})
    seen = document("invoice")
    assert matches(asked, seen, world)
    for concerns, found in ((("east",), True), (("west", "east"), True), (("west",), False), ((), False)):
        assert matches(asked.model_copy(update={"concerns": concerns}), seen, world) is found
    assert not matches(asked.model_copy(update={"concerns": ("east",)}), seen)
    assert world.people_of(("east", "west", "none")) == {"ann", "bob", "eve"}


def test_conditions_come_back_from_the_table_as_they_went() -> None:
    """What is stored is what was said, and a row that cannot be read is left out."""
    conditions = rule(
        words=["a b"],
        times=[{"weekdays": [1], "from_time": "09:00", "until_time": "10:30"}],
        outside_working_hours=True,
    ).conditions
    row: dict[str, Any] = {"rule_id": UUID(int=1), "name": "r", "severity": "high", "version": 3, "enabled": True}
    row["concerns"] = ["east"]
    read = as_rule({**row, "conditions": conditions_json(conditions)})
    assert read is not None
    assert (read.conditions, read.version, read.concerns) == (conditions, 3, ("east",))
    assert as_rule({**row, "conditions": '{"from_a_later_release": 1}'}) is None


async def test_a_book_has_a_new_edition_only_when_something_changed() -> None:
    """Rules that are off are not in it; the same answer is the same edition."""
    on, off = rule(words=["x"]), rule(words=["y"]).model_copy(update={"enabled": False})
    world = World()

    async def read() -> tuple[list[Rule], World]:
        return [on, off], world

    book = RuleBook(read)
    await book.renew()
    await book.renew()
    assert (book.edition.rules, book.edition.number) == ((on,), 0)
    world = World({"sales": frozenset({"ann"})})
    await book.renew()
    assert book.edition.number == 1

"""The byte budget: what is held is counted, and who waits is woken in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.budget import Budget


@dataclass(eq=False)
class Reading:
    """Somebody who shares a budget."""

    partial_bytes: int = 0
    then: Callable[[], object] = bool
    woken: int = 0

    def read_on(self) -> None:
        self.woken += 1
        self.then()


def test_who_waits_is_woken_first_come_first_served() -> None:
    """Room wakes the first, and the next only while there still is room."""
    budget = Budget(10, 1)
    budget.take(10)
    woken: list[str] = []

    def read_all(name: str) -> None:
        woken.append(name)
        budget.take(10)

    budget.wait(Reading(then=lambda: read_all("first")))
    budget.wait(Reading(then=lambda: read_all("second")))
    budget.give(5)
    assert woken == ["first"]
    budget.give(15)
    assert woken == ["first", "second"]


def test_a_closed_budget_lets_nobody_read_until_every_reason_is_gone() -> None:
    """Two shortages are two reasons."""
    budget = Budget(10, 1)
    waiting = Reading()
    budget.close("disk")
    budget.close("other")
    budget.wait(waiting)
    budget.open("disk")
    assert budget.full
    assert waiting.woken < 1
    budget.open("other")
    assert waiting.woken == 1


def test_one_at_a_time_may_finish() -> None:
    """Whoever is in the middle of a frame when memory is used up, and then the next; nobody while a disk is short."""
    budget = Budget(10, 1)
    first, second, empty = Reading(1), Reading(1), Reading(0)
    budget.change_partial(12)
    assert budget.may_finish(first)
    assert not budget.may_finish(second)
    budget.wait(empty)
    budget.wait(second)
    budget.finished(second)
    assert budget.may_finish(first)
    budget.finished(first)
    assert [second.woken, empty.woken] == [1, 0]
    assert budget.may_finish(second)
    budget.close("disk_short")
    assert not budget.may_finish(second)


def test_nobody_need_finish_while_kafka_will_free_memory() -> None:
    """What is under way comes back by itself."""
    budget = Budget(10, 1)
    reading = Reading(1)
    budget.take(6)
    budget.change_partial(6)
    assert budget.full
    assert not budget.may_finish(reading)
    budget.wait(reading)
    budget.change_partial(10)
    budget.give(6)
    assert reading.woken == 1

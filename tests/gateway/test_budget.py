"""The byte budget: what is held is counted, and who waits is woken in turn."""

from __future__ import annotations

from gateway.budget import Budget


def test_who_waits_is_woken_first_come_first_served() -> None:
    """Room wakes the first, and the next only while there still is room."""
    budget = Budget(10, 1)
    budget.take(10)
    woken: list[str] = []

    def read_all(name: str) -> None:
        woken.append(name)
        budget.take(10)

    budget.wait(lambda: read_all("first"))
    budget.wait(lambda: read_all("second"))
    budget.give(5)
    assert woken == ["first"]
    budget.give(15)
    assert woken == ["first", "second"]


def test_a_closed_budget_lets_nobody_read_until_every_reason_is_gone() -> None:
    """Two shortages are two reasons."""
    budget = Budget(10, 1)
    woken: list[int] = []
    budget.close("disk")
    budget.close("other")
    budget.wait(lambda: woken.append(1))
    budget.open("disk")
    assert budget.full
    assert woken == []
    budget.open("other")
    assert woken == [1]

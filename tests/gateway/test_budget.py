"""The byte budget: what is held is counted, windows are equal shares within bounds, who waits is woken in turn."""

from __future__ import annotations

from gateway.budget import Budget


def test_a_window_is_an_equal_share_within_bounds() -> None:
    """Few connections get the largest window, many the smallest, which always fits the largest envelope."""
    budget = Budget(100, smallest=10, largest=40)
    windows = []
    for connections in (0, 1, 4, 10, 1000):
        budget.connections = connections
        windows.append(budget.window)
    assert windows == [40, 40, 25, 10, 10]


def test_who_waits_is_woken_first_come_first_served() -> None:
    """Room wakes the first, and the next only while there still is room."""
    budget = Budget(10, 1, 10)
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
    budget = Budget(10, 1, 10)
    woken: list[int] = []
    budget.close("disk")
    budget.close("other")
    budget.wait(lambda: woken.append(1))
    budget.open("disk")
    assert budget.full
    assert woken == []
    budget.open("other")
    assert woken == [1]

"""The life of a KEK: every move from every state, and none that leaves nobody to seal to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.keys import rotation
from infra.keys.registry import Purpose, Registered, State
from schemas.errors import ConfigError, KekMissingError

OLD = Registered("old.pub.pem", "old.pem")
NEW = Registered("new.pub.pem", "new.pem")
SERVER = Registered("server.pub.pem", "server.pem", purpose=Purpose.SERVER)


def merge(rows: list[Registered], changed: list[Registered]) -> list[Registered]:
    after = {row.public: row for row in changed}
    return [after.get(row.public, row) for row in rows]


def test_a_rotation_goes_through_its_phases() -> None:
    """Beside each other, then the new one alone, then the old one not even for opening."""
    rows = merge([OLD, NEW], rotation.begin([OLD, NEW], "old", "new"))
    assert rows == [replace(OLD, successor="new.pub.pem"), NEW]
    rows = merge(rows, rotation.finish(rows, "old"))
    assert rows[0].state is State.OPENING
    rows = merge(rows, rotation.retire(rows, "old"))
    assert rows[0].state is State.RETIRED


@pytest.mark.parametrize("finished", [False, True])
def test_there_is_a_way_back_from_both_phases(finished: bool) -> None:  # noqa: FBT001
    """The old one is sealed to again; the new one only opens, and may be tried again later with another."""
    rows = merge([OLD, NEW], rotation.begin([OLD, NEW], "old", "new"))
    if finished:
        rows = merge(rows, rotation.finish(rows, "old"))
    rows = merge(rows, rotation.back(rows, "old"))
    assert rows == [OLD, replace(NEW, state=State.OPENING)]
    with pytest.raises(ConfigError, match="no way back"):
        rotation.back(rows, "old")


def test_moves_that_are_not_there() -> None:
    """Each says what to do instead."""
    begun = replace(OLD, successor="new.pub.pem")
    opening = replace(begun, state=State.OPENING)
    retired = replace(begun, state=State.RETIRED)
    third = Registered("third.pub.pem")
    with pytest.raises(ConfigError, match="own place"):
        rotation.begin([OLD], "old", "old")
    with pytest.raises(ConfigError, match="is for end_to_end"):
        rotation.begin([OLD, SERVER], "old", "server")
    with pytest.raises(ConfigError, match="both must be active"):
        rotation.begin([opening, NEW], "old", "new")
    with pytest.raises(ConfigError, match="rotated already"):
        rotation.begin([begun, NEW, third], "old", "third")
    with pytest.raises(ConfigError, match="itself being rotated"):
        rotation.begin([OLD, replace(NEW, successor="third.pub.pem"), third], "old", "new")
    with pytest.raises(ConfigError, match="not being rotated"):
        rotation.finish([OLD], "old")
    with pytest.raises(ConfigError, match="finished before"):
        rotation.finish([opening, NEW], "old")
    with pytest.raises(ConfigError, match="is revoked"):
        rotation.finish([begun, replace(NEW, state=State.REVOKED)], "old")
    with pytest.raises(ConfigError, match="rotate it first"):
        rotation.retire([OLD], "old")
    with pytest.raises(ConfigError, match="retired already"):
        rotation.retire([retired], "old")
    with pytest.raises(KekMissingError, match="no KEK 'nobody'"):
        rotation.revoke([OLD], "nobody")


def test_the_last_kek_cannot_be_revoked() -> None:
    """Nothing could be sealed any more; one that is not sealed to may go, and goes once."""
    with pytest.raises(ConfigError, match="last KEK for end_to_end"):
        rotation.revoke([OLD, SERVER], "old")
    [revoked] = rotation.revoke([OLD, NEW, SERVER], "old")
    assert revoked.state is State.REVOKED
    assert rotation.revoke([replace(OLD, state=State.OPENING)], "old")
    with pytest.raises(ConfigError, match="revoked already"):
        rotation.revoke([revoked, NEW], "old")

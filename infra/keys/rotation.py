"""The life of a KEK as moves between states: register, rotate in two phases with a way back, retire, revoke.

Pure: rows in, changed rows out. Never takes away the last KEK that something is sealed to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from infra.keys.registry import Registered, State, find
from schemas.errors import ConfigError


def begin(rows: Sequence[Registered], old: str, new: str) -> list[Registered]:
    """The new KEK beside the old one: everything is sealed to both from now on."""
    before, after = find(rows, old), find(rows, new)
    if before.public == after.public:
        raise ConfigError("a KEK cannot take its own place: make another with `sealstream keys make`")
    if before.purpose is not after.purpose:
        raise ConfigError(f"{before.name!r} is for {before.purpose.value}, {after.name!r} for {after.purpose.value}")
    if before.state is not State.ACTIVE or after.state is not State.ACTIVE:
        raise ConfigError(
            f"{before.name!r} is {before.state.value} and {after.name!r} {after.state.value}: both must be active"
        )
    if before.successor and before.successor != after.public:
        raise ConfigError(f"{before.name!r} is being rotated already: `sealstream keys rotate back {before.name}`")
    if after.successor:
        raise ConfigError(f"{after.name!r} is itself being rotated")
    return [replace(before, successor=after.public)]


def finish(rows: Sequence[Registered], old: str) -> list[Registered]:
    """Nothing new is sealed to the old KEK; what was, still opens."""
    before = find(rows, old)
    if not before.successor:
        raise ConfigError(f"{before.name!r} is not being rotated: `sealstream keys rotate begin {before.name} NEW`")
    if before.state is not State.ACTIVE:
        raise ConfigError(f"the rotation of {before.name!r} was finished before: it is {before.state.value}")
    after = find(rows, before.successor)
    if after.state is not State.ACTIVE:
        raise ConfigError(f"{after.name!r}, which is to take its place, is {after.state.value}")
    return [replace(before, state=State.OPENING)]


def back(rows: Sequence[Registered], old: str) -> list[Registered]:
    """Seal to the old KEK again, and to the new one no longer; what was sealed to either opens."""
    before = find(rows, old)
    if not before.successor or before.state not in {State.ACTIVE, State.OPENING}:
        raise ConfigError(f"{before.name!r} is {before.state.value} and not being rotated: there is no way back")
    after = find(rows, before.successor)
    changed = [replace(before, state=State.ACTIVE, successor="")]
    if after.state is State.ACTIVE:
        changed.append(replace(after, state=State.OPENING))
    return changed


def retire(rows: Sequence[Registered], name: str) -> list[Registered]:
    """The KEK opens nothing any more: what was sealed to it has been re-wrapped, or is given up."""
    row = find(rows, name)
    if row.state is State.ACTIVE:
        raise ConfigError(
            f"{row.name!r} is sealed to: rotate it first (`sealstream keys rotate begin {row.name} NEW`, then finish)"
        )
    if row.state is not State.OPENING:
        raise ConfigError(f"{row.name!r} is {row.state.value} already")
    return [replace(row, state=State.RETIRED)]


def revoke(rows: Sequence[Registered], name: str) -> list[Registered]:
    """The KEK is in wrong hands: from now on it is neither sealed to nor opened with."""
    row = find(rows, name)
    if row.state is State.REVOKED:
        raise ConfigError(f"{row.name!r} is revoked already")
    others = [
        one for one in rows if one.purpose is row.purpose and one.state is State.ACTIVE and one.public != row.public
    ]
    if row.state is State.ACTIVE and not others:
        raise ConfigError(f"{row.name!r} is the last KEK for {row.purpose.value}: make and register another one first")
    return [replace(row, state=State.REVOKED)]

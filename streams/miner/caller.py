"""Who calls, as the audit and a wish name them.

Never takes a caller's word for where it calls from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.errors import MalformedError
from streams.miner.admission import address_of

MAX_TEXT = 500
MAX_PERSON = 200


@dataclass(frozen=True, slots=True)
class Caller:
    """`actor` is the person that the calling node named, else that node's address; `via` the way."""

    actor: str
    via: str


def caller_of(request: Any, context: Any) -> Caller:
    """The caller of a request that has a `person`; raises `MalformedError` for a name that cannot be one."""
    address = address_of(context.peer())
    person = checked_text(request.person, "person", at_most=MAX_PERSON)
    return Caller(person or f"node@{address}", f"grpc {address}")


def checked_text(text: str, name: str, *, at_least: int = 0, at_most: int = MAX_TEXT) -> str:
    """`text`, if it is of a length that is taken and has no zero character, which PostgreSQL cannot hold."""
    if not at_least <= len(text) <= at_most:
        raise MalformedError(f"{name} has {at_least} to {at_most} characters")
    if "\x00" in text:
        raise MalformedError(f"{name} has a zero character in it")
    return text

"""What is told of keys.

Never has a field that a private key could stand in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.api.errors import ApiError
from schemas.errors import KekMissingError

KeyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$")]
"""A KEK's name: it is a file's name too."""

Reason = Annotated[str, Field(max_length=500)]


class Model(BaseModel):
    """Of this part of the API."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class AssignmentTold(Model):
    """Whose stream is sealed to a KEK."""

    kek: str
    scope: Literal["default", "group", "endpoint", "agent"]
    subject: str
    stream: str
    break_glass: bool
    always: bool
    blind_index: bool


class PlaceTold(Model):
    """Which halves of a KEK lie on a node; as the node said last."""

    node: str
    public_half: bool
    private_half: bool
    told_at_ms: int
    here: bool
    """Whether this is the node that answers."""


class KekTold(Model):
    """One KEK."""

    name: str
    key_id: str
    """SHA-256 of its public half; empty when its file is not usable."""
    algorithm: str
    purpose: Literal["server", "end_to_end"]
    state: Literal["active", "opening", "retired", "revoked"]
    successor: str
    private_half: Literal["file", "token", "none"]
    """Where the private half is for this node."""
    rounds: int | None
    """PBKDF2 rounds of the private file here, where it says so."""
    problem: str
    registered_at_ms: int
    changed_at_ms: int
    assignments: list[AssignmentTold]
    places: list[PlaceTold]


class KeysAnswer(Model):
    """All KEKs, the oldest first."""

    keys: list[KekTold]
    node: str
    """The node that answers, of whose files `private_half`, `rounds` and `problem` speak."""
    nodes: list[str]
    """Every node that has told of its key files, and every one that lives and has not."""
    signers: dict[str, str]
    """Fingerprints of the signers that new agents pin, by name."""


class ProtectedTold(Model):
    """How much of this node's archive a KEK opens."""

    name: str
    """Empty for a KEK that nobody registered here."""
    key_id: str
    epochs: int
    alone: int
    """Epochs that open with it and no other KEK in use."""
    envelopes: int
    bytes: int
    agents: int
    persons: int
    first_day: str
    last_day: str


class ProtectedAnswer(Model):
    """What KEKs protect."""

    counted_at_ms: int | None
    """None while it is counted for the first time."""
    counting: bool
    problem: str
    keys: list[ProtectedTold]


class FindingTold(Model):
    """One thing that was looked at."""

    subject: str
    says: str
    problem: bool


class FindingsAnswer(Model):
    """What `sealstream keys check` says on this node."""

    findings: list[FindingTold]


class JobTold(Model):
    """Work that goes on, or went on, beside the page."""

    id: str
    subject: str
    node: str
    by: str
    state: Literal["running", "done", "failed", "cancelled", "interrupted"]
    progress: dict[str, Any]
    message: str
    started_at_ms: int
    ended_at_ms: int | None


class Done(Model):
    """What was done, in a sentence, and what comes next."""

    says: str
    next: str = ""


@contextmanager
def known_keks() -> Iterator[None]:
    """A KEK that nobody registered is told as 404, with those that there are."""
    try:
        yield
    except KekMissingError as error:
        raise ApiError(404, "not_found", str(error)) from None

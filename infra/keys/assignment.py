"""Who end-to-end streams are sealed to: assignments of KEKs, and the key sets that follow from them.

Signs nothing and is in force nowhere: an officer signs what `build_sets` makes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from infra.keys.registry import Purpose, Registered, State
from schemas.envelope import MAX_RECIPIENTS
from schemas.errors import ConfigError
from schemas.keyset import MAX_AGENTS, SEALABLE, KeySet, SetKey, StreamKeys


class Scope(StrEnum):
    """Whom an assignment is for; the narrowest that speaks of a stream counts."""

    DEFAULT = "default"
    GROUP = "group"
    ENDPOINT = "endpoint"
    AGENT = "agent"


NARROWEST_FIRST = (Scope.AGENT, Scope.ENDPOINT, Scope.GROUP, Scope.DEFAULT)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One row of `kek_assignment`: a stream of those in scope is sealed to that KEK."""

    public: str
    scope: Scope
    subject: str
    stream: str
    break_glass: bool = False
    always: bool = False
    blind_index: bool = True


@dataclass(frozen=True, slots=True)
class Situation:
    """All that key sets are made of. `agents`: computer by agent id; `groups`: members (ids, computers) by name."""

    folder: Path
    rows: Mapping[str, Registered]
    assignments: Sequence[Assignment]
    agents: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    end_to_end: frozenset[str] = frozenset()
    """Streams that the policy seals end to end now: once signed, the server cannot undo that."""

    def applying(self, agent_id: str, computer: str) -> dict[Scope, list[Assignment]]:
        """The assignments that speak of an agent, by scope; without an id, those for agents nobody named."""
        found: dict[Scope, list[Assignment]] = defaultdict(list)
        for one in self.assignments:
            match one.scope:
                case Scope.DEFAULT:
                    applies = True
                case Scope.AGENT:
                    applies = bool(agent_id) and one.subject == agent_id
                case Scope.ENDPOINT:
                    applies = bool(computer) and one.subject.lower() == computer.lower()
                case Scope.GROUP:
                    members = self.groups.get(one.subject, frozenset())
                    applies = bool({agent_id, computer.lower()} & members - {""})
            if applies:
                found[one.scope].append(one)
        return found

    def sealed_to(self, public: str) -> list[Registered]:
        """The KEKs that an assignment of one means now: it, while it is active, and those that take its place."""
        found: list[Registered] = []
        seen: set[str] = set()
        while public and public not in seen:
            seen.add(public)
            row = self.rows.get(public)
            if row is None:
                break
            if row.state is State.ACTIVE:
                found.append(row)
            public = row.successor
        return found


def build_sets(situation: Situation, version: int, made_ms: int) -> list[KeySet]:
    """A set for every agent that is known (many share one), and one for those that are not.

    Raises `ConfigError` when a stream would have nobody who can open it, or more KEKs than an envelope can have.
    """
    default = _content(situation, "", "")
    sharing: dict[tuple[object, ...], tuple[KeySet, list[str]]] = {}
    for agent_id, computer in sorted(situation.agents.items()):
        content = _content(situation, agent_id, computer)
        shape = (tuple(sorted(content.keys)), tuple(sorted(content.streams.items())))
        sharing.setdefault(shape, (content, []))[1].append(agent_id)
    sets = [default] if default.streams else []
    for content, agents in sharing.values():
        chunks = [agents[at : at + MAX_AGENTS] for at in range(0, len(agents), MAX_AGENTS)]
        sets += [replace(content, agents=tuple(chunk)) for chunk in chunks]
    return [replace(one, version=version, made_ms=made_ms) for one in sets]


def _content(situation: Situation, agent_id: str, computer: str) -> KeySet:
    """The set of one agent, without its version."""
    applying = situation.applying(agent_id, computer)
    keys: dict[bytes, SetKey] = {}
    streams: dict[str, StreamKeys] = {}
    for kind in SEALABLE:
        chosen = _choose(applying, kind.label)
        if not chosen:
            continue
        recipients = _recipients(situation, chosen, keys)
        if not 1 <= len(recipients) <= MAX_RECIPIENTS:
            who = f"agent {agent_id}" if agent_id else "agents that nobody named"
            raise ConfigError(
                f"{kind.label} of {who} would be sealed to {len(recipients)} KEKs, there may be 1 to {MAX_RECIPIENTS}: "
                "`sealstream keys list` shows their states and assignments"
            )
        bound = kind.label in situation.end_to_end or any(one.always for one in chosen)
        streams[kind.label] = StreamKeys(recipients, bound, all(one.blind_index for one in chosen))
    return KeySet(0, 0, keys, streams)


def _choose(applying: Mapping[Scope, list[Assignment]], stream: str) -> list[Assignment]:
    """The narrowest scope's assignments of a stream, and break-glass ones of every scope."""
    of_stream = {scope: [one for one in found if one.stream == stream] for scope, found in applying.items()}
    for scope in NARROWEST_FIRST:
        ordinary = [one for one in of_stream.get(scope, ()) if not one.break_glass]
        if ordinary:
            return ordinary + [one for found in of_stream.values() for one in found if one.break_glass]
    return []


def _recipients(situation: Situation, chosen: Iterable[Assignment], keys: dict[bytes, SetKey]) -> tuple[bytes, ...]:
    found: dict[bytes, None] = {}
    for assignment in chosen:
        for row in situation.sealed_to(assignment.public):
            if row.purpose is not Purpose.END_TO_END:
                raise ConfigError(f"{row.name!r} is a KEK of the server: what is sealed to it is not end-to-end")
            recipient = row.recipient(situation.folder)
            known = keys.get(recipient.key_id)
            break_glass = assignment.break_glass and (known is None or known.break_glass)
            keys[recipient.key_id] = SetKey(row.name, recipient, break_glass)
            found[recipient.key_id] = None
    return tuple(found)

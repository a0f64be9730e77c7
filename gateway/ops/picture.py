"""The picture of the installation, as the API tells it.

Never names a person to who may not see them: `for_principal` takes names out and leaves the numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from gateway.api.access import Principal


class Frozen(BaseModel):
    """Values that do not change."""

    model_config = ConfigDict(frozen=True)


class AgentRow(Frozen):
    """One agent; `person` and `computer` are empty for who may not see that person."""

    agent_id: str
    person: str
    computer: str
    gateway: str
    since_ms: int


class Suite(Frozen):
    """Agents by the TLS that they speak."""

    tls: str
    suite: str
    forward_secret: bool
    agents: int


class Agents(Frozen):
    """Agents that were ever connected, those that are, and those that went away within the last week."""

    known: int = 0
    connected: int = 0
    silent: int = 0
    went_silent: list[AgentRow] = []
    suites: list[Suite] = []
    age_s: float | None = None
    """How old that is; none before it was read for the first time."""


class History(Frozen):
    """Sums of equal steps, oldest first."""

    from_ms: int
    step_ms: int
    envelopes: list[int]
    bytes: list[int]


class StreamRow(Frozen):
    """One stream. Rates are those of the last minute; none while they are not known."""

    stream: str
    envelopes: int
    envelopes_per_s: float | None
    bytes_per_s: float | None
    history: History | None


class Acks(Frozen):
    """How long a gateway takes to acknowledge an envelope, over the last minute."""

    node: str
    per_s: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None


class GroupRow(Frozen):
    """A consumer group: how far behind, how fast, by how many members."""

    group: str
    what: str
    state: str
    members: int
    partitions: int
    held: int
    lag: int
    per_s: float | None
    history: list[int] = []


class NodeRow(Frozen):
    """A process of ours by its lifecycle."""

    node_id: str
    role: str
    state: str
    address: str
    since_ms: int


class ComponentRow(Frozen):
    """A program that a node's supervisor keeps; `stopped_by` says who wished that it stays stopped."""

    node_id: str
    component: str
    phase: str
    detail: str
    version: str
    address: str
    restarts: int
    since_ms: int
    told_ms: int
    stale: bool
    """Its supervisor has not told of it for a while."""
    stoppable: bool
    wanted: str
    wished_by: str
    wished_ms: int | None
    stop_says: str
    """What stopping it means, for who is about to."""


class GapRow(Frozen):
    """A known hole; where it is not known from when to when, it is where it was noticed."""

    agent_id: str
    person: str
    computer: str
    stream: str
    reason: str
    noticed_ms: int
    from_ms: int
    until_ms: int


class DayCount(Frozen):
    """So many on a day (UTC)."""

    day: str
    count: int


class Gaps(Frozen):
    """Gaps of the last two weeks."""

    last_day: int = 0
    days: list[DayCount] = []
    recent: list[GapRow] = []


class Named(Frozen):
    """Bytes of something."""

    name: str
    bytes: int


class Storage(Frozen):
    """What is kept where; none where it is not known from here."""

    archive_bytes: int | None = None
    archive_streams: list[Named] = []
    archive_days: list[Named] = []
    disk_free_bytes: int | None = None
    disk_bytes: int | None = None
    postgresql_bytes: int | None = None
    elasticsearch_bytes: int | None = None
    elasticsearch_documents: int | None = None
    elasticsearch_status: str = ""
    kafka_bytes: int | None = None


class Alerts(Frozen):
    """Alerts that nobody has settled."""

    open: int = 0
    high: int = 0


class PartRow(Frozen):
    """A part of the picture that is read from a store: when it was read last, none for never.

    `measuring`: somebody has just begun to look, and this part was not read since.
    """

    part: str
    read_ms: int | None
    measuring: bool


class Away(Frozen):
    """A store that cannot be asked; the rest of the picture still holds."""

    store: str
    fault: str
    since_ms: int


class Problem(Frozen):
    """Something that wants attention: what is wrong, what to do, and where in the console. `tone` is bad or warn."""

    tone: str
    title: str
    advice: str
    link: str = ""


class Overview(Frozen):
    """The whole picture."""

    measured_ms: int
    node: str
    problems: list[Problem]
    parts: list[PartRow]
    """How old what was read from stores is: readers, tables, arrivals, archive, elasticsearch, disk."""
    away: list[Away]
    agents: Agents
    streams: list[StreamRow]
    acks: list[Acks]
    """Of each gateway that acknowledged something."""
    groups: list[GroupRow]
    nodes: list[NodeRow]
    components: list[ComponentRow]
    storage: Storage
    gaps: Gaps | None
    dead_letters: int | None
    alerts: Alerts | None
    """These three are none until they were read for the first time."""
    keks_missing: list[str]

    def for_principal(self, principal: Principal) -> Overview:
        """The same without the names of people that they may not see."""
        if principal.persons is None:
            return self
        silent = [_seen(row, principal) for row in self.agents.went_silent]
        seen: dict[str, object] = {"agents": self.agents.model_copy(update={"went_silent": silent})}
        if self.gaps is not None:
            recent = [_seen(row, principal) for row in self.gaps.recent]
            seen["gaps"] = self.gaps.model_copy(update={"recent": recent})
        return self.model_copy(update=seen)


Row = TypeVar("Row", AgentRow, GapRow)


def _seen(row: Row, principal: Principal) -> Row:
    return row if principal.may_see(row.person) else row.model_copy(update={"person": "", "computer": ""})

"""The count by identity: from what agents say of their envelopes to the last store, and what is missing on the way.

Never asks the product whether it lost anything: it reads Kafka, the archive, Elasticsearch and PostgreSQL themselves.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.recovery import read_heads
from agent.volume import SUFFIX, Volume
from infra.keys import load_identities, read_passphrase
from infra.settings import Settings
from schemas.envelope import peek
from schemas.errors import MalformedError
from schemas.identity import EnvelopeId, agent_bytes, document_id
from schemas.kinds import StreamKind
from schemas.opening import Opener
from schemas.records import Record, decode_segment
from sinks.archive.reading import read_envelopes
from tests.live.load import Account
from tests.live.operator import EnrolledAgent, documents_of, psql, read_topic, sealstream

_SLACK_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted. `sent_again`: copies in Kafka beside the first; the others count envelopes or documents."""

    envelopes: int
    acknowledged: int
    sent_again: int
    lost_and_told: int
    in_spools: int
    documents: int


def check_every_envelope(settings: Settings, agents: Sequence[EnrolledAgent], *, emptied: bool = True) -> Figures:
    """Count by identity; the figures. With `emptied` every agent must have ended with an empty spool.

    What was acknowledged is in Kafka; what Kafka has is in each store, once; what it has not is in a spool or a gap.
    """
    accounts = [Account.read(agent.directory, agent.agent_id) for agent in agents]
    if emptied:
        left = {agent.directory.name: account.left for agent, account in zip(agents, accounts, strict=True)}
        assert not any(number is None or number for number in left.values()), f"left in spools, None was killed: {left}"
    stored = in_kafka(settings, {agent_bytes(agent.agent_id) for agent in agents})
    changed = [identity for identity, copies in stored.items() if len(set(copies)) > 1]
    assert not changed, f"one identity, two envelopes: {changed[:3]}"
    lost, spooled = check_missing(settings, agents, stored)
    check_archive(settings, stored)
    check_index(settings, stored)
    documents = check_documents(settings, agents, {identity: copies[0] for identity, copies in stored.items()})
    return Figures(
        envelopes=len(stored),
        acknowledged=sum(len(letters(account) & account.acknowledged) for account in accounts),
        sent_again=sum(len(copies) - 1 for copies in stored.values()),
        lost_and_told=lost,
        in_spools=spooled,
        documents=documents,
    )


def check_missing(
    settings: Settings, agents: Sequence[EnrolledAgent], stored: Mapping[EnvelopeId, Sequence[bytes]]
) -> tuple[int, int]:
    """Nothing acknowledged is missing, and what else is missing is told as a gap or in the spool; how many of each."""
    gaps = told_gaps(settings, {agent_bytes(agent.agent_id) for agent in agents})
    lost = spooled = 0
    for agent in agents:
        account = Account.read(agent.directory, agent.agent_id)
        missing = (account.acknowledged & letters(account)) - stored.keys()
        assert not missing, f"{len(missing)} envelopes were acknowledged and are not in Kafka: {sorted(missing)[:3]}"
        waiting = in_spool(agent)
        for identity in letters(account) - stored.keys():
            if identity in waiting:
                spooled += 1
                continue
            lost += 1
            told = (covers(gap, identity, account.appended[identity]) for gap in gaps[identity.agent_id])
            assert any(told), f"{identity} of {agent.directory} is gone, and no gap says so: {gaps[identity.agent_id]}"
    return lost, spooled


def check_archive(settings: Settings, stored: Mapping[EnvelopeId, Sequence[bytes]]) -> None:
    """The archive holds exactly these, as they came, once each, and its own check passes."""
    archived = in_archive(settings, {identity.agent_id for identity in stored})
    kept = {identity for identity, _ in archived}
    assert kept == set(stored), (
        f"the archive lacks {len(stored.keys() - kept)} and has {len(kept - stored.keys())} more"
    )
    assert not stored or set(archived.values()) == {1}, "an envelope stands in the archive twice"
    assert all(archived[identity, copies[0]] for identity, copies in stored.items()), "the archive changed an envelope"
    sealstream(settings, "archive", "verify")


def check_index(settings: Settings, stored: Mapping[EnvelopeId, Sequence[bytes]]) -> None:
    """PostgreSQL has a row for each of these, and for no other."""
    names = ",".join(f"'{identity.agent}'" for identity in {one.agent_id: one for one in stored}.values())
    where = f"stream = 'email' and agent_id in ({names})"
    rows = psql(settings, f"select agent_id, encode(epoch_id, 'hex'), sequence from envelope where {where}")
    found = Counter(EnvelopeId(agent_bytes(agent), bytes.fromhex(epoch), int(number)) for agent, epoch, number in rows)
    lacking, more = stored.keys() - found.keys(), found.keys() - stored.keys()
    assert not lacking, f"PostgreSQL lacks {len(lacking)} envelopes: {sorted(lacking)[:3]}"
    assert not more, f"PostgreSQL knows {len(more)} envelopes that Kafka has not: {sorted(more)[:3]}"
    assert set(found.values()) <= {1}, "an envelope has two rows in PostgreSQL"


def check_documents(settings: Settings, agents: Sequence[EnrolledAgent], envelopes: Mapping[EnvelopeId, bytes]) -> int:
    """Elasticsearch has each letter once, with its own subject; how many."""
    wanted = open_letters(settings, envelopes)
    documents = documents_of(settings, [agent.agent_id for agent in agents])
    found = {document["_id"]: document["title"] for document in documents if document["stream"] == "email"}
    assert len(found) == sum(document["stream"] == "email" for document in documents), "a document is there twice"
    assert found == wanted, f"{len(wanted.keys() - found.keys())} documents are missing of {len(wanted)}"
    return len(found)


def letters(account: Account) -> set[EnvelopeId]:
    """The letters among an agent's envelopes."""
    return {identity for identity, stream in account.streams.items() if stream == "email"}


def in_spool(agent: EnrolledAgent) -> set[EnvelopeId]:
    """Every envelope that lies in an agent's spool, released or not."""
    own = agent_bytes(agent.agent_id)
    volumes = [Volume.at(path) for path in sorted((agent.directory / "spool").glob(f"*{SUFFIX}"))]
    marks = [head.mark for volume in volumes for head in read_heads(volume)]
    return {EnvelopeId(own, mark.epoch_id, mark.sequence) for mark in marks}


def in_kafka(settings: Settings, agents: set[bytes]) -> dict[EnvelopeId, list[bytes]]:
    """Every letter's envelope that Kafka holds, with its copies."""
    found: dict[EnvelopeId, list[bytes]] = defaultdict(list)
    for record in read_topic(settings, "envelopes.email"):
        value = record.value()
        assert value is not None
        try:
            identity = peek(value).id
        except MalformedError:
            continue  # put there by the tests of dead letters, which share the stack: it is no agent's
        if identity.agent_id in agents:
            found[identity].append(value)
    return found


def in_archive(settings: Settings, agents: set[bytes]) -> Counter[tuple[EnvelopeId, bytes]]:
    """What the archive holds, and how often."""
    found = read_envelopes(settings.archive.dir, kinds=[StreamKind.EMAIL], agents=agents)
    return Counter((one.id, one.value) for one in found)


def open_letters(settings: Settings, envelopes: Mapping[EnvelopeId, bytes]) -> dict[str, str]:
    """What the miner must have made of them: document id to the letter's subject."""
    opener = opener_of(settings)
    wanted: dict[str, str] = {}
    for identity, envelope in envelopes.items():
        opened = opener.open(envelope)
        for ordinal, letter in enumerate(decode_segment(StreamKind.EMAIL, opened.plaintext)):
            wanted[document_id(identity, ordinal)] = letter["subject"]
    return wanted


def opener_of(settings: Settings) -> Opener:
    """What opens all that is sealed to the server's KEKs."""
    return Opener(load_identities(settings.keys.dir, read_passphrase(Path(str(settings.keys.passphrase_file)))))


def told_gaps(settings: Settings, agents: set[bytes]) -> dict[bytes, list[Record]]:
    """Holes in the letters, by agent."""
    opener = opener_of(settings)
    gaps: dict[bytes, list[Record]] = defaultdict(list)
    for record in read_topic(settings, "envelopes.gap"):
        value = record.value()
        assert value is not None
        if peek(value).epoch.agent_id in agents:
            events = decode_segment(StreamKind.GAP, opener.open(value).plaintext)
            gaps[peek(value).epoch.agent_id] += [event for event in events if event["stream"] == "email"]
    return gaps


def covers(gap: Record, lost: EnvelopeId, capture_ms: int) -> bool:
    """Whether the gap says that this envelope is missing: by its sequence, or by its time."""
    if gap["epoch_id"] == lost.epoch_id and gap["first_sequence"] is not None:
        return bool(gap["first_sequence"] <= lost.sequence)
    since, end = gap["from_us"] or 0, gap["until_us"] or gap["time_us"]
    return bool(since - _SLACK_US <= capture_ms * 1000 <= end + _SLACK_US)

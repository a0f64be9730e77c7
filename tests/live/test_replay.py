"""Replay on a real stack: the index is deleted, the topic is read again, and the same documents are back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.settings import Settings
from tests.live.operator import documents_of, elasticsearch_of, sealstream, until, until_caught_up
from tests.live.recording import Recording, make_recording

pytestmark = [pytest.mark.live, pytest.mark.slow]

STREAMS = ("screen", "keystrokes", "email", "activity")

Documents = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def recording(stack: Settings) -> Recording:
    """A person's work at an endpoint."""
    return make_recording(stack)


@pytest.fixture(scope="module")
def before(recording: Recording) -> Documents:
    """What was mined of it as it came."""
    until_caught_up(recording.agent.settings)
    documents = documents_now(recording)
    assert {document["stream"] for document in documents.values()} == set(STREAMS)
    return documents


def documents_now(recording: Recording) -> Documents:
    """The recording's documents by id, with all that they say."""
    found = documents_of(recording.agent.settings, [recording.agent.agent_id])
    documents = {document["_id"]: document for document in found}
    assert len(documents) == len(found), "a document is there twice"
    return documents


def delete_index(settings: Settings) -> None:
    """As an operator would, with a plain client."""
    alias = f"{settings.elasticsearch.index_prefix}-documents"
    with elasticsearch_of(settings) as client:
        for index in client.indices.get_alias(name=alias):
            client.indices.delete(index=index)
        assert not client.indices.exists_alias(name=alias)


def replay(recording: Recording, stream: str, *options: str) -> dict[str, Any]:
    """`sealstream replay` of one topic; what it says it did."""
    topic, agent = f"envelopes.{stream}", recording.agent.agent_id
    told = sealstream(recording.agent.settings, "replay", topic, "--agent", agent, *options, "--json", timeout_s=300)
    return dict(json.loads(told))


def check_same(recording: Recording, before: Documents) -> None:
    """Every document is back, with the same id and the same content, and no other is there."""
    until_caught_up(recording.agent.settings)
    until("as many documents as before", lambda: len(documents_now(recording)) >= len(before))
    after = documents_now(recording)
    assert after.keys() == before.keys()
    for name, document in before.items():
        assert after[name] == document


@pytest.mark.parametrize("source", ["kafka", "archive"])
def test_a_deleted_index_is_made_again(recording: Recording, before: Documents, source: str) -> None:
    """The same documents, from Kafka and from the archive on disk, with the same ids, words, boxes and times."""
    delete_index(recording.agent.settings)
    for stream in STREAMS:
        told = replay(recording, stream, "--from", source)
        assert told["state"] == "done", told
    check_same(recording, before)


def test_replaying_again_changes_nothing(recording: Recording, before: Documents) -> None:
    """Results replace those that are there."""
    for stream in ("screen", "keystrokes"):
        replay(recording, stream)
    check_same(recording, before)


def delete_documents(settings: Settings, names: set[str]) -> None:
    """As if nobody had ever mined what they were made of."""
    alias = f"{settings.elasticsearch.index_prefix}-documents"
    with elasticsearch_of(settings) as client:
        for hit in client.search(index=alias, query={"ids": {"values": sorted(names)}}, size=1000)["hits"]["hits"]:
            version = hit["_source"]["version"]  # with its own version: else its tombstone keeps it away for a minute
            client.delete(
                index=hit["_index"], id=hit["_id"], version=version, version_type="external_gte", refresh=True
            )


def reconcile(recording: Recording, *options: str) -> dict[str, dict[str, Any]]:
    """`sealstream archive reconcile` of the recording; what it says of each stream."""
    agent = ("--agent", recording.agent.agent_id)
    told = sealstream(
        recording.agent.settings, "archive", "reconcile", *agent, "--until", "0s", *options, "--json", timeout_s=300
    )
    return {row["stream"]: row for row in json.loads(told)["streams"]}


def test_what_was_never_mined_is_found_in_the_archive(recording: Recording, before: Documents) -> None:
    """Documents of a whole epoch, one mail and one look at a screen come back; nothing else is delivered."""
    settings = recording.agent.settings
    by_stream = {stream: {n for n, d in before.items() if d["stream"] == stream} for stream in STREAMS}
    gone = by_stream["keystrokes"] | {min(by_stream["email"])}
    delete_documents(settings, gone)
    assert reconcile(recording, "--dry-run")["email"]["suspected"] == 1
    told = reconcile(recording)
    assert told["keystrokes"]["missing"] == len(by_stream["keystrokes"])
    assert told["email"]["missing"] == 1
    assert "missing" not in told["screen"]
    check_same(recording, before)
    delete_documents(settings, {min(by_stream["screen"])})
    screen = reconcile(recording, "--stream", "screen", "--thorough")["screen"]
    assert (screen["missing"], screen["present"] >= len(by_stream["screen"]) - 1) == (1, True)
    check_same(recording, before)

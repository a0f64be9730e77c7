"""What wants attention, in words: what is wrong, what to do about it, and where.

Pure: a picture in, problems out, the worst first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway.ops.picture import Problem

if TYPE_CHECKING:
    from gateway.ops.picture import Overview

MANY_RECORDS = 1000
"""A lag of fewer is caught up within moments."""

FULL_SHARE = 0.1
VERY_FULL_SHARE = 0.03
SLOW_ACK_MS = 250.0


def find_problems(picture: Overview) -> list[Problem]:
    """Those that the picture shows."""
    found = [*_stores(picture), *_nodes(picture), *_lag(picture), *_disk(picture), *_trust(picture), *_records(picture)]
    return sorted(found, key=lambda problem: problem.tone != "bad")


def _stores(picture: Overview) -> Iterator[Problem]:
    for away in picture.away:
        yield Problem(
            tone="bad",
            title=f"{away.store} cannot be asked: {away.fault}",
            advice="Recording goes on while Kafka answers. What is shown from this store is as old as the last answer.",
            link="/nodes",
        )
    if picture.storage.elasticsearch_status == "red":
        yield Problem(
            tone="bad",
            title="Elasticsearch is red: part of what was found before cannot be found now",
            advice="Look at its log, and whether its disk is full. Its documents can be made again by a replay.",
            link="/processors",
        )


def _nodes(picture: Overview) -> Iterator[Problem]:
    for node in picture.nodes:
        if node.state == "lost":
            yield Problem(
                tone="bad",
                title=f"{node.node_id} is lost: it went without a word",
                advice="Its agents go to another server by themselves. See whether its machine runs, and its log.",
                link="/nodes",
            )
    for one in picture.components:
        where = f"{one.component} on {one.node_id}"
        if one.stale:
            continue
        if one.phase == "stopped" and one.wanted == "stopped":
            yield Problem(
                tone="warn",
                title=f"{where} is stopped by {one.wished_by}",
                advice="What it would read waits in Kafka for up to 7 days. Start it when it is wanted again.",
                link="/processors",
            )
        elif one.phase in {"restarting", "failed"}:
            yield Problem(
                tone="bad", title=f"{where} does not run: {one.detail}", advice="Its log says why.", link="/processors"
            )
        elif one.phase == "ready" and one.detail:
            yield Problem(
                tone="warn", title=f"{where} is not well: {one.detail}", advice="Its log says more.", link="/processors"
            )


def _lag(picture: Overview) -> Iterator[Problem]:
    for group in picture.groups:
        unheld = group.partitions - group.held
        if group.lag and not group.members:
            yield Problem(
                tone="bad",
                title=f"Nobody reads for {group.what}: {group.lag} records wait",
                advice="Start what reads there, or see why it ended.",
                link="/processors",
            )
        elif group.lag >= MANY_RECORDS and group.per_s == 0:
            yield Problem(
                tone="bad",
                title=f"{group.what} stands still with {group.lag} records before it",
                advice="See whether its store answers, and its log.",
                link="/processors",
            )
        elif group.lag >= MANY_RECORDS and group.per_s:
            yield Problem(
                tone="warn",
                title=f"{group.what} is {group.lag} records behind",
                advice=f"It goes at {group.per_s:.0f} records a second. More workers share the work.",
                link="/processors",
            )
        elif unheld and group.members and group.state == "Stable":
            yield Problem(
                tone="warn",
                title=f"{unheld} of {group.partitions} partitions of {group.what} are read by nobody",
                advice="The group shares itself out anew within seconds; if this stays, restart its worker.",
                link="/processors",
            )


def _disk(picture: Overview) -> Iterator[Problem]:
    free, total = picture.storage.disk_free_bytes, picture.storage.disk_bytes
    if free is not None and total and free < total * FULL_SHARE:
        yield Problem(
            tone="bad" if free < total * VERY_FULL_SHARE else "warn",
            title=f"The data directory's disk is {100 - 100 * free // total:.0f} % full",
            advice="Give it more room, or move the archive: a gateway whose disk is full takes nothing more.",
        )


def _trust(picture: Overview) -> Iterator[Problem]:
    weak = sum(suite.agents for suite in picture.agents.suites if not suite.forward_secret)
    if weak:
        yield Problem(
            tone="warn",
            title=f"{weak} agents speak a TLS suite without forward secrecy",
            advice="Who steals the server's key later can read what they sent. See the TLS profile, docs/tls.md.",
        )
    for name in picture.keks_missing:
        yield Problem(
            tone="bad",
            title=f"A key file is missing: {name}",
            advice="What is sealed to it cannot be opened here. Put the file back from where keys are kept.",
            link="/keys",
        )


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _records(picture: Overview) -> Iterator[Problem]:
    if picture.dead_letters:
        yield Problem(
            tone="warn",
            title=f"{_many(picture.dead_letters, 'record')} could not be processed",
            advice="See why; once the cause is gone, try them again.",
            link="/processors?tab=dead-letters",
        )
    if picture.gaps and picture.gaps.last_day:
        yield Problem(
            tone="warn",
            title=f"{_many(picture.gaps.last_day, 'gap')} noticed within the last day",
            advice="A gap is a known hole in a recording. The list below says whose and why.",
        )
    if picture.alerts and picture.alerts.high:
        yield Problem(
            tone="warn",
            title=f"{_many(picture.alerts.high, 'open alert')} of high severity",
            advice="Somebody who may see alerts should look at them.",
            link="/alerts",
        )
    for acks in picture.acks:
        if acks.p99_ms is not None and acks.p99_ms > SLOW_ACK_MS:
            yield Problem(
                tone="warn",
                title=f"{acks.node} acknowledges slowly: 1 in 100 takes over {acks.p99_ms:.0f} ms",
                advice="See whether Kafka's disk or that machine is busy.",
            )

"""Retention on real stores: what is too old goes everywhere, what is on hold stays, and a run that died goes on."""

from __future__ import annotations

import asyncio
import json
from datetime import date, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest

from infra.metrics import Metrics
from infra.settings import Settings
from schemas.errors import UnavailableError
from schemas.kinds import StreamKind
from sinks.archive.layout import Layout
from sinks.archive.sink import ArchiveSink
from sinks.elasticsearch.client import connect, request
from sinks.elasticsearch.mapping import alias_name
from sinks.metrics import ERASED, LAST_RUN, METRICS, OLDEST
from sinks.postgresql.sink import PostgresqlSink
from sinks.process import keep_retention
from sinks.retention import documents, shelves
from sinks.retention import rows as tables
from sinks.retention.duty import RetentionDuty
from sinks.retention.holds import place_hold, release_hold, step
from sinks.retention.metrics import RetentionMeter
from sinks.retention.run import RUN_LOCK, apply, foresee, opened
from sinks.retention.survey import last_run, oldest_of_all
from tests.live.test_sinks import ends, place  # noqa: F401  # fixture
from tests.live.test_stores import cluster, dsn  # noqa: F401  # fixtures
from tests.retention.ground import AGES, KINDS, NOW, PEOPLE, Ground

pytestmark = [pytest.mark.live, pytest.mark.slow]

EVERYTHING = {(name, kind.label, age) for name in PEOPLE.values() for kind in KINDS for age in AGES}
TABLES = {
    "envelope": "captured_at",
    "gap": "noticed_at",
    "activity_span": "hour",
    "alert": "raised_at",
    "session": "connected_at",
    "archive_run": "first_captured_at",
}


@pytest.fixture
async def ground(place: Settings, dsn: str, cluster: tuple[Any, str]) -> Ground:  # noqa: F811
    """Stores of this test's own, filled."""
    settings = place.model_copy(
        update={
            "postgresql": place.postgresql.model_copy(update={"dsn": dsn, "password_file": None}),
            "elasticsearch": place.elasticsearch.model_copy(update={"index_prefix": cluster[1]}),
        }
    )
    ground = Ground(settings)
    await ground.fill()
    return ground


async def rows(ground: Ground) -> dict[str, set[tuple[str, int]]]:
    return {table: set(await ground.rows(table, time)) for table, time in TABLES.items()}


def people(*ages: int) -> set[tuple[str, int]]:
    return {(name, age) for name in PEOPLE.values() for age in ages}


async def indices(settings: Settings) -> list[str]:
    client, alias = connect(settings.elasticsearch), alias_name(settings.elasticsearch.index_prefix)
    try:
        names = await request(client, "GET", f"/{alias}-*/_settings?filter_path=*.settings.index.uuid")
    finally:
        await client.close()
    return sorted(name.removeprefix(f"{alias}-") for name in names)


async def test_what_is_too_old_goes_everywhere(ground: Ground) -> None:
    """A dry run says what, a run erases just that and tells the audit; the second finds nothing. One runs at a time."""
    settings = ground.keeping(days=20)
    async with opened(settings) as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", RUN_LOCK)
        with pytest.raises(UnavailableError, match="another run"):
            await apply(settings, actor="node-1", now=NOW)
    wanted = await foresee(settings, now=NOW)
    assert set(await ground.recorded()) == await ground.texts() == EVERYTHING, "nothing went by looking"
    tally = await apply(settings, actor="node-1", now=NOW)
    assert tally.faults == []
    assert tally.counts == wanted.counts
    assert (tally.files, tally.bytes) == (wanted.files, wanted.bytes)
    kept = {(name, kind, age) for name, kind, age in EVERYTHING if age != 40}
    assert set(await ground.recorded()) == await ground.texts() == kept
    assert await rows(ground) == dict.fromkeys(TABLES, people(10, 1))
    assert await ground.value("SELECT sum(active_ms) FROM activity_total") == 4000
    assert await ground.value("SELECT min(day) FROM archive_file") == date(2026, 11, 18)
    assert sum((await ends(settings, ("audit",))).values()) == 2
    assert await indices(settings) == ["2026.11"], "a month that is too old whole is no index any more"
    again = await apply(settings, actor="node-1", now=NOW)
    assert not any(again.counts.values())
    async with opened(settings) as connection:
        last = await last_run(connection, done=True)
        oldest = await oldest_of_all(settings, connection)
    assert last is not None
    assert (last.actor, last.outcome) == ("node-1", "done")
    assert {at.date() for at in oldest.values()} == {date(2026, 11, 18)}


async def test_each_kind_goes_by_its_own_days(ground: Ground) -> None:
    """Screens after a week, sums of activity after a month, alerts never; who was connected is known for as long."""
    await apply(ground.keeping(days=30, streams={"screen": 7}, alerts_days=0), actor="node-1", now=NOW)
    kept = {(name, kind, age) for name, kind, age in EVERYTHING if age < (7 if kind == "screen" else 30)}
    assert set(await ground.recorded()) == await ground.texts() == kept
    found = await rows(ground)
    assert found["activity_span"] == found["archive_run"] == people(10, 1)
    assert found["gap"] == people(1)
    assert found["alert"] == found["session"] == people(*AGES)


async def test_what_is_on_hold_stays_until_it_is_released(ground: Ground) -> None:
    """Of one person and some days, in every store; the rest goes meanwhile."""
    settings = ground.keeping(days=5)
    held = (NOW - timedelta(days=10)).date()
    async with opened(settings) as connection:
        number = await place_hold(
            connection, agent=None, person="bob", since=held, until=held, purpose="a case", by="ann@test"
        )
    wanted = await foresee(settings, now=NOW)
    tally = await apply(settings, actor="node-1", now=NOW)
    assert tally.counts == wanted.counts
    assert tally.held == len(KINDS)
    kept = {one for one in EVERYTHING if one[2] == 1 or (one[0] == "bob" and one[2] == 10)}
    assert set(await ground.recorded()) == await ground.texts() == kept
    found = await rows(ground)
    assert found.pop("session") == {*people(1), *(("bob", age) for age in AGES)}, "they tell whose agent it is"
    assert found == {table: {*people(1), ("bob", 10)} for table in found}
    async with opened(settings) as connection:
        assert await release_hold(connection, number, "ann@test")
        assert not await release_hold(connection, number, "ann@test")
    await apply(settings, actor="node-1", now=NOW)
    assert {age for _, _, age in await ground.recorded()} == {age for _, _, age in await ground.texts()} == {1}


async def test_agents_out_of_scope_and_on_hold_keep_everything(ground: Ground) -> None:
    """A run of some agents alone; a hold without bounds, which waits for the step that erases just now."""
    settings = ground.keeping(days=5)
    ann, bob = (UUID(int=number) for number in PEOPLE)
    tally = await apply(settings, actor="node-1", now=NOW, only=frozenset({ann.bytes}))
    assert tally.faults == []
    kept = {one for one in EVERYTHING if one[0] == "bob" or one[2] == 1}
    bobs = {*people(1), *(("bob", age) for age in AGES)}
    assert set(await ground.recorded()) == await ground.texts() == kept
    assert await rows(ground) == dict.fromkeys(TABLES, bobs)
    async with opened(settings) as busy, opened(settings) as connection:
        async with step(busy):
            placing = asyncio.create_task(
                place_hold(connection, agent=bob, person=None, since=None, until=None, purpose="a case", by="x@test")
            )
            await asyncio.sleep(0.2)
            assert not placing.done()
        await placing
    await apply(settings, actor="node-1", now=NOW)
    assert set(await ground.recorded()) == await ground.texts() == kept
    assert await rows(ground) == dict.fromkeys(TABLES, bobs)


async def test_a_run_that_died_goes_on(ground: Ground) -> None:
    """Wherever it was: in the archive, between the stores, among documents."""

    class Died(BaseException):
        pass

    settings = ground.keeping(days=5)
    for module, name in ((shelves, "remove_shelf"), (tables, "delete_some"), (documents, "_deletion")):
        with patch.object(module, name, side_effect=Died), pytest.raises(Died):
            await apply(settings, actor="node-1", now=NOW)
        assert await ground.value("SELECT outcome FROM retention_run ORDER BY run_id DESC LIMIT 1") == "running"
    tally = await apply(settings, actor="node-1", now=NOW)
    assert tally.faults == []
    assert {age for _, _, age in await ground.recorded()} == {age for _, _, age in await ground.texts()} == {1}
    assert await rows(ground) == dict.fromkeys(TABLES, people(1))
    assert list(Layout(settings.archive.dir).days(StreamKind.SCREEN)) == ["2026-11-27"]


async def test_it_is_a_daily_duty_of_who_writes_the_archive(ground: Ground) -> None:
    """Not before its hour, then once; what it erased and what it left is shown."""
    settings = ground.keeping(days=5)
    now, metrics = [NOW], Metrics(METRICS)
    sink = ArchiveSink(settings.archive.dir)
    await sink.open()
    duty = RetentionDuty(settings, sink.apart, RetentionMeter(metrics), "node-1", clock=lambda: now[0])
    assert not await duty.due()
    now[0] = NOW.replace(day=29, hour=1, minute=59)
    assert not await duty.due()
    now[0] = NOW.replace(day=29, hour=2)
    assert await duty.due()
    assert (await duty.run()).faults == []
    assert not await duty.due()
    told = metrics.expose().decode()
    [last] = [line for line in told.splitlines() if line.startswith(f"{LAST_RUN}{{")]
    assert float(last.split()[1]) == now[0].timestamp()
    assert f'{ERASED}{{kind="email",store="elasticsearch"}} 4.0' in told
    assert f'{OLDEST}{{kind="screen",store="archive"}}' in told
    opened_now = asyncio.Event()
    opened_now.set()
    runs = await ground.value("SELECT count(*) FROM retention_run")
    await ground.value("UPDATE retention_run SET started_at = now() - interval '3 days'")
    keeping = asyncio.create_task(keep_retention(settings, sink, metrics, opened_now))
    while await ground.value("SELECT count(*) FROM retention_run WHERE ended_at IS NOT NULL") == runs:
        assert not keeping.done()
        await asyncio.sleep(0.1)
    keeping.cancel()
    await asyncio.wait({keeping})
    await sink.close()
    other = PostgresqlSink("")
    await keep_retention(settings, other, metrics, asyncio.Event())
    await keep_retention(ground.settings, sink, metrics, asyncio.Event())


async def test_a_store_that_is_away_keeps_the_others_from_nothing(ground: Ground) -> None:
    """The run has failed, and says so; what is left goes when the store is back, and so does what comes again."""
    settings = ground.keeping(days=5)
    away = settings.elasticsearch.model_copy(update={"url": "https://127.0.0.1:9"})
    tally = await apply(settings.model_copy(update={"elasticsearch": away}), actor="node-1", now=NOW)
    assert [fault.partition(":")[0] for fault in tally.faults] == ["elasticsearch"]
    assert {age for _, _, age in await ground.recorded()} == {1}
    assert await ground.value("SELECT outcome FROM retention_run") == "failed"
    told = json.loads(str(await ground.value("SELECT detail FROM retention_run")))
    assert "elasticsearch" in told["faults"]
    assert (await apply(settings, actor="node-1", now=NOW)).faults == []
    assert {age for _, _, age in await ground.texts()} == {1}
    await ground.write(ground.envelopes, ground.documents)
    assert {age for _, _, age in await ground.recorded()} == {1}, "a replay brings nothing back into the archive"
    await apply(settings, actor="node-1", now=NOW)
    assert {age for _, age in await ground.rows("envelope", "captured_at")} == {1}, "and elsewhere for a day at most"
    assert {age for _, _, age in await ground.texts()} == {1}


async def test_beside_a_sink_that_writes(ground: Ground) -> None:
    """Within its process its open files go too; from another process once they are sealed."""
    settings = ground.keeping(days=5)
    sink = ArchiveSink(settings.archive.dir)
    await sink.open()
    beside = await apply(settings, actor="ann@test", now=NOW)
    assert beside.faults == []
    assert beside.files == 0
    assert {age for _, _, age in await ground.recorded()} == {1}
    within = await apply(settings, actor="node-1", now=NOW, apart=sink.apart)
    assert within.files == len(KINDS) * 2
    await sink.close()
    with pytest.raises(UnavailableError, match="given back"):
        await sink.apart(StreamKind.SCREEN, "2026-11-18", lambda: None)

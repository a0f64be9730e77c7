"""Avro records of the first version are readable, and today's would have been readable there."""

from __future__ import annotations

import io
import json
import random
from itertools import pairwise

import fastavro
import pytest
from fastavro.schema import parse_schema
from fastavro.utils import generate_one

from schemas.records import decode_record, latest_id, schema_ids, schema_source
from tests.compat.recorded import recorded

RECORDS = {int(number): row for number, row in recorded("avro")["records"].items()}


@pytest.mark.parametrize("schema_id", RECORDS)
def test_every_recorded_record_is_read(schema_id: int) -> None:
    """Under the id that it was written with, which still names the same schema; no field that it had is gone."""
    row = RECORDS[schema_id]
    assert schema_ids()[schema_id] == row["name"]
    assert [field["name"] for field in json.loads(schema_source(schema_id))["fields"]] == row["fields"]
    read = decode_record(bytes.fromhex(row["record"]), row["name"].split("-")[0])
    assert set(row["fields"]) <= set(read)


def generations() -> list[tuple[int, int]]:
    """Each id with the next one of its subject."""
    subjects = sorted({name.split("-")[0] for name in schema_ids().values()})
    rows = [[i for i, name in schema_ids().items() if name.split("-")[0] == subject] for subject in subjects]
    return [pair for ids in rows for pair in pairwise(ids)]


@pytest.mark.parametrize(("before", "after"), generations())
def test_a_later_schema_is_readable_with_the_one_before(before: int, after: int) -> None:
    """What is written now resolves to the older schema: fields come, none goes or changes its type.

    So a reader that is given the writer's schema goes on. One that has never heard of its id does not: readers first.
    """
    old, new = (parse_schema(json.loads(schema_source(number))) for number in (before, after))
    random.seed(after)
    written = generate_one(new)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, new, written)
    body.seek(0)
    read = fastavro.schemaless_reader(body, new, old)
    names = [field["name"] for field in old["fields"]]
    assert set(read) == set(names)
    scalars = (str, bytes, int, bool)
    assert {name: read[name] for name in names if isinstance(read[name], scalars)} == {
        name: written[name] for name in names if isinstance(read[name], scalars)
    }


def test_every_subject_has_a_generation_or_is_the_first() -> None:
    """The test above looks at all there are."""
    newest = {latest_id(name.split("-")[0]) for name in schema_ids().values()}
    assert {after for _, after in generations()} <= newest | {before for before, _ in generations()}

"""The console's API and the miner's service: today's is all that was recorded, and perhaps more."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.compat import record
from tests.compat.api_contract import api_contract, api_faults, describe_api
from tests.compat.miner_contract import describe_miner, miner_contract, miner_faults
from tests.compat.recorded import recorded

Json = dict[str, Any]
REMEDY = "a contract is added to, never changed (docs/compatibility.md)"


@cache
def today() -> Json:
    """Made once: the description takes its time."""
    return api_contract(describe_api())


def test_todays_api_serves_callers_of_before() -> None:
    """Every operation, parameter, field, type and status that was recorded is there; nothing new is asked for."""
    assert api_faults(recorded("api"), today()) == [], REMEDY


def test_todays_miner_serves_callers_of_before() -> None:
    """Every method, message and number that was recorded is there, as it was."""
    assert miner_faults(recorded("miner"), miner_contract(describe_miner())) == [], REMEDY


MODELS: Json = {
    "Problem": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]},
    "Kind": {"type": "string", "enum": ["day", "week"]},
    "Team": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "head": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Team"}},
            "kind": {"$ref": "#/components/schemas/Kind"},
        },
        "required": ["name", "kind"],
    },
    "Wish": {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 40}, "size": {"type": "integer", "minimum": 1}},
        "required": ["name"],
    },
}


def answer(model: str) -> Json:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model}"}}}}


DESCRIBED: Json = {
    "paths": {
        "/teams": {
            "get": {
                "parameters": [{"in": "query", "name": "kind", "schema": {"$ref": "#/components/schemas/Kind"}}],
                "responses": {"200": answer("Team"), "404": answer("Problem")},
            },
            "post": {
                "requestBody": answer("Wish"),
                "responses": {"201": answer("Team")},
                "security": [{"session": []}],
            },
        }
    },
    "components": {"schemas": MODELS},
}


def changed(change: Callable[[Json, Json, Json], object]) -> Json:
    """The contract after a change of reading, writing or models."""
    described = copy.deepcopy(DESCRIBED)
    operations = described["paths"]["/teams"]
    change(operations["get"], operations["post"], described["components"]["schemas"])
    described["paths"]["/teams"] = {name: one for name, one in operations.items() if one}
    return api_contract(described)


def field(models: Json, model: str, name: str, **schema: object) -> None:
    models[model]["properties"][name] = schema


API_BREAKS: dict[str, tuple[Callable[[Json, Json, Json], object], str]] = {
    "an operation": (lambda get, _post, _models: get.clear(), "GET /teams is gone"),
    "a parameter": (lambda get, _post, _models: get["parameters"].clear(), "GET /teams: parameter query kind is gone"),
    "a parameter is wanted": (
        lambda get, _post, _models: get["parameters"][0].update(required=True),
        "GET /teams: parameter query kind is wanted",
    ),
    "a parameter more that is wanted": (
        lambda get, _post, _models: get["parameters"].append(
            {"in": "query", "name": "team", "required": True, "schema": {"type": "string"}}
        ),
        "GET /teams: parameter query team is wanted",
    ),
    "a value": (
        lambda _get, _post, models: models["Kind"].update(enum=["day"]),
        "GET /teams: parameter query kind no longer takes week",
    ),
    "an answer's field": (
        lambda _get, _post, models: models["Team"]["properties"].pop("head"),
        "GET /teams: answer 200 application/json .head is gone",
    ),
    "an answer's field may be missing": (
        lambda _get, _post, models: models["Team"].update(required=["kind"]),
        "GET /teams: answer 200 application/json .name may be missing",
    ),
    "an answer's field is null": (
        lambda _get, _post, models: field(models, "Team", "name", anyOf=[{"type": "string"}, {"type": "null"}]),
        "GET /teams: answer 200 application/json .name may be null",
    ),
    "an answer's field of another type": (
        lambda _get, _post, models: field(models, "Team", "head", type="integer"),
        "GET /teams: answer 200 application/json .head may be integer",
    ),
    "a status": (lambda get, _post, _models: get["responses"].pop("404"), "GET /teams: no answer 404"),
    "an answer": (
        lambda _get, post, _models: post.update(responses={"200": answer("Team")}),
        "POST /teams: no answer 201 application/json",
    ),
    "an errors field": (
        lambda _get, _post, models: field(models, "Problem", "error", type="integer"),
        "errors.error may be integer",
    ),
    "a sent field": (
        lambda _get, _post, models: models["Wish"]["properties"].pop("size"),
        "POST /teams: body .size is gone",
    ),
    "a sent field is wanted": (
        lambda _get, _post, models: models["Wish"].update(required=["name", "size"]),
        "POST /teams: body .size is wanted",
    ),
    "a sent field of another type": (
        lambda _get, _post, models: field(models, "Wish", "size", type="string"),
        "POST /teams: body .size is no longer integer",
    ),
    "a limit": (
        lambda _get, _post, models: field(models, "Wish", "name", type="string", maxLength=20),
        "POST /teams: body .name is limited: maxLength 20, it was 40",
    ),
    "a limit more": (
        lambda _get, _post, models: field(models, "Wish", "size", type="integer", minimum=1, maximum=9),
        "POST /teams: body .size is limited: maximum 9, it was None",
    ),
    "a body": (
        lambda get, _post, _models: get.update(requestBody=answer("Wish")),
        "GET /teams wants a body",
    ),
    "who asks": (
        lambda get, _post, _models: get.update(security=[{"session": []}]),
        "GET /teams wants to know who asks",
    ),
}


@pytest.mark.parametrize("name", API_BREAKS)
def test_a_broken_api_is_told(name: str) -> None:
    """Each thing that a caller of before would not get on with, in words; whatever else follows of it."""
    change, told = API_BREAKS[name]
    assert told in api_faults(api_contract(DESCRIBED), changed(change))


API_GROWTH: dict[str, Callable[[Json, Json, Json], object]] = {
    "an answer's field": lambda _get, _post, models: field(models, "Team", "since_ms", type="integer"),
    "an answer's field that is always there": lambda _get, _post, models: models["Team"].update(
        required=["name", "kind", "head"]
    ),
    "an answer's field is never null": lambda _get, _post, models: field(models, "Team", "head", type="string"),
    "a sent field": lambda _get, _post, models: field(models, "Wish", "note", type="string"),
    "a sent field is not wanted": lambda _get, _post, models: models["Wish"].update(required=[]),
    "a sent field may be more": lambda _get, _post, models: field(models, "Wish", "size", type="number", minimum=0),
    "a value": lambda _get, _post, models: models["Kind"].update(enum=["day", "week", "month"]),
    "a parameter": lambda get, _post, _models: get["parameters"].append(
        {"in": "query", "name": "team", "schema": {"type": "string"}}
    ),
    "a status": lambda _get, post, _models: post["responses"].update({"404": answer("Problem")}),
    "an object within a sent one, with what it wants": lambda _get, _post, models: field(
        models, "Wish", "of", type="object", properties={"id": {"type": "string"}}, required=["id"]
    ),
    "words": lambda get, _post, _models: get.update(description="other words", operationId="another"),
}


@pytest.mark.parametrize("name", API_GROWTH)
def test_an_api_may_grow(name: str) -> None:
    """What callers of before do not see, or get on with, is no fault."""
    assert api_faults(api_contract(DESCRIBED), changed(API_GROWTH[name])) == []


def test_a_model_within_itself_is_told_once() -> None:
    """And is a field like any other."""
    fields = api_contract(DESCRIBED)["operations"]["GET /teams"]["answers"]["200 application/json"]
    assert fields[".parts[]"] == {"types": ["again Team"]}
    assert fields[".head"] == {"types": ["null", "string"]}
    assert fields[".kind"] == {"types": ["string"], "required": True, "values": ["day", "week"]}


MINER_BREAKS: dict[str, tuple[Callable[[Any], object], str]] = {
    "a field": (lambda told: named(told, "Worker").field.pop(), "Worker: number 4 is gone"),
    "a field's number": (lambda told: set_field(told, "Worker", "pid", number=9), "Worker: number 2 is gone"),
    "a field's name": (
        lambda told: set_field(told, "Worker", "pid", name="process"),
        "Worker: number 2 is {'name': 'process'",
    ),
    "a field's type": (
        lambda told: set_field(told, "Worker", "pid", type=9),
        "Worker: number 2 is {'name': 'pid', 'type': 'string'",
    ),
    "a field is repeated": (lambda told: set_field(told, "Worker", "pid", label=3), "'label': 'repeated'"),
    "a message": (lambda told: named(told, "Worker").ClearField("name"), "sealstream.miner.v1.Worker is gone"),
    "a method": (lambda told: told.service[0].method.pop(0), "sealstream.miner.v1.Miner/Status is gone"),
    "a method streams": (
        lambda told: setattr(told.service[0].method[0], "server_streaming", True),
        "Miner/Status: streams ['server'], it was []",
    ),
    "the package": (lambda told: setattr(told, "package", "sealstream.miner.v2"), "sealstream.miner.v1.Worker is gone"),
}


def named(told: Any, name: str) -> Any:
    return next(message for message in told.message_type if message.name == name)


def set_field(told: Any, message: str, which: str, **values: object) -> None:
    (one,) = (one for one in named(told, message).field if one.name == which)
    for key, value in values.items():
        setattr(one, key, value)


@pytest.mark.parametrize("name", MINER_BREAKS)
def test_a_broken_service_is_told(name: str) -> None:
    """Whatever of the recorded service is another or gone."""
    change, told = MINER_BREAKS[name]
    broken = describe_miner()
    change(broken)
    faults = miner_faults(recorded("miner"), miner_contract(broken))
    assert any(told in fault for fault in faults), faults


def test_a_service_may_grow() -> None:
    """A message more, a method more, a number more."""
    grown = describe_miner()
    named(grown, "Worker").field.add(name="since_ms", number=99, type=4, label=1)
    grown.message_type.add(name="Later")
    grown.service[0].method.add(name="Wait", input_type=".x.Later", output_type=".x.Later")
    assert miner_faults(recorded("miner"), miner_contract(grown)) == []


def test_recording_adds_and_never_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new operation is added to the files; one that is gone today stays in them, and is told."""
    monkeypatch.setitem(record.CONTRACTS, "api", (today, api_faults))
    place = tmp_path / "api.json"
    assert record.main(tmp_path) == 0
    whole = place.read_text("utf-8")
    assert json.loads(whole) == today()
    less = json.loads(whole)
    gone = next(iter(less["operations"]))
    less["operations"]["GET /elsewhere"] = less["operations"].pop(gone)
    place.write_text(json.dumps(less))
    assert record.main(tmp_path) == 1
    assert "api: GET /elsewhere is gone" in capsys.readouterr().err
    assert json.loads(place.read_text("utf-8")) == less, "nothing is written over a break"
    del less["operations"]["GET /elsewhere"]
    place.write_text(json.dumps(less))
    assert record.main(tmp_path) == 0
    assert place.read_text("utf-8") == whole, "what is new is added"

"""The console's API as a contract: what its OpenAPI description says, flat, and whether callers get on with another.

Never looks at words (titles, descriptions, names of models): callers do not depend on them.

A contract has `operations`, each by ``METHOD /path``: `open` (serves whoever asks), `parameters` (``in name`` to
field), `bodies` (media type to fields), `answers` (``status media-type`` to fields), `errors` (statuses answered
with `problem`). Fields are flat, ``.agents[].name``: `types` and, where there are any, `required`, `values` (of an
enumeration) and `limits`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

from gateway.api.app import create_app

Json = dict[str, Any]

LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
"""Limits that must not rise, and those that must not fall."""
SAME = ("pattern", "format")
"""Limits that stay as they are, or go."""
COVERS = {"number": {"integer"}, "any": {"integer", "number", "string", "boolean", "array", "object", "null"}}
"""What is taken besides, where a type is."""
METHODS = ("get", "put", "post", "patch", "delete", "head", "options")


def describe_api() -> Json:
    """The description that `/api/v1/openapi.json` gives."""
    settings = SimpleNamespace(console=SimpleNamespace(pages_dir=None))
    return create_app(cast("Any", SimpleNamespace(settings=settings, presence=None))).openapi()


def api_contract(described: Json) -> Json:
    """The description, flat."""
    models: Json = described.get("components", {}).get("schemas", {})
    (name,) = (name for name in models if name.endswith("errors__Problem") or name == "Problem")
    problem = flatten({"$ref": f"#/components/schemas/{name}"}, models)
    operations = {
        f"{method.upper()} {path}": _operation(of_path[method], models, problem)
        for path, of_path in described["paths"].items()
        for method in METHODS
        if method in of_path
    }
    return {"problem": problem, "operations": operations}


def _operation(told: Json, models: Json, problem: Json) -> Json:
    parameters = {}
    for one in told.get("parameters", ()):
        field = flatten(one["schema"], models).get("", {})
        parameters[f"{one['in']} {one['name']}"] = {**field, **({"required": True} if one.get("required") else {})}
    answers: Json = {}
    errors = []
    for status, answer in told["responses"].items():
        for media, content in answer.get("content", {"": {}}).items():
            fields = flatten(content.get("schema", {}), models)
            if status >= "400" and fields == problem:
                errors.append(status)
            else:
                answers[f"{status} {media}".strip()] = fields
    body = told.get("requestBody", {})
    bodies = {media: flatten(content.get("schema", {}), models) for media, content in body.get("content", {}).items()}
    return {
        "open": "security" not in told,
        "parameters": parameters,
        "bodies": bodies,
        "answers": answers,
        "errors": errors,
    }


def flatten(schema: Json, models: Json) -> Json:
    """Every field below `schema` by its path; a model within itself is told once, as the type ``again NAME``."""
    fields: Json = {}
    for path, required, one, inside in _walk(schema, models, "", required=False, inside=()):
        field = fields.setdefault(path, {"types": []})
        kind = f"again {inside}" if inside else one.get("type", "any")
        field["types"] = sorted({*field["types"], *([kind] if isinstance(kind, str) else kind)})
        if required:
            field["required"] = True
        values = [one["const"]] if "const" in one else one.get("enum")
        if values:
            field["values"] = sorted({*field.get("values", ()), *map(str, values)})
        if limits := {name: one[name] for name in (*LOWER, *UPPER, *SAME) if name in one}:
            field["limits"] = limits
    return dict(sorted(fields.items()))


def _walk(
    schema: Json, models: Json, path: str, *, required: bool, inside: tuple[str, ...]
) -> Iterator[tuple[str, bool, Json, str]]:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in inside:
            yield path, required, {}, name
        else:
            yield from _walk(models[name], models, path, required=required, inside=(*inside, name))
        return
    several = [one for word in ("anyOf", "oneOf", "allOf") for one in schema.get(word, ())]
    for one in several:
        yield from _walk(one, models, path, required=required, inside=inside)
    if not several:
        yield path, required, schema, ""
    for name, one in schema.get("properties", {}).items():
        wanted = name in schema.get("required", ())
        yield from _walk(one, models, f"{path}.{name}", required=wanted, inside=inside)
    for word, end in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(one := schema.get(word), dict):
            yield from _walk(one, models, path + end, required=False, inside=inside)


def api_faults(before: Json, today: Json) -> list[str]:
    """In words: why somebody who was written for `before` does not get on with `today`; empty when everybody does."""
    found = list(_read_faults("errors", before["problem"], today["problem"]))
    for name, old in before["operations"].items():
        if name not in today["operations"]:
            found.append(f"{name} is gone")
            continue
        found += _operation_faults(name, old, today["operations"][name])
    return found


def _operation_faults(name: str, old: Json, new: Json) -> Iterator[str]:
    if old["open"] and not new["open"]:
        yield f"{name} wants to know who asks"
    yield from _sent_faults(f"{name}: parameter ", old["parameters"], new["parameters"])
    if new["bodies"] and not old["bodies"]:
        yield f"{name} wants a body"
    for media, fields in old["bodies"].items():
        yield from _sent_faults(f"{name}: body ", fields, new["bodies"].get(media, {}))
    for answer, fields in old["answers"].items():
        if answer not in new["answers"]:
            yield f"{name}: no answer {answer}"
        yield from _read_faults(f"{name}: answer {answer} ", fields, new["answers"].get(answer, {}))
    for status in set(old["errors"]) - set(new["errors"]):
        yield f"{name}: no answer {status}"


def _sent_faults(where: str, old: Json, new: Json) -> Iterator[str]:
    """Of what callers send: all that was taken is taken, and nothing is asked for that was not."""
    for path, field in new.items():
        if field.get("required") and not old.get(path, {}).get("required") and _sent_above(path, old):
            yield f"{where}{path or '(whole)'} is wanted"
    for path, field in old.items():
        if path not in new:
            yield f"{where}{path or '(whole)'} is gone"
            continue
        if gone := set(field["types"]) - _covered(new[path]["types"]):
            yield f"{where}{path} is no longer {', '.join(sorted(gone))}"
        if new[path].get("values") and (gone := set(field.get("values", ("anything",))) - set(new[path]["values"])):
            yield f"{where}{path} no longer takes {', '.join(sorted(gone))}"
        yield from _limit_faults(f"{where}{path}", field.get("limits", {}), new[path].get("limits", {}))


def _sent_above(path: str, old: Json) -> bool:
    """Whether a caller of before may send what the field is in: it is asked for within that alone."""
    above = path.rpartition(".")[0]
    return path in old or above in old or above == path or not above


def _covered(types: list[str]) -> set[str]:
    return {*types, *(one for kind in types for one in COVERS.get(kind, ()))}


def _limit_faults(where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name, limit in new.items():
        before = old.get(name)
        tighter = before is None or (name in SAME and limit != before)
        tighter = tighter or (name in LOWER and limit > before) or (name in UPPER and limit < before)
        if tighter:
            yield f"{where} is limited: {name} {limit}, it was {before}"


def _read_faults(where: str, old: Json, new: Json) -> Iterator[str]:
    """Of what callers read: every field is there, as surely as before, and of a type that they know."""
    for path, field in old.items():
        if path not in new:
            yield f"{where}{path or '(whole)'} is gone"
            continue
        if field.get("required") and not new[path].get("required"):
            yield f"{where}{path} may be missing"
        if more := set(new[path]["types"]) - set(field["types"]):
            yield f"{where}{path} may be {', '.join(sorted(more))}"
        if gone := set(field.get("values", ())) - set(new[path].get("values", field.get("values", ()))):
            yield f"{where}{path} is never {', '.join(sorted(gone))}"

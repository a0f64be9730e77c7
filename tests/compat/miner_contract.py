"""The miner's gRPC service as a contract: methods, messages, numbers, types, as the compiled `.proto` has them.

Never compares comments or the order in which things stand.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

Json = dict[str, Any]


def describe_miner() -> FileDescriptorProto:
    """Today's file."""
    from streams.miner.contract import messages

    told = FileDescriptorProto()
    messages.DESCRIPTOR.CopyToProto(told)
    return told


def miner_contract(told: FileDescriptorProto) -> Json:
    """`methods`, `messages` and `enums`, each by its full name; fields and values by their numbers."""
    prefix = told.package
    return {
        "methods": {
            f"{prefix}.{service.name}/{method.name}": {
                "takes": method.input_type.lstrip("."),
                "gives": method.output_type.lstrip("."),
                "streams": [name for name in ("client", "server") if getattr(method, f"{name}_streaming")],
            }
            for service in told.service
            for method in service.method
        },
        "messages": {name: value for message in told.message_type for name, value in _message(message, prefix).items()},
        "enums": {
            f"{prefix}.{enum.name}": {str(value.number): value.name for value in enum.value} for enum in told.enum_type
        },
    }


def _message(message: DescriptorProto, prefix: str) -> Json:
    name = f"{prefix}.{message.name}"
    found: Json = {name: {str(field.number): _field(field, message) for field in message.field}}
    for enum in message.enum_type:
        found[f"{name}.{enum.name}"] = {str(value.number): value.name for value in enum.value}
    for inner in message.nested_type:
        found |= _message(inner, name)
    return found


def _field(field: FieldDescriptorProto, message: DescriptorProto) -> Json:
    kind = field.type_name.lstrip(".") or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    label = FieldDescriptorProto.Label.Name(field.label).removeprefix("LABEL_").lower()
    choice = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
    told = {"name": field.name, "type": kind, "label": label, "of": choice}
    return {name: value for name, value in told.items() if value not in ("", "optional")}


def miner_faults(before: Json, today: Json) -> list[str]:
    """In words: what was there before and is not there today, or is another; empty when there is nothing of that."""
    found = []
    for sort, things in before.items():
        for name, old in things.items():
            new = today[sort].get(name)
            if new is None:
                found.append(f"{name} is gone")
            elif sort == "methods":
                found += [f"{name}: {what} {new[what]}, it was {was}" for what, was in old.items() if new[what] != was]
            else:
                found += [
                    f"{name}: number {number} is {new.get(number, 'gone')}, it was {was}"
                    for number, was in old.items()
                    if new.get(number) != was
                ]
    return found

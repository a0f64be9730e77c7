"""The messages and the service of `schemas/proto/miner.proto`, compiled as this module is imported.

Never written to disk: a contract and code made from it cannot differ, in a wheel as in a checkout.
"""

from __future__ import annotations

from types import ModuleType

import grpc

PATH = "schemas/proto/miner.proto"

messages: ModuleType
services: ModuleType
messages, services = grpc.protos_and_services(PATH)

SERVICE: str = messages.DESCRIPTOR.services_by_name["Miner"].full_name
"""As health checks and reflection name it."""

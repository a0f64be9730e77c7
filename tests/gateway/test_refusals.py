"""What an agent says in another's name, and what is no envelope: refused, told in the audit, and bounded."""

from __future__ import annotations

import json
from collections.abc import Callable
from uuid import uuid4

import pytest

from schemas.errors import WireError
from schemas.frames import PREFIX_BYTES, GoodbyeCode, NackCode, build_frame
from schemas.keys import Identity
from schemas.wire import Connection, Role
from tests.gateway.conftest import Stage
from tests.gateway.endpoint import Credentials, goodbye_code, nacks, seal_for


async def test_another_agents_envelope_is_refused_and_audited(
    stage: Stage, enrol: Callable[[], Credentials], identity: Identity
) -> None:
    """It is nacked, never stored, and told once in the audit; what follows is stored."""
    ana, eve = enrol(), enrol()
    forged = seal_for(ana.agent_id, identity)
    endpoint = await stage.greet(eve)
    own = seal_for(eve.agent_id, identity).seal(b"own", capture_ms=1)
    endpoint.push(forged.seal(b"a", capture_ms=1), own, forged.seal(b"a", capture_ms=1))
    frames = await endpoint.receive_until(3)
    assert [(nack.index, nack.code) for nack in nacks(frames)] == [(0, NackCode.NOT_YOURS), (2, NackCode.NOT_YOURS)]
    assert stage.stored("envelopes.keystrokes") == [own]
    await stage.publisher.flush(5)
    (entry,) = stage.audit()
    assert (entry["action"], entry["target"], entry["outcome"]) == ("push", str(eve.agent_id), "refused")
    told = entry["detail"]
    assert (told["where"], told["claimed"], told["stream"]) == ("envelope", str(ana.agent_id), "keystrokes")
    assert (told["epoch"], told["sequence"]) == (forged.epoch_id.hex(), "0")
    assert told["address"].startswith("127.0.0.1:")
    assert stage.count("gateway_envelopes_total", "nack_not_yours") == 2


async def test_hello_must_name_the_certificates_agent(stage: Stage, ana: Credentials) -> None:
    """Another name gets Goodbye and an audit entry, and no lifecycle fact."""
    endpoint = await stage.connect(ana)
    endpoint.send(ana.hello(agent_id=str(uuid4())))
    assert goodbye_code(await endpoint.ending()) == GoodbyeCode.NOT_IDENTIFIED
    await stage.publisher.flush(5)
    assert len(stage.audit()) == 1
    assert stage.lifecycle() == []


async def test_each_connection_is_audited_anew(
    stage: Stage, enrol: Callable[[], Credentials], identity: Identity
) -> None:
    """Who comes back and forges again is told again."""
    ana, eve = enrol(), enrol()
    for _ in range(2):
        endpoint = await stage.greet(eve)
        endpoint.push(seal_for(ana.agent_id, identity).seal(b"a", capture_ms=1))
        await endpoint.receive_until(1)
    await stage.publisher.flush(5)
    assert [entry["action"] for entry in stage.audit()] == ["push", "push"]


async def test_empty_envelopes_are_not_endless(stage: Stage, ana: Credentials) -> None:
    """They cost no credit: after a thousand refusals the connection ends, and those refusals stand."""
    endpoint = await stage.greet(ana)
    endpoint.push(*([b""] * 5000))
    frames = await endpoint.ending()
    assert len(nacks(frames)) == 1000
    assert goodbye_code(frames) == GoodbyeCode.OVERLOADED
    assert endpoint.wire.settled == 1000
    assert stage.port.budget.held == 0


@pytest.mark.parametrize("user", [b'"\\ud800"', b'"\xed\xa0\x80"', b'"\xff"', "é".encode("utf-16-le")])
async def test_a_name_that_is_no_text_breaks_the_protocol(stage: Stage, ana: Credentials, user: bytes) -> None:
    """Half characters, escaped or not, end that connection with a Goodbye, and raise nowhere else."""
    body = build_frame(ana.hello(user="NAME"))[PREFIX_BYTES:].replace(b'"NAME"', user)
    endpoint = await stage.connect(ana)
    endpoint.writer.write((len(body) + 1).to_bytes(4, "big") + b"\x01" + body)
    assert goodbye_code(await endpoint.ending()) == GoodbyeCode.PROTOCOL


def test_json_in_another_encoding_is_refused() -> None:
    """The specification says UTF-8; Python's parser would take UTF-16 and UTF-32 too."""
    body = json.dumps({"code": 0, "reason": ""}).encode("utf-16")
    with pytest.raises(WireError):
        Connection(Role.GATEWAY).receive((len(body) + 1).to_bytes(4, "big") + b"\x0d" + body)

"""The wire protocol: legal moves pass, everything else ends the connection, however the bytes are cut."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import LocalError, WireError
from schemas.frames import (
    FRAME_TYPES,
    PREFIX_BYTES,
    Ack,
    AudioOpen,
    Backlog,
    Drain,
    Frame,
    Goodbye,
    GoodbyeCode,
    Hello,
    LiveStart,
    LiveState,
    LiveStop,
    Nack,
    NackCode,
    Ping,
    Policy,
    Pong,
    Push,
    Welcome,
    build_frame,
)
from schemas.wire import TRANSITIONS, Connection, Role, State

SPECIFICATION = (Path(__file__).parents[2] / "schemas/WIRE.md").read_text("utf-8")

HELLO = Hello("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "ann", "desk-1", [1], "sealstream 0.1", "linux", 1)
WELCOME = Welcome(1, "node-1/gateway", 10_000, 1 << 20, {"streams": ["screen"]}, ["PEM"], 2)

TO_GATEWAY: list[Frame] = [HELLO, Push(0, (b"a", b"bb")), Ping(7), LiveState({"state": "on"}), Push(2, (b"c" * 5000,))]
TO_GATEWAY += [Backlog(3, 70_000, 12_000), Goodbye(0, "done")]
TO_AGENT: list[Frame] = [
    WELCOME,
    Ack(1, 10_001),
    Nack(1, NackCode.MALFORMED, "not an envelope"),
    Ack(3, 20_000),
    Policy({"streams": []}, []),
    LiveStart({"viewer": "v"}),
    LiveStop({}),
    AudioOpen({"port": 1}),
    Pong(7),
    Drain("other:10000", "update", 5000),
    Goodbye(5, "draining"),
]


def opened() -> tuple[Connection, Connection]:
    """Agent and gateway, greeted and welcomed."""
    agent, gateway = Connection(Role.AGENT), Connection(Role.GATEWAY)
    gateway.receive(agent.send(HELLO))
    agent.receive(gateway.send(WELCOME))
    return agent, gateway


def gateway_stream() -> tuple[Connection, bytes, list[Frame]]:
    """A gateway that was greeted by nobody yet, what an agent sends it, and the frames in that."""
    gateway = Connection(Role.GATEWAY)
    return gateway, b"".join(map(build_frame, TO_GATEWAY)), TO_GATEWAY


def feed(gateway: Connection, data: bytes, size: int) -> list[Frame]:
    """The frames that a gateway sees, which welcomes as soon as it is greeted."""
    frames: list[Frame] = []
    for at in range(0, len(data), size):
        frames += _receive_welcoming(gateway, data[at : at + size])
    return frames


def _receive_welcoming(gateway: Connection, data: bytes) -> list[Frame]:
    if gateway.state is State.GREETING:
        hello_end = len(build_frame(HELLO))
        gateway_frames: list[Frame] = []
        for n in range(len(data)):
            got = gateway.receive(data[n : n + 1])
            gateway_frames += got
            if got:
                gateway.send(WELCOME)
                assert n < hello_end
                return gateway_frames + gateway.receive(data[n + 1 :])
        return gateway_frames
    return gateway.receive(data)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, 100_000])
def test_gateway_reads_however_bytes_are_cut(size: int) -> None:
    """The frames are the same whether they come whole or byte by byte."""
    gateway, data, frames = gateway_stream()
    assert feed(gateway, data, size) == frames
    assert gateway.state is State.CLOSED


@pytest.mark.parametrize("size", [1, 2, 5, 13, 100_000])
def test_agent_reads_however_bytes_are_cut(size: int) -> None:
    """Every frame that a gateway sends is read by an agent, whole or in pieces."""
    agent = Connection(Role.AGENT)
    agent.send(HELLO)
    data = build_frame(WELCOME)
    got = [f for n in range(0, len(data), size) for f in agent.receive(data[n : n + size])]
    agent.push((b"a", b"b", b"c"))
    data = b"".join(map(build_frame, TO_AGENT[1:]))
    got += [f for n in range(0, len(data), size) for f in agent.receive(data[n : n + size])]
    assert got == TO_AGENT


def test_bytes_after_goodbye_are_an_error() -> None:
    """Nothing follows the last frame."""
    _, gateway = opened()
    with pytest.raises(WireError, match="follow"):
        gateway.receive(build_frame(Goodbye(0, "")) + b"\0")


@given(st.binary(min_size=1, max_size=200))
def test_junk_ends_the_connection_or_waits(junk: bytes) -> None:
    """Junk raises `WireError` or is an incomplete frame; never another error, never a frame."""
    gateway = Connection(Role.GATEWAY)
    with contextlib.suppress(WireError):
        assert gateway.receive(junk) == []


@settings(max_examples=200)
@given(st.data())
def test_changed_bytes_never_do_worse_than_wire_error(data: st.DataObject) -> None:
    """A changed byte anywhere in a session yields frames or `WireError`."""
    _, gateway = opened()
    stream = bytearray(b"".join(map(build_frame, TO_GATEWAY[1:])))
    stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        gateway.receive(bytes(stream))


@pytest.mark.parametrize("row", FRAME_TYPES, ids=lambda row: row.cls.__name__)
def test_a_length_over_its_limit_is_refused_at_its_prefix(row: Any) -> None:
    """The prefix alone is enough to refuse: no memory is spent on what is too long."""
    sender = next(role for (_, role, cls) in TRANSITIONS if cls is row.cls)
    state = next(state for (state, role, cls) in TRANSITIONS if cls is row.cls and role is sender)
    receiver = Connection(sender.peer)
    receiver.state = state
    with pytest.raises(WireError, match="limit"):
        receiver.receive((row.limit + 1).to_bytes(4, "big") + bytes([row.number]))
    with pytest.raises(WireError, match="limit"):
        receiver.receive(bytes(4) + bytes([row.number]))


def test_an_illegal_frame_is_refused_at_its_prefix() -> None:
    """A push before the Hello costs five bytes, not four MiB."""
    gateway = Connection(Role.GATEWAY)
    with pytest.raises(WireError, match="greeting"):
        gateway.receive((4_000_000).to_bytes(4, "big") + b"\x03")
    with pytest.raises(WireError, match="not known"):
        Connection(Role.GATEWAY).receive(b"\0\0\0\x01\xff")


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("role", Role)
def test_moves_are_the_table(state: State, role: Role) -> None:
    """In every state each side can send exactly what the table lists."""
    samples: list[Frame] = [*TO_GATEWAY, *TO_AGENT]
    for sample in samples:
        connection = Connection(role)
        connection.state, connection.pushed, connection.credit = state, 3, 10_000
        frame = replace(sample, first=3) if isinstance(sample, Push) else sample
        if (state, role, type(frame)) in TRANSITIONS:
            connection.send(frame)
            assert connection.state is TRANSITIONS[state, role, type(frame)]
        else:
            with pytest.raises(LocalError, match="must not be sent"):
                connection.send(frame)


def test_credit_is_absolute_and_enforced() -> None:
    """A push within the credit passes, one byte more ends the connection; an Ack raises it."""
    agent, gateway = opened()
    gateway.receive(agent.push((bytes(9_999),)))
    assert agent.credit_left == gateway.credit_left == 1
    with pytest.raises(LocalError, match="credit"):
        agent.push((b"xx",))
    with pytest.raises(WireError, match="credit"):
        gateway.receive(build_frame(Push(1, (b"xx",))))
    agent.receive(gateway.send(Ack(1, 20_000)))
    assert agent.credit_left == 10_001
    assert agent.unsettled == 0


@pytest.mark.parametrize("ack", [Ack(2, 10_000), Ack(0, 9_999)])
def test_impossible_acks_are_refused(ack: Ack) -> None:
    """An Ack beyond what was pushed, or that takes credit back, is the gateway's mistake."""
    agent, _ = opened()
    agent.push((b"x",))
    with pytest.raises(WireError):
        agent.receive(build_frame(ack))


def test_acks_do_not_go_back() -> None:
    """An Ack below an earlier one is refused, on either side."""
    agent, gateway = opened()
    gateway.receive(agent.push((b"x", b"y")))
    agent.receive(gateway.send(Ack(2, 10_000)))
    with pytest.raises(LocalError):
        gateway.send(Ack(1, 10_000))
    with pytest.raises(WireError):
        agent.receive(build_frame(Ack(1, 10_000)))


def test_a_nack_names_an_outstanding_envelope() -> None:
    """Settled or unsent envelopes cannot be refused."""
    agent, gateway = opened()
    gateway.receive(agent.push((b"x", b"y")))
    gateway.send(Nack(1, NackCode.TOO_LARGE, "x" * 2000))
    for index in (2, 99):
        with pytest.raises(WireError, match="outstanding"):
            agent.receive(build_frame(Nack(index, NackCode.MALFORMED, "")))


def test_pushes_are_numbered_without_holes() -> None:
    """A push that leaves out or repeats a number is refused."""
    _, gateway = opened()
    with pytest.raises(WireError, match="begins at"):
        gateway.receive(build_frame(Push(1, (b"x",))))


def test_pushes_may_cross_a_drain() -> None:
    """What was on its way when the gateway began to drain is still taken and acknowledged."""
    agent, gateway = opened()
    crossing = agent.push((b"x",))
    drain = gateway.send(Drain("", "update", 1000))
    gateway.receive(crossing)
    agent.receive(drain)
    assert agent.receive(gateway.send(Ack(1, 10_000))) == [Ack(1, 10_000)]
    assert agent.state is State.DRAINING


def test_unknown_fields_are_ignored_and_optional_ones_have_defaults() -> None:
    """An older peer lacks optional fields, a newer one has more: both are understood."""
    gateway = Connection(Role.GATEWAY)
    body = (
        b'{"agent_id":"a","user":"u","computer":"c","versions":[1,2],"software":"s","platform":"p",'
        b'"time_ms":1,"colour":"blue"}'
    )
    [hello] = gateway.receive((len(body) + 1).to_bytes(4, "big") + b"\x01" + body)
    assert hello == Hello("a", "u", "c", [1, 2], "s", "p", 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"code":"0","reason":""}',
        b'{"code":-1,"reason":""}',
        b'{"code":true,"reason":""}',
        b'{"code":0,"reason":["x"]}',
        b"[" * 4000,
    ],
)
def test_bad_bodies_are_refused(body: bytes) -> None:
    """JSON bodies that are cut, of another type, or lack a field, end the connection."""
    with pytest.raises(WireError):
        Connection(Role.GATEWAY).receive((len(body) + 1).to_bytes(4, "big") + b"\x0d" + body)


@pytest.mark.parametrize(
    ("number", "body"),
    [
        (3, b""),
        (3, bytes(10)),
        (3, bytes(8) + b"\0\x02" + bytes(4)),
        (3, bytes(8) + b"\0\x01" + b"\0\0\0\x05" + b"four"),
        (3, bytes(8) + b"\0\x01" + b"\0\0\0\x01" + b"two"),
        (8, bytes(7)),
    ],
)
def test_bad_binary_bodies_are_refused(number: int, body: bytes) -> None:
    """Pushes and pings whose lengths do not add up end the connection."""
    _, gateway = opened()
    with pytest.raises(WireError):
        gateway.receive((len(body) + 1).to_bytes(4, "big") + bytes([number]) + body)


@pytest.mark.parametrize(("number", "body"), [(4, bytes(15)), (5, bytes(9))])
def test_bad_answers_are_refused(number: int, body: bytes) -> None:
    """So do Acks and Nacks."""
    agent, _ = opened()
    with pytest.raises(WireError):
        agent.receive((len(body) + 1).to_bytes(4, "big") + bytes([number]) + body)


def test_an_unknown_nack_code_still_refuses() -> None:
    """A later version's reason is read as malformed: the envelope is refused all the same."""
    agent, _ = opened()
    agent.push((b"x",))
    body = bytes(8) + b"\x00\x63" + b"grund"
    [nack] = agent.receive((len(body) + 1).to_bytes(4, "big") + b"\x05" + body)
    assert nack == Nack(0, NackCode.MALFORMED, "grund")


def test_an_unknown_version_is_refused() -> None:
    """A Welcome to a version that was not offered ends the connection with its own code."""
    agent = Connection(Role.AGENT)
    agent.send(HELLO)
    with pytest.raises(WireError) as caught:
        agent.receive(build_frame(replace(WELCOME, version=2)))
    assert caught.value.code == GoodbyeCode.VERSION


def test_own_limits_are_kept() -> None:
    """We never send what the peer would refuse."""
    agent, _ = opened()
    agent.credit = 1 << 40
    with pytest.raises(LocalError, match="limit"):
        agent.push((bytes(5 << 20),))
    agent, _ = opened()
    with pytest.raises(LocalError, match="envelopes"):
        agent.push(())


def test_the_specification_lists_the_frames() -> None:
    """WIRE.md's table of frames is `FRAME_TYPES`: number, name and senders."""
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (agent|gateway|both) \|.*\| (.+) \|$", SPECIFICATION, re.MULTILINE)
    listed = {(int(number), name, sender) for number, name, sender, _ in rows}
    senders = {cls: {role for (_, role, c) in TRANSITIONS if c is cls} for (_, _, cls) in TRANSITIONS}
    known = {
        (r.number, r.cls.__name__, "both" if len(senders[r.cls]) == 2 else next(iter(senders[r.cls])).value)
        for r in FRAME_TYPES
    }
    assert listed == known
    for _, name, _, limit in rows:
        number, unit = limit.split()
        factor = {"bytes": 1, "KiB": 1024, "MiB": 1024**2}[unit]
        [row] = [r for r in FRAME_TYPES if r.cls.__name__ == name]
        assert int(number) * factor == row.limit
    assert PREFIX_BYTES == 5


def test_the_specification_lists_the_moves() -> None:
    """WIRE.md's table of moves is `TRANSITIONS`."""
    table: set[tuple[State, Role, str, State]] = set()
    for state in State:
        found = re.search(rf"^\| {state} \| (.+) \| (.+) \|$", SPECIFICATION, re.MULTILINE)
        if found is None:
            continue
        for role, cell in zip((Role.AGENT, Role.GATEWAY), found.groups(), strict=True):
            for move in cell.replace("\N{EN DASH}", "").split(","):
                if move.strip():
                    name, _, after = move.strip().partition(" → ")
                    table.add((state, role, name, State(after or state)))
    known = {(s, r, c.__name__, after) for (s, r, c), after in TRANSITIONS.items() if c is not Goodbye}
    assert table == known


def test_the_specification_lists_the_codes() -> None:
    """The codes of Nack and Goodbye stand in WIRE.md, with these numbers."""
    for codes in (NackCode, GoodbyeCode):
        for code in codes:
            assert re.search(rf"^\| {code.value} \| {code.name.lower().replace('_', ' ')}", SPECIFICATION, re.MULTILINE)

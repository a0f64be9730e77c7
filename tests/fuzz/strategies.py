"""What the fuzz feeds: junk, good inputs with damage, and JSON with parts exchanged.

Never random beyond Hypothesis's own choice, so that what fails is made small and comes again.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

_NUMBERS = st.sampled_from([0, 1, -1, 127, 128, 255, 256, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63, 2**64, -(2**63)])
_TEXTS = st.one_of(st.text(max_size=40), st.sampled_from(["", "\0", "\ud800", "0" * 5000, "../../x", "%s{}", "-" * 70]))

odd_json: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, st.floats(), _TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_TEXTS, inner, max_size=4)),
    max_leaves=12,
)
"""Any JSON, odd values first: surrogates, NaN, numbers beyond every integer."""


@st.composite
def damaged(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A good input, changed in one to four places; other seeds lend their bytes."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 40)))
        match draw(st.sampled_from(["flip", "drop", "cut", "insert", "number", "repeat", "splice"])):
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "drop":
                del data[at:end]
            case "cut":
                del data[at:]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=40))
            case "number":
                size = draw(st.sampled_from([1, 2, 4, 8]))
                data[at : at + size] = (draw(_NUMBERS) % (1 << 8 * size)).to_bytes(size, "big")
            case "repeat":
                data[at:at] = data[at:end] * draw(st.integers(1, 50))
            case "splice":
                other = draw(st.sampled_from(seeds))
                data[at:] = other[draw(st.integers(0, len(other))) :]
    return bytes(data)


@st.composite
def reshaped(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """Good JSON, in which one to three values are exchanged, removed or repeated."""
    body = json.loads(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        body = _reshape(draw, body)
    return json.dumps(body).encode()


def _reshape(draw: st.DrawFn, body: Any) -> Any:
    if isinstance(body, dict) and body and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(body)))
        rest = {key: value for key, value in body.items() if key != name}
        return rest if draw(st.integers(0, 4)) == 0 else rest | {name: _reshape(draw, body[name])}
    if isinstance(body, list) and body and draw(st.booleans()):
        at = draw(st.integers(0, len(body) - 1))
        times = draw(st.sampled_from([0, 1, 1, 2, 600]))
        return [*body[:at], *[_reshape(draw, body[at])] * times, *body[at + 1 :]]
    return draw(odd_json)


def inputs(seeds: tuple[bytes, ...], *, text: bool) -> st.SearchStrategy[bytes]:
    """What one target is fed with."""
    ways = [st.binary(max_size=300), damaged(seeds)]
    if text:
        ways += [reshaped(seeds), odd_json.map(lambda body: json.dumps(body).encode())]
    return st.one_of(ways)

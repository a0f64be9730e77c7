"""Gaps: runs of what was lost, merged when there are many, and the ledger that remembers them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.gap import Gap, GapReason, Mark, gaps_of, merge_gaps
from agent.ledger import MAX_OWED, Ledger
from schemas.kinds import StreamKind
from schemas.records import decode_segment, encode_segment

EPOCHS = [b"1" * 32, b"2" * 32]

GAPS = st.builds(
    Gap,
    stream=st.sampled_from(["screen", "email", "gap"]),
    reason=st.sampled_from(list(GapReason)),
    epoch_id=st.sampled_from([b"", *EPOCHS]),
    first_sequence=st.none() | st.integers(0, 1 << 40),
    last_sequence=st.none() | st.integers(0, 1 << 40),
    from_us=st.none() | st.integers(0, 1 << 60),
    until_us=st.none() | st.integers(0, 1 << 60),
    lost_bytes=st.integers(0, 1 << 40),
    detail=st.text(max_size=50),
)


@given(GAPS, st.integers(0, 1 << 60))
def test_a_gap_fits_its_schema_and_its_json(gap: Gap, now_us: int) -> None:
    """What the ledger keeps and what the server reads are the same hole."""
    assert Gap.from_json(gap.to_json()) == gap
    (event,) = decode_segment(StreamKind.GAP, encode_segment(StreamKind.GAP, [gap.to_event(now_us)]))
    assert event == gap.to_event(now_us)


LOST = st.tuples(st.sampled_from([StreamKind.SCREEN, StreamKind.EMAIL]), st.integers(0, 1), st.integers(0, 30))


@given(st.sets(LOST))
def test_what_was_lost_becomes_runs_that_name_each_envelope_once(lost: set[tuple[StreamKind, int, int]]) -> None:
    """Streams and epochs interleaved as they may be: sequences and bytes add up."""
    ordered = sorted(lost, key=lambda one: (one[1], one[2], one[0]))
    gaps = gaps_of(
        ((Mark(kind, EPOCHS[epoch], sequence, sequence, sequence + 1), 10) for kind, epoch, sequence in ordered),
        GapReason.SPOOL_FULL,
    )
    named = [
        (StreamKind.from_label(gap.stream), EPOCHS.index(gap.epoch_id), sequence)
        for gap in gaps
        for sequence in range(gap.first_sequence or 0, (gap.last_sequence or 0) + 1)
    ]
    assert sorted(named) == sorted(lost)
    assert sum(gap.lost_bytes for gap in gaps) == 10 * len(lost)


@given(st.lists(GAPS))
def test_merging_keeps_streams_reasons_times_and_bytes(gaps: list[Gap]) -> None:
    """Fewer gaps, and none that says less than was lost."""
    merged = merge_gaps(gaps)
    assert {(gap.stream, gap.reason) for gap in merged} == {(gap.stream, gap.reason) for gap in gaps}
    assert sum(gap.lost_bytes for gap in merged) == sum(gap.lost_bytes for gap in gaps)
    for whole in merged:
        for gap in gaps:
            if (gap.stream, gap.reason) == (whole.stream, whole.reason) and gap.from_us is not None:
                assert whole.from_us is not None
                assert whole.from_us <= gap.from_us


@given(st.lists(GAPS, max_size=20), st.integers(0, 1 << 60), st.booleans())
def test_the_ledger_survives_its_bytes_and_no_other_bytes(gaps: list[Gap], head: int, clean: bool) -> None:  # noqa: FBT001
    """One bit changed, and it is no ledger."""
    ledger = Ledger(head=head, clean=clean, recording=frozenset({"screen"}))
    ledger.marks[StreamKind.SCREEN] = Mark(StreamKind.SCREEN, EPOCHS[0], 3, 4, 5)
    for gap in gaps:
        ledger.owe(gap)
    data = ledger.to_bytes()
    assert Ledger.from_bytes(data) == ledger
    for at in range(0, len(data) - 1, 7):
        changed = bytearray(data)
        changed[at] ^= 1
        assert Ledger.from_bytes(bytes(changed)) is None


def test_a_ledger_of_another_release_is_no_ledger() -> None:
    """Its checksum is right and its fields are not: the journal must do."""
    import zlib

    text = b'{"head": "far"}'
    assert Ledger.from_bytes(text + f"\n{zlib.crc32(text):08x}\n".encode()) is None


def test_too_many_gaps_are_told_as_fewer() -> None:
    """What is owed is bounded, however long nobody takes it."""
    ledger = Ledger()
    for number in range(5 * MAX_OWED):
        ledger.owe(Gap("screen", GapReason.SPOOL_FULL, EPOCHS[0], number, number, number, number, 1))
    assert len(ledger.owed) <= MAX_OWED
    assert sum(gap.lost_bytes for gap in ledger.owed.values()) == 5 * MAX_OWED
    assert min(gap.first_sequence or 0 for gap in ledger.owed.values()) == 0

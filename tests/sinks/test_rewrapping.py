"""Re-wrapping: afterwards the new KEK opens what is archived, the old one does not, and nothing else has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.envelope import peek
from schemas.errors import OpenError
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.opening import Opener, exchange_recipient
from schemas.seal import Epoch
from sinks.archive.headers import HeaderStore, load_day
from sinks.archive.layout import Layout
from sinks.archive.rewrapping import count_epochs, key_files, rewrap_archive

AGENT, DAY = bytes(range(16)), "2026-11-23"


@pytest.fixture(scope="module")
def keks() -> list[Identity]:
    """An old KEK, a new one, and one that stands beside both."""
    return [Identity.generate(2048) for _ in range(3)]


@pytest.fixture
def store(tmp_path: Path) -> HeaderStore:
    return HeaderStore(Layout(tmp_path))


def sealed(*recipients: Identity) -> tuple[bytes, bytes]:
    """An epoch's header and an envelope of it."""
    epoch = Epoch.begin(
        agent_id=AGENT, kind=StreamKind.EMAIL, recipients=[one.recipient for one in recipients], created_ms=0
    )
    return epoch.header, epoch.seal(b"what was said", capture_ms=0)


def rewrap(tmp_path: Path, old: Identity, new: Identity) -> tuple[int, int]:
    last = list(rewrap_archive(Layout(tmp_path), old, [new.recipient]))[-1]
    assert last.done == last.days
    return last.rewrapped, last.failed


def test_the_new_kek_opens_and_the_old_one_does_not(store: HeaderStore, tmp_path: Path, keks: list[Identity]) -> None:
    """The records are as they were; who stood beside the old KEK still opens; a second run finds nothing to do."""
    old, new, beside = keks
    header, envelope = sealed(old, beside)
    other, _ = sealed(beside)
    epoch_id = peek(envelope).id.epoch_id
    store.add(AGENT, DAY, [(epoch_id, header), (bytes(32), other)])
    assert count_epochs(Layout(tmp_path), old.key_id, set()) == 1
    assert count_epochs(Layout(tmp_path), old.key_id, {beside.key_id}) == 0
    assert rewrap(tmp_path, old, new) == (1, 0)
    [now] = load_day(Layout(tmp_path).key_file(AGENT, DAY)).headers[epoch_id]
    again = now + envelope[len(header) :]
    for kek in (new, beside):
        assert Opener([kek]).open(again).plaintext == b"what was said"
    with pytest.raises(OpenError):
        Opener([old]).open(again)
    assert load_day(Layout(tmp_path).key_file(AGENT, DAY)).headers[bytes(32)] == [other]
    assert rewrap(tmp_path, old, new) == (0, 0)
    assert count_epochs(Layout(tmp_path), old.key_id, set()) == 0


def test_what_comes_again_does_not_bring_the_old_header_back(
    store: HeaderStore, tmp_path: Path, keks: list[Identity]
) -> None:
    """Neither by the process that had it in memory nor by one that reads it: it has the number that it had."""
    old, new, _ = keks
    header, envelope = sealed(old)
    epoch_id = peek(envelope).id.epoch_id
    store.add(AGENT, DAY, [(epoch_id, header)])
    rewrap(tmp_path, old, new)
    for one in (store, HeaderStore(Layout(tmp_path))):
        one.add(AGENT, DAY, [(epoch_id, header)])
        assert one.day(AGENT, DAY).number(epoch_id, header) == 0
    day = load_day(Layout(tmp_path).key_file(AGENT, DAY))
    assert len(day.headers[epoch_id]) == 1
    assert old.key_id not in peek(day.headers[epoch_id][0] + envelope[len(header) :]).epoch.key_ids


def test_numbers_stay_when_new_headers_come(store: HeaderStore, tmp_path: Path, keks: list[Identity]) -> None:
    """A file that was rewritten goes on growing."""
    old, new, beside = keks
    first, _ = sealed(old)
    second, _ = sealed(beside)
    store.add(AGENT, DAY, [(bytes(32), first), (bytes(32), second)])
    rewrap(tmp_path, old, new)
    third, _ = sealed(new)
    store.add(AGENT, DAY, [(bytes(32), third)])
    day = load_day(Layout(tmp_path).key_file(AGENT, DAY))
    assert [day.number(bytes(32), one) for one in (first, second, third)] == [0, 1, 2]


def test_what_does_not_open_is_left(store: HeaderStore, tmp_path: Path, keks: list[Identity]) -> None:
    """A forged header that names the KEK: counted, and as it was."""
    old, new, _ = keks
    header, _ = sealed(old)
    forged = header[:-1] + bytes([header[-1] ^ 1])
    store.add(AGENT, DAY, [(bytes(32), forged)])
    assert rewrap(tmp_path, old, new) == (0, 1)
    assert load_day(Layout(tmp_path).key_file(AGENT, DAY)).headers[bytes(32)] == [forged]


def test_killed_half_way_it_goes_on(
    store: HeaderStore, tmp_path: Path, keks: list[Identity], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two files that a day's re-wrapping writes, and between days."""
    old, new, _ = keks
    headers = [sealed(old)[0] for _ in range(2)]
    for day, header in zip((DAY, "2026-11-24"), headers, strict=True):
        store.add(AGENT, day, [(bytes(32), header)])
    whole: Callable[..., None] = __import__("sinks.archive.headers", fromlist=["write_whole"]).write_whole
    written: list[Path] = []

    def write(path: Path, data: bytes) -> None:
        written.append(path)
        if len(written) == 4:
            raise KeyboardInterrupt
        whole(path, data)

    monkeypatch.setattr("sinks.archive.headers.write_whole", write)
    with pytest.raises(KeyboardInterrupt):
        rewrap(tmp_path, old, new)
    monkeypatch.undo()
    assert count_epochs(Layout(tmp_path), old.key_id, set()) == 1
    assert load_day(key_files(Layout(tmp_path))[1]).number(bytes(32), headers[1]) == 0
    assert rewrap(tmp_path, old, new) == (1, 0)
    assert count_epochs(Layout(tmp_path), old.key_id, set()) == 0


def test_erasing_destroys_what_was_rewrapped(store: HeaderStore, tmp_path: Path, keks: list[Identity]) -> None:
    """And nothing of it comes back."""
    old, new, _ = keks
    header, _ = sealed(old)
    store.add(AGENT, DAY, [(bytes(32), header)])
    rewrap(tmp_path, old, new)
    assert store.erase(AGENT, DAY, 0) == 1
    store.add(AGENT, DAY, [(bytes(32), header)])
    assert load_day(Layout(tmp_path).key_file(AGENT, DAY)).number(bytes(32), header) is None


def test_a_recipient_takes_the_place_of_another(keks: list[Identity]) -> None:
    """Also where it stands there already, and for nobody who cannot open."""
    old, new, beside = keks
    header, envelope = sealed(old, new)
    exchanged = exchange_recipient(header, old, [new.recipient]) + envelope[len(header) :]
    assert peek(exchanged).epoch.key_ids == (new.key_id,)
    assert Opener([new]).open(exchanged).plaintext == b"what was said"
    with pytest.raises(OpenError):
        exchange_recipient(header, beside, [new.recipient])

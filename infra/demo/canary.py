"""Looking for what must not be there: in every file of a data directory and in the memory of every server process.

Never shows what stands around a finding, and never takes a memory that it could not read for a clean one.
"""

from __future__ import annotations

import base64
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_CHUNK = 8 * 1024 * 1024
_SKIPPED_MAPS = ("[vvar]", "[vsyscall]", "[vdso]")
_BASE64_STEP = 3


class Needle(NamedTuple):
    """Bytes to look for, and what they are."""

    name: str
    data: bytes


class Finding(NamedTuple):
    """A needle that was found, and where."""

    needle: str
    place: str


@dataclass(slots=True)
class Search:
    """What was looked at, what was found, and what could not be read."""

    findings: set[Finding] = field(default_factory=set)
    files: int = 0
    processes: int = 0
    looked_at: int = 0
    """Bytes."""
    unread: list[str] = field(default_factory=list)

    def of(self, *names: str) -> list[Finding]:
        """Findings of needles whose names begin with one of these."""
        return sorted(one for one in self.findings if one.needle.startswith(names))


def text_needles(name: str, word: str) -> list[Needle]:
    """A word as UTF-8 (small and capital), UTF-16 and hexadecimal, and in base64 wherever it may begin."""
    plain = word.encode()
    wide = word.encode("utf-16-le")[:-1]  # is within either byte order
    forms = {"utf-8": plain, "capitals": word.upper().encode(), "utf-16": wide, "hex": plain.hex().encode()}
    return [
        *(Needle(f"{name} as {form}", data) for form, data in forms.items()),
        *(Needle(f"{name} as base64", data) for data in _in_base64(plain)),
    ]


def secret_needles(name: str, secret: bytes) -> list[Needle]:
    """Key bytes as they are, in hexadecimal and in base64."""
    return [
        Needle(name, secret),
        Needle(f"{name} as hex", secret.hex().encode()),
        *(Needle(f"{name} as base64", data) for data in _in_base64(secret)),
    ]


def key_needles(name: str, key: RSAPrivateKey) -> list[Needle]:
    """The primes of a private key, as a file has them and as a processor's words."""
    numbers = key.private_numbers()
    primes = [prime.to_bytes((prime.bit_length() + 7) // 8, "big") for prime in (numbers.p, numbers.q)]
    return [Needle(name, form[8:40]) for prime in primes for form in (prime, prime[::-1])]


def _in_base64(data: bytes) -> list[bytes]:
    """The parts of `data` in base64 that do not depend on what stands beside it, for each place to begin."""
    found = []
    for before in range(_BASE64_STEP):
        whole = base64.b64encode(bytes(before) + data)
        start = -(-before * 8 // 6) if before else 0
        usable = (before + len(data)) * 8 // 6
        found.append(whole[start:usable])
    return found


class Finder:
    """Looks for all needles at once: by tables of their first two pairs of bytes, which few places pass."""

    def __init__(self, needles: Sequence[Needle]) -> None:
        self._first, self._second = np.zeros(1 << 16, np.bool_), np.zeros(1 << 16, np.bool_)
        self._starting: defaultdict[bytes, list[Needle]] = defaultdict(list)
        for needle in needles:
            self._first[int.from_bytes(needle.data[:2], "little")] = True
            self._second[int.from_bytes(needle.data[2:4], "little")] = True
            self._starting[needle.data[:4]].append(needle)
        self.overlap = max((len(needle.data) for needle in needles), default=1) - 1

    def names_in(self, data: bytes) -> set[str]:
        """The names of the needles that `data` holds."""
        found: set[str] = set()
        with_end = data + bytes(4)
        padded = np.frombuffer(with_end, np.uint8)
        for shift in (0, 1):
            pairs = np.frombuffer(with_end, "<u2", (len(data) + 1 - shift) // 2, shift)
            places = np.flatnonzero(self._first[pairs]) * 2 + shift
            behind = padded[places + 2] | padded[places + 3].astype(np.uint16) << 8
            for place in places[self._second[behind]].tolist():
                for needle in self._starting.get(data[place : place + 4], ()):
                    if data.startswith(needle.data, place):
                        found.add(needle.name)
        return found

    def note(self, search: Search, chunks: Iterable[bytes], place: str) -> None:
        """Look through chunks that follow each other, or not; `search` gets what is found."""
        for chunk in chunks:
            search.looked_at += len(chunk)
            search.findings.update(Finding(name, place) for name in self.names_in(chunk))


def search_files(search: Search, root: Path, needles: Sequence[Needle], *, leave: Iterable[Path] = ()) -> None:
    """Every regular file under `root` but those under `leave`."""
    finder, left = Finder(needles), tuple(leave)
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if Path(directory, name) not in left]
        for name in files:
            path = Path(directory, name)
            if path in left or not path.is_file() or path.is_symlink():
                continue
            try:
                with path.open("rb", buffering=0) as file:
                    size = os.fstat(file.fileno()).st_size
                    finder.note(search, _chunks(file.fileno(), 0, size, finder.overlap), str(path))
            except FileNotFoundError:
                continue  # it is gone, as files of stores go
            except OSError as error:
                search.unread.append(f"{path}: {error.strerror}")
            search.files += 1


def search_memory(search: Search, pid: int, needles: Sequence[Needle], name: str = "") -> None:
    """All memory of a process that it can read; one that ends meanwhile is left alone."""
    finder, place = Finder(needles), f"memory of {name or pid}"
    try:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for start, end in _regions(pid):
                finder.note(search, _chunks(memory.fileno(), start, end, finder.overlap), place)
    except (FileNotFoundError, ProcessLookupError):
        return
    except PermissionError:
        search.unread.append(f"{place}: not allowed; run this as root")
        return
    search.processes += 1


def search_values(search: Search, values: Iterable[bytes], needles: Sequence[Needle], place: str) -> None:
    """What a store gives back, decompressed as it does."""
    Finder(needles).note(search, values, place)


def _regions(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text("utf-8").splitlines():
        place, rights, *rest = line.split(maxsplit=5)
        if "r" in rights and not (len(rest) > 3 and rest[3] in _SKIPPED_MAPS):
            start, end = (int(number, 16) for number in place.split("-"))
            yield start, end


def _chunks(memory: int, start: int, end: int, overlap: int) -> Iterator[bytes]:
    """The bytes of a region; pages that are all zero, or cannot be read (a device's), are left out."""
    tail, at = b"", start
    while at < end:
        try:
            data = os.pread(memory, min(_CHUNK, end - at), at)
        except OSError:
            return
        if not data:
            return
        at += len(data)
        if data.count(0) != len(data):
            yield tail + data
        tail = data[-overlap:] if overlap else b""


def family(pids: Iterable[int]) -> dict[int, str]:
    """These processes and all that descend from them, with their commands."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text("utf-8", "replace")
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    wanted = set(pids) & parents.keys()
    while more := {pid for pid, parent in parents.items() if parent in wanted} - wanted:
        wanted |= more
    return {pid: _command(pid) for pid in sorted(wanted)}


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return str(pid)
    name = Path(words[0]).name or str(pid)
    return f"{name} {' '.join(words[3:5])} ({pid})" if "python" in name else f"{name} ({pid})"

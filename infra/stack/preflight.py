"""What a machine must have before the stack starts: each a check that says what to do when it fails.

Never changes anything on the machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from infra.cluster import own_sentinel
from infra.datadir import DataDir
from infra.doctor.finding import Finding, check
from infra.settings import Settings
from infra.stack.artifacts import cache_dir, find_artifacts
from infra.stack.etcd import find_etcd
from infra.stack.installation import place_of, ports_of
from infra.stack.java import find_java
from infra.stack.ports import check_port
from infra.stack.postgresql import find_programs
from infra.stack.redis import find_server
from infra.stack.roles import ELASTICSEARCH, ETCD, KAFKA, POSTGRESQL, REDIS, SENTINEL, STANDBY
from schemas.errors import UnavailableError

GIB = 1024**3
MIB = 1024**2

NEEDED_DISK = 3 * GIB
KEPT_DISK = 512 * MIB
"""What an installation that has run before wants: a restart on a disk that filled up is no first start."""
NEEDED_MEMORY = 2 * GIB
AMPLE_MEMORY = 6 * GIB

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_OCR_DATA = ("/usr/share/tesseract-ocr/*/tessdata/eng.traineddata", "/usr/share/tessdata/eng.traineddata")


@dataclass(frozen=True, slots=True)
class Heaps:
    """Megabytes of heap for each Java program."""

    kafka: int
    elasticsearch: int


def choose_heaps(settings: Settings) -> Heaps:
    """As the settings say, else smaller ones where memory is short."""
    heaps = Heaps(512, 1024) if memory_available() >= AMPLE_MEMORY else Heaps(256, 512)
    return Heaps(settings.kafka.heap_mb or heaps.kafka, settings.elasticsearch.heap_mb or heaps.elasticsearch)


EVERYTHING = frozenset({KAFKA, REDIS, POSTGRESQL, ELASTICSEARCH})


def run_checks(
    data: DataDir, stores: AbstractSet[str] = EVERYTHING, *, mines: bool = True, disk: int = 0
) -> Iterator[Finding]:
    """Every check that needs no settings, for a node with these stores, in the order in which people mend things.

    `disk`: bytes that must be free, 0 for what a first start wants.
    """
    if stores & {KAFKA, ELASTICSEARCH}:
        yield check("java", lambda: f"Java {(java := find_java()).version} in {java.home}")
        yield check("maven", _find_maven)
    if stores & {POSTGRESQL, STANDBY}:
        yield check("postgresql", lambda: f"programs in {find_programs()}")
    if ETCD in stores:
        yield check("etcd", find_etcd)
    if REDIS in stores:
        yield check("redis", find_server)
    yield check("openssl", lambda: _find_program("openssl", "openssl"))
    if mines:
        yield check("ocr", _find_ocr_data)
    yield check("disk", lambda: _check_disk(data.root, disk or NEEDED_DISK))
    yield check("memory", _check_memory)


def require(data: DataDir, stores: AbstractSet[str] = EVERYTHING, *, mines: bool = True, disk: int = 0) -> None:
    """Raise one error that tells every check that failed."""
    failed = [finding for finding in run_checks(data, stores, mines=mines, disk=disk) if not finding.passed]
    if failed:
        raise UnavailableError(
            f"this machine lacks {', '.join(finding.name for finding in failed)}:"
            + "".join(f"\n  {finding.name}: {finding.told}" for finding in failed)
        )


def require_ports(settings: Settings, names: AbstractSet[str]) -> None:
    """Raise for the first of the listeners that cannot have its port."""
    for name, port in ports_of(settings).items():
        if name in names:
            ours = name in ("agent", "https", "mirror", "miner")
            check_port(name, port, settings.gateway.host if ours else _host_of(settings, name))
    if SENTINEL in names:
        place = own_sentinel(settings)
        check_port(SENTINEL, place.port, place.host if place.is_loopback else settings.node.address)


def _host_of(settings: Settings, name: str) -> str:
    """Where a store listens: by its address, or on this node's own where the address names several."""
    host, _ = place_of(settings, name)
    return host if host in _LOOPBACK else settings.node.address


def memory_available() -> int:
    """Bytes that programs may still take, within this control group where there is a limit."""
    rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(rows["MemAvailable"].split()[0]) * 1024
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):
        return available
    return available if limit == "max" else min(available, int(limit) - used)


def _find_program(program: str, package: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise UnavailableError(f"{program} is missing: `apt-get install {package}`")
    return found


def _find_maven() -> str:
    cache = cache_dir()
    if find_artifacts(cache).complete:
        return f"not needed: Kafka and Elasticsearch are in {cache}"
    return _find_program("mvn", "maven")


def _find_ocr_data() -> str:
    named = os.environ.get("TESSDATA_PREFIX")
    patterns = [f"{named}/eng.traineddata"] if named else list(_OCR_DATA)
    for pattern in patterns:
        for path in sorted(Path("/").glob(pattern.lstrip("/"))):
            return str(path)
    raise UnavailableError("Tesseract's English data is missing: `apt-get install tesseract-ocr-eng`")


def _check_disk(place: Path, needed: int) -> str:
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise UnavailableError(
            f"{place} has {free // MIB} MiB free and the stack wants {needed // MIB}: "
            "free some, or choose another place by --data DIR"
        )
    return f"{free // GIB} GiB free at {place}"


def _check_memory() -> str:
    available = memory_available()
    if available < NEEDED_MEMORY:
        raise UnavailableError(
            f"{available // MIB} MiB of memory are free and the stack wants {NEEDED_MEMORY // MIB}: "
            "end what uses it (`ps aux --sort=-rss | head`), or take a larger machine"
        )
    return f"{available // MIB} MiB free"

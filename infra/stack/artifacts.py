"""Kafka's jars and Elasticsearch's distribution, brought by Maven into a cache that all data directories share.

Never names a registry: Maven's own settings do. Never leaves half of a distribution under its final name.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.stack.java import Java
from schemas.errors import UnavailableError

VARIABLE = "SEALSTREAM_CACHE"

_POM = Path(__file__).with_name("pom.xml")
_XML = {"m": "http://maven.apache.org/POM/4.0.0"}
_TIMEOUT_S = 900


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Where they lie, and their versions."""

    kafka: Path
    kafka_version: str
    elasticsearch: Path
    elasticsearch_version: str

    @property
    def complete(self) -> bool:
        """Whether both are there."""
        return self.kafka.is_dir() and self.elasticsearch.is_dir()


def cache_dir() -> Path:
    """SEALSTREAM_CACHE, else `/var/cache/sealstream` for root, else `sealstream` in the person's cache directory."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/sealstream")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sealstream"


def find_artifacts(cache: Path) -> Artifacts:
    """Where the versions that the pom names lie in `cache`, there or not."""
    properties = ET.parse(_POM).getroot().find("m:properties", _XML)  # noqa: S314  # our own file
    assert properties is not None
    kafka, elasticsearch = (str(properties.findtext(f"m:{it}.version", "", _XML)) for it in ("kafka", "elasticsearch"))
    place = cache / hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]  # whatever the pom changes, it is brought anew
    return Artifacts(place / f"kafka-{kafka}", kafka, place / f"elasticsearch-{elasticsearch}", elasticsearch)


def fetch_artifacts(java: Java, tell: Callable[[str], None]) -> Artifacts:
    """The artifacts, brought if they are not there yet; raises `UnavailableError`."""
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache):
        artifacts = find_artifacts(cache)
        if not artifacts.complete:
            tell("waits for Maven to bring Kafka and Elasticsearch (about 150 MB, once)")
            incoming = cache / "incoming"
            _run_maven(java, incoming)
            _open_to_all(incoming)
            incoming.rename(artifacts.kafka.parent)
    return artifacts


def _run_maven(java: Java, output: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise UnavailableError("Maven, which brings Kafka and Elasticsearch, is missing: `apt-get install maven`")
    shutil.rmtree(output, ignore_errors=True)
    command = [maven, "--batch-mode", "--quiet", f"--file={_POM}", f"-Doutput={output}", "package"]
    environment = {**os.environ, "JAVA_HOME": str(java.home)}
    try:
        ran = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, cwd=output.parent
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"Maven did not bring Kafka and Elasticsearch within {_TIMEOUT_S} s") from None
    if ran.returncode != 0:
        first = next((line for line in ran.stdout.splitlines() if "ERROR" in line), ran.stderr.strip())
        raise UnavailableError(
            f"Maven cannot bring Kafka and Elasticsearch: {first.strip()[:500]}; "
            "if this machine reaches Maven's repository through a mirror or proxy, say so in ~/.m2/settings.xml"
        )


def _open_to_all(root: Path) -> None:
    """Readable for every account, since the stores run under their own."""
    for place in (root, *root.rglob("*")):
        mode = place.stat().st_mode
        place.chmod(mode | 0o444 | (0o111 if place.is_dir() or mode & 0o100 else 0))


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

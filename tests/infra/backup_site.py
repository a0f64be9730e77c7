"""An installation to back up: settings, keys, certificates, secrets, and an archive with sealed and growing files."""

from __future__ import annotations

from pathlib import Path

from infra.settings import Settings, load_settings
from sinks.archive.marks import Marks
from sinks.archive.reading import read_envelopes
from sinks.archive.scan import map_file, whole_length
from sinks.archive.sink import ArchiveSink
from tests.sinks.envelopes import as_records, begin, seal

PRIVATE = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"
PUBLIC = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n"
MIB = 1024 * 1024

FILES = {
    "keys/server.pem": PRIVATE,
    "keys/server.pub.pem": PUBLIC,
    "keys/registered.json": "{}",
    "pki/ca.pem": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    "pki/ca.key": PRIVATE,
    "secrets/kek.passphrase": "correct horse\n",
    "policy.json": '{"streams": ["screen"]}',
    "sealstream.toml": '[node]\nid = "node-7"\n[kafka]\nbootstrap = "127.0.0.1:9"\n',
}
SECRET = {"data/keys/server.pem", "data/pki/ca.key", "data/secrets/kek.passphrase"}
NOT_KEPT = ("log/gateway.log", "run/streams-1.json", "kafka/log/0")


def make_site(root: Path, **files: str) -> Settings:
    """The settings of an installation at `root`; nothing of it runs."""
    for name, text in {**FILES, **files, **dict.fromkeys(NOT_KEPT, "x")}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    (root / "keys/server.pem").chmod(0o600)
    (root / "keys/server.pub.pem").chmod(0o644)
    return load_settings(root / "sealstream.toml")


async def fill_archive(root: Path) -> ArchiveSink:
    """An archive with sealed files and one that grows; the sink still has it open."""
    sink = ArchiveSink(root, file_bytes=MIB)
    await sink.open()
    for number in range(1, 4):
        assert await sink.write(as_records(seal(begin(number), 3, 400_000), offset=10 * number)) == []
        await sink.flush()
    assert await sink.write(as_records(seal(begin(4), 2), offset=90)) == []
    await sink.flush()
    return sink


def whole_bytes(path: Path) -> int:
    """How much of a growing archive file is whole."""
    with map_file(path) as data:
        return whole_length(data, Marks())[0]


def values(root: Path) -> list[bytes]:
    """Every envelope of an archive."""
    return [envelope.value for envelope in read_envelopes(root)]

"""The tables about what mines and keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from infra.settings.group import MIB, Count, Group, Port


class KeySettings(Group):
    """The server's KEKs."""

    dir: Path = Path("keys")
    """Directory of `*.pub.pem` and `*.pem`."""
    passphrase_file: Path | None = Path("secrets/kek.passphrase")
    """Passphrase of the private keys."""
    pkcs11_modules: list[Path] = []
    """PKCS#11 libraries that may be loaded for KEKs in tokens, such as `/usr/lib/softhsm/libsofthsm2.so`."""


class StreamsSettings(Group):
    """The workers that mine."""

    workers: Count = 1
    """Worker processes of the local stack."""
    ocr_workers: Count = 1
    """OCR processes of each worker."""
    web_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of the first worker's own page; 0 for none."""


class MinerSettings(Group):
    """The gRPC service of a mining node."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all. Approved nodes alone are served."""
    port: Port = 50051
    """Port of the service, TLS alone."""
    cert_file: Path = Path("pki/gateway.pem")
    """Certificate of this node with its chain: the service shows it, and so does this node when it calls another."""
    key_file: Path = Path("pki/gateway.key")
    """Private key of that certificate."""
    ca_file: Path = Path("pki/ca.pem")
    """CA by which nodes know each other's certificates."""
    client_certificates: bool = True
    """A caller must show the certificate of a node, issued by that CA and not revoked."""


class ArchiveSettings(Group):
    """The disk store."""

    dir: Path = Path("archive")
    """Directory of the archive files."""
    file_bytes: Annotated[int, Field(ge=MIB)] = 256 * MIB
    """Size at which an archive file is closed."""
    fsync: Literal["commit", "never"] = "commit"
    """`commit`: flushed to disk before the offset is committed; `never`: for tests alone."""

"""TLS of the miner's port: this node's certificate, and the CA by which callers are known.

Never TLS below 1.2 nor a suite without forward secrecy: gRPC's own list has none, and cannot be changed (docs/tls.md).
Never takes files that do not belong together: then what was there stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import structlog

from infra.tls import Profile, server_context
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from infra.settings import Settings

log = structlog.get_logger(__name__)

Stamp = tuple[tuple[int, int], ...]


class ServerTls:
    """The server's credentials, made anew for handshakes after its files have changed."""

    def __init__(self, settings: Settings) -> None:
        miner = settings.miner
        self._cert, self._key, self._ca = miner.cert_file, miner.key_file, miner.ca_file
        self._mutual = miner.client_certificates
        self._stamp: Stamp | None = None

    def credentials(self) -> grpc.ServerCredentials:
        """For a port; raises `ConfigError` where the files cannot be used."""
        self._stamp = self._look()
        renewed: Any = self._renewed  # which may give none, whatever the types say
        return grpc.dynamic_ssl_server_credentials(self._read(), renewed, self._mutual)

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked at each handshake: other files, none while they are the same or not usable."""
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return None
            made = self._read()
        except ConfigError as error:
            log.error("tls_files_unusable", listener="miner", reason=str(error))  # noqa: TRY400 - all there is
            return None
        self._stamp = stamp
        log.info("tls_files_changed", listener="miner", cert=str(self._cert))
        return made

    def _read(self) -> grpc.ServerCertificateConfiguration:
        try:
            server_context(Profile.MODERN, self._cert, self._key, self._ca, listener="https")  # do they fit?
            pair = self._key.read_bytes(), self._cert.read_bytes()
            roots = self._ca.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"the miner's TLS files cannot be used: {error}: `sealstream pki list` shows them"
            ) from None
        return grpc.ssl_server_certificate_configuration([pair], roots)

    def _look(self) -> Stamp:
        try:
            return tuple(_stamp_of(path) for path in (self._cert, self._key, self._ca))
        except OSError as error:
            raise ConfigError(
                f"the miner's TLS file {error.filename} cannot be read ({error.strerror}): "
                "`sealstream pki list` shows what there is"
            ) from None


def client_credentials(settings: Settings) -> grpc.ChannelCredentials:
    """For calls to another miner, as this node; raises `ConfigError`."""
    miner = settings.miner
    try:
        roots, key, cert = (path.read_bytes() for path in (miner.ca_file, miner.key_file, miner.cert_file))
    except OSError as error:
        raise ConfigError(
            f"{error.filename} cannot be read ({error.strerror}): miners are called with the certificate of a node"
        ) from None
    return grpc.ssl_channel_credentials(roots, key, cert)


def _stamp_of(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size

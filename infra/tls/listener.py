"""A listener's context: made of files, checked, and renewed when they change, without a restart.

Never takes files that do not belong together, or that would change what is offered: then what was there stays.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import structlog

from infra.tls.check import check_listener
from infra.tls.profile import Listener, Profile, server_context
from schemas.errors import ConfigError

log = structlog.get_logger()

Stamp = tuple[tuple[int, int] | None, ...]


class TlsListener:
    """The context of one listener. With `client_ca` clients must show a certificate of one of those CAs."""

    def __init__(
        self, profile: Profile, listener: Listener, *, cert: Path, key: Path, client_ca: Path | None = None
    ) -> None:
        self.profile = profile
        self.listener = listener
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self._stamp = self._look()
        self.context = self._make()

    def reload(self) -> bool:
        """Take files that have changed, for handshakes from now on; whether they had.

        CAs are added: those taken out of the file are refused by whoever looks at certificates after the handshake.
        """
        stamp = self._look()
        if stamp == self._stamp:
            return False
        try:
            self._make()  # aside, so that a bad file does no harm to the context that serves
            self.context.load_cert_chain(self._cert, self._key)
            if self._client_ca is not None:
                self.context.load_verify_locations(self._client_ca)
        except (ConfigError, OSError) as error:
            log.error("tls_files_unusable", listener=self.listener, reason=str(error))  # noqa: TRY400 - all there is
            return False  # and look again: certificate and key are two files, and one comes after the other
        self._stamp = stamp
        log.info("tls_files_changed", listener=self.listener, cert=str(self._cert))
        return True

    def _make(self) -> ssl.SSLContext:
        try:
            context = server_context(self.profile, self._cert, self._key, self._client_ca, listener=self.listener)
        except OSError as error:
            raise ConfigError(
                f"the TLS files of the {self.listener} port cannot be used: {error}: `sealstream pki list` shows them"
            ) from None
        elliptic = _is_elliptic(self._cert)
        check_listener(
            context, self.profile, self.listener, wants_certificate=self._client_ca is not None, elliptic=elliptic
        )
        return context

    def _look(self) -> Stamp:
        """Time and size of each file."""
        return tuple(_stamp_of(path) for path in (self._cert, self._key, self._client_ca) if path is not None)


def _stamp_of(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _is_elliptic(cert: Path) -> bool:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    return isinstance(x509.load_pem_x509_certificate(cert.read_bytes()).public_key(), ec.EllipticCurvePublicKey)

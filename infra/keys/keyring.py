"""The server's private KEKs as an opener that follows what is registered (R6.8): for miners and readers of recordings.

Never works with a folder that holds none that opens: that is a mistake to tell, not envelopes to give up. Never tries a
KEK that is registered as end-to-end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from infra.keys.access import open_server_identities
from infra.keys.follow import INTERVAL_S, follow_table, stamp
from infra.keys.registry import known_rows
from infra.keys.table import registered
from infra.settings import Settings
from schemas.envelope import peek
from schemas.errors import ConfigError, OpenError, SealstreamError
from schemas.opening import Opened, Opener

log = structlog.get_logger(__name__)

LOOK_AGAIN_S = 2.0
"""Envelopes for unknown KEKs make it look at what is registered this often at most: anyone could send such."""


class KeyringOpener(Opener):
    """An opener whose identities are those of the node; `follow` keeps them so."""

    def __init__(
        self, settings: Settings, cache_size: int = 4096, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Raises `ConfigError` when no KEK opens."""
        self._settings = settings
        self._monotonic = monotonic
        self._looked = monotonic()
        self._stamp = stamp(settings.keys.dir)
        identities = open_server_identities(settings, registered(settings))
        if not identities:
            raise ConfigError(
                f"no private KEK in {settings.keys.dir} opens with the passphrase in {settings.keys.passphrase_file}: "
                "make one with `sealstream keys make`"
            )
        super().__init__(identities, cache_size)

    def open(self, envelope: bytes) -> Opened:
        """As `Opener.open`; an envelope that is for none of our KEKs may be for one that is new."""
        try:
            return super().open(envelope)
        except OpenError:
            epoch = peek(envelope).epoch
            if epoch.end_to_end or self.can_open(epoch) or self._monotonic() - self._looked < LOOK_AGAIN_S:
                raise
            self._looked = self._monotonic()
            registered(self._settings)  # renews the node's copy
            self.renew()
            return super().open(envelope)

    def renew(self) -> None:
        """Take the identities that are registered now; those before stay when none of them opens."""
        before, self._stamp = self._stamp, stamp(self._settings.keys.dir)
        if before == self._stamp:
            return
        try:
            identities = open_server_identities(self._settings, known_rows(self._settings.keys.dir))
        except SealstreamError as error:
            log.error("keys_unusable", reason=str(error))  # noqa: TRY400 - the message is all there is to say
            return
        if not identities:
            log.error("keys_unusable", reason="no registered KEK opens with the passphrase of the settings")
            return
        if self.replace(identities):
            log.info("keys_renewed", keks=[identity.key_id.hex()[:16] for identity in identities])

    async def follow(self) -> None:
        """Follow the table and the folder, until cancelled."""
        following = asyncio.create_task(follow_table(self._settings), name="follow keys")
        try:
            while not following.done():
                await asyncio.sleep(INTERVAL_S)
                self.renew()
            following.result()
        finally:
            following.cancel()


def load_opener(settings: Settings, cache_size: int = 4096) -> KeyringOpener:
    """An opener with every KEK of the server that opens; raises `ConfigError`."""
    return KeyringOpener(settings, cache_size)

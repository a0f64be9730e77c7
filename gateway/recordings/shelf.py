"""What the gateway keeps between requests for recordings: its readers, what the audit covers, what is known of epochs.

Never holds plaintext: that passes through on its way to the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.recordings.pool import Readers
from gateway.recordings.seen import Seen
from gateway.recordings.timeline import EpochFlags

if TYPE_CHECKING:
    from infra.settings import Settings


class Recordings:
    """One of them in a gateway."""

    def __init__(self, settings: Settings) -> None:
        self.readers = Readers(settings)
        self.seen = Seen()
        self.epochs = EpochFlags()

    async def close(self) -> None:
        """End the readers, and tell what was seen last."""
        await self.seen.close()
        await self.readers.close()

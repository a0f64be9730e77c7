"""Delivering only what a store lacks: a replay that compares before it delivers.

Never leaves out a document of which the store has an older version only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from schemas.errors import UnavailableError
from schemas.records import decode_record
from schemas.topics import DOCUMENTS
from streams.backoff import Backoff
from streams.delivery import Delivery
from streams.outgoing import Outgoing

log = structlog.get_logger(__name__)

ReadVersions = Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]
"""The versions of those documents that the store has, by id; raises `UnavailableError`."""


class MissingDelivery(Delivery):
    """Asks the store first. `missing` are the ids of documents that it lacked, `present` counts the others."""

    def __init__(self, delivery: Delivery, read_versions: ReadVersions) -> None:
        self._delivery = delivery
        self._read_versions = read_versions
        self._patience = Backoff()
        self.missing: set[str] = set()
        self.present = 0
        self.waiting = False

    async def deliver(self, records: Sequence[Outgoing]) -> None:
        """As `Delivery` says, of what is missing; dead letters were told in their time."""
        documents = [
            (record, decode_record(record.value, "document")) for record in records if record.topic == DOCUMENTS.name
        ]
        known = await self._known([document["document_id"] for _, document in documents])
        lacking = [
            (record, document["document_id"])
            for record, document in documents
            if known.get(document["document_id"], -1) < document["version"]
        ]
        await self._delivery.deliver([record for record, _ in lacking])
        self.missing.update(name for _, name in lacking)
        self.present += len(documents) - len(lacking)

    async def _known(self, ids: Sequence[str]) -> Mapping[str, int]:
        attempt = 0
        while True:
            try:
                return await self._read_versions(ids)
            except UnavailableError as error:
                attempt += 1
                log.warning("store_away", reason=str(error), attempt=attempt)
                await self._patience.wait(attempt)

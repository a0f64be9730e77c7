"""The search store as a sink: documents by their id, the newest version of each.

Never needs its offsets for being right: writing a document again replaces it by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from elasticsearch import ApiError, AsyncElasticsearch

from schemas.errors import MalformedError, UnavailableError
from schemas.records import decode_record
from schemas.topics import DOCUMENTS
from sinks.elasticsearch.bulk import Item, build_item, send
from sinks.elasticsearch.client import refusal, request
from sinks.elasticsearch.mapping import alias_name, copies, index_name, index_template, to_source
from sinks.envelopes import MAX_TIME_MS
from sinks.sink import Reject, SinkRecord

MAX_ID_BYTES = 512


class ElasticsearchSink:
    """Writes documents into the indices that begin with `prefix`."""

    name = "elasticsearch"
    topics: tuple[str, ...] = (DOCUMENTS.name,)

    def __init__(self, client: AsyncElasticsearch, prefix: str, *, replicas: int | None = None) -> None:
        self._client, self._prefix, self._replicas = client, prefix, replicas

    async def open(self) -> None:
        """Put the index template, and give indices as many copies; `UnavailableError` while the cluster refuses."""
        name = alias_name(self._prefix)
        try:
            template = index_template(self._prefix, replicas=self._replicas)
            await request(self._client, "PUT", f"/_index_template/{name}", body=template)
            present = f"/{name}-*/_settings?allow_no_indices=true"
            await request(self._client, "PUT", present, body={"index": copies(self._replicas)})
        except ApiError as error:
            raise UnavailableError(f"Elasticsearch refuses the index template: {refusal(error)}") from error

    async def write(self, batch: Sequence[SinkRecord]) -> list[Reject]:
        """Return when each document is stored, or a newer version of it is, or the cluster refuses it for good."""
        rejects: list[Reject] = []
        refusals = await send(self._client, self._items(batch, rejects))
        return rejects + [Reject(batch[r.number], r.reason, r.detail) for r in refusals]

    def _items(self, batch: Sequence[SinkRecord], rejects: list[Reject]) -> Iterator[Item]:
        for number, record in enumerate(batch):
            try:
                yield self._item(number, record)
            except MalformedError as error:
                rejects.append(Reject(record, "malformed", str(error)))

    async def flush(self) -> None:
        """Nothing is left to do: the cluster confirms what is in its translog, flushed."""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _item(self, number: int, record: SinkRecord) -> Item:
        document = decode_record(record.value, "document")
        document_id, version = document["document_id"], document["version"]
        if not 0 < len(document_id.encode()) <= MAX_ID_BYTES or version < 0:
            raise MalformedError("the document's id or version cannot be stored", "bad_id")
        if not 0 <= document["time_ms"] <= MAX_TIME_MS or not 0 <= document["until_ms"] <= MAX_TIME_MS:
            raise MalformedError("a time beyond the year 9999", "bad_time")
        index = index_name(self._prefix, document["time_ms"])
        try:
            return build_item(number, index, document_id, version, to_source(document))
        except TypeError:  # orjson: text that is not Unicode
            raise MalformedError("the document holds text that is not Unicode", "bad_text") from None

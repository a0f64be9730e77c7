"""An index of a test's own in the stack's Elasticsearch.

Never touches the index of the stack, whose user may write `sealstream*` alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from elasticsearch import AsyncElasticsearch

from infra.settings import ElasticsearchSettings, Settings
from sinks.elasticsearch.client import connect, request
from sinks.elasticsearch.mapping import alias_name


@asynccontextmanager
async def own_index(backing: Settings) -> AsyncIterator[tuple[AsyncElasticsearch, ElasticsearchSettings]]:
    """A client, and settings with a prefix that nobody else has; what was made under it is taken away at the end."""
    prefix = f"sealstream-test-{uuid4().hex[:12]}"
    settings = backing.elasticsearch.model_copy(update={"index_prefix": prefix})
    client, alias = connect(settings), alias_name(prefix)
    try:
        yield client, settings
    finally:
        for name in await request(client, "GET", f"/{alias}-*/_settings?filter_path=*.settings.index.uuid"):
            await request(client, "DELETE", f"/{name}")
        await client.options(ignore_status=404).perform_request(
            "DELETE", f"/_index_template/{alias}", headers={"accept": "application/json"}
        )
        await client.close()

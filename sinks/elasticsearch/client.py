"""A connection to Elasticsearch by the settings, and its errors in our words.

Never asks for `GET /`: a cluster without it serves as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from elastic_transport import TlsError, TransportError
from elasticsearch import ApiError, AsyncElasticsearch
from elasticsearch.serializer import OrjsonSerializer

from infra.cluster import urls_of
from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

SEARCH = "_search?ignore_unavailable=true&allow_no_indices=true"
"""Behind an index's name: a search that finds nothing where there is no index."""

_TIMEOUT_S = 60.0


class ClusterSettings(Protocol):
    """`infra.settings.ElasticsearchSettings`."""

    @property
    def url(self) -> str:
        """Addresses, separated by commas."""

    @property
    def ca_file(self) -> Path | None:
        """CA."""

    @property
    def username(self) -> str:
        """User."""

    @property
    def password_file(self) -> Path | None:
        """Its password."""


def connect(settings: ClusterSettings, *, timeout_s: float = _TIMEOUT_S) -> AsyncElasticsearch:
    """A client that asks each address once at most; raises `ConfigError` for files that cannot be read."""
    options: dict[str, Any] = {}
    if settings.password_file is not None:
        try:
            password = settings.password_file.read_text("utf-8").strip()
        except OSError as error:
            raise ConfigError(f"the password file {settings.password_file} cannot be read: {error.strerror}") from None
        options["basic_auth"] = (settings.username, password)
    if settings.ca_file is not None and settings.url.startswith("https"):
        if not settings.ca_file.exists():
            raise ConfigError(f"there is no CA file {settings.ca_file}")
        options["ca_certs"] = str(settings.ca_file)
    urls = urls_of(settings.url)
    return AsyncElasticsearch(
        urls,
        request_timeout=timeout_s,
        max_retries=len(urls) - 1,
        retry_on_timeout=False,
        connections_per_node=4,
        serializer=OrjsonSerializer(),  # an answer to a bulk request has a row for each document
        **options,
    )


async def request(
    client: AsyncElasticsearch,
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | bytes | None = None,
    content_type: str = "application/json",
) -> Any:
    """The decoded answer; raises `elasticsearch.ApiError` for what the cluster refuses, else `UnavailableError`."""
    headers = {"accept": "application/json"}
    if body is not None:
        headers["content-type"] = content_type
    with transport_errors():
        response = await client.perform_request(method, path, headers=headers, body=body)
    return response.body


async def ask_whole(
    client: AsyncElasticsearch,
    path: str,
    body: Mapping[str, Any] | None = None,
    method: str = "POST",
    *,
    what: str = "the search",
) -> dict[str, Any]:
    """The decoded answer of all shards, in time; else raises `UnavailableError`, which calls the request `what`."""
    try:
        answer = await request(client, method, path, body=body)
    except ApiError as error:
        raise UnavailableError(f"Elasticsearch refuses {what}: {refusal(error)}") from error
    if answer.get("timed_out") or answer.get("_shards", {}).get("failed"):
        raise UnavailableError("Elasticsearch could not search everything: ask again when the cluster is well")
    return dict(answer)


@contextmanager
def transport_errors() -> Iterator[None]:
    """Turns the transport's errors into `UnavailableError`."""
    try:
        yield
    except TlsError as error:
        raise UnavailableError(f"Elasticsearch's certificate is not trusted: {error.message}") from error
    except TransportError as error:
        raise UnavailableError(f"Elasticsearch does not answer: {type(error).__name__}") from error


def refusal(error: ApiError) -> str:
    """What the cluster answered, in few words and without any content."""
    body = error.body if isinstance(error.body, dict) else {}
    cause = body.get("error", {})
    kind = cause.get("type", "") if isinstance(cause, dict) else ""
    return f"{error.status_code} {kind}".strip()

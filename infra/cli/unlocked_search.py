"""The part of `sealstream search --unlock` that needs a passphrase: keys, audit, and what there is to say after.

Never keeps a passphrase longer than it takes to open the keys, and never writes a word that was searched for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ConfigError, SealstreamError

if TYPE_CHECKING:
    from infra.settings import Settings
    from schemas.keys import Unwrapper
    from sinks.blind_search import Effort
    from sinks.elasticsearch.search import Answer, Question

ACTION = "search_unlocked"


def read_passphrase(path: Path | None) -> bytearray:
    """The passphrase from a file's first line, or asked for without showing it."""
    if path is not None:
        try:
            return bytearray(path.read_bytes().split(b"\n", 1)[0].rstrip(b"\r"))
        except OSError as error:
            raise ConfigError(f"the passphrase file {path} cannot be read: {error.strerror}") from None
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask for the passphrase: give --passphrase-file")
    import typer

    return bytearray(str(typer.prompt("Passphrase of the KEK", hide_input=True, err=True)).encode())


async def search_unlocked(
    settings: Settings, question: Question, *, keys: Sequence[str], passphrase_file: Path | None, reason: str
) -> Answer:
    """The answer; that it was asked for is with all in-sync replicas before anything is opened."""
    from infra.audit import audit_trail
    from infra.settings import postgresql_dsn
    from schemas.opening import Opener
    from sinks.blind_search import BlindSearch
    from sinks.elasticsearch.client import connect
    from sinks.matching import Wanted
    from sinks.postgresql.connection import connect as connect_postgresql
    from sinks.postgresql.connection import store_errors

    Wanted(question.text)  # a question that cannot be answered costs nobody a passphrase
    async with AsyncExitStack() as stack:
        write = await stack.enter_async_context(audit_trail(settings))
        target = _describe_scope(question)
        asked = {"keys": ", ".join(keys) or "any"}
        try:
            identities = _open_keys(settings, keys, passphrase_file)
        except SealstreamError as error:
            await write(ACTION, target, outcome="refused", purpose=reason, detail={**asked, "why": str(error)})
            raise
        await write(ACTION, target, outcome="begun", purpose=reason, detail=asked)
        client = connect(settings.elasticsearch, timeout_s=30.0)
        stack.push_async_callback(client.close)
        connection = await connect_postgresql(postgresql_dsn(settings))
        stack.callback(connection.terminate)
        prefix = settings.elasticsearch.index_prefix
        work = BlindSearch(client, prefix, connection, settings.archive.dir, Opener(identities))
        try:
            with store_errors():
                answer = await work.search(question)
        except SealstreamError as error:
            await write(ACTION, target, outcome="failed", purpose=reason, detail={**asked, "why": str(error)})
            raise
        told = {"opened": str(work.effort.opened), "found": str(len(answer.hits))}
        await write(ACTION, target, purpose=reason, detail={**asked, **told})
    _tell(work.effort)
    return answer


def _open_keys(settings: Settings, names: Sequence[str], passphrase_file: Path | None) -> list[Unwrapper]:
    from infra.keys.access import open_identities

    passphrase = read_passphrase(passphrase_file)
    try:
        return open_identities(settings, passphrase, names or None)
    finally:
        passphrase[:] = bytes(len(passphrase))


def _describe_scope(question: Question) -> str:
    """The scope without the words: who reads the trail must not learn them."""
    named = (question.agents, question.users, question.computers, question.streams)
    parts = [f"{label} {', '.join(values)}" for label, values in zip(_NAMES, named, strict=True) if values]
    return "; ".join(parts) or "all end-to-end text"


_NAMES = ("agents", "users", "computers", "streams")


def _tell(effort: Effort) -> None:
    """What was not searched, on stderr: silence would look like an answer."""
    if not effort.agents:
        print("no end-to-end text was indexed in this scope", file=sys.stderr)
    elif not effort.days:
        print("none of these keys opens an index in this scope", file=sys.stderr)
    if effort.days and effort.shut_roots:
        print(f"{effort.shut_roots} indexes are for other keys and were not searched", file=sys.stderr)
    if effort.missing:
        print(f"{effort.missing} texts may match and are not in the archive (yet)", file=sys.stderr)
    if effort.not_opened:
        print(f"{effort.not_opened} texts may match and do not open with these keys", file=sys.stderr)

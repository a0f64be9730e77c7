"""The part of `sealstream search --unlock` that works with keys, and what there is to say after.

Never writes a word that was searched for: who reads the audit would learn what the texts hold.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.settings import Settings
    from schemas.keys import Unwrapper
    from sinks.blind_search import BlindSearch, Effort
    from sinks.elasticsearch.search import Answer, Question

ACTION = "search_unlocked"
_NAMES = ("agents", "users", "computers", "streams")


async def search_unlocked(
    settings: Settings, question: Question, *, keys: Sequence[str], passphrase_file: Path | None, reason: str
) -> Answer:
    """The answer; that it was asked for is in the audit before anything is opened."""
    from infra.cli.unlocking import unlocking
    from sinks.matching import Wanted
    from sinks.postgresql.connection import store_errors

    Wanted(question.text)  # a question that cannot be answered costs nobody a passphrase
    async with (
        unlocking(
            settings, ACTION, _describe_scope(question), reason=reason, names=keys, passphrase_file=passphrase_file
        ) as unlocked,
        AsyncExitStack() as stack,
    ):
        work = await _connect(settings, unlocked.identities, stack)
        with store_errors():
            answer = await work.search(question)
        unlocked.told |= {"opened": str(work.effort.opened), "found": str(len(answer.hits))}
    _tell(work.effort)
    return answer


async def _connect(settings: Settings, identities: Sequence[Unwrapper], stack: AsyncExitStack) -> BlindSearch:
    from infra.settings import postgresql_dsn
    from schemas.opening import Opener
    from sinks.blind_search import BlindSearch
    from sinks.elasticsearch.client import connect
    from sinks.postgresql.connection import connect as connect_postgresql

    client = connect(settings.elasticsearch, timeout_s=30.0)
    stack.push_async_callback(client.close)
    connection = await connect_postgresql(postgresql_dsn(settings))
    stack.callback(connection.terminate)
    prefix = settings.elasticsearch.index_prefix
    return BlindSearch(client, prefix, connection, settings.archive.dir, Opener(identities))


def _describe_scope(question: Question) -> str:
    """The scope without the words: who reads the trail must not learn them."""
    named = (question.agents, question.users, question.computers, question.streams)
    parts = [f"{label} {', '.join(values)}" for label, values in zip(_NAMES, named, strict=True) if values]
    return "; ".join(parts) or "all end-to-end text"


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

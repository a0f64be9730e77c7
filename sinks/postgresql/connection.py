"""Connections to PostgreSQL, and its errors in our words.

Never puts an address with a password into a message.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from infra import postgresql
from schemas.errors import UnavailableError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]
else:
    Connection = asyncpg.Connection

_TIMEOUT_S = 60.0
_PASSING_CLASSES = frozenset({"08", "25", "28", "3D", "40", "53", "55", "57", "58"})
"""SQLSTATE classes that waiting may cure: connections, transactions, resources, an operator's doing, the system."""


async def connect(dsn: str) -> Connection:
    """A connection; raises `UnavailableError`."""
    with store_errors():
        return await postgresql.connect(dsn, timeout=10.0, command_timeout=_TIMEOUT_S)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turns what waiting may cure into `UnavailableError`."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "")[:2] not in _PASSING_CLASSES:
            raise
        raise UnavailableError(f"PostgreSQL says {type(error).__name__} ({error.sqlstate})") from error
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise UnavailableError(f"PostgreSQL does not answer: {type(error).__name__}") from error

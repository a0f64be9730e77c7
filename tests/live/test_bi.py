"""Logins of BI servers: they read the views of reports, and nothing else."""

from __future__ import annotations

from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from infra.bi import list_accounts, make_account, remove_account, scram_verifier
from infra.settings import Settings, postgresql_dsn
from schemas.errors import ConfigError
from tests.api.stores import own_database

pytestmark = pytest.mark.live

VIEWS = (
    *("activity_hour", "application_day", "person_day", "team_day", "team_application_day", "presence_day"),
    *("focus_day", "overtime_day", "team_member", "own_week"),
)


def test_a_password_is_kept_as_scram_has_it() -> None:
    """The form that PostgreSQL makes of it itself: of RFC 7677's example, salt and rounds."""
    salt = b"W22ZaJ0SNY7soEsUEjb6gQ=="
    import base64

    verifier = scram_verifier("pencil", base64.b64decode(salt))
    assert verifier == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


async def test_a_bi_server_reads_the_views_and_nothing_else(backing: Settings) -> None:
    """By its own login; removing it ends its connections."""
    name = f"bi_{uuid4().hex[:8]}"
    async with own_database(backing) as settings:
        password = await make_account(settings, name)
        with pytest.raises(ConfigError, match="already"):
            await make_account(settings, name)
        try:
            where = urlsplit(postgresql_dsn(settings))
            login = await asyncpg.connect(
                host=where.hostname, port=where.port, database=where.path.strip("/"), user=name, password=password
            )
            for view in VIEWS:
                await login.fetch(f"SELECT * FROM {view}")
            for table in ("activity_span", "alert", "account", "audit_entry", "working_hours", "team"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await login.fetch(f"SELECT * FROM public.{table}")
            with pytest.raises(asyncpg.PostgresError):
                await login.execute("CREATE TABLE bi.mine (a int)")
            assert [(one.name, one.sessions) for one in await list_accounts(settings) if one.name == name] == [
                (name, 1)
            ]
        finally:
            assert await remove_account(settings, name)
        assert not await remove_account(settings, name)
        assert not await remove_account(settings, "postgres")
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
            await login.fetch("SELECT 1")


async def test_a_name_that_is_none_is_refused(backing: Settings) -> None:
    """Before anything is asked of the database."""
    for name in ("", "Robert'; DROP", "1st", "x" * 64):
        with pytest.raises(ConfigError, match="no name for a login"):
            await make_account(backing, name)

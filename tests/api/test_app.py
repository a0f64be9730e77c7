"""The application: who may use what, errors in one form, and pages under a policy that lets nothing else run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated
from unittest.mock import Mock

import httpx2 as httpx
import pytest
from fastapi import APIRouter

from gateway.api import app as application
from gateway.api.access import PERMISSIONS, Permission, Principal, Role, needs
from gateway.api.services import Services
from infra.settings import ConsoleSettings, Settings
from schemas.errors import LocalError, UnavailableError


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The whole application over pages that were built."""
    pages = tmp_path / "pages"
    (pages / "assets").mkdir(parents=True)
    (pages / "index.html").write_text("<!doctype html><title>the console</title>")
    (pages / "assets" / "main-1.js").write_text("0")
    (tmp_path / "secret").write_text("not for you")
    settings = Settings(console=ConsoleSettings(pages_dir=pages))
    app = application.create_app(Services(settings, Mock(), Mock()))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="https://node.example:8443") as client:
        yield client


async def test_every_page_is_the_one_page(client: httpx.AsyncClient) -> None:
    """Where a person goes within the console is the page's matter; it is never cached, what it loads always is."""
    for path in ("/", "/search", "/player/ann"):
        answer = await client.get(path)
        assert (answer.status_code, "the console" in answer.text) == (200, True)
        assert answer.headers["cache-control"] == "no-cache"
    asset = await client.get("/assets/main-1.js")
    assert (asset.status_code, "immutable" in asset.headers["cache-control"]) == (200, True)


async def test_nothing_else_runs_and_nothing_else_is_reached(client: httpx.AsyncClient) -> None:
    """Every answer has the policy; websockets may go to the same host's other ports alone."""
    for path in ("/", "/assets/main-1.js", "/assets/none.js", "/api/v1/none"):
        policy = (await client.get(path)).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "wss://node.example:*" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize("host", ["evil.example; script-src *", "a b", "x'y", ""])
async def test_a_host_cannot_write_into_the_policy(client: httpx.AsyncClient, host: str) -> None:
    """What no host name has is left out."""
    policy = (await client.get("/", headers={"Host": host})).headers["content-security-policy"]
    assert "wss://localhost:*" in policy
    assert policy.count("script-src") == 1


async def test_files_outside_the_folder_are_not_served(client: httpx.AsyncClient) -> None:
    """Neither by dots nor by their escapes."""
    for path in ("/../secret", "/assets/../../secret", "/%2e%2e/secret", "/assets/%2e%2e%2f%2e%2e%2fsecret"):
        assert "not for you" not in (await client.get(path)).text


async def test_what_there_is_not_is_told_in_the_one_form(client: httpx.AsyncClient) -> None:
    """Routes of the API are never answered with a page."""
    answer = await client.get("/api/v1/none")
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


async def test_pages_that_were_not_built(tmp_path: Path) -> None:
    """Say how to build them."""
    settings = Settings(console=ConsoleSettings(pages_dir=tmp_path / "none"))
    app = application.create_app(Services(settings, Mock(), Mock()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="https://node") as client:
        answer = await client.get("/")
    assert (answer.status_code, "make console" in answer.text) == (503, True)


def test_a_route_that_does_not_say_who_may_use_it_is_refused() -> None:
    """Nothing is open by forgetting."""
    router = APIRouter()

    @router.get("/a")
    async def forgot() -> str:
        return "everything"

    with pytest.raises(LocalError, match="does not say who"):
        application._require_permissions(router)


def test_a_route_that_says_who_may_use_it_is_taken() -> None:
    """Also where the dependency is deeper."""
    router = APIRouter()

    @router.get("/a")
    async def careful(principal: Annotated[Principal, needs(Permission.SEARCH)]) -> str:
        return principal.name

    application._require_permissions(router)


def test_who_runs_the_installation_sees_no_content() -> None:
    """And who sees content does not change the installation; a recorded person sees their own alone."""
    content = {Permission.SEARCH, Permission.RECORDINGS, Permission.WATCH, Permission.LISTEN, Permission.UNLOCK_SERVER}
    for role in (Role.ADMINISTRATOR, Role.OPERATOR, Role.AUDITOR):
        assert not PERMISSIONS[role] & content
    managing = {Permission.MANAGE_KEYS, Permission.MANAGE_NODES, Permission.MANAGE_PROCESSORS, Permission.ACCOUNTS}
    assert not PERMISSIONS[Role.OFFICER] & managing
    assert PERMISSIONS[Role.SUBJECT] == {Permission.OWN, Permission.RECORDINGS}


def test_errors_say_who_can_do_what() -> None:
    """A store that is away is 503 with its reason."""
    from gateway.api.errors import as_api_error

    told = as_api_error(UnavailableError("PostgreSQL does not answer"))
    assert (told.status, told.word, str(told)) == (503, "unavailable", "PostgreSQL does not answer")


async def test_documents_say_who_may_use_each_route(client: httpx.AsyncClient) -> None:
    """Every route but those of signing in names its permission and how to show who asks."""
    described = (await client.get("/api/v1/openapi.json")).json()
    operations = [(path, one) for path, methods in described["paths"].items() for one in methods.values()]
    assert len(operations) > 5
    for path, one in operations:
        told = "Needs the permission" in one["description"] or "whoever is signed in" in one["description"]
        assert told == ("security" in one), path
        assert told != ("open" in one.get("tags", [])), path

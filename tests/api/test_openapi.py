"""The API against its own documents: schemathesis asks every route of a real stack what it must and must not take.

Never runs what would change the installation that other tests use: those routes have tests of their own.
"""

from __future__ import annotations

import os
import secrets
from functools import cache
from pathlib import Path

import httpx2 as httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from gateway.accounts.sessions import COOKIE
from infra.settings import Settings
from tests.running_stack import run_cli

pytestmark = [pytest.mark.live, pytest.mark.slow]

EXAMPLES = int(os.environ.get("SEALSTREAM_API_EXAMPLES", "10"))
CHECKS = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.ignored_auth,
)
SIGNS_IN = r"^/api/v1/(session|first|links|oidc)"
"""Each wrong try counts towards a lock-out, which tests of their own show."""

WITHOUT_END = r"/events$"
"""Server-sent events do not end by themselves."""


@cache
def session_of(root: Path, port: int, role: str) -> str:
    """The cookie of a new account of that role."""
    name, password = f"api-{role}-{secrets.token_hex(3)}", "correct-horse-" + secrets.token_hex(8)
    secret = root / f"{name}.password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    made = run_cli(
        root, "accounts", "make", name, "--role", role, "--all-teams", "--password-file", str(secret), "--person", name
    )
    secret.unlink()
    assert made.returncode == 0, made.stderr
    with httpx.Client(verify=False, base_url=f"https://127.0.0.1:{port}") as client:
        answer = client.post("/api/v1/session", json={"name": name, "password": password})
        assert answer.status_code == 200, answer.text
        return client.cookies[COOKIE]


@pytest.fixture
def documents(stack: Settings) -> schemathesis.BaseSchema:
    """The documents as the stack serves them."""
    url = f"https://127.0.0.1:{stack.gateway.https_port}/api/v1/openapi.json"
    found = schemathesis.openapi.from_url(url, verify=False)
    return found.exclude(path_regex=SIGNS_IN).exclude(path_regex=WITHOUT_END)


schema = schemathesis.pytest.from_fixture("documents")


asked = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@schema.parametrize()
@asked
def test_every_route_keeps_to_its_documents(case: schemathesis.Case, stack: Settings) -> None:
    """Whatever an officer asks, the answer is one that the documents have, and no failure of the server's."""
    ask(case, stack, "officer")


@schema.parametrize()
@asked
def test_every_route_refuses_as_its_documents_say(case: schemathesis.Case, stack: Settings) -> None:
    """An auditor, who may do little: what is refused is refused in the one form."""
    ask(case, stack, "auditor")


def ask(case: schemathesis.Case, stack: Settings, role: str) -> None:
    """Send it with the cookie of that role, and compare the answer with the documents."""
    case.call_and_validate(
        base_url=f"https://127.0.0.1:{stack.gateway.https_port}",
        cookies={COOKIE: session_of(stack.data.root, stack.gateway.https_port, role)},
        verify=False,
        checks=CHECKS,
    )

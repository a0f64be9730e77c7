"""The API against its own documents: schemathesis asks every route of a real stack what it must and must not take.

Never runs what would change the installation that other tests use: those routes have tests of their own.
"""

from __future__ import annotations

import os
import re
import secrets
from functools import cache
from pathlib import Path
from uuid import uuid4

import httpx2 as httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from requests import RequestException
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
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


def documents(stack: Settings) -> schemathesis.BaseSchema:
    """The documents as the stack serves them."""
    url = f"https://127.0.0.1:{stack.gateway.https_port}/api/v1/openapi.json"
    found = schemathesis.openapi.from_url(url, verify=False)
    return found.exclude(path_regex=SIGNS_IN).exclude(path_regex=WITHOUT_END)


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("role", ["officer", "auditor"])
def test_every_route_keeps_to_its_documents(stack: Settings, role: str) -> None:
    """Whatever is asked, the answer is one that the documents have, and no failure of the server's.

    An officer may do much; an auditor is refused much, in the one form.
    """
    told: list[str] = []
    asked = 0
    for operation in documents(stack).get_all_operations():
        asked += 1
        one = operation.ok()
        try:
            ask(one, stack, role)
        except (FailureGroup, AssertionError, RequestException) as failure:
            told.append(f"{one.method.upper()} {one.path}: {failure}")
    assert asked > 60
    assert not told, "\n\n".join(told)


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_nobody_gets_anything(stack: Settings) -> None:
    """Without a session or a token every route answers 401, whatever else is wrong with the request."""
    let_in: list[str] = []
    with httpx.Client(verify=False, base_url=f"https://127.0.0.1:{stack.gateway.https_port}") as client:
        for found in documents(stack).get_all_operations():
            one = found.ok()
            if "security" not in one.definition.raw:
                continue
            path = re.sub(r"{[^}]*}", str(uuid4()), one.path)
            answer = client.request(one.method.upper(), path, json={} if one.method.upper() != "GET" else None)
            if answer.status_code != 401 or answer.json()["error"] != "unauthorised":
                let_in.append(f"{one.method.upper()} {one.path}: {answer.status_code} {answer.text[:80]}")
    assert not let_in, "\n".join(let_in)


def ask(operation: schemathesis.APIOperation, stack: Settings, role: str) -> None:
    """Send what comes to mind, with the cookie of that role, and compare the answers with the documents."""

    @given(case=operation.as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def compare(case: schemathesis.Case) -> None:
        case.call_and_validate(
            base_url=f"https://127.0.0.1:{stack.gateway.https_port}",
            cookies={COOKIE: session_of(stack.data.root, stack.gateway.https_port, role)},
            verify=False,
            checks=CHECKS,
            timeout=60,
        )

    compare()

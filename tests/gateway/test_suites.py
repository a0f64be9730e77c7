"""The TLS that each agent speaks is told wherever it matters, and a suite without forward secrecy stands out."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.lifecycle import LifecycleLog
from gateway.metrics import TABLE
from gateway.peer import Peer
from gateway.suites import Suites
from infra.cli.suites import WEAK, parse_suites, render_suites
from infra.metrics import Metrics
from infra.tls import Profile
from schemas.frames import Goodbye
from schemas.lifecycle import fold_all
from tests.gateway.conftest import open_stage
from tests.gateway.endpoint import Credentials, Endpoint

TIMEOUT_S = 10.0


def weak_context(credentials: Credentials, suite: str) -> ssl.SSLContext:
    """A client that offers one TLS 1.2 suite, as old Windows agents without secp384r1 do."""
    context = credentials.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{suite}:@SECLEVEL=2")
    return context


@pytest.mark.parametrize("suite", ["AES128-SHA", "AES256-GCM-SHA384"])
async def test_a_weak_suite_is_told(pki: Path, ana: Credentials, suite: str) -> None:
    """RSA key transport, which the datasheet's profile allows: logged, counted, in the fact, and in the fold."""
    with capture_logs() as logs:
        async with open_stage(pki, profile=Profile.DATASHEET) as stage:
            endpoint = await Endpoint.greet(ana, stage.number, weak_context(ana, suite))
            assert stage.count("gateway_weak_suites_total") == 1
            assert stage.count("gateway_greetings_total", "TLSv1.2", suite) == 1
            shown = parse_suites(stage.metrics.expose().decode())
            assert shown == [{"tls": "TLSv1.2", "suite": suite, "forward_secret": False, "agents": 1}]
            endpoint.send(Goodbye(0, "bye"))
            await endpoint.ending()
            async with asyncio.timeout(TIMEOUT_S):
                while parse_suites(stage.metrics.expose().decode()):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.005)
            await stage.publisher.flush(5)
            came, _went = stage.lifecycle()
    told = {name: came["detail"][name] for name in ("tls", "suite", "forward_secret")}
    assert told == {"tls": "TLSv1.2", "suite": suite, "forward_secret": "no"}
    agent = fold_all([came]).agents[str(ana.agent_id)]
    assert (agent.tls, agent.suite, agent.forward_secret) == ("TLSv1.2", suite, False)
    (warning,) = [entry for entry in logs if entry["event"] == "weak_suite"]
    assert (warning["log_level"], warning["suite"], warning["agent"]) == ("warning", suite, str(ana.agent_id))


async def test_the_mirror_shows_it(pki: Path, ana: Credentials) -> None:
    """Whoever reads port 42001 sees each connected agent's suite."""
    async with open_stage(pki) as stage:
        _held = await stage.greet(ana)
        await stage.publisher.flush(5)
        log = LifecycleLog(lambda: 0.0)
        (value,) = stage.stored("lifecycle")
        log.take(0, value)
    (line,) = log.state_lines()
    assert b'"tls":"TLSv1.3"' in line
    assert b'"forward_secret":true' in line


def test_what_status_shows() -> None:
    """Weak suites first, marked; agents that have gone are not counted."""
    metrics = Metrics(TABLE)
    suites = Suites(metrics)
    modern = Peer("a", "h:1", "TLSv1.3", "TLS_AES_256_GCM_SHA384")
    weak = Peer("b", "h:2", "TLSv1.2", "AES128-SHA")
    gone = Peer("c", "h:3", "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256")
    for peer in (modern, modern, weak, gone):
        suites.enter(peer)
    suites.leave(gone)
    rows = parse_suites(metrics.expose().decode())
    assert [(row["suite"], row["agents"]) for row in rows] == [("AES128-SHA", 1), ("TLS_AES_256_GCM_SHA384", 2)]
    first = render_suites(rows).splitlines()[1]
    assert "AES128-SHA" in first
    assert WEAK in first

"""What waits in agents' spools, as they say; and what a gateway shows of its own state."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from pathlib import Path

from gateway.agents import AgentLimits
from gateway.budget import Budget
from gateway.health import Health
from gateway.memory import MemoryPublisher
from gateway.metrics import TABLE
from gateway.standing import expires_s, show_standing
from infra.metrics import Metrics
from infra.settings import GatewaySettings
from schemas.frames import ASKS_BACKLOG, Backlog, Ping, Pong, Welcome
from tests.gateway.conftest import Stage, open_stage
from tests.gateway.endpoint import Credentials, Endpoint

SWEEP = AgentLimits(sweep_interval_s=0.02)


def shown(metrics: Metrics) -> dict[str, float]:
    lines = (line for line in metrics.expose().decode().splitlines() if line.startswith("gateway_"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


async def until_shown(stage: Stage, name: str, value: float) -> dict[str, float]:
    async with asyncio.timeout(60):
        while shown(stage.metrics)[name] != value:  # noqa: ASYNC110 - the port's sweep decides when
            await asyncio.sleep(0.01)
    return shown(stage.metrics)


async def test_spools_are_shown_as_a_sum_the_fullest_and_the_oldest(pki: Path, enrol) -> None:
    """Of agents that are connected, what each said last; one that goes takes its spool along."""
    async with open_stage(pki, limits=SWEEP) as stage:
        ana, ben = await stage.greet(enrol()), await stage.greet(enrol())
        ana.send(Backlog(9, 5000, 60_000))
        ana.send(Backlog(3, 1000, 90_000))
        ben.send(Backlog(1, 2000, 500))
        found = await until_shown(stage, "gateway_agents_spooled_bytes", 3000)
        assert found["gateway_agents_spooled_most_bytes"] == 2000
        assert found["gateway_agents_spool_oldest_seconds"] == 90
        await ben.close()
        found = await until_shown(stage, "gateway_agents_spooled_bytes", 1000)
        assert found["gateway_agents_spooled_most_bytes"] == 1000
        await ana.close()


async def test_an_agent_is_asked_for_its_spool_and_need_not_tell(stage: Stage, ana: Credentials) -> None:
    """The Welcome asks; an agent that says nothing, as older ones do, is served as ever."""
    endpoint = await Endpoint.connect(ana, stage.number)
    endpoint.send(ana.hello())
    welcome = await endpoint.receive()
    assert isinstance(welcome, Welcome)
    assert welcome.asks == [ASKS_BACKLOG]
    endpoint.send(Ping(1))
    assert await endpoint.receive() == Pong(1)
    assert shown(stage.metrics)["gateway_agents_spooled_bytes"] == 0


async def test_a_clock_that_differs_is_counted_when_its_agent_is_greeted(stage: Stage, ana: Credentials) -> None:
    """Whichever way."""
    for shift_ms in (0, -50_000, 50_000):
        endpoint = await Endpoint.connect(ana, stage.number)
        endpoint.send(replace(ana.hello(), time_ms=int(time.time() * 1000) + shift_ms))
        assert isinstance(await endpoint.receive(), Welcome)
    found = shown(stage.metrics)
    assert found['gateway_agent_clock_seconds_bucket{le="30.0"}'] == 1
    assert found['gateway_agent_clock_seconds_bucket{le="60.0"}'] == 3


async def test_what_a_gateway_is_short_of_and_when_its_certificates_end(pki: Path, tmp_path: Path) -> None:
    """Read when somebody asks; a file that is not there is not a number."""
    metrics = Metrics(TABLE)
    health = Health(MemoryPublisher(), Budget(1 << 20, 1 << 10), tmp_path)
    settings = GatewaySettings(cert_file=pki / "gateway.pem", ca_file=pki / "ca.pem")
    show_standing(metrics, health, settings)
    assert shown(metrics)['gateway_fault{component="kafka"}'] == 1
    await health.look()
    found = shown(metrics)
    assert (found['gateway_fault{component="kafka"}'], found['gateway_fault{component="disk"}']) == (0, 0)
    for certificate in ("gateway", "ca"):
        name = f'gateway_certificate_expires_timestamp_seconds{{certificate="{certificate}"}}'
        assert time.time() + 86_400 < found[name] < time.time() + 40 * 365 * 86_400
    assert math.isnan(expires_s(tmp_path / "none.pem"))


def test_of_several_certificates_a_server_has_the_first_and_a_ca_the_last_to_end(pki: Path, tmp_path: Path) -> None:
    """A chain begins with the server's own; of two CAs in force one may end."""
    both = tmp_path / "both.pem"
    both.write_bytes((pki / "gateway.pem").read_bytes() + (pki / "ca.pem").read_bytes())
    assert expires_s(both) == expires_s(pki / "gateway.pem")
    assert expires_s(both, last=True) == expires_s(pki / "ca.pem") > expires_s(both)

"""The parts of a gateway process: what serves agents, and what serves HTTPS. A process has either or both.

Never reaches from one part into another: what both need is handed to them by the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.agents import AgentLimits, AgentPort
from gateway.draining import Draining, Tell
from gateway.enrol import enrolment_dir
from gateway.gate import Gate
from gateway.https import HttpsPort, listen
from gateway.live.desk import LiveDesk
from gateway.ops.acks import AckMeter
from gateway.presence.own import OwnGateway
from infra.pki.revocations import Revocations
from infra.tls.listener import TlsListener

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Mapping

    from gateway.facts import Facts
    from gateway.health import Health
    from gateway.lifecycle import LifecycleLog
    from gateway.marks import Marks
    from gateway.policy import PolicyFiles, Told
    from gateway.presence.desk import Presence
    from gateway.publisher import Publisher
    from infra.approved import ApprovedNodes
    from infra.lifecycle import Reporter
    from infra.metrics import Metrics
    from infra.settings import Settings
    from infra.tls import Listener

    Tasks = Mapping[str, Coroutine[Any, Any, Any]]


class AgentsPart:
    """The agent port and, beside it, the port of live views."""

    def __init__(
        self,
        settings: Settings,
        publisher: Publisher,
        facts: Facts,
        policy: PolicyFiles,
        metrics: Metrics,
        *,
        marks: Marks,
    ) -> None:
        gateway = settings.gateway
        self._settings = settings
        self.gate = Gate(gateway.ca_file.parent, Revocations(enrolment_dir(settings)), pin_agents=gateway.pin_agents)
        self.live = LiveDesk(settings, lambda: policy.told, facts, metrics, marks=marks)
        self.port = AgentPort(
            publisher,
            facts,
            metrics,
            lambda: policy.told,
            budget_bytes=gateway.memory_budget_bytes,
            limits=AgentLimits(
                gateway.max_connections,
                gateway.max_handshakes,
                handshake_timeout_s=gateway.handshake_timeout_s,
                hello_timeout_s=gateway.handshake_timeout_s,
            ),
            refuses=self.gate.refuses,
            live=self.live.hub,
        )
        self._acks = AckMeter(metrics)
        self._live_listener: socket.socket | None = None
        self.tls: TlsListener | None = None
        self._https: TlsListener | None = None

    def follow_wishes(self, reporter: Reporter, health: Health, tell: Tell) -> Draining:
        """What drains this part when somebody wishes so; `tell` tells others of it."""
        return Draining(
            self._settings, reporter, self.port, health, self.open_agents, tell=tell, more=self._acks.look_and_tell
        )

    def tell_of(self, reporter: Reporter, health: Health) -> OwnGateway:
        """What it tells others of itself."""
        return OwnGateway(self._settings, reporter, self.port, self.live.hub, health)

    def load_tls(self, https: TlsListener) -> list[TlsListener]:
        """Make the agent port's TLS, and take `https` for live views; raises `ConfigError` for an unusable one."""
        self.tls, self._https = make_tls(self._settings, "agent"), https
        return [self.tls]

    def open_live(self) -> None:
        """Open the port of live views; raises `OSError`."""
        self._live_listener = listen(self._settings.gateway.host, self._settings.live_port)

    def open_agents(self) -> None:
        """Open the agent port, if it is not; raises `OSError`."""
        gateway = self._settings.gateway
        assert self.tls
        if not self.port.listening:
            self.port.listen(gateway.host, gateway.agent_port, self.tls.context)

    def tasks(self) -> Tasks:
        """What runs beside, by name."""
        assert self._live_listener
        assert self._https
        return {"live": self.live.port.serve(self._live_listener, self._https.context)}

    def look_again(self, *, policy_changed: bool) -> None:
        """Files may have changed."""
        if policy_changed:
            self.port.tell_policy()
        if self.gate.reload():
            self.port.drop_refused()


class WebPart:
    """The HTTPS port, with or without the console."""

    def __init__(
        self,
        settings: Settings,
        facts: Facts,
        *,
        policy: PolicyFiles,
        health: Health,
        approved: ApprovedNodes,
        metrics: Metrics,
        events: LifecycleLog,
        presence: Presence,
        marks: Marks,
    ) -> None:
        self._settings = settings
        self._marks = marks
        self._listener: socket.socket | None = None
        self._told: Callable[[], Told] = lambda: policy.told
        self._facts, self._metrics = facts, metrics
        self.https = HttpsPort(
            settings,
            health=health,
            policy=policy,
            facts=facts,
            metrics=metrics,
            approved=approved,
            assigner=presence.assigner,
            marks=marks,
            console="console" in settings.gateway.parts,
        )
        if self.https.services:
            self.https.services.lifecycle = events
            self.https.services.presence = presence.view
        self._https: TlsListener | None = None

    def load_tls(self, https: TlsListener) -> list[TlsListener]:
        """Take `https` for the port; there is nothing to make."""
        self._https = https
        return []

    def make_live(self) -> LiveDesk:
        """What gives tickets for live views, where they are shown by other processes alone."""
        return LiveDesk(self._settings, self._told, self._facts, self._metrics, marks=self._marks)

    def open(self) -> None:
        """Open the port; raises `OSError`."""
        self._listener = listen(self._settings.gateway.host, self._settings.gateway.https_port)

    def tasks(self) -> Tasks:
        """What runs beside, by name."""
        assert self._listener
        assert self._https
        tasks: dict[str, Coroutine[Any, Any, Any]] = {"https": self.https.serve(self._listener, self._https.context)}
        if self.https.services:
            tasks["replays"] = self.https.services.replays.follow()
            tasks["browser unlocks"] = self.https.services.browser_unlocks.follow()
        return tasks


def make_tls(settings: Settings, listener: Listener) -> TlsListener:
    """A port's TLS, which is checked here: one that does not offer what its profile says is not opened."""
    gateway = settings.gateway
    agents = listener == "agent"
    own = gateway.agent_tls_profile if agents else gateway.https_tls_profile
    return TlsListener(
        own or gateway.tls_profile,
        listener,
        cert=gateway.cert_file,
        key=gateway.key_file,
        client_ca=gateway.ca_file if agents else None,
    )

"""The tables about what serves agents and people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from infra.settings.group import MIB, Count, Group, Port, Seconds
from infra.settings.nodes import GatewayPart
from infra.tls import Profile


class GatewaySettings(Group):
    """What agents and people connect to."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all."""
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = "gateway"
    """Name of the process among those of its node."""
    parts: Annotated[list[GatewayPart], Field(min_length=1)] = ["agents", "https", "console", "mirror"]
    """What one process serves: agents and live views, HTTPS, the console on it, lifecycle; `node run` sets it."""
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes for agents on an application server, each with an even port and the odd one beside it."""
    agent_port: Port = 10000
    """TLS port of the agents' protocol: even, 10000 to 11000."""
    https_port: Port = 443
    """HTTPS port: enrolment, assignment, health, schemas."""
    mirror_port: Port = 42001
    """Clear-text port that mirrors lifecycle events to approved nodes."""
    tls_profile: Profile = Profile.MODERN
    """`modern`, `datasheet` or `datasheet_ecdhe`; docs/tls.md."""
    agent_tls_profile: Profile | None = None
    """The agent port's own, where it differs."""
    https_tls_profile: Profile | None = None
    """The HTTPS port's own, where it differs."""
    pin_server: bool = True
    """Agents are told the pins of the gateway's keys, and connect to no other key; docs/pki.md."""
    pin_agents: bool = False
    """An agent is admitted by its registered keys alone, not by any that the CA certified."""
    cert_file: Path = Path("pki/gateway.pem")
    """Certificate of the gateway with its chain."""
    key_file: Path = Path("pki/gateway.key")
    """Private key of that certificate."""
    ca_file: Path = Path("pki/ca.pem")
    """CA that issues the agents' certificates."""
    ca_key_file: Path = Path("pki/ca.key")
    """Private key of that CA, with which agents are enrolled."""
    memory_budget_bytes: Annotated[int, Field(ge=8 * MIB)] = 256 * MIB
    """Bytes of envelopes in memory, in all."""
    max_connections: Count = 12000
    """Agents connected at once."""
    max_handshakes: Count = 64
    """TLS handshakes in progress at once."""
    handshake_timeout_s: Seconds = 10.0
    """Seconds until an unfinished TLS handshake is given up."""
    policy_file: Path = Path("policy.json")
    """What agents may record; read again when it changes."""
    recipients_dir: Path = Path("keys")
    """Directory of the public KEKs (`*.pub.pem`) that agents get."""

    @model_validator(mode="after")
    def _serve_console_on_https(self) -> Self:
        """The console has no port of its own."""
        if "console" in self.parts and "https" not in self.parts:
            raise ValueError("parts: console needs https")
        if self.agent_port + 2 * self.processes > 65534:
            raise ValueError("agent_port leaves no room for so many processes")
        return self


class ConsoleSettings(Group):
    """The console on the HTTPS port."""

    pages_dir: Path | None = None
    """Folder of the built pages; those that came with the product when not given."""


class RecordingsSettings(Group):
    """Showing what was recorded and sealed to the server's KEK."""

    readers: Annotated[int, Field(ge=1, le=16)] = 1
    """Processes that open recordings for the console; each is started when it is needed."""
    idle_s: Seconds = 300.0
    """Seconds after which such a process that nobody used is ended, and keys and plaintext with it."""
    cache_bytes: Annotated[int, Field(ge=MIB)] = 64 * MIB
    """Bytes of screens that each of them keeps, compressed, to show the moments after them sooner."""


class LiveSettings(Group):
    """Watching and listening live."""

    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of the viewers' websockets: odd, 10001 to 11001; 0 for the agent port and one."""
    viewers: Count = 200
    """People who watch or listen at once, on one gateway."""
    viewers_each: Annotated[int, Field(ge=1, le=8)] = 8
    """People who watch one screen, or hear one agent, at once."""
    queue_bytes: Annotated[int, Field(ge=MIB)] = 8 * MIB
    """Bytes that wait for one viewer; beyond them the viewer begins anew with a whole frame."""
    session_s: Seconds = 14400.0
    """Seconds after which a view ends, whatever was seen."""
    audio_cipher: Literal["chacha20-poly1305", "blowfish"] = "chacha20-poly1305"
    """How agents seal live sound: `blowfish` is the datasheet's, in counter mode with HMAC-SHA256."""
    audio_first_port: Annotated[int, Field(ge=1024, le=65535)] = 1024
    """First of the UDP ports, one of which is opened at random for each agent that is heard."""
    audio_last_port: Annotated[int, Field(ge=1024, le=65535)] = 65535
    """Last of them."""
    ticket_key_file: Path = Path("secrets/live.key")
    """Key of viewers' tickets; made when it is missing, and the same on every gateway."""

    @model_validator(mode="after")
    def _order_ports(self) -> Self:
        """The first port is not after the last."""
        if self.audio_first_port > self.audio_last_port:
            raise ValueError("audio_first_port must not be above audio_last_port")
        return self

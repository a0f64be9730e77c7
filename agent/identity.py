"""Who this agent is: its id, certificate, key, and the server that it enrolled at, in the agent directory.

Never sends or logs its key, and calls itself enrolled only when everything is there.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.kek import read_recipients
from infra.files import write_whole
from infra.tls import Profile, client_context
from schemas.errors import ConfigError, SealstreamError
from schemas.identity import agent_bytes
from schemas.keys import Recipient

IDENTITY, KEY, CERTIFICATE, CA, RECIPIENTS = "identity.json", "key.pem", "cert.pem", "ca.pem", "recipients.pem"


@dataclass(frozen=True, slots=True)
class AgentIdentity:
    """An enrolled agent. `server` is host:port of the HTTPS listener."""

    agent_id: str
    server: str
    enrolled_ms: int

    @property
    def id_bytes(self) -> bytes:
        """The agent id as envelopes carry it, 16 bytes."""
        return agent_bytes(self.agent_id)


def enrolled(directory: Path) -> bool:
    """Whether an agent enrolled here."""
    return (directory / IDENTITY).exists()


def load_identity(directory: Path) -> AgentIdentity:
    """Who the agent in `directory` is; raises `ConfigError`."""
    path = directory / IDENTITY
    try:
        body = json.loads(path.read_text("utf-8"))
        identity = AgentIdentity(str(body["agent_id"]), str(body["server"]), int(body["enrolled_ms"]))
        agent_bytes(identity.agent_id)
    except FileNotFoundError:
        raise ConfigError(
            f"no agent is enrolled in {directory}: get a token with `sealstream agent token` on the server, "
            "then `sealstream agent enrol TOKEN` here"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is not usable ({error}): enrol again with --force") from None
    return identity


def save_identity(
    directory: Path, identity: AgentIdentity, *, key: bytes, certificate: str, ca: str, recipients: list[str]
) -> None:
    """Write all of it, `identity.json` last: killed before that, the agent is not enrolled."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    write_whole(directory / KEY, key, mode=0o600)
    write_whole(directory / CERTIFICATE, certificate.encode(), mode=0o644)
    write_whole(directory / CA, ca.encode(), mode=0o644)
    save_recipients(directory, recipients)
    write_whole(directory / IDENTITY, json.dumps(asdict(identity), indent=2).encode() + b"\n", mode=0o644)


def save_recipients(directory: Path, recipients: list[str]) -> None:
    """Keep the server's KEKs for a start without the server."""
    write_whole(directory / RECIPIENTS, "\n".join(recipients).encode(), mode=0o644)


def load_recipients(directory: Path) -> tuple[Recipient, ...]:
    """The server's KEKs as last told; raises `ConfigError`."""
    try:
        return read_recipients((directory / RECIPIENTS).read_bytes())
    except (OSError, SealstreamError) as error:
        raise ConfigError(f"{directory / RECIPIENTS} is not usable ({error}): enrol again with --force") from None


def tls_context(directory: Path, profile: str) -> ssl.SSLContext:
    """How this agent connects: it shows its certificate and trusts the server's CA alone; raises `ConfigError`."""
    try:
        return client_context(Profile(profile), directory / CA, directory / CERTIFICATE, directory / KEY)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the agent's certificate in {directory} is not usable ({error}): enrol again") from None

"""By what agents know this server, over HTTPS: the CAs and pins to keep, and new certificates for old ones.

Never renews for a key that is neither in the certificate shown nor registered as its backup.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from cryptography.hazmat.primitives import serialization
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.body import read_body, read_texts
from gateway.peer import address_of
from infra.files import write_whole
from infra.pki.authority import CA_CERT
from infra.pki.certificates import agent_of, issue_agent, key_of_request, verify_agent
from infra.pki.pins import pin_of, pin_of_certificate
from infra.pki.progress import HEARD_NAME, read_heard
from infra.pki.register import Entry, Register, format_serial
from infra.pki.revocations import Revocations
from infra.pki.server_pins import BACKUP_SUFFIX, PINS_NAME, load_pins, prepare_pins, publish, trust_set
from schemas.errors import ConfigError, MalformedError
from schemas.identity import agent_bytes
from schemas.trust import RENEW_PATH, TRUST_PATH, TrustSet, read_pin, write_pin

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from gateway.facts import Facts
    from gateway.throttle import Throttle
    from infra.settings import Settings

log = structlog.get_logger()

RENEW_AT_MOST_EVERY_S = 60.0
_MAX_AGENTS = 100_000


class RefusedError(MalformedError):
    """A renewal that is not granted; `status` is HTTP's."""

    def __init__(self, message: str, status: int = 403) -> None:
        super().__init__(message, "refused")
        self.status = status


@dataclass(frozen=True, slots=True)
class Renewal:
    """The body of `POST /api/v1/renew`: texts, `backup_pin` empty where there is none."""

    certificate: str
    csr: str
    backup_pin: str = ""

    @classmethod
    def parse(cls, body: bytes) -> Renewal:
        """Read the body; raises `MalformedError`."""
        fields = read_texts(body, ("certificate", "csr"), ("backup_pin",))
        if fields["backup_pin"]:
            read_pin(fields["backup_pin"])
        return cls(**fields)


class TrustApi:
    """Two routes, and what they tell. `reload` looks whether the files say something new."""

    def __init__(self, settings: Settings, facts: Facts, throttle: Throttle) -> None:
        gateway = settings.gateway
        self._directory = gateway.ca_file.parent
        self._facts = facts
        self._throttle = throttle
        self._heard_file = settings.node.data_dir / "enrol" / HEARD_NAME
        self._heard: dict[str, int] = read_heard(self._heard_file)
        self._heard_new = False
        self._revocations = Revocations(settings.node.data_dir / "enrol")
        prepare_server(self._directory, gateway.key_file, enforced=gateway.pin_server)
        self._stamp = self._look()
        self.told: TrustSet = trust_set(self._directory)
        self.routes = [Route(TRUST_PATH, self.show), Route(RENEW_PATH, self.renew, methods=["POST"])]

    def reload(self) -> None:
        """Take what has changed in the files, and write down what agents said."""
        self._revocations.reload()
        if self._heard_new:
            self._heard_new = False
            self._heard_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(self._heard_file, json.dumps(self._heard).encode(), durable=False)
        stamp = self._look()
        if stamp == self._stamp:
            return
        try:
            publish(self._directory, load_pins(self._directory).pins)  # a change of the CAs is a new version, too
            self.told = trust_set(self._directory)
        except (ConfigError, OSError) as error:
            log.error("trust_unusable", reason=str(error))  # noqa: TRY400 - the message is all there is to say
            return
        self._stamp = self._look()
        log.info("trust_changed", version=self.told.version, pins=len(self.told.pins))

    async def show(self, request: Request) -> Response:
        """`GET /api/v1/trust`: what an agent is to know its servers by. Nothing in it is secret."""
        agent, version = request.query_params.get("agent", ""), request.query_params.get("have", "")
        if version.isdecimal() and len(version) < 16:
            self._hear(agent, int(version))
        return JSONResponse(self.told.to_json())

    async def renew(self, request: Request) -> Response:
        """`POST /api/v1/renew`: a new certificate for an agent that has one."""
        address = address_of(request)
        if not self._throttle.allows(address, time.monotonic()):
            return JSONResponse({"error": "too many attempts: try again in a minute"}, 429)
        try:
            wish = Renewal.parse(await read_body(request))
            agent, certificate = await asyncio.to_thread(self._issue, wish)
        except MalformedError as error:
            self._throttle.fail(address, time.monotonic())
            log.warning("renewal_refused", reason=str(error), address=address)
            return JSONResponse({"error": str(error)}, getattr(error, "status", 400))
        except (OSError, ConfigError) as error:
            log.error("renewal_impossible", reason=str(error))  # noqa: TRY400 - the message is all there is to say
            return JSONResponse({"error": "the server cannot issue certificates now"}, 503)
        if not await self._facts.audit_durably("renew", agent, "done", address=address):
            return JSONResponse({"error": "the server cannot keep its audit now"}, 503)
        return JSONResponse({"certificate": certificate, "trust": self.told.to_json()})

    def _issue(self, wish: Renewal) -> tuple[str, str]:
        """The agent, and its new certificate; raises `MalformedError`."""
        shown = verify_agent(self._directory, wish.certificate.encode())
        der = shown.public_bytes(serialization.Encoding.DER)
        agent_id = agent_of(der)
        agent = str(UUID(bytes=agent_id))
        self._revocations.reload()
        if agent in self._revocations or self._revocations.has_serial(format_serial(shown.serial_number)):
            raise RefusedError("revoked")
        known = entries_of(self._directory, agent)
        allowed = {write_pin(pin_of_certificate(der)), *(entry.backup_pin for entry in known[-1:])}
        wanted = key_of_request(wish.csr.encode())
        if write_pin(pin_of(wanted)) not in allowed:
            raise RefusedError("the key is neither the one in the certificate nor its registered backup")
        if known and time.time() * 1000 - known[-1].issued_ms < RENEW_AT_MOST_EVERY_S * 1000:
            raise RefusedError("renewed a moment ago: try again in a minute", 429)
        backup = wish.backup_pin or (known[-1].backup_pin if known else "")
        certificate = issue_agent(self._directory, agent_id, wish.csr.encode(), backup_pin=backup)
        return agent, certificate.decode("ascii")

    def _hear(self, agent: str, version: int) -> None:
        try:
            name = str(UUID(bytes=agent_bytes(agent)))
        except MalformedError:
            return
        if self._heard.get(name) != version and (name in self._heard or len(self._heard) < _MAX_AGENTS):
            self._heard[name] = version
            self._heard_new = True

    def _look(self) -> tuple[tuple[int, int] | None, ...]:
        stats = [_stat(self._directory / name) for name in (PINS_NAME, CA_CERT)]
        return tuple(stats)


def prepare_server(directory: Path, key: Path, *, enforced: bool) -> None:
    """Publish the pins of the key that we serve with; raises `ConfigError` for one that agents do not know."""
    if key.parent == directory and key.suffix == ".key" and not key.name.endswith(BACKUP_SUFFIX):
        prepare_pins(directory, key.stem, enforced=enforced)
    else:  # a key that somebody else looks after: its pins are what `sealstream pki pins add` told
        publish(directory, load_pins(directory).pins, enforced=enforced)


def entries_of(directory: Path, agent: str) -> list[Entry]:
    """The certificates that an agent got, oldest first."""
    return [entry for entry in Register(directory).read() if entry.name == agent]


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size

"""By what agents know this server, over HTTPS: the CAs and pins to keep, and new certificates for old ones.

Never renews for a key that is neither in the certificate shown nor registered as its backup.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import structlog
from cryptography.hazmat.primitives import serialization
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.body import read_body, read_texts
from gateway.peer import address_of
from infra.files import write_whole
from infra.keys.table import connected
from infra.pki.authority import CA_CERT
from infra.pki.certificates import agent_of, certify_agent, key_of_request, verify_agent
from infra.pki.pins import pin_of, pin_of_certificate, pin_of_file
from infra.pki.progress import HEARD_NAME, read_heard
from infra.pki.register import Entry, Register, format_serial
from infra.pki.revocations import Revocations
from infra.pki.server_pins import BACKUP_SUFFIX, PINS_NAME, load_pins, prepare_pins, publish, trust_set
from infra.pki.table import add_entries, fetch_entries_of, is_revoked
from schemas.errors import ConfigError, MalformedError, UnavailableError
from schemas.identity import agent_bytes
from schemas.trust import RENEW_PATH, TRUST_PATH, TrustSet, read_pin, write_pin

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509
    from starlette.requests import Request

    from gateway.facts import Facts
    from gateway.throttle import Throttle
    from infra.pki.forms import PublicKey
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
        self._settings = settings
        self._directory = settings.gateway.ca_file.parent
        self._facts = facts
        self._throttle = throttle
        self._heard_file = settings.node.data_dir / "enrol" / HEARD_NAME
        self._heard: dict[str, int] = read_heard(self._heard_file)
        self._heard_new = False
        self._revocations = Revocations(settings.node.data_dir / "enrol")
        self._certificates = Certificates(self._directory)
        self._publishes = "master" in settings.node.roles
        if self._publishes:
            prepare_server(self._directory, settings.gateway.key_file, enforced=settings.gateway.pin_server)
        self._stamp = self._seen = self._look()
        self.told: TrustSet = trust_set(self._directory)
        self._look_at_own_key()
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
        if stamp != self._seen:  # files that change together are taken up when all of them stand
            self._seen = stamp
            return
        try:
            if self._publishes:
                self._publish()
            self.told = trust_set(self._directory)
        except (ConfigError, OSError) as error:
            log.error("trust_unusable", reason=str(error))  # noqa: TRY400 - the message is all there is to say
            return
        self._stamp = self._seen = self._look()
        self._look_at_own_key()
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
        if not await self._throttle.allows(address):
            return JSONResponse({"error": "too many attempts: try again in a minute"}, 429)
        try:
            wish = Renewal.parse(await read_body(request))
            agent, certificate = await self._issue(wish)
        except MalformedError as error:
            await self._throttle.fail(address)
            log.warning("renewal_refused", reason=str(error), address=address)
            return JSONResponse({"error": str(error)}, getattr(error, "status", 400))
        except (OSError, ConfigError) as error:
            log.error("renewal_impossible", reason=str(error))  # noqa: TRY400 - the message is all there is to say
            return JSONResponse({"error": "the server cannot issue certificates now"}, 503)
        if not await self._facts.audit_durably("renew", agent, "done", address=address):
            return JSONResponse({"error": "the server cannot keep its audit now"}, 503)
        return JSONResponse({"certificate": certificate, "trust": self.told.to_json()})

    async def _issue(self, wish: Renewal) -> tuple[str, str]:
        """The agent, and its new certificate; raises `MalformedError`."""
        shown = await asyncio.to_thread(verify_agent, self._directory, wish.certificate.encode())
        agent_id = agent_of(shown.public_bytes(serialization.Encoding.DER))
        agent = str(UUID(bytes=agent_id))
        known = await self._know(agent, format_serial(shown.serial_number))
        wanted = key_of_request(wish.csr.encode())
        backup = check_renewal(shown, known, wanted, wish.backup_pin)
        certificate, entry = await asyncio.to_thread(
            certify_agent, self._directory, agent_id, wish.csr.encode(), backup_pin=backup
        )
        await self._share(entry)
        return agent, certificate.decode("ascii")

    async def _know(self, agent: str, serial: str) -> list[Entry]:
        """The certificates of an agent, oldest first, by this node and by what others issued a moment ago.

        Raises `RefusedError` for what is revoked here or there.
        """
        self._revocations.reload()
        revoked = agent in self._revocations or self._revocations.has_serial(serial)
        entries = await asyncio.to_thread(self._certificates.of, agent)
        try:
            async with connected(self._settings) as connection:
                entries += await fetch_entries_of(connection, agent)
                revoked = revoked or await is_revoked(connection, agent, serial)
        except (UnavailableError, asyncpg.PostgresError) as error:
            log.info("renewal_by_files", reason=str(error))
        if revoked:
            raise RefusedError("revoked")
        return sorted({entry.serial: entry for entry in entries}.values(), key=lambda entry: entry.issued_ms)

    async def _share(self, entry: Entry) -> None:
        """Let other nodes know of it at once; the follower does it later where the database is away."""
        with contextlib.suppress(UnavailableError, asyncpg.PostgresError):
            async with connected(self._settings) as connection:
                await add_entries(connection, [entry])

    def _publish(self) -> None:
        """A change of the CAs is a new version, too; a list that another node made may be without our key."""
        gateway, known = self._settings.gateway, load_pins(self._directory)
        if any(one.name == gateway.key_file.stem and one.state == "current" for one in known.pins):
            publish(self._directory, known.pins)
        else:
            prepare_server(self._directory, gateway.key_file, enforced=gateway.pin_server)

    def _look_at_own_key(self) -> None:
        """Say that agents refuse us, where no master has published the pin of our key yet."""
        try:
            own = pin_of_file(self._settings.gateway.cert_file)
        except (OSError, ValueError):
            return  # who serves by it says what is wrong with it
        if self.told.pins and read_pin(own) not in self.told.pins:
            log.error("trust_key_not_pinned", cert=str(self._settings.gateway.cert_file), pin=own)

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


class Certificates:
    """The register of this node by holder; reads on from where it was."""

    def __init__(self, directory: Path) -> None:
        self._register = Register(directory)
        self._lock = Lock()
        self._entries: dict[str, list[Entry]] = {}

    def of(self, agent: str) -> list[Entry]:
        """The certificates that an agent got, in the order of the register; raises `ConfigError`."""
        with self._lock:
            for entry in self._register.read():
                self._entries.setdefault(entry.name, []).append(entry)
            return list(self._entries.get(agent, ()))


def check_renewal(shown: x509.Certificate, known: list[Entry], wanted: PublicKey, backup_pin: str) -> str:
    """The backup pin to register with a new certificate for the key `wanted`; raises `RefusedError`."""
    allowed = {
        write_pin(pin_of_certificate(shown.public_bytes(serialization.Encoding.DER))),
        *(entry.backup_pin for entry in known[-1:]),
    }
    if write_pin(pin_of(wanted)) not in allowed:
        raise RefusedError("the key is neither the one in the certificate nor its registered backup")
    if known and time.time() * 1000 - known[-1].issued_ms < RENEW_AT_MOST_EVERY_S * 1000:
        raise RefusedError("renewed a moment ago: try again in a minute", 429)
    return backup_pin or (known[-1].backup_pin if known else "")


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size

"""An endpoint for tests: a certificate of its own, and the agent's side of the wire over real TLS."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from infra.pki import issue_agent
from infra.tls import Profile, client_context
from schemas.frames import Ack, Frame, Goodbye, Hello, Nack, Push, Welcome
from schemas.keys import Identity
from schemas.kinds import StreamKind
from schemas.seal import Epoch
from schemas.wire import Connection, Role

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Credentials:
    """An enrolled agent: its id and its files."""

    agent_id: UUID
    ca: Path
    cert: Path
    key: Path

    @classmethod
    def make(cls, directory: Path, ca: Path, agent: UUID | None = None) -> Credentials:
        agent = agent or uuid4()
        key = ec.generate_private_key(ec.SECP384R1())  # as real ones: datasheet profiles take no other
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        pem = serialization.Encoding.PEM
        certificate = issue_agent(ca.parent, agent.bytes, request.public_bytes(pem))
        cert_file, key_file = directory / f"{agent}.pem", directory / f"{agent}.key"
        cert_file.write_bytes(certificate)
        form = serialization.PrivateFormat.PKCS8
        key_file.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
        return cls(agent, ca, cert_file, key_file)

    def context(self) -> ssl.SSLContext:
        return client_context(Profile.MODERN, self.ca, self.cert, self.key)

    def hello(self, **changes: object) -> Hello:
        values: dict[str, object] = {
            "agent_id": str(self.agent_id),
            "user": "ana",
            "computer": "desk-7",
            "versions": [1],
            "software": "test 1",
            "platform": "linux",
            "time_ms": 1,
        }
        return Hello(**{**values, **changes})  # type: ignore[arg-type]


class Endpoint:
    """One connection of an agent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.wire = Connection(Role.AGENT)
        self._frames: list[Frame] = []

    @classmethod
    async def connect(cls, credentials: Credentials, port: int, context: ssl.SSLContext | None = None) -> Endpoint:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context or credentials.context(), server_hostname="127.0.0.1"
        )
        return cls(reader, writer)

    @classmethod
    async def greet(cls, credentials: Credentials, port: int, context: ssl.SSLContext | None = None) -> Endpoint:
        endpoint = await cls.connect(credentials, port, context)
        endpoint.send(credentials.hello())
        assert isinstance(await endpoint.receive(), Welcome)
        return endpoint

    def send(self, frame: Frame) -> None:
        self.writer.write(self.wire.send(frame))

    def push(self, *envelopes: bytes) -> None:
        self.writer.write(self.wire.push(envelopes))

    async def receive(self) -> Frame | None:
        """The next frame; none when the gateway has closed."""
        async with asyncio.timeout(TIMEOUT_S):
            while not self._frames:
                try:
                    data = await self.reader.read(65536)
                except (ConnectionError, ssl.SSLError):
                    return None
                if not data:
                    return None
                self._frames = self.wire.receive(data)
        return self._frames.pop(0)

    async def receive_until(self, next_: int) -> list[Frame]:
        """Frames until an Ack says that everything below `next_` is settled."""
        frames: list[Frame] = []
        while True:
            frame = await self.receive()
            assert frame is not None, frames
            frames.append(frame)
            if isinstance(frame, Ack) and frame.next >= next_:
                return frames

    async def ending(self) -> list[Frame]:
        """All frames until the gateway closes."""
        frames: list[Frame] = []
        while (frame := await self.receive()) is not None:
            frames.append(frame)
        return frames

    async def close(self) -> None:
        self.writer.close()


def seal_for(agent_id: UUID, identity: Identity, kind: StreamKind = StreamKind.KEYSTROKES) -> Epoch:
    """An epoch of that agent, to seal envelopes with."""
    return Epoch.begin(agent_id=agent_id.bytes, kind=kind, recipients=[identity.recipient], created_ms=1)


def goodbye_code(frames: list[Frame]) -> int | None:
    """The code of the Goodbye that ended these frames."""
    return next((frame.code for frame in frames if isinstance(frame, Goodbye)), None)


def nacks(frames: list[Frame]) -> list[Nack]:
    """The nacks among these frames."""
    return [frame for frame in frames if isinstance(frame, Nack)]


__all__ = ["Credentials", "Endpoint", "Push", "goodbye_code", "nacks", "seal_for"]

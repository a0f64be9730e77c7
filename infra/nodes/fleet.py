"""The child nodes that are updated from here: where each is reached, its pinned host key, how it is restarted.

Never holds a password, and never takes a host key that nobody confirmed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from infra.files import write_whole
from infra.hosts import authority
from schemas.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from infra.settings import Settings

FOLDER = "nodes"
"""In the data directory: `nodes.json`, `known_hosts`, the state of a roll-out, and its lock."""

_NAME = re.compile(r"^[a-z0-9][a-z0-9.-]{0,62}$")
_KEY = re.compile(r"^(ssh-[a-z0-9-]+|ecdsa-sha2-[a-z0-9-]+) ([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class ChildNode:
    """One node. `root` is the folder there that holds the releases, `restart` and `check` are commands there."""

    name: str
    user: str
    host: str
    port: int = 22
    root: str = ""
    restart: str = ""
    check: str = ""

    @property
    def address(self) -> str:
        """As `add` took it."""
        return f"ssh://{self.user}@{authority(self.host, self.port)}"

    @property
    def pattern(self) -> str:
        """As `known_hosts` names it."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


def parse_address(name: str, address: str) -> ChildNode:
    """The node at `ssh://user@host[:port]`; raises `ConfigError`."""
    if not _NAME.match(name):
        raise ConfigError(
            f"{name!r} cannot be a node's name: it is its `node.id`, of small letters, digits, dots, dashes"
        )
    try:
        parts = urlsplit(address)
        port = parts.port or 22
    except ValueError:
        raise ConfigError(f"{address!r} has no usable port") from None
    if parts.password is not None:
        raise ConfigError("a password in the address is refused: nodes are reached by the key in `update.key_file`")
    if parts.scheme != "ssh" or not parts.hostname or not parts.username or parts.path.strip("/"):
        raise ConfigError(f"{address!r} is not an address: write it like ssh://sealstream@10.0.0.7:22")
    return ChildNode(name, parts.username, parts.hostname, port)


def parse_host_key(text: str) -> str:
    """`TYPE BASE64` of a line as `ssh-keyscan` or the file /etc/ssh/ssh_host_*.pub has it; raises `ConfigError`."""
    match = _KEY.search(text.strip())
    fields = text.split()
    for at in range(len(fields) - 1):
        match = match or _KEY.match(" ".join(fields[at : at + 2]))
    if match is None:
        raise ConfigError("this is no SSH host key: give the line of /etc/ssh/ssh_host_ed25519_key.pub of that node")
    return f"{match[1]} {match[2]}"


def fingerprint(host_key: str) -> str:
    """As `ssh-keygen -l` shows it."""
    digest = hashlib.sha256(b64decode(host_key.split()[1])).digest()
    return "SHA256:" + b64encode(digest).decode().rstrip("=")


class Fleet:
    """The nodes in the data directory."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.update
        self.folder = settings.node.data_dir / FOLDER
        self.known_hosts = self.folder / "known_hosts"
        self._path = self.folder / "nodes.json"

    def nodes(self) -> dict[str, ChildNode]:
        """By name, with what the settings say where a node does not; raises `ConfigError` for a damaged file."""
        try:
            rows = json.loads(self._path.read_bytes())
            found = [ChildNode(**row) for row in rows]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{self._path} is not usable ({error}): mend it, or add the nodes again") from None
        return {node.name: self._whole(node) for node in found}

    def find(self, name: str) -> ChildNode:
        """The node of that name; raises `ConfigError` that lists those there are."""
        nodes = self.nodes()
        if name not in nodes:
            known = ", ".join(sorted(nodes)) or "none"
            raise ConfigError(f"no node {name!r} is updated from here (there are: {known}): `sealstream nodes add`")
        return nodes[name]

    def host_key(self, node: ChildNode) -> str:
        """The pinned host key of a node, empty when there is none."""
        for line in self._host_lines():
            pattern, _, key = line.partition(" ")
            if pattern == node.pattern:
                return key
        return ""

    def add(self, node: ChildNode, host_key: str) -> None:
        """Add a node, or say another way to reach it; its host key is pinned."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = [line for line in self._host_lines() if line.partition(" ")[0] != node.pattern]
        write_whole(self.known_hosts, "".join(f"{line}\n" for line in [*kept, f"{node.pattern} {host_key}"]).encode())
        self._save({**self._stored(), node.name: node})

    def remove(self, name: str) -> None:
        """Forget a node and its host key; raises `ConfigError`."""
        node = self.find(name)
        kept = [line for line in self._host_lines() if line.partition(" ")[0] != node.pattern]
        write_whole(self.known_hosts, "".join(f"{line}\n" for line in kept).encode())
        self._save({key: one for key, one in self._stored().items() if key != name})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who updates nodes from here; raises `UnavailableError` when somebody does already."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise UnavailableError(
                "nodes are being updated from here already: `sealstream nodes list` shows how far"
            ) from None
        finally:
            os.close(descriptor)

    def _whole(self, node: ChildNode) -> ChildNode:
        root = node.root or self._settings.root
        return ChildNode(
            node.name,
            node.user,
            node.host,
            node.port,
            root,
            node.restart or self._settings.restart,
            (node.check or self._settings.check).replace("{root}", root),
        )

    def _stored(self) -> dict[str, ChildNode]:
        if not self._path.exists():
            return {}
        self.nodes()  # raises for a damaged file
        return {row["name"]: ChildNode(**row) for row in json.loads(self._path.read_bytes())}

    def _save(self, nodes: dict[str, ChildNode]) -> None:
        rows = [asdict(nodes[name]) for name in sorted(nodes)]
        write_whole(self._path, json.dumps(rows, indent=1).encode() + b"\n")

    def _host_lines(self) -> list[str]:
        try:
            return self.known_hosts.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []


def wheel_of(path: Path) -> tuple[str, str]:
    """Version and SHA-256 of a wheel of ours; raises `ConfigError`."""
    match = re.fullmatch(r"sealstream-([^-]+)(-[^-]+){3,4}\.whl", path.name)
    if match is None:
        raise ConfigError(f"{path.name} is no wheel of sealstream: it is called sealstream-VERSION-….whl")
    try:
        with path.open("rb") as file:
            return match[1], hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None

"""The configuration cache (R4.7): the policy as last told, and the servers, for a start without a master.

Holds nothing secret, and its encryption keeps nobody out: the key stands below. It only discourages editing by hand;
what protects the policy is the connection that it came by, and what protects from a false server is its certificate.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from cryptography.fernet import Fernet, InvalidToken

from agent.masters import split_address
from agent.policy import Policy
from infra.files import write_whole
from schemas.errors import ConfigError, MalformedError

CACHE = "cache"

log = structlog.get_logger()

_OBFUSCATION = Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"sealstream configuration cache").digest()))


class OlderPolicyError(MalformedError):
    """The policy is older than the one that is known."""


class PolicyCache:
    """What one agent was told last, in memory and in the agent directory. `directory` `None`: in memory alone."""

    def __init__(self, directory: Path | None, agent_id: str) -> None:
        self._path = directory / CACHE if directory is not None else None
        self._agent_id = agent_id
        self.policy, self.servers = self._load()
        """The newest policy, and the agent ports (`host:port`) that are tried while no master answers."""

    def read(self, body: dict[str, Any]) -> Policy:
        """The policy that the server told; raises `MalformedError` for one that is not understood, or is older."""
        policy = Policy.from_json(body)
        if policy.version < self.policy.version:
            raise OlderPolicyError(f"version {policy.version} is older than {self.policy.version}", "older_policy")
        return policy

    def keep(self, policy: Policy) -> None:
        """Remember the policy that is in force now."""
        if policy != self.policy:
            self.policy = policy
            self._save()

    def keep_servers(self, servers: Sequence[str]) -> None:
        """Remember the servers that are known now."""
        if tuple(servers) != self.servers:
            self.servers = tuple(servers)
            self._save()

    def accept(self, body: dict[str, Any]) -> Policy:
        """Read and keep."""
        policy = self.read(body)
        self.keep(policy)
        return policy

    def _load(self) -> tuple[Policy, tuple[str, ...]]:
        """What was kept; of what is not usable, a policy that records nothing, and no servers."""
        try:
            token = self._path.read_bytes() if self._path is not None else b""
            body = json.loads(_OBFUSCATION.decrypt(token)) if token else {}
            if not token or body["agent_id"] != self._agent_id:
                return Policy(), ()
            return Policy.from_json(body["policy"]), _servers_in(body)
        except FileNotFoundError:
            return Policy(), ()
        except (OSError, InvalidToken, ValueError, KeyError, TypeError, MalformedError) as error:
            log.warning("cache_unusable", error=type(error).__name__)
            return Policy(), ()

    def _save(self) -> None:
        if self._path is None:
            return
        body = {"agent_id": self._agent_id, "policy": self.policy.to_json(), "servers": list(self.servers)}
        try:
            write_whole(self._path, _OBFUSCATION.encrypt(json.dumps(body).encode()), mode=0o644)
        except OSError as error:
            log.warning("cache_not_written", reason=error.strerror)


def _servers_in(body: dict[str, Any]) -> tuple[str, ...]:
    """Those that are addresses; none where an older release wrote the file."""
    servers = body.get("servers")
    return tuple(one for one in servers if _is_address(one)) if isinstance(servers, list) else ()


def _is_address(text: object) -> bool:
    try:
        return isinstance(text, str) and bool(split_address(text))
    except ConfigError:
        return False

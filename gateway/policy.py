"""What agents are told: the policy, the KEKs of the server, the officers' key sets; read again when they change.

Never replaces a policy by one that cannot be read: the one before stays, and the log says why. Never makes or changes a
key set: it hands on what an officer signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from infra.keys.registry import COPY_NAME, Purpose, State, known_rows
from infra.keys.signed_sets import SETS_NAME, load_signed_sets
from infra.policy import parse_policy
from schemas.envelope import MAX_RECIPIENTS
from schemas.errors import ConfigError, MalformedError
from schemas.frames import Policy as PolicyFrame
from schemas.keys import Recipient

log = structlog.get_logger()

CHECK_INTERVAL_S = 2.0

DEFAULT_POLICY: dict[str, Any] = {
    "streams": ["screen", "keystrokes", "email", "activity"],
    "exclude_applications": [],
    "exclude_titles": [],
    "pause_allowed": True,
    "key_frame_interval_s": 300,
    "max_frames_per_second": 1,
}
"""What a new installation records, until somebody edits the file."""

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What agents are told now. `policy` as in `Welcome`; `recipients` are PEM public keys; `key_sets` by agent id.

    The key set under the empty name is for agents that no set names.
    """

    policy: dict[str, Any] = field(default_factory=dict)
    recipients: list[str] = field(default_factory=list)
    key_sets: Mapping[str, dict[str, str]] = field(default_factory=dict)

    def key_set_for(self, agent_id: str) -> dict[str, str]:
        """The signed key set of an agent, empty when there is none."""
        return self.key_sets.get(agent_id) or self.key_sets.get("", {})

    def frame(self, agent_id: str = "") -> PolicyFrame:
        """The frame that tells it to an agent that is connected."""
        return PolicyFrame(self.policy, self.recipients, dict(self.key_set_for(agent_id)))


class PolicyFiles:
    """The policy file and the directory of KEKs, with the node's copy of what is registered and signed (`infra.keys`).

    `told` is what they last said.
    """

    def __init__(self, policy_file: Path, recipients_dir: Path) -> None:
        self._policy_file = policy_file
        self._recipients_dir = recipients_dir
        self._stamp = self._look()
        self.told = self._read()

    def reload(self) -> bool:
        """Read again what has changed; whether agents must be told."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            told = self._read()
        except ConfigError as error:
            log.error("policy_unusable", reason=str(error))  # noqa: TRY400 - the message is all there is to say
            return False
        changed, self.told = told != self.told, told
        if changed:
            log.info(
                "policy_changed",
                version=told.policy["version"],
                recipients=len(told.recipients),
                key_sets=len(told.key_sets),
            )
        return changed

    def _read(self) -> Told:
        folder = self._recipients_dir
        return Told(read_policy(self._policy_file), read_recipients(folder), load_signed_sets(folder))

    def _look(self) -> Stamp:
        """Name, time and size of every file that counts."""
        folder = self._recipients_dir
        files = [self._policy_file, folder / COPY_NAME, folder / SETS_NAME, *sorted(folder.glob("*.pub.pem"))]
        stats = [(file, file.stat()) for file in files if file.exists()]
        return tuple((str(file), stat.st_mtime_ns, stat.st_size) for file, stat in stats)


def read_policy(path: Path) -> dict[str, Any]:
    """The policy in a `.json` or `.toml` file, the default where there is none; raises `ConfigError`.

    A file without `version` gets the time of its last change: that grows with every edit.
    """
    try:
        text = path.read_bytes()
        version = path.stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return {**DEFAULT_POLICY, "version": 1}
    except OSError as error:
        raise ConfigError(f"the policy {path} cannot be read: {error.strerror}") from None
    return {"version": version, **parse_policy(text, path)}


def read_recipients(directory: Path) -> list[str]:
    """The KEKs of the server that agents seal to, as PEM, in the order of their registration; raises `ConfigError`.

    A row without a file on this node is left out, loudly: nothing is gained by recording nothing at all.
    """
    pems: list[str] = []
    for row in known_rows(directory):
        if row.purpose is not Purpose.SERVER or row.state is not State.ACTIVE:
            continue
        try:
            file = row.public_path(directory)
        except ConfigError as error:
            log.error("kek_unusable", reason=str(error))  # noqa: TRY400 - the message is all there is to say
            continue
        if not file.exists():
            log.error("kek_not_here", kek=row.name, file=str(file))
            continue
        try:
            pem = file.read_bytes()
            Recipient.from_pem(pem)
        except (OSError, MalformedError, ConfigError) as error:
            raise ConfigError(f"the public key {file} cannot be used: {error}") from None
        pems.append(pem.decode("ascii"))
    if len(pems) > MAX_RECIPIENTS:
        raise ConfigError(
            f"{directory} holds {len(pems)} public keys; an envelope has at most {MAX_RECIPIENTS} recipients"
        )
    return pems

"""What agents are told: the policy from its file and the public KEKs to seal to, read again when they change.

Never replaces a policy by one that cannot be read: the one before stays, and the log says why.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from schemas.envelope import MAX_RECIPIENTS
from schemas.errors import ConfigError, MalformedError
from schemas.frames import Policy as PolicyFrame
from schemas.keys import Recipient
from schemas.kinds import StreamKind

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

_TYPES: dict[str, type | tuple[type, ...]] = {
    "version": int,
    "streams": list,
    "end_to_end": list,
    "exclude_applications": list,
    "exclude_titles": list,
    "paused": bool,
    "pause_allowed": bool,
    "key_frame_interval_s": (int, float),
    "max_frames_per_second": (int, float),
    "idle_after_s": (int, float),
    "organisation": str,
    "purpose": str,
    "contact": str,
}

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What every agent is told now. `policy` as in `Welcome`; `recipients` are PEM public keys."""

    policy: dict[str, Any] = field(default_factory=dict)
    recipients: list[str] = field(default_factory=list)

    def frame(self) -> PolicyFrame:
        """The frame that tells it to an agent that is connected."""
        return PolicyFrame(self.policy, self.recipients)


class PolicyFiles:
    """The policy file and the directory of KEKs. `told` is what they last said."""

    def __init__(self, policy_file: Path, recipients_dir: Path) -> None:
        self._policy_file = policy_file
        self._recipients_dir = recipients_dir
        self._stamp = self._look()
        self.told = Told(read_policy(policy_file), read_recipients(recipients_dir))

    def reload(self) -> bool:
        """Read again what has changed; whether agents must be told."""
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            told = Told(read_policy(self._policy_file), read_recipients(self._recipients_dir))
        except ConfigError as error:
            log.error("policy_unusable", reason=str(error))  # noqa: TRY400 - the message is all there is to say
            return False
        changed, self.told = told != self.told, told
        if changed:
            log.info("policy_changed", version=told.policy["version"], recipients=len(told.recipients))
        return changed

    def _look(self) -> Stamp:
        """Name, time and size of every file that counts."""
        files = [self._policy_file, *sorted(self._recipients_dir.glob("*.pub.pem"))]
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
    try:
        policy = tomllib.loads(text.decode()) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        raise ConfigError(f"the policy {path} is not {path.suffix.lstrip('.')}: {error}") from None
    if not isinstance(policy, dict):
        raise ConfigError(f"the policy {path} is not an object")
    check_policy(policy, path)
    return {"version": version, **policy}


def check_policy(policy: dict[str, Any], path: Path) -> None:
    """Raise `ConfigError` for what an agent would refuse, or for a name that is no policy's: a mistyped one."""
    known = {kind.label for kind in StreamKind}
    faults = [f"{name!r} is not a policy's field" for name in policy if name not in _TYPES]
    faults += [
        f"{name!r} has the wrong type"
        for name, kind in _TYPES.items()
        if name in policy and (not isinstance(policy[name], kind) or (kind is not bool and policy[name] is True))
    ]
    for name in ("streams", "end_to_end"):
        listed = policy.get(name, [])
        strange = [label for label in listed if label not in known] if isinstance(listed, list) else []
        faults += [f"{name!r} lists {label!r}; there are {', '.join(sorted(known))}" for label in strange]
    if faults:
        raise ConfigError(f"the policy {path}: " + "; ".join(faults))


def read_recipients(directory: Path) -> list[str]:
    """The public KEKs in `*.pub.pem` of a directory, by file name; raises `ConfigError`."""
    pems: list[str] = []
    for file in sorted(directory.glob("*.pub.pem")):
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

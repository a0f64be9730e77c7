"""The key set in force: taken when a pinned signer signed it, kept for a start without the server.

Never goes back to an older set, and never takes one whose signer is not pinned: a server cannot exchange a KEK.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from infra.files import write_whole
from schemas.errors import ConfigError, MalformedError
from schemas.keys import Recipient
from schemas.keyset import FINGERPRINT_BYTES, KeySet, SignedKeySet
from schemas.kinds import StreamKind

log = structlog.get_logger()

KEY_SET, SIGNERS = "key_set.json", "signers.txt"


class Checked(NamedTuple):
    """A key set that was verified, and is not in force yet."""

    signed: SignedKeySet
    key_set: KeySet


@dataclass(frozen=True, slots=True)
class _Kept:
    """The set in force and the pins by which it was verified."""

    signed: SignedKeySet
    key_set: KeySet
    pins: frozenset[bytes]


class KeySets:
    """One agent's key set. Without `directory` nothing is kept; without pins nothing is ever taken."""

    def __init__(self, agent_id: str, directory: Path | None = None, signers: Collection[bytes] = ()) -> None:
        self.problem = ""
        """Why the set that the server told last was refused."""
        self._agent_id = agent_id
        self._directory = directory
        self._signers = frozenset(signers)
        self._kept: _Kept | None = None

    @classmethod
    def load(cls, agent_id: str, directory: Path) -> KeySets:
        """What is kept in the agent directory; raises `ConfigError` for files that are not usable."""
        sets = cls(agent_id, directory, load_signers(directory))
        path = directory / KEY_SET
        try:
            body = json.loads(path.read_bytes())
            pins = frozenset(bytes.fromhex(pin) for pin in body["pins"])
            signed = SignedKeySet.from_json(body["signed"])
            sets._kept = _Kept(signed, signed.open(pins), pins)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, MalformedError) as error:
            raise ConfigError(f"{path} is not usable ({error}): enrol again with --force") from None
        return sets

    @property
    def current(self) -> KeySet | None:
        """The set in force."""
        return self._kept.key_set if self._kept else None

    @property
    def signers(self) -> frozenset[bytes]:
        """Fingerprints of those whose sets are taken: as the set in force says, else as pinned at enrolment."""
        if self._kept is None:
            return self._signers
        return frozenset(self._kept.key_set.signers) or self._kept.pins

    @property
    def bound(self) -> frozenset[str]:
        """Streams that are sealed end to end whatever the server's policy says."""
        return self.current.bound if self.current else frozenset()

    def recipients(self, kind: StreamKind) -> tuple[Recipient, ...]:
        """Who an end-to-end stream is sealed to, by the set in force; none when it does not say."""
        return self.current.recipients(kind) if self.current else ()

    def may_index(self, kind: StreamKind) -> bool:
        """Whether the officers allow that words of this stream are indexed blindly."""
        stream = self.current.streams.get(kind.label) if self.current else None
        return stream is None or stream.blind_index

    def check(self, told: dict[str, Any]) -> Checked | None:
        """The set that the server told, if it is new; raises `MalformedError` when it must be refused.

        A server that tells none changes nothing, and neither does any server where no signer is pinned.
        """
        if not told or not self.signers:
            return None
        signed = SignedKeySet.from_json(told)
        if self._kept and signed == self._kept.signed:
            self.problem = ""
            return None
        key_set = signed.open(self.signers)
        self._check_scope(key_set)
        current = self.current
        if current and key_set.version < current.version:
            raise MalformedError(f"the key set {key_set.version} is older than {current.version}", "older")
        if current and key_set.version == current.version:
            raise MalformedError(f"there are two key sets of version {current.version}", "forked")
        return Checked(signed, key_set)

    def adopt(self, checked: Checked) -> None:
        """Put a verified set in force, durably first."""
        kept = _Kept(checked.signed, checked.key_set, self.signers)
        if self._directory is not None:
            body = {"signed": kept.signed.to_json(), "pins": sorted(pin.hex() for pin in kept.pins)}
            write_whole(self._directory / KEY_SET, json.dumps(body).encode() + b"\n", mode=0o644)
        self._kept, self.problem = kept, ""
        log.info("key_set_adopted", version=kept.key_set.version, streams=sorted(kept.key_set.streams))

    def refuse(self, error: MalformedError) -> None:
        """Keep the set in force, and remember why another was not taken."""
        if str(error) != self.problem:
            log.error("key_set_refused", reason=error.reason, detail=str(error))
        self.problem = str(error)

    def _check_scope(self, key_set: KeySet) -> None:
        if key_set.agents and self._agent_id not in key_set.agents:
            raise MalformedError("the key set is for other agents", "not_for_us")
        if not key_set.agents and self.current and self.current.agents:
            raise MalformedError(
                "the key set is for agents that no officer named, and one named this one", "not_for_us"
            )


def load_signers(directory: Path) -> frozenset[bytes]:
    """The fingerprints that were pinned at enrolment; raises `ConfigError`."""
    path = directory / SIGNERS
    try:
        return parse_signers(path.read_text("utf-8").split())
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not usable ({error}): one SHA-256 in hex a line") from None


def save_signers(directory: Path, signers: Collection[bytes]) -> None:
    """Pin signers anew, at enrolment: a set that others signed is forgotten."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    (directory / KEY_SET).unlink(missing_ok=True)
    if signers:
        write_whole(directory / SIGNERS, "".join(f"{pin.hex()}\n" for pin in sorted(signers)).encode(), mode=0o644)
    else:
        (directory / SIGNERS).unlink(missing_ok=True)


def parse_signers(texts: Collection[str]) -> frozenset[bytes]:
    """Fingerprints from hex; raises `ValueError`."""
    pins = frozenset(bytes.fromhex(text.replace(":", "")) for text in texts)
    if any(len(pin) != FINGERPRINT_BYTES for pin in pins):
        raise ValueError("a fingerprint has 64 hex digits")
    return pins

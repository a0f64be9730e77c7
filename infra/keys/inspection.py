"""Looking at all keys at once: what needs a person before it hurts.

Asks for no passphrase, changes nothing, and says of every finding whether it is a problem.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from infra.keys.access import open_identity
from infra.keys.assignment import Situation, build_sets
from infra.keys.registry import USABLE, Purpose, Registered, State, known_rows
from infra.keys.roster import fetch_situation
from infra.keys.signed_sets import fetch_sets
from infra.keys.signer import pinned_signers
from infra.keys.table import connected
from infra.settings import Settings, read_secret
from schemas.errors import ConfigError, MalformedError, UnavailableError, WrongPassphraseError
from schemas.keyset import KeySet, SignedKeySet
from schemas.work_factor import pbkdf2_rounds

WEAK_ROUNDS = 100_000
_DEK_INFO = b"DEK-Info:"


class Finding(NamedTuple):
    """One thing that was looked at."""

    subject: str
    says: str
    problem: bool = False


async def inspect(settings: Settings) -> list[Finding]:
    """Everything there is to say about this node's keys."""
    folder = settings.keys.dir
    findings: list[Finding] = []
    try:
        async with connected(settings) as connection:
            situation = await fetch_situation(connection, folder, frozenset())
            rows, signed = list(situation.rows.values()), await fetch_sets(connection)
    except UnavailableError as error:
        findings.append(Finding("table", f"{error}; looks at this node's copy", problem=True))
        rows, situation, signed = known_rows(folder), None, []
    for row in rows:
        findings += look_at(settings, row)
    if not any(row.purpose is Purpose.SERVER and row.state is State.ACTIVE for row in rows):
        findings.append(
            Finding("server", "no KEK of the server is active: agents have nothing to seal to", problem=True)
        )
    known = {name for row in rows for name in (row.public, row.private)}
    for path in sorted(folder.glob("*.pem")):
        if path.name not in known:
            findings.append(Finding(path.name, "lies among the keys and is registered nowhere", problem=True))
    findings += _look_at_signers(folder)
    if situation is not None:
        findings += _compare(situation, signed, folder)
    return findings


def look_at(settings: Settings, row: Registered) -> Iterator[Finding]:
    """What there is to say of one KEK."""
    folder = settings.keys.dir
    try:
        recipient = row.recipient(folder)
    except ConfigError as error:
        yield Finding(row.name, str(error), problem=row.state in USABLE)
        return
    about = (
        f"{row.purpose.value}, {row.state.value}, RSA-{recipient.public_key.key_size}, {recipient.key_id.hex()[:16]}"
    )
    yield Finding(row.name, about)
    if row.in_token or not row.private:
        return
    try:
        path = row.private_path(folder)
    except ConfigError as error:
        yield Finding(row.name, str(error), problem=True)
        return
    if not path.exists():
        if row.purpose is Purpose.SERVER and row.state in USABLE:
            yield Finding(row.name, f"{path.name} is not on this node: its miners cannot open with it", problem=True)
        return
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Finding(row.name, f"{path.name} is readable by others: `chmod 600 {path}`", problem=True)
    yield from _look_at_protection(row, path)
    if row.state in USABLE:
        yield from _try_servers_passphrase(settings, row)


def _try_servers_passphrase(settings: Settings, row: Registered) -> Iterator[Finding]:
    """It must open the server's KEKs, and no other."""
    try:
        open_identity(settings, row, read_secret(settings.keys.passphrase_file).encode())
    except (ConfigError, UnavailableError) as error:
        if row.purpose is Purpose.SERVER or not isinstance(error, WrongPassphraseError):
            yield Finding(row.name, str(error), problem=True)
    else:
        if row.purpose is Purpose.END_TO_END:
            yield Finding(row.name, "the server's own passphrase opens it: it is not end-to-end", problem=True)


def _look_at_protection(row: Registered, path: Path) -> Iterator[Finding]:
    pem = path.read_bytes()
    rounds = pbkdf2_rounds(pem)
    if b"ENCRYPTED" not in pem:
        yield Finding(row.name, f"{path.name} has no passphrase: whoever has the file opens all", problem=True)
    elif _DEK_INFO in pem:
        yield Finding(
            row.name,
            f"{path.name} is in the traditional format, which guards a passphrase weakly: "
            f"`openssl pkcs8 -topk8 -v2 aes-256-cbc -iter 600000 -in {path}`",
            problem=True,
        )
    elif rounds is not None and rounds < WEAK_ROUNDS:
        yield Finding(
            row.name,
            f"{path.name} has {rounds} rounds of PBKDF2: "
            f"`openssl pkcs8 -topk8 -v2 aes-256-cbc -iter 600000 -in {path}`",
            problem=True,
        )


def _look_at_signers(folder: Path) -> Iterator[Finding]:
    try:
        signers = pinned_signers(folder)
    except ConfigError as error:
        yield Finding("signers", str(error), problem=True)
        return
    if not signers:
        yield Finding("signers", "none: agents read their end-to-end KEK from its file on the endpoint (R6.2)")
    for name, fingerprint in signers.items():
        yield Finding(f"signer {name}", fingerprint.hex())


def _compare(situation: Situation, signed: Sequence[object], folder: Path) -> Iterator[Finding]:
    """Whether what is assigned is what was signed, by a signer whom agents pin."""
    try:
        wanted = build_sets(situation, 0, 0)
    except ConfigError as error:
        yield Finding("assignments", str(error), problem=True)
        return
    try:
        signers = set(pinned_signers(folder).values())
        given = [SignedKeySet.from_json(one).open(signers) for one in signed]
    except (MalformedError, ConfigError) as error:
        yield Finding("key set", f"{error}: agents refuse it", problem=True)
        return
    if not situation.assignments and not given:
        return
    changed = sorted(agent or "agents not known yet" for agent in _differing(wanted, given))
    if changed:
        some = ", ".join(changed[:3]) + (" …" if len(changed) > 3 else "")
        yield Finding("key set", f"not distributed as assigned to {len(changed)} agents ({some})", problem=True)
    elif given:
        yield Finding("key set", f"version {given[0].version}, distributed as assigned")


def _differing(wanted: Sequence[KeySet], given: Sequence[KeySet]) -> set[str]:
    before, after = _by_agent(given), _by_agent(wanted)
    return {agent for agent in before.keys() | after.keys() if before.get(agent, "{}") != after.get(agent, "{}")}


def _by_agent(sets: Sequence[KeySet]) -> dict[str, str]:
    """Who each agent's streams are sealed to, as text that compares."""
    return {agent: _sealing(key_set) for key_set in sets for agent in key_set.agents or ("",)}


def _sealing(key_set: KeySet) -> str:
    rows = sorted(key_set.streams.items())
    return json.dumps({label: [sorted(one.hex() for one in row.recipients), row.blind_index] for label, row in rows})

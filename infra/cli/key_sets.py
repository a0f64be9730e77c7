"""`sealstream keys assign|group|signer|distribute`: who end-to-end streams are sealed to, signed by an officer.

Never leaves the signing key's passphrase anywhere, and signs nothing that it did not show.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.cli.exits import Exit
from infra.cli.keys import AsJson, PassphraseFile, Why, ask_passphrase, load, run
from schemas.errors import ConfigError

if TYPE_CHECKING:
    from infra.keys.assignment import Assignment, Situation
    from infra.settings import Settings
    from schemas.keyset import KeySet, SignedKeySet

NEXT = "next: `sealstream keys distribute`, by an officer who signs it; until then nothing changes"


def add_key_sets(keys: typer.Typer) -> None:
    """Add the commands to `keys`."""
    keys.command("assign")(assign)
    keys.command("group")(group)
    keys.command("distribute")(distribute)
    signer = typer.Typer(help="The officers' signing keys, which agents pin.", no_args_is_help=True)
    signer.command("make")(make_signer)
    signer.command("list")(list_signers)
    keys.add_typer(signer, name="signer")


def assign(  # noqa: PLR0917  # typer calls it by names
    names: Annotated[list[str], typer.Argument(help="KEKs, by name.")],
    default: Annotated[bool, typer.Option("--default", help="For every agent that nothing narrower names.")] = False,
    groups: Annotated[
        list[str] | None, typer.Option("--group", help="For the members of a group or department.")
    ] = None,
    endpoints: Annotated[list[str] | None, typer.Option("--endpoint", help="For a computer, by its name.")] = None,
    agents: Annotated[list[str] | None, typer.Option("--agent", help="For an agent, by its id.")] = None,
    streams: Annotated[
        list[str] | None, typer.Option("--stream", help="screen, keystrokes or email; all three otherwise.")
    ] = None,
    break_glass: Annotated[bool, typer.Option("--break-glass", help="A further KEK, for emergencies.")] = False,
    always: Annotated[
        bool, typer.Option("--always", help="Sealed end to end even where the policy does not say so.")
    ] = False,
    no_blind_index: Annotated[bool, typer.Option("--no-blind-index", help="Its words are not to be indexed.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take the assignment back.")] = False,
    reason: Why = "",
) -> None:
    """Say which KEKs an end-to-end stream is sealed to. The narrowest scope counts: agent, endpoint, group, default.

    Break-glass KEKs of every scope are added. Nothing changes until an officer signs: `sealstream keys distribute`.

    Examples: `sealstream keys assign officers-2026 --default`, `sealstream keys assign finance --group finance
    --stream email --always`, `sealstream keys assign vault --default --break-glass`
    """
    from infra.keys.assignment import Assignment, Scope
    from schemas.keyset import SEALABLE

    labels = [kind.label for kind in SEALABLE]
    strange = [label for label in streams or [] if label not in labels]
    if strange:
        raise ConfigError(f"{strange[0]!r} cannot be sealed end to end: there are {', '.join(labels)}")
    subjects = [(Scope.DEFAULT, "")] if default else []
    subjects += [(Scope.GROUP, one) for one in groups or []] + [
        (Scope.ENDPOINT, one.lower()) for one in endpoints or []
    ]
    subjects += [(Scope.AGENT, agent_id(one)) for one in agents or []]
    if not subjects:
        raise ConfigError("for whom? Give --default, --group, --endpoint or --agent")
    wanted = [
        Assignment(f"{name}.pub.pem", scope, subject, label, break_glass, always, not no_blind_index)
        for name in names
        for scope, subject in subjects
        for label in streams or labels
    ]
    changed = run(_assign(load(), wanted, remove, reason))
    print(f"{changed} assignments {'removed' if remove else 'stored'}")
    if not changed:
        raise typer.Exit(Exit.NOTHING)
    print(NEXT)


async def _assign(settings: Settings, wanted: Sequence[Assignment], remove: bool, reason: str) -> int:
    from infra.audit import audit_trail
    from infra.keys.registry import Purpose, find
    from infra.keys.roster import drop_assignment, put_assignment
    from infra.keys.table import connected, fetch_rows

    async with connected(settings) as connection, audit_trail(settings) as write:
        rows = await fetch_rows(connection)
        changed = 0
        for one in wanted:
            row = find(rows, one.public)
            if row.purpose is not Purpose.END_TO_END:
                raise ConfigError(f"{row.name!r} is a KEK of the server: end-to-end streams are not sealed to it")
            subject = f"{one.scope.value} {one.subject}".rstrip()
            detail = {"stream": one.stream, "scope": subject}
            await write("unassign_kek" if remove else "assign_kek", f"kek {row.name}", purpose=reason, detail=detail)
            if remove:
                changed += await drop_assignment(connection, one)
            else:
                await put_assignment(connection, one)
                changed += 1
    return changed


def group(
    name: Annotated[str, typer.Argument(help="The group or department; all are listed without.")] = "",
    add: Annotated[list[str] | None, typer.Option(help="An agent's id or a computer's name.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="Likewise.")] = None,
    as_json: AsJson = False,
    reason: Why = "",
) -> None:
    """Show groups of endpoints, or change the members of one.

    Example: `sealstream keys group finance --add pc-17 --add 6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1`
    """
    if (add or remove) and not name:
        raise ConfigError("of which group? Name it first: `sealstream keys group finance --add pc-17`")
    groups = run(_group(load(), name, add or [], remove or [], reason))
    shown = {one: sorted(members) for one, members in groups.items() if not name or one == name}
    if as_json:
        print(json.dumps(shown))
    for one, members in {}.items() if as_json else shown.items():
        print(f"{one:20} {', '.join(members)}")
    if not shown:
        raise typer.Exit(Exit.NOTHING)


async def _group(
    settings: Settings, name: str, add: list[str], remove: list[str], reason: str
) -> dict[str, frozenset[str]]:
    from infra.audit import audit_trail
    from infra.keys.roster import change_group, fetch_groups
    from infra.keys.table import connected

    async with connected(settings) as connection:
        if add or remove:
            async with audit_trail(settings) as write:
                detail = {"added": ", ".join(add), "removed": ", ".join(remove)}
                await write("change_group", f"group {name}", purpose=reason, detail=detail)
                await change_group(connection, name, add, remove)
        return await fetch_groups(connection)


def make_signer(
    name: Annotated[str, typer.Argument(help="Name of the signer, such as ann.")],
    out: Annotated[
        Path | None, typer.Option(help="Where the private half goes, such as a stick; else the keys' folder.")
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make an officer's signing key (Ed25519). Agents that enrol from now on take key sets signed by it.

    No process of the server reads the private half; give it a passphrase that the server does not know.

    Example: `sealstream keys signer make ann --out /media/stick`
    """
    from infra.keys.signer import make_signer as make

    made = make(load().keys.dir, name, ask_passphrase(passphrase_file, confirm=True), out)
    print(f"fingerprint  {made.key_id.hex()}   agents pin it at enrolment (`sealstream agent token` carries it)")
    print(f"public       {made.public}")
    print(f"private      {made.private}   for the officer alone")


def list_signers(as_json: AsJson = False) -> None:
    """List the signers that new agents are told to trust.

    Example: `sealstream keys signer list`
    """
    from infra.keys.signer import pinned_signers

    signers = {name: fingerprint.hex() for name, fingerprint in pinned_signers(load().keys.dir).items()}
    if as_json:
        print(json.dumps(signers))
    for name, fingerprint in {}.items() if as_json else signers.items():
        print(f"{name:20} {fingerprint}")
    if not signers:
        raise typer.Exit(Exit.NOTHING)


def distribute(  # noqa: PLR0917  # typer calls it by names
    signer: Annotated[
        Path | None, typer.Option(help="The officer's private signing key; else the one in the keys' folder.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    trust: Annotated[
        list[Path] | None,
        typer.Option(help="Signers (public PEM) that agents trust from now on, instead of those now."),
    ] = None,
    accept: Annotated[
        list[str] | None, typer.Option(help="A KEK whose public half is to be another than the one signed before.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be signed.")] = False,
    as_json: AsJson = False,
    reason: Why = "",
) -> None:
    """Sign which KEKs each agent seals to, as assigned now, and hand it out: agents follow within seconds.

    Compare the key ids with your own: what you sign, agents believe. A KEK that is not the one that you signed before
    under its name is refused.

    Streams that the policy seals end to end at this moment are bound: the server cannot unseal them by another policy.
    Agents refuse what was changed, what is older than what they have, and signers whom they have not pinned.

    Examples: `sealstream keys distribute --dry-run`, `sealstream keys distribute --signer /media/stick/ann.pem`,
    `sealstream keys distribute --trust bob.pub.pem --trust ann.pub.pem` (the next set may be signed by bob too)
    """
    from infra.keys.signer import default_signer, keep_signed, load_signer, signed_before

    settings = load()
    situation, version, sets = run(_plan(settings, trust or []))
    _show(situation, sets, as_json)
    if dry_run:
        return
    if not sets:
        raise ConfigError("nothing is assigned and no agent is known: `sealstream keys assign NAME --default`")
    path = signer or default_signer(settings.keys.dir)
    key = load_signer(path, ask_passphrase(passphrase_file, what=f"Passphrase of {path.name}"))
    from schemas.keyset import sign_key_set

    key_ids = {entry.name: key_id for one in sets for key_id, entry in one.keys.items()}
    before = signed_before(path)
    for name in sorted(key_ids.keys() & before.keys() - set(accept or [])):
        if key_ids[name] != before[name]:
            raise ConfigError(
                f"{name}.pub.pem is not the KEK {name!r} that you signed before ({before[name].hex()}): nothing was "
                f"signed. Somebody exchanged it, unless it was you: then `--accept {name}`"
            )
    keep_signed(path, key_ids)
    run(_distribute(settings, version, [sign_key_set(one, key) for one in sets], reason))
    if not as_json:
        print(f"version {version} is signed and distributed: {len(sets)} sets for {len(situation.agents)} known agents")


async def _plan(settings: Settings, trust: Sequence[Path]) -> tuple[Situation, int, list[KeySet]]:
    from dataclasses import replace

    from gateway.policy import read_policy
    from infra.keys.assignment import build_sets
    from infra.keys.roster import fetch_situation
    from infra.keys.signed_sets import newest_version
    from infra.keys.table import connected
    from schemas.keyset import signer_fingerprint, signer_from_pem

    end_to_end = frozenset(read_policy(settings.gateway.policy_file).get("end_to_end", []))
    signers = tuple(signer_fingerprint(signer_from_pem(read(path))) for path in trust)
    now_ms = time.time_ns() // 1_000_000
    async with connected(settings) as connection:
        situation = await fetch_situation(connection, settings.keys.dir, end_to_end)
        # Grows even where the table was lost: agents refuse what is older than what they have.
        version = max(await newest_version(connection) + 1, now_ms // 1000)
    return situation, version, [replace(one, signers=signers) for one in build_sets(situation, version, now_ms)]


async def _distribute(settings: Settings, version: int, sets: Sequence[SignedKeySet], reason: str) -> None:
    from infra.audit import audit_trail
    from infra.keys.signed_sets import fetch_sets, save_sets, store_sets
    from infra.keys.table import connected

    async with connected(settings) as connection, audit_trail(settings) as write:
        detail = {"version": str(version), "sets": str(len(sets)), "signer": sets[0].signer.hex()}
        await write("distribute_keys", f"key set {version}", purpose=reason, detail=detail)
        await store_sets(connection, version, sets)
        save_sets(settings.keys.dir, await fetch_sets(connection))


def _show(situation: Situation, sets: Sequence[KeySet], as_json: bool) -> None:
    described: list[dict[str, Any]] = [
        {
            "version": one.version,
            "agents": list(one.agents),
            "streams": {label: one.names(label) for label in one.streams},
            "bound": sorted(one.bound),
            "key_ids": {key.name: key_id.hex() for key_id, key in one.keys.items()},
            "break_glass": sorted(key.name for key in one.keys.values() if key.break_glass),
        }
        for one in sets
    ]
    if as_json:
        print(json.dumps(described))
        return
    for one in described:
        agents = [f"{agent} ({situation.agents.get(agent, '')})" for agent in one["agents"]]
        print(", ".join(agents) or "agents that are not known yet")
        for label, names in one["streams"].items():
            bound = "end to end" if label in one["bound"] else "when the policy seals it end to end"
            marked = [f"{name} (break-glass)" if name in one["break_glass"] else name for name in names]
            print(f"    {label:11} {', '.join(marked)}: {bound}")
        if not one["streams"]:
            print("    nothing is assigned")
    for name, key_id in sorted({pair for one in described for pair in one["key_ids"].items()}):
        print(f"{name:15} {key_id}")


def agent_id(text: str) -> str:
    """An agent's id as it is written; raises `ConfigError`."""
    from schemas.identity import agent_bytes, agent_text

    try:
        return agent_text(agent_bytes(text))
    except ValueError:
        raise ConfigError(f"{text!r} is not an agent's id (a UUID)") from None


def read(path: Path) -> bytes:
    """A file's bytes; raises `ConfigError`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None

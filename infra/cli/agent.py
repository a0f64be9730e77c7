"""`sealstream agent`: enrol an endpoint, record it, and ask the agent that runs what it does.

Never shows what was recorded; that is for people with access, on the server.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from infra.cli.agent_trace import add_trace

T = TypeVar("T")

Directory = Annotated[
    Path | None,
    typer.Option("--dir", help="Agent directory (SEALSTREAM_AGENT_DIR).", show_default="/var/lib/sealstream-agent"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def register(app: typer.Typer) -> None:
    """Add `agent` with its commands."""
    agent = typer.Typer(no_args_is_help=True, help="The recorder on an endpoint, and tokens to enrol it.")
    agent.command("token")(token)
    agent.command("enrol")(enrol)
    agent.command("run")(run)
    agent.command("record", context_settings={"ignore_unknown_options": True})(record)
    agent.command("status")(status)
    agent.command("pause")(pause)
    agent.command("resume")(resume)
    agent.command("notice")(notice)
    agent.command("rotate-key")(rotate_key)
    add_trace(agent)
    app.add_typer(agent, name="agent")


def token(
    uses: Annotated[int, typer.Option(min=1, max=100_000, help="How many agents may enrol with it.")] = 1,
    minutes: Annotated[float, typer.Option(min=1, help="How long it is good for.")] = 60,
) -> None:
    """Make an enrolment token (on the server) and print it. Whoever has it can enrol an agent: hand it over safely.

    Example: `sealstream agent token --uses 20 --minutes 1440`
    """
    from gateway.enrol import make_token
    from infra.settings import load_settings

    print(make_token(load_settings(), uses=uses, expires_s=minutes * 60))


def enrol(
    token: Annotated[str, typer.Argument(help="What `agent token` printed on the server; `-`: standard input.")],
    directory: Directory = None,
    force: Annotated[bool, typer.Option("--force", help="Enrol again: the agent gets another identity.")] = False,
    signers: Annotated[
        list[str] | None,
        typer.Option("--signer", help="Fingerprint of an officer to trust, instead of the token's word."),
    ] = None,
) -> None:
    """Enrol this endpoint at the server that made the token, and keep its identity in the agent directory.

    Examples: `sealstream agent enrol sealstream-1.eyJzZXJ2ZXI…`, and from the server, so that nobody sees the token,
    `sealstream agent token | ssh ENDPOINT sealstream agent enrol -`
    """
    from agent.cache import PolicyCache
    from agent.clock import SystemClock
    from agent.enrolment import enrol as enrol_agent
    from agent.identity import enrolled
    from agent.settings import agent_directory
    from schemas.enrolment import EnrolmentToken
    from schemas.errors import ConfigError

    place = agent_directory(directory)
    if enrolled(place) and not force:
        raise ConfigError(f"an agent is enrolled in {place} already; --force gives it another identity")
    parsed = EnrolmentToken.parse(sys.stdin.readline() if token == "-" else token)  # noqa: S105  # a dash is no secret
    if signers:
        parsed = replace(parsed, signers=_signers(signers))
    identity, policy = _run(enrol_agent(parsed, place, SystemClock()))
    PolicyCache(place, identity.agent_id).accept(policy.to_json())
    print(f"enrolled at {identity.server} as agent {identity.agent_id}, in {place}")
    print("next: `sealstream agent run` records this endpoint; `sealstream agent notice` says what, and for whom")


def run(directory: Directory = None) -> None:
    """Record this endpoint, as the policy says, until Ctrl-C or SIGTERM. Shows the notice first.

    Examples: `sealstream agent run`, `SEALSTREAM_AGENT_DIR=~/agent sealstream agent run`
    """
    _become("run", directory, [])


def record(
    command: Annotated[list[str] | None, typer.Argument(help="After `--`: what to run. Without: your shell.")] = None,
    directory: Directory = None,
) -> None:
    """Record a terminal session: a command, or your shell. Ends with the command's own exit code.

    What is typed and shown is recorded; what is typed while the terminal does not show it (a password) is not. An agent
    that runs already takes the recording; else one runs for the session, and what it cannot deliver waits for the next.

    Examples: `sealstream agent record`, `sealstream agent record -- psql -h db.example.org shop`
    """
    _become("record", directory, command or [])


def status(directory: Directory = None, as_json: AsJson = False) -> None:
    """Show what the agent that runs is doing: connection, policy, sources, spool. Ends with 3 when none runs.

    Example: `sealstream agent status --json | jq .spool`
    """
    import json

    from infra.cli.agent_status import describe_status

    answer = _ask(directory, "status")
    print(json.dumps(answer, indent=2) if as_json else describe_status(answer))


def pause(
    directory: Directory = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="Go on by itself after so long.")] = None,
) -> None:
    """Stop recording until `resume`, where the policy allows it. The pause itself is noted as a gap.

    Example: `sealstream agent pause --minutes 30`
    """
    _ask(directory, "pause", for_s=None if minutes is None else minutes * 60)
    print("paused" if minutes is None else f"paused for {minutes:g} minutes")


def resume(directory: Directory = None) -> None:
    """Record again after a pause.

    Example: `sealstream agent resume`
    """
    _ask(directory, "resume")
    print("recording")


def notice(directory: Directory = None) -> None:
    """Say what is recorded here, for whom, and where it goes; also when no agent runs.

    Example: `sealstream agent notice`
    """
    from agent.installation import read_notice
    from agent.settings import agent_directory

    print(_run(read_notice(agent_directory(directory))), end="")


def rotate_key(directory: Directory = None) -> None:
    """Let this agent's backup key take over, with a new backup after it; the server certifies it without a token.

    An agent that runs goes on as it is, and uses the new key from its next look at its files.

    Example: `sealstream agent rotate-key`
    """
    from agent.clock import SystemClock
    from agent.identity import load_identity
    from agent.settings import agent_directory, load_settings
    from agent.trust import Trust

    place = agent_directory(directory)
    uplink, identity = load_settings(place).uplink, load_identity(place)
    trust = Trust(place, uplink.tls_profile, pinning=uplink.pin_server)
    _run(trust.rotate_key(uplink.server or identity.server, SystemClock(), uplink.connect_timeout_s))
    print(f"agent {identity.agent_id} has a new key, certified by {identity.server}")


def _signers(texts: list[str]) -> tuple[bytes, ...]:
    from agent.key_sets import parse_signers
    from schemas.errors import ConfigError

    try:
        return tuple(parse_signers(texts))
    except ValueError as error:
        raise ConfigError(f"--signer wants a fingerprint as `sealstream keys signer list` shows it: {error}") from None


def _ask(directory: Path | None, command: str, **arguments: Any) -> Any:
    from agent.control import ask
    from agent.settings import agent_directory

    return _run(ask(agent_directory(directory), command, **arguments))


def _become(command: str, directory: Path | None, rest: list[str]) -> NoReturn:
    """Go on as the agent's own process: what stays while people work does without the command line's weight."""
    from agent.settings import agent_directory

    sys.stdout.flush()
    place = str(agent_directory(directory).absolute())
    # -P: a folder `agent` where the person happens to be must not be taken for ours
    os.execv(sys.executable, [sys.executable, "-P", "-m", "agent", command, place, *rest])  # noqa: S606  # no shell


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to its end."""
    return asyncio.run(work)

"""`sealstream gateway`: run the gateway, revoke an agent, check the policy."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli.exits import Exit
from infra.cli.pki_shared import exchange


def register(app: typer.Typer) -> None:
    """Add `gateway` with its commands."""
    gateway = typer.Typer(no_args_is_help=True, help="The process that agents connect to.")
    gateway.command("run")(run)
    gateway.command("revoke")(revoke)
    gateway.command("policy")(show_policy)
    app.add_typer(gateway, name="gateway")


def run() -> None:
    """Run the gateway in the foreground until SIGTERM, with the settings of the data directory.

    Example: `sealstream gateway run --data /var/lib/sealstream`
    """
    import uvloop

    from gateway.run import run_gateway
    from infra.logging import configure_logging
    from infra.settings import load_settings

    settings = load_settings()
    configure_logging(settings.gateway.name, node=settings.node.id)
    uvloop.run(run_gateway(settings))


def revoke(agent: Annotated[str, typer.Argument(help="The agent's id, a UUID.")]) -> None:
    """Revoke an agent's certificate for good: it is disconnected within seconds and cannot connect again.

    Example: `sealstream gateway revoke 6f1c1c2e-0d3b-4f7e-9a53-0f2f7ab3a0d1`
    """
    from gateway.enrol import enrolment_dir
    from infra.pki.revocations import Revocations
    from infra.settings import load_settings

    settings = load_settings()
    Revocations(enrolment_dir(settings)).add(agent)
    exchange(settings)
    print(f"{agent} is revoked")


def show_policy() -> None:
    """Check the policy file and the public KEKs, and show what agents are told.

    Example: `sealstream gateway policy`. Ends with 2 when either cannot be used, with 1 when there is no KEK.
    """
    import json

    from gateway.policy import read_policy, read_recipients
    from infra.settings import load_settings

    settings = load_settings().gateway
    policy, recipients = read_policy(settings.policy_file), read_recipients(settings.recipients_dir)
    print(json.dumps({"policy": policy, "recipients": len(recipients)}, indent=2))
    if not recipients:
        raise typer.Exit(Exit.NOTHING)

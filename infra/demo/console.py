"""The console of the demo: an officer's account, and the way to it that a person clicks.

Never shows a password that anybody chose: the demo's is made for this run.
"""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import LocalError

if TYPE_CHECKING:
    from infra.demo.shell import Shell
    from infra.demo.story import Story


async def open_console(shell: Shell, story: Story) -> None:
    """Make an account, sign in as a page would, search for what was recorded, and say where a person does the same."""
    name, password = f"officer-{secrets.token_hex(2)}", "-".join(secrets.token_hex(3) for _ in range(4))
    with tempfile.TemporaryDirectory(prefix="sealstream-demo-") as directory:
        secret = Path(directory) / "password"
        secret.touch(mode=0o600)
        secret.write_text(password, "utf-8")
        await shell.ask("accounts", "make", name, "--role", "officer", "--all-teams", "--password-file", str(secret))
    base, found = await _search(shell, name, password, story.project)
    print(f"  {found} texts with “{story.project}” are found there")
    print(f"  Open {base}/search?q={story.project.replace(' ', '+')} and sign in as {name} with {password}")
    code, link = await shell.run("accounts", "first-link")
    if code == 0:
        print(f"  The first administrator is made by this link, once: {link.strip()}")


async def _search(shell: Shell, name: str, password: str, words: str) -> tuple[str, int]:
    import httpx2 as httpx

    from infra.settings import load_settings
    from infra.tls import client_context

    settings = load_settings(shell.data / "sealstream.toml")
    gateway = settings.gateway
    profile = gateway.https_tls_profile or gateway.tls_profile
    trust = client_context(profile, gateway.ca_file, listener="https")
    base = f"https://{settings.node.advertise}:{gateway.https_port}".removesuffix(":443")
    async with httpx.AsyncClient(verify=trust, base_url=base, timeout=30) as client:
        signed_in = await client.post("/api/v1/session", json={"name": name, "password": password})
        answer = await client.get("/api/v1/search", params={"q": f'"{words}"'})
    if signed_in.status_code != httpx.codes.OK or answer.status_code != httpx.codes.OK:
        raise LocalError(f"the console at {base} answered {signed_in.status_code}, {answer.status_code}: {answer.text}")
    return base, int(answer.json()["total"])

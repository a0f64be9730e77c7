"""The officer of the end-to-end demo: makes KEK and signing key, and has what only a person may have.

Never puts a passphrase where the server looks: the officer's directory is as private as the person's head would be.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.files import write_whole

if TYPE_CHECKING:
    from infra.demo.shell import Shell

KEK = "demo-officers"
SIGNER = "demo-officer"


@dataclass(frozen=True, slots=True)
class Officer:
    """A directory with a passphrase and a signing key, and the KEK that the passphrase opens."""

    directory: Path

    @property
    def passphrase_file(self) -> Path:
        """The officer's passphrase."""
        return self.directory / "passphrase"

    @property
    def passphrase(self) -> str:
        """Itself, to be looked for where it must not be."""
        return self.passphrase_file.read_text("utf-8").strip()

    async def prepare(self, shell: Shell) -> None:
        """Make passphrase, KEK and signer, where an earlier run did not."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        typed = ("--passphrase-file", str(self.passphrase_file))
        if not self.passphrase_file.exists():
            words = "-".join(secrets.token_hex(3) for _ in range(4))
            write_whole(self.passphrase_file, words.encode() + b"\n")
        if KEK not in {row["name"] for row in await self._keks(shell)}:
            await shell.ask("keys", "make", KEK, *typed)
            await shell.show("keys", "register", KEK)
        if not list(self.directory.glob("*.pem")):
            await shell.show("keys", "signer", "make", SIGNER, "--out", str(self.directory), *typed)

    async def take_charge(self, shell: Shell, agent_id: str) -> None:
        """From now on that agent seals to the officer's KEK alone, whatever the server's policy says."""
        await shell.show("keys", "assign", KEK, "--agent", agent_id, "--always")
        (signer,) = self.directory.glob("*.pem")
        typed = ("--passphrase-file", str(self.passphrase_file))
        await shell.show("keys", "distribute", "--signer", str(signer), *typed)

    async def _keks(self, shell: Shell) -> list[dict[str, str]]:
        code, listed = await shell.run("keys", "list", "--json")
        return list(json.loads(listed)) if code == 0 else []

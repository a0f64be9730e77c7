"""The end-to-end demo: what an officer's key seals is searched and seen by the officer, and by no server.

Never believes a search that finds nothing before the same search found what it should.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from infra.demo.canary import Needle, key_needles, text_needles
from infra.demo.desktop import Desktop
from infra.demo.endpoint import agent_status, enrol_endpoint, recording
from infra.demo.inspection import epoch_needles, inspect_stack
from infra.demo.mail import deliver, make_maildir, write_message
from infra.demo.officer import KEK, Officer
from infra.demo.session import record_session
from infra.demo.shell import Shell, until
from infra.demo.story import Story, invent_word
from infra.settings import load_settings
from schemas.errors import LocalError
from schemas.identity import agent_bytes

if TYPE_CHECKING:
    from infra.demo.canary import Search
    from schemas.keys import Identity

WAIT_S = 90.0
REASON = "demonstration"
SEALED, CONTROL = "sealed word", "control word"


class EndToEndDemo:
    """One run in a data directory."""

    def __init__(self, data: Path) -> None:
        self.shell = Shell(data)
        self.data, self._place = data, data / "demo-e2e"
        self.agent_directory, self._maildir = self._place / "agent", self._place / "Maildir"
        self.officer = Officer(self._place / "officer")
        self.word, self.asked = invent_word(), invent_word()
        self._began = time.time()
        self.agent_id = ""

    async def run(self, *, ports: str = "usual") -> None:
        """Do all of it; raises an error that says what is not as it should be."""
        shell = self.shell
        shell.say("1. The stack")
        if await shell.stream("up", "--ports", ports):
            raise LocalError("the stack did not start; what it said stands above")
        await self.prepare()
        async with Desktop((1280, 800)) as desktop, recording(shell, self.agent_directory, desktop.display):
            await self.record(desktop)
        await self.search()
        with tempfile.TemporaryDirectory(prefix="sealstream-unlocked-") as directory:
            await self.unlock(Path(directory))
        await self.inspect()
        shell.say("8. The audit: who unlocked what, and why; and that nobody changed it")
        await shell.show("audit", "list", "--since", self.age(), "--action", "unlock")
        if await shell.show("audit", "verify"):
            raise LocalError("the audit is not sound")
        shell.say(f"Done in {time.time() - self._began:.0f} s. The stack is still running; `sealstream down` stops it.")

    @property
    def control(self) -> str:
        """The word of the comparison, which the first run recorded; empty before."""
        kept = self._place / "control-word"
        return kept.read_text("utf-8") if kept.exists() else ""

    def age(self) -> str:
        """Since when, for commands."""
        return f"{int(time.time() - self._began) + 5}s"

    async def prepare(self) -> None:
        """An officer with a key, and an endpoint that trusts the officer."""
        shell = self.shell
        shell.say("2. An officer makes a KEK and a signing key; the passphrase is the officer's alone")
        await self.officer.prepare(shell)
        shell.say("3. An endpoint is enrolled: its token names the signer, and the agent trusts no other")
        maildirs = json.dumps([str(make_maildir(self._maildir))])
        await enrol_endpoint(shell, self.agent_directory, f"[recorder]\nocr = true\n[sources]\nmaildirs = {maildirs}\n")
        self.agent_id = json.loads((self.agent_directory / "identity.json").read_text("utf-8"))["agent_id"]
        shell.environment["SEALSTREAM_AGENT_DIR"] = str(self.agent_directory)

    async def record(self, desktop: Desktop) -> None:
        """First what the server may read, for comparison; then, without a restart, what it may not."""
        shell = self.shell
        if not (await agent_status(shell))["key_set"]["version"]:
            control = invent_word()
            shell.say(f"4. For comparison: a message that the server may read, about “{control}”")
            self._deliver(control, control)
            await until("that message to be found", self._found(control), WAIT_S)
            await shell.show("search", control, "--since", self.age())
            (self._place / "control-word").write_text(control, "utf-8")
        shell.say("   The officer signs that this agent seals to the officer's KEK, whatever the server's policy says")
        await self.officer.take_charge(shell, self.agent_id)
        await until("the agent to follow", self._follows, WAIT_S)
        shell.say(f"5. Real work at the endpoint, about “{self.word}”: a terminal, an editor, a shell, a message")
        story = Story(self.word, 4711)
        await desktop.type_in_terminal(story.commands[0])
        await desktop.edit_text(story.note)
        self._deliver(self.word, self.asked)
        await record_session(shell, story.session[:2])
        await until("all streams to be sealed", self._sealed, WAIT_S)

    async def search(self) -> None:
        """Nothing without the passphrase, and with it what was sealed."""
        shell = self.shell
        await until("the archive and the readers to be level", self._level, WAIT_S)
        shell.say("6. Search: nothing without unlocking, and by the blind index with it")
        print(
            "  (A plain search tells the server its words: it asks for another word of the same message.)", flush=True
        )
        if await shell.show("search", self.asked, "--since", self.age()) != 1:
            raise LocalError("the server could read what is sealed end to end")
        await until("the index to be searched", self._found(self.word, *self._unlocking()), WAIT_S)
        await shell.show("search", self.word, "--since", self.age(), *self._unlocking(), most=24)

    async def unlock(self, directory: Path) -> None:
        """A wrong passphrase, text, and a screen."""
        shell = self.shell
        shell.say("7. Unlock: a wrong passphrase first, then text, then the screen")
        wrong = directory / "wrong"
        wrong.write_text("not the passphrase\n", "utf-8")
        scope = ("unlock", "--agent", self.agent_id, "--since", self.age(), "--reason", REASON)
        if await shell.show(*scope, "--passphrase-file", str(wrong)) != 4:
            raise LocalError("a wrong passphrase was not refused")
        right = ("--key", KEK, "--passphrase-file", str(self.officer.passphrase_file))
        texts = ("--stream", "email", "--stream", "keystrokes", "--text")
        code, text = await shell.show_all(*scope, *right, *texts, most=30)
        if code or text.count(self.word) < 2:
            raise LocalError("mail and terminal were not unlocked")
        pictures = directory / "screens"
        await shell.show(*scope, *right, "--stream", "screen", "--out", str(pictures))
        self._show_picture(pictures)

    def _show_picture(self, directory: Path) -> None:
        """Read the newest pictures again, as whoever looks at them would."""
        from PIL import Image

        from infra.demo.reading import read_picture

        for path in sorted(directory.glob("*.png"), reverse=True)[:5]:
            lines = [line for line in read_picture(path) if self.word in line.lower()]
            if lines:
                kept = self._place / "unlocked-screen.png"
                shutil.copyfile(path, kept)
                kept.chmod(0o600)
                with Image.open(path) as picture:
                    size = f"{picture.width} x {picture.height}"
                print(f"  {kept} ({size}) shows: {' / '.join(lines[:3])}", flush=True)
                return
        raise LocalError(f"no unlocked picture shows {self.word!r}")

    async def inspect(self) -> Search:
        """The canary search, with its positive controls."""
        shell = self.shell
        shell.say("   Canary search: every file, store and memory of every server process (a minute)")
        settings = load_settings(self.data / "sealstream.toml")
        status = json.loads((await shell.run("status", "--json"))[1])
        pids = [component["pid"] for component in status["components"] if component["pid"]]
        search = await inspect_stack(settings, pids, self._needles(), leave=[self._place])
        gib = search.looked_at / (1 << 30)
        print(f"  looked at {gib:.1f} GiB: {search.files} files, {search.processes} processes", flush=True)
        for line in search.unread:
            print(f"  NOT LOOKED AT: {line}", flush=True)
        self._judge(search)
        return search

    def _needles(self) -> list[Needle]:
        from infra.keys import load_identity

        settings = load_settings(self.data / "sealstream.toml")
        mine = load_identity(settings.keys.dir / f"{KEK}.pem", self.officer.passphrase.encode())
        passphrase = settings.keys.passphrase_file.read_bytes().strip() if settings.keys.passphrase_file else b""
        servers: Identity = load_identity(settings.keys.dir / "server.pem", passphrase)
        return [
            *text_needles(SEALED, self.word),
            *(text_needles(CONTROL, self.control) if self.control else ()),
            *text_needles("officer's passphrase", self.officer.passphrase),
            *key_needles("officer's private KEK", mine.private_key),
            *key_needles("control key", servers.private_key),
            *epoch_needles(settings.archive.dir, agent_bytes(self.agent_id), mine),
        ]

    def _judge(self, search: Search) -> None:
        """Say what was found; controls must be, secrets must not."""
        secrets = search.of(SEALED, "officer", "DEK")
        for finding in secrets:
            print(f"  FOUND {finding.needle} in {finding.place}", flush=True)
        for name, wanted in ((CONTROL, "in what the server may read"), ("control key", "in the miner's memory")):
            places = sorted({finding.place for finding in search.of(name)})
            print(f"  {name}: found in {len(places)} places, as it must be {wanted}", flush=True)
        print(f"  sealed text, passphrase, private KEK, DEKs: found in {len(secrets)} places", flush=True)
        if secrets:
            raise LocalError("something that is sealed end to end lies open on the server")
        if not search.of("control key") or (self.control and not search.of(CONTROL)):
            raise LocalError("the search is blind: it did not find what the servers must have")

    def _deliver(self, word: str, other: str) -> None:
        text = f"Dear Ann,\n\nplease have a look at {word} today, and at {other} tomorrow.\n\nHelen\n"
        deliver(self._maildir, write_message("helen@example.com", "ann@example.com", f"About {word}", text))

    def _unlocking(self) -> tuple[str, ...]:
        typed = ("--passphrase-file", str(self.officer.passphrase_file))
        return ("--unlock", "--key", KEK, "--reason", REASON, *typed)

    def _found(self, word: str, *options: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
        async def check() -> bool:
            code, answer = await self.shell.run("search", word, "--since", self.age(), "--json", *options)
            return code == 0 and word in answer.lower()

        return check

    async def _follows(self) -> bool:
        return bool((await agent_status(self.shell))["key_set"]["streams"])

    async def _sealed(self) -> bool:
        sealed = (await agent_status(self.shell))["sealed"]
        return all(sealed.get(stream) for stream in ("email", "keystrokes", "screen"))

    async def _level(self) -> bool:
        code, answer = await self.shell.run("lag", "--json")
        with contextlib.suppress(ValueError):
            rows = json.loads(answer)
            return code == 0 and not any(row["lag"] for row in rows if row["topic"] != "heartbeats")
        return False

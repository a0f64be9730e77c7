"""A person's work at an endpoint, recorded on a real stack: a desktop, a shell, a mailbox, and the words in each.

Never the same words twice: whatever is found of them came from this recording.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from infra.datadir import VARIABLE
from infra.demo.desktop import Desktop
from infra.demo.mail import deliver, make_maildir, write_message
from infra.settings import Settings
from tests.live.operator import EnrolledAgent, end
from tests.live.typist import Typist

PASSWORD = "unspeakable" + secrets.token_hex(4)


def invent_word() -> str:
    """A word that nobody wrote before, easy to read on a screen."""
    consonants, vowels = "bdfgkmnprtvz", "aeiou"
    return "".join(secrets.choice(consonants) + secrets.choice(vowels) for _ in range(4))


@dataclass
class Recording:
    """One agent's recording of a few minutes, and the words in it by where they stood."""

    agent: EnrolledAgent
    words: dict[str, str]
    began: float
    ended: float = 0.0


PLACES = ("terminal", "page", "heading", "form", "editor", "shell", "output", "mail", "subject", "attachment")

PAGE = """<!doctype html><html lang="en"><title>Open items</title><style>body{{font:22px/1.5 sans-serif;margin:2em}}
input{{font:inherit;width:22em}}</style><h1>Open items of {0}</h1><p>The invoice for {1} is overdue since Monday.</p>
<form><p><label>Remark<br><input autofocus></label></p></form></html>"""


_made: dict[Path, Recording] = {}


def make_recording(settings: Settings) -> Recording:
    """A person works at an endpoint: terminal, browser, form, editor, a recorded shell, mail. Once for each stack."""
    root = settings.data.root
    if root not in _made:
        directory = Path(tempfile.mkdtemp(prefix="sealstream-recording-"))
        maildir = make_maildir(directory / "Maildir")
        agent = EnrolledAgent.enrol(
            settings, directory / "agent", f"[sources]\nmaildirs = {json.dumps([str(maildir)])}\n"
        )
        made = Recording(agent, {place: invent_word() for place in PLACES}, time.time())
        asyncio.run(work(made, maildir))
        made.ended = time.time()
        _made[root] = made
    return _made[root]


async def work(made: Recording, maildir: Path) -> None:
    """What the person does."""
    words = made.words
    async with Desktop(size=(1280, 800)) as desktop, running(made.agent, desktop.display):
        await desktop.type_in_terminal(f"echo backup of {words['terminal']} begins")
        await desktop.open_page(PAGE.format(words["heading"], words["page"]), "Open items")
        await desktop.fill_form(f"asked about {words['form']} today")
        await asyncio.sleep(2.5)  # a person reads, and the screen is looked at once a second
        text = f"Dear Ann,\n\nthe delivery of {words['mail']} is late.\n"
        attachment = (f"{words['attachment']}.pdf", b"%PDF-1.7 not really")
        deliver(
            maildir,
            write_message("helen@example.com", "ann@example.com", words["subject"], text, attachment=attachment),
        )
        await desktop.edit_text(f"Notes: budget of {words['editor']} approved")
        await asyncio.sleep(2.5)
        await asyncio.to_thread(type_in_shell, made)
        await asyncio.sleep(2.0)


@contextlib.asynccontextmanager
async def running(agent: EnrolledAgent, display: str) -> AsyncIterator[None]:
    """`sealstream agent run` on that display while this lasts."""
    process = await asyncio.to_thread(lambda: agent.start(DISPLAY=display))
    try:
        yield
    finally:
        await asyncio.to_thread(end, process)


def type_in_shell(made: Recording) -> None:
    """A shell under `sealstream agent record`, with a slip that is corrected and a password that nobody sees."""
    slip = made.words["shell"]
    record = [sys.executable, "-m", "infra.cli", "agent", "record", "--dir", str(made.agent.directory), "--"]
    environment = {**os.environ, "PS1": "ready> ", VARIABLE: str(made.agent.settings.data.root)}
    with Typist([*record, "bash", "--norc", "--noprofile"], environment) as typist:
        typist.await_text("ready> ")
        typist.type(f"echo {slip[:-2]}xx\x7f\x7f{slip[-2:]}\r")
        typist.await_text("ready> ")
        typist.type(f"printf '%s%s\\n' {made.words['output'][:3]} {made.words['output'][3:]}\r")
        typist.await_text("ready> ")
        typist.type("read -s -p 'Password: ' secret; echo; echo thanks\r")
        typist.await_text("Password: ")
        typist.type(f"{PASSWORD}\r")
        typist.await_text("thanks")
        typist.await_text("ready> ")
        typist.type("exit 5\r")
        assert typist.await_end() == 5, "the shell's own exit code comes back"

"""The demo, from an empty directory to words that are found: start, enrol, record, find, look round.

Never leaves an agent or a desktop running; the stack stays, for whoever wants to try the commands.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from infra.datadir import usual_place
from infra.demo.console import open_console
from infra.demo.desktop import Desktop
from infra.demo.endpoint import enrol_endpoint, recording
from infra.demo.mail import deliver, make_maildir, write_message
from infra.demo.session import record_session
from infra.demo.shell import Shell, until
from infra.demo.story import Story
from schemas.errors import LocalError

FOUND_S = 90.0
"""Longest wait for what was recorded to be found."""

STREAMS = ("screen", "keystrokes", "email", "activity")


async def run_demo(data: Path, *, ports: str = "usual") -> None:
    """Run it all in `data`; raises an error that says what to do."""
    started = time.monotonic()
    shell, story = Shell(data), Story.invent()
    shell.say("1. The stack: Kafka, Elasticsearch, PostgreSQL, Redis, gateway, stream workers, sinks")
    if await shell.stream("up", "--ports", ports):
        raise LocalError("the stack did not start; what it said stands above")
    shell.say("2. An endpoint: enrol an agent with a one-time token")
    agent, maildir = data / "demo" / "agent", make_maildir(data / "demo" / "Maildir")
    await enrol_endpoint(shell, agent, f"[sources]\nmaildirs = {json.dumps([str(maildir)])}\n")
    shell.say("3. Real input, recorded: a screen with a terminal, a browser and an editor; a shell; a mailbox")
    shell.environment["SEALSTREAM_AGENT_DIR"] = str(agent)
    recorded_at = time.time()
    async with Desktop() as desktop, recording(shell, agent, desktop.display):
        await _work(shell, story, desktop, maildir)
        shell.say(f"4. What was recorded is found, wherever it was seen: “{story.project}”")
        for stream in STREAMS[:3]:
            await until(f"the {stream} stream to be found", _found(shell, story, stream, recorded_at), FOUND_S)
        await shell.show("agent", "status")
    await _look_round(shell, story)
    _say_where_next(shell, data, time.monotonic() - started)


async def _work(shell: Shell, story: Story, desktop: Desktop, maildir: Path) -> None:
    """What a person does at the endpoint."""
    print(f"  types into a terminal window: {story.commands[0]}", flush=True)
    for command in story.commands:
        await desktop.type_in_terminal(command)
    print("  opens a page in the browser and fills in its form", flush=True)
    await desktop.open_page(story.page, story.page_title)
    await desktop.fill_form(story.remark)
    print("  receives a message", flush=True)
    deliver(maildir, write_message(*story.mail))
    print("  writes a note in a text editor", flush=True)
    await desktop.edit_text(story.note)
    print(f"  $ sealstream agent record -- bash   (and types: {story.session[1]})", flush=True)
    await record_session(shell, story.session)


def _found(shell: Shell, story: Story, stream: str, since: float) -> Any:
    """Whether this run's words are found in a stream."""

    async def check() -> bool:
        age = f"{int(time.time() - since) + 5}s"
        code, answer = await shell.run(
            "search", f'"{story.project}"', "--stream", stream, "--since", age, "--json"
        )  # fmt: skip
        return code == 0 and story.project in answer.lower()

    return check


async def _look_round(shell: Shell, story: Story) -> None:
    """What an operator would do next."""
    await shell.show("search", f'"{story.project}"', "--since", "10m", "--limit", "8")
    await shell.show("search", f"invoice {story.number}", "--stream", "screen", "--since", "10m", "--limit", "2")
    shell.say("5. The life of nodes and agents; the same lines come from `nc HOST 42001`")
    await shell.show("lifecycle", "tail", "--from-start", "--once", most=14)
    shell.say("6. How far each reader of Kafka is")
    await shell.show("lag")
    shell.say("7. The archive on disk: every envelope once, sealed as it came")
    await shell.show("archive", "verify")
    shell.say("8. The console: search, watch, unlock, reports")
    await open_console(shell, story)


def _say_where_next(shell: Shell, data: Path, seconds: float) -> None:
    shell.say(f"Done in {seconds:.0f} s. The stack is still running. Try:")
    where = "" if data == usual_place() else f" --data {data}"
    command = "sealstream" if shutil.which("sealstream") else ".venv/bin/sealstream"
    for arguments, what in (
        ("search 'invoice overdue'", "words, phrases in quotes, --fuzzy, --agent, --stream, --since"),
        ("replay envelopes.screen --since 10m --processor mine", "read it all again; nothing doubles"),
        ("lifecycle tail", "watch nodes and agents come and go"),
        ("status", "each component, its address and health"),
        ("down", "stop everything"),
    ):
        print(f"  {command} {arguments}{where}\n      {what}", flush=True)

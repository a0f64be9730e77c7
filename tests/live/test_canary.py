"""End-to-end encryption, proven from outside: canaries through a whole stack, looked for in all that its servers have.

A search that finds nothing proves nothing, so the same search must find what the servers may have: a message that was
not end-to-end, the server's own KEK in the miner, and, while an unlock is under way, key and passphrase in its process.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.unlock.remote import RemoteSession
from gateway.unlock.scope import Scope
from infra.demo.canary import Search, family, key_needles, search_memory
from infra.demo.desktop import Desktop
from infra.demo.end_to_end import CONTROL, SEALED, EndToEndDemo
from infra.demo.endpoint import recording
from infra.demo.officer import KEK
from infra.keys import load_identity
from infra.lifecycle import wall_clock_ms
from infra.settings import Settings
from schemas.identity import agent_bytes
from schemas.kinds import StreamKind
from schemas.records import decode_segment
from schemas.unlock_channel import Viewing, answer
from tests.live.operator import sealstream
from tests.running_stack import running_stack

pytestmark = [pytest.mark.live, pytest.mark.slow]

OPENER = b"gateway.unlock.opener"


@pytest.fixture(scope="module")
def demo() -> Iterator[EndToEndDemo]:
    """A stack on which an endpoint recorded a control message, and then a mail, a shell and a screen end-to-end."""
    with running_stack() as settings:
        made = EndToEndDemo(settings.data.root)
        asyncio.run(record(made))
        yield made


async def record(demo: EndToEndDemo) -> None:
    """What the demo does up to its searches."""
    await demo.prepare()
    async with Desktop((1280, 800)) as desktop, recording(demo.shell, demo.agent_directory, desktop.display):
        await demo.record(desktop)


async def unlock_over_https(demo: EndToEndDemo, settings: Settings, token_file: Path) -> Search:
    """Unlock the mail by the API of the running gateway; what the opener's memory holds meanwhile."""
    scope = Scope((agent_bytes(demo.agent_id),), (StreamKind.EMAIL,), 0, wall_clock_ms())
    server = f"https://127.0.0.1:{settings.gateway.https_port}"
    async with RemoteSession(server, token_file, settings.gateway.ca_file, scope, reason="test", keys=[KEK]) as session:
        survey = await session.survey()
        public, channel = answer(survey.public_key, session.id)
        await session.open(public, channel.seal(demo.officer.passphrase.encode()))
        meanwhile = Search()
        identity = load_identity(settings.keys.dir / f"{KEK}.pem", demo.officer.passphrase.encode())
        (opener,) = await asyncio.to_thread(openers, settings)
        search_memory(meanwhile, opener, key_needles("private KEK", identity.private_key))
        viewing = Viewing(channel)
        released = [one async for message in session.release() if (one := viewing.take(message))]
    events = [event for one in released if one.about["content_type"] == 1 for event in mails(bytes(one.plaintext))]
    assert any(demo.word in subject for subject in events)
    return meanwhile


def mails(segment: bytes) -> list[str]:
    """Subjects of the mails in a segment."""
    return [event["subject"] for event in decode_segment(StreamKind.EMAIL, segment)]


def openers(settings: Settings) -> list[int]:
    """The processes that open for this stack's gateway."""
    status = json.loads(sealstream(settings, "status", "--json"))
    pids = [component["pid"] for component in status["components"] if component["pid"]]
    return [pid for pid in family(pids) if OPENER in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]


def test_canaries_are_found_by_their_officer_and_nowhere_on_the_servers(
    demo: EndToEndDemo, settings_of: Settings, tmp_path: Path
) -> None:
    """Search and unlock, by command and by HTTPS; then no file, store or memory has text, passphrase, KEK or DEK."""
    token = tmp_path / "token"
    token.write_text(sealstream(settings_of, "api", "token", "ann"))

    async def act() -> tuple[Search, Search]:
        await demo.search()
        unlocked = tmp_path / "unlocked"
        unlocked.mkdir()
        await demo.unlock(unlocked)
        meanwhile = await unlock_over_https(demo, settings_of, token)
        return meanwhile, await demo.inspect()

    meanwhile, search = asyncio.run(act())
    assert meanwhile.of("private KEK"), "the memory of the process that opens has the key while it opens"
    assert not openers(settings_of), "no process that opens is left"
    assert not search.unread
    assert search.of(SEALED, "officer", "DEK") == []
    control = {finding.place for finding in search.of(CONTROL)}
    assert {"records of documents", "documents of Elasticsearch"} <= control
    assert any(place.startswith("memory of") for place in control)
    assert any("streams run" in finding.place for finding in search.of("control key"))
    assert not any("gateway run" in finding.place for finding in search.of("control key")), "its readers alone may"


def test_what_servers_log_names_no_word(demo: EndToEndDemo, settings_of: Settings) -> None:
    """Logs tell of the unlocks, and hold neither what was sealed nor the passphrase."""
    logs = b"".join(path.read_bytes() for path in (settings_of.data.root / "log").glob("*.log"))
    assert b"gateway_started" in logs
    for word in (demo.word, demo.officer.passphrase):
        assert word.encode() not in logs
        assert base64.b64encode(word.encode())[:-4] not in logs


def test_the_audit_has_every_unlock_and_is_sound(demo: EndToEndDemo, settings_of: Settings) -> None:
    """Asked, refused, granted and done, with their reasons; by the command line and by HTTPS."""
    entries = json.loads(sealstream(settings_of, "audit", "list", "--action", "unlock", "--json"))
    assert {entry["outcome"] for entry in entries} == {"asked", "refused", "granted", "done"}
    assert {entry["purpose"] for entry in entries} == {"demonstration", "test"}
    assert {entry["target"].split()[0] for entry in entries} == {demo.agent_id}
    assert any(entry["actor"] == "ann@api" for entry in entries)
    sealstream(settings_of, "audit", "verify", "--checkpoint", sealstream(settings_of, "audit", "checkpoint").strip())


@pytest.fixture
def settings_of(demo: EndToEndDemo) -> Settings:
    """The settings of the demo's stack."""
    from infra.datadir import DataDir
    from infra.settings import load_settings

    return load_settings(DataDir(demo.data).config)

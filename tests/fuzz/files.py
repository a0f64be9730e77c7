"""Targets: files that people, programs and attackers with a disk write: keys, settings, mail, recordings, spools.

Never leaves a file behind: what must lie on disk lies in one temporary directory.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from agent import settings as agent_settings
from agent.journal import parse_head
from agent.kek import read_recipients
from agent.policy import Policy
from agent.sources.asciicast import read_asciicast, write_asciicast
from agent.sources.mailbox import Mailbox
from agent.sources.message import MAX_TEXT, read_message
from agent.sources.trace import TraceWriter, read_trace
from infra.approved import read_file
from infra.audit_chain import Checkpoint
from infra.settings import load_settings
from schemas.errors import ConfigError, MalformedError
from schemas.keys import Identity
from schemas.keyset import KeySet, SetKey, SignedKeySet, StreamKeys, parse_payload, sign_key_set
from schemas.kinds import StreamKind
from schemas.records import Record
from tests.fuzz.target import Target


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="sealstream-fuzz-"))


@cache
def _identity() -> Identity:
    return Identity.generate(2048)


def _public(data: bytes) -> None:
    for recipient in read_recipients(data):
        assert recipient.public_key.key_size >= 2048


def _private(data: bytes) -> None:
    for passphrase in (None, b"passphrase"):
        try:
            Identity.from_pem(data, passphrase)
        except ConfigError:
            if passphrase:
                raise


def _key_set(data: bytes) -> None:
    SignedKeySet.from_json(json.loads(data)).open({bytes(32)})


def _payload(data: bytes) -> None:
    key_set = parse_payload(data.decode("utf-8", "replace"))
    assert parse_payload(key_set.to_payload()) == key_set


def _policy(data: bytes) -> None:
    body = json.loads(data)
    if isinstance(body, dict):
        policy = Policy.from_json(body)
        assert Policy.from_json(policy.to_json()) == policy
        policy.excludes("Firefox", "Some title — of a page")


def _on_disk(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def run(data: bytes) -> object:
        path = _folder() / name
        path.write_bytes(data)
        return read(path)

    return run


def _mail(data: bytes) -> None:
    record = read_message(data, size=len(data), folder="INBOX", time_us=1)
    assert len(record["text"]) <= MAX_TEXT
    json.dumps(record["subject"]).encode()
    record["text"].encode()


def _maildir(data: bytes) -> None:
    """File names that an attacker chose, in a Maildir."""
    root = Path(tempfile.mkdtemp(dir=_folder()))
    for part in ("cur", "new", "tmp"):
        (root / part).mkdir()
    for name in data.split(b"/"):
        if name.strip(b".") and len(name) < 200 and b"\0" not in name:
            (root / "new" / name.decode("utf-8", "surrogateescape")).write_bytes(b"Subject: x\n\ny")
    for deposit in Mailbox(root).changed():
        assert deposit


def _trace(data: bytes) -> None:
    for kind, event in read_trace(io.BytesIO(data)).events():
        assert kind in StreamKind
        assert isinstance(event, dict)


def _asciicast(data: bytes) -> None:
    events = list(read_asciicast(io.StringIO(data.decode("utf-8", "replace")), start_us=1))
    assert [event["time_us"] for event in events] == sorted(event["time_us"] for event in events)
    write_asciicast(io.StringIO(), events)


def _events() -> list[Record]:
    base = {"session": "s", "masked": False, "exit_code": None, "columns": 80, "rows": 24}
    later = {"title": "", "alternate": False}
    return [
        {**base, **later, "time_us": n * 1000, "kind": kind, "data": b"ls\r"}
        for n, kind in enumerate(("start", "output", "input", "resize", "end"))
    ]


def _make_trace() -> bytes:
    file = io.BytesIO()
    file.close = lambda: None  # type: ignore[method-assign]  # the writer closes what it wrote
    with TraceWriter(file, started_us=0, title="a trace") as writer:
        for event in _events():
            writer.append(StreamKind.KEYSTROKES, event)
    return file.getvalue()


def _make_asciicast() -> bytes:
    file = io.StringIO()
    write_asciicast(file, _events())
    return file.getvalue().encode()


def _make_key_set() -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    recipient = _identity().recipient
    streams = {"email": StreamKeys((recipient.key_id,), end_to_end=True)}
    keys = {recipient.key_id: SetKey("officer", recipient)}
    key_set = KeySet(3, 1, keys, streams, ("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",), (bytes(32),))
    signed = sign_key_set(key_set, Ed25519PrivateKey.generate())
    return json.dumps(signed.to_json()).encode(), signed.payload.encode()


_LETTER = b"""From: Ann <ann@example.org>
To: b@example.org, =?utf-8?q?J=C3=B6rg?= <j@example.org>
Subject: =?utf-8?b?w6Q=?=
Date: Mon, 23 Nov 2026 10:00:00 +0100
Message-ID: <1@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: text/html; charset=latin-1
Content-Transfer-Encoding: quoted-printable

<p>Gr=FC=DFe <b>there</b><script>x</script>
--b
Content-Type: application/pdf; name="a.pdf"
Content-Disposition: attachment; filename*=utf-8''%C3%A4.pdf
Content-Transfer-Encoding: base64

AAAA
--b--
"""
_MAIL = (_LETTER, _LETTER.replace(b"\n", b"\r\n"), b"Subject: plain\n\nhello\n")
_AGENT_TOML = b'[spool]\nmax_bytes = 5000000\n[sources]\nrun = ["screen"]\nmaildirs = ["/home/ann/Maildir"]\n'
_CONFIG_TOML = (
    b'[node]\nadvertise = "a"\napproved = ["127.0.0.1"]\n[gateway]\nagent_port = 10000\n[kafka]\nbootstrap = "a:1"\n'
)
_SIGNED, _PAYLOAD = _make_key_set()

TARGETS = (
    Target("public_pem", _public, (ConfigError,), (_identity().recipient.to_pem() * 2,)),
    Target("private_pem", _private, (ConfigError,), (_identity().to_pem(b"passphrase"),)),
    Target("key_set", _key_set, (MalformedError, ValueError), (_SIGNED,), text=True),
    Target("key_set_payload", _payload, (MalformedError,), (_PAYLOAD,), text=True),
    Target(
        "policy",
        _policy,
        (MalformedError, ValueError),
        (json.dumps(Policy(3, frozenset({"email"}), exclude_titles=("*bank*",)).to_json()).encode(),),
        text=True,
    ),
    Target(
        "agent_settings",
        _on_disk(agent_settings.FILE_NAME, lambda path: agent_settings.load_settings(path.parent)),
        (ConfigError,),
        (_AGENT_TOML,),
    ),
    Target("settings", _on_disk("sealstream.toml", load_settings), (ConfigError,), (_CONFIG_TOML,)),
    Target("approved", _on_disk("approved", read_file), (ConfigError,), (b"10.1.0.0/16 # office\n::1\n",)),
    Target(
        "checkpoint",
        lambda data: Checkpoint.parse(data.decode("utf-8", "replace")),
        (ConfigError,),
        (str(Checkpoint(7, bytes(32))).encode(),),
    ),
    Target("mail", _mail, (), _MAIL),
    Target("maildir", _maildir, (), (b"1700000000.M1P2.host:2,S/1700000001.M1P3.host",)),
    Target("trace", _trace, (MalformedError,), (_make_trace(),)),
    Target("asciicast", _asciicast, (MalformedError,), (_make_asciicast(), b'{"version":1,"stdout":[[0.1,"a"]]}')),
    Target("spool_head", parse_head, (), (bytes(64),)),
)

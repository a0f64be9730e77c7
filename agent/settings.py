"""The agent's settings: one table of dataclasses, read once from `agent.toml` in the agent directory.

Holds no secret and reads no environment but for the directory's place: what records people must be easy to check.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from schemas.errors import ConfigError

DEFAULT_DIRECTORY = Path("/var/lib/sealstream-agent")
DIRECTORY_VARIABLE = "SEALSTREAM_AGENT_DIR"
FILE_NAME = "agent.toml"


def _setting(default: Any, help_text: str, *, minimum: float | None = None) -> Any:
    """One row: default, help, and the least value that makes sense."""
    metadata = {"help": help_text, "minimum": minimum}
    if isinstance(default, tuple):
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """What is kept while no server takes it."""

    max_bytes: int = _setting(500_000_000, "most bytes on disk; the oldest are dropped first", minimum=4_000_000)
    max_age_h: float = _setting(24.0, "hours after which an envelope is dropped", minimum=0.01)
    commit_ms: int = _setting(50, "longest wait before what was appended is made durable", minimum=0)
    commit_bytes: int = _setting(1_048_576, "bytes after which it is made durable at once", minimum=1)


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """How events become envelopes."""

    segment_ms: int = _setting(1000, "a segment is closed this long after its first event", minimum=1)
    segment_bytes: int = _setting(262_144, "or when its events take this many bytes", minimum=1)
    epoch_s: float = _setting(900.0, "life of a data-encryption key; at most 900", minimum=1)
    pad_to: int = _setting(256, "keystrokes and email are padded to a multiple of this many bytes", minimum=1)
    ocr: bool = _setting(False, "read end-to-end screens here, whatever the policy says, so that they can be searched")
    kek_file: str = _setting("", "end-to-end KEK (R6.2); empty: the platform's fixed place")


@dataclass(frozen=True, slots=True)
class UplinkSettings:
    """How envelopes reach the server."""

    server: str = _setting("", "host:port of the master, or of several with commas; empty: the one enrolled at")
    tls_profile: str = _setting("modern", "modern, datasheet or datasheet_ecdhe")
    pin_server: str = _setting("told", "pins of the server's keys: told (kept to when known), always, never")
    trust_check_s: float = _setting(600.0, "how often the server's pins and CAs are asked for", minimum=0.1)
    connect_timeout_s: float = _setting(10.0, "longest wait for a connection and its welcome", minimum=0.1)
    ping_s: float = _setting(20.0, "a quiet connection is tried this often", minimum=0.1)
    silence_s: float = _setting(60.0, "a connection that is silent for so long is given up", minimum=0.2)
    unacked_s: float = _setting(
        20.0, "a server that acknowledges nothing for so long is left for another, if there is one; 0: never", minimum=0
    )
    backoff_first_s: float = _setting(0.5, "longest wait before the second attempt; doubles", minimum=0.01)
    backoff_max_s: float = _setting(60.0, "longest wait between attempts", minimum=0.01)
    push_bytes: int = _setting(1_048_576, "largest push", minimum=1024)


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """What `agent run` records, within the policy."""

    run: tuple[str, ...] = _setting(("screen", "activity", "email"), "sources to run: screen, activity, email, audio")
    retry_s: float = _setting(30.0, "a source that cannot work here is tried again after this long", minimum=0.1)
    display: str = _setting("", "X display of screen and activity; empty: DISPLAY")
    maildirs: tuple[str, ...] = _setting((), "Maildirs, or folders of .eml files, that are watched for email")
    shell: str = _setting("", "shell of `agent record` without a command; empty: SHELL")
    audio_device: str = _setting("", "microphone, by a part of its name; empty: the system's own")
    audio_file: str = _setting("", "a file of sound that is played in the microphone's place, for tests")
    poll_s: float = _setting(1.0, "how often windows and mail are looked at", minimum=0.05)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """All of it."""

    directory: Path
    spool: SpoolSettings = field(default_factory=SpoolSettings)
    recorder: RecorderSettings = field(default_factory=RecorderSettings)
    uplink: UplinkSettings = field(default_factory=UplinkSettings)
    sources: SourceSettings = field(default_factory=SourceSettings)


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting as the documentation lists it."""

    name: str
    default: Any
    help: str


GROUPS: dict[str, type[Any]] = {
    "spool": SpoolSettings,
    "recorder": RecorderSettings,
    "uplink": UplinkSettings,
    "sources": SourceSettings,
}

CHOICES: dict[str, frozenset[str]] = {
    "uplink.tls_profile": frozenset({"modern", "datasheet", "datasheet_ecdhe"}),
    "uplink.pin_server": frozenset({"told", "always", "never"}),
    "sources.run": frozenset({"screen", "activity", "email", "audio"}),
}
"""Settings whose values are words of a list."""

MAXIMUM: dict[str, float] = {"recorder.epoch_s": 900.0}


def setting_rows() -> list[SettingRow]:
    """Every setting, in the order of the file."""
    return [
        SettingRow(f"{group}.{f.name}", getattr(cls(), f.name), f.metadata["help"])
        for group, cls in GROUPS.items()
        for f in dataclasses.fields(cls)
    ]


def agent_directory(given: Path | None = None) -> Path:
    """The agent directory: as given, else by environment, else the default."""
    return given or Path(os.environ.get(DIRECTORY_VARIABLE) or DEFAULT_DIRECTORY)


def load_settings(directory: Path) -> AgentSettings:
    """Settings from `agent.toml`, defaults where it says nothing; raises `ConfigError` that names every fault."""
    path = directory / FILE_NAME
    try:
        body = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    faults = [f"there is no group [{name}]" for name in body if name not in GROUPS]
    groups = {name: _read_group(name, cls, body.get(name, {}), faults) for name, cls in GROUPS.items()}
    if faults:
        raise ConfigError(f"{path}: " + "; ".join(faults))
    return AgentSettings(directory, **groups)


def _read_group(group: str, cls: type[Any], body: Any, faults: list[str]) -> Any:
    if not isinstance(body, dict):
        faults.append(f"{group} is a group: write [{group}]")
        return cls()
    known = {f.name: f for f in dataclasses.fields(cls)}
    hints = get_type_hints(cls)
    faults += [f"{group}.{name} is not a setting" for name in body if name not in known]
    values: dict[str, Any] = {}
    for name in known.keys() & body.keys():
        try:
            values[name] = _read_value(f"{group}.{name}", hints[name], known[name], body[name])
        except ValueError as error:
            faults.append(str(error))
    return cls(**values)


def _read_value(name: str, hint: Any, row: dataclasses.Field[Any], value: Any) -> Any:
    if hint is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false")
        return value
    if hint in (int, float):
        if isinstance(value, bool) or not isinstance(value, int if hint is int else int | float):
            raise ValueError(f"{name} must be a number")
        if value < row.metadata["minimum"] or value > MAXIMUM.get(name, value):
            raise ValueError(f"{name} must be {row.metadata['minimum']} to {MAXIMUM.get(name, 'any')}")
        return hint(value)
    words = value if isinstance(value, list) else [value]
    if isinstance(value, list) != (hint is not str) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{name} must be {'text' if hint is str else 'a list of texts'}")
    if unknown := set(words) - CHOICES.get(name, set(words)):
        raise ValueError(f"{name} knows no {', '.join(sorted(unknown))}; it knows {', '.join(sorted(CHOICES[name]))}")
    return value if hint is str else tuple(words)

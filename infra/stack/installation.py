"""What one installation has before anything starts: settings, CA and certificates, passwords, a KEK, a policy.

Never makes anew what is there: a password, key or port that others know stays as it is.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from infra import keys, pki
from infra.cluster import store_places
from infra.datadir import DataDir
from infra.pki.server_pins import prepare_pins
from infra.settings import Settings, load_settings, read_secret
from infra.stack.elasticsearch import ADMIN_PASSWORD, CERTIFICATE
from infra.stack.ports import PortRule, binding_fault, choose_port, choose_ports
from schemas.errors import ConfigError

KEK_NAME = "server"

_TEMPLATE = """\
# Settings of this installation. docs/settings.md lists all there are, with their help;
# SEALSTREAM_<TABLE>__<NAME> in the environment overrides each. Relative paths are meant from this directory.

[node]
id = "node-1"
advertise = "127.0.0.1"

[kafka]
bootstrap = "127.0.0.1:{kafka}"

[elasticsearch]
url = "https://127.0.0.1:{elasticsearch}"

[postgresql]
dsn = "postgresql://sealstream@127.0.0.1:{postgresql}/sealstream"

[redis]
url = "redis://127.0.0.1:{redis}/0"

[gateway]
host = "127.0.0.1"
agent_port = {agent}
https_port = {https}
mirror_port = {mirror}

[miner]
port = {miner}
"""

_PLACES: Mapping[str, tuple[str, str]] = {
    "kafka": ("kafka", "bootstrap"),
    "elasticsearch": ("elasticsearch", "url"),
    "postgresql": ("postgresql", "dsn"),
    "redis": ("redis", "url"),
    "agent": ("gateway", "agent_port"),
    "https": ("gateway", "https_port"),
    "mirror": ("gateway", "mirror_port"),
    "miner": ("miner", "port"),
}
"""Where each port stands in the settings."""

DEFAULT_POLICY = {
    "version": 1,
    "streams": ["screen", "keystrokes", "email", "activity"],
    "exclude_applications": ["*keepass*", "*1password*", "*bitwarden*"],
    "exclude_titles": ["*private browsing*", "*incognito*", "*inprivate*"],
    "key_frame_interval_s": 300.0,
    "max_frames_per_second": 1.0,
    "organisation": "this organisation",
    "purpose": "set `purpose` in policy.json: people are shown why they are recorded",
    "contact": "",
}
"""What agents may record until somebody edits policy.json. The agents' notice shows it."""

PASSWORDS = (
    "postgresql.password",
    "postgresql-replication.password",
    "elasticsearch.password",
    ADMIN_PASSWORD,
    "redis.password",
    "kek.passphrase",
)


def prepare_installation(data: DataDir, *, ports: PortRule, tell: Callable[[str], None]) -> Settings:
    """Make what is missing and return the settings. By the rule `auto` a port that is taken is replaced."""
    data.root.mkdir(parents=True, exist_ok=True)
    for directory in (data.keys, data.pki, data.secrets):
        directory.mkdir(exist_ok=True, mode=0o700)
    if not data.config.exists():
        tell(f"makes the installation in {data.root}")
        pki.write_public(data.config, settings_text(choose_ports(ports)).encode())
    elif ports is not PortRule.USUAL:
        _replace_taken_ports(data, tell)
    settings = load_settings(data.config)
    make_passwords(data.secrets)
    _make_certificates(settings)
    make_server_kek(settings.keys.dir, settings.keys.passphrase_file, tell)
    make_policy(settings.gateway.policy_file)
    return settings


def make_passwords(directory: Path) -> None:
    """Every password of an installation that is not there yet."""
    for name in PASSWORDS:
        if not (directory / name).exists():
            pki.write_secret(directory / name, secrets.token_urlsafe(24).encode() + b"\n")


def make_node_keys(directory: Path) -> None:
    """Keys that several gateways must have alike: of what accounts keep secret, and of tickets for live views."""
    for name, content in {
        "accounts.key": base64.b64encode(secrets.token_bytes(32)) + b"\n",
        "live.key": secrets.token_bytes(32),
    }.items():
        if not (directory / name).exists():
            pki.write_secret(directory / name, content)


def make_policy(path: Path) -> None:
    """The policy of an installation that has none."""
    if not path.exists():
        pki.write_public(path, json.dumps(DEFAULT_POLICY, indent=2).encode() + b"\n")


def prepare_node(data: DataDir) -> Settings:
    """The settings of a node of several, after a look whether it has what its roles need; raises `ConfigError`.

    Makes nothing: a certificate or key that a node made for itself would be known to nobody.
    """
    if not data.config.exists():
        raise ConfigError(f"there is no {data.config}: make this node's directory by `sealstream node prepare`")
    settings = load_settings(data.config)
    wanted = [settings.gateway.ca_file, settings.gateway.cert_file, settings.gateway.key_file]
    if "miner" in settings.node.roles:
        wanted += [settings.keys.passphrase_file or settings.keys.dir, settings.keys.dir]
    if set(settings.node.roles) & {"master", "db", "app"}:
        wanted += [settings.postgresql.password_file or settings.data.root]
    missing = [str(path) for path in dict.fromkeys(wanted) if not path.exists()]
    if missing:
        raise ConfigError(
            f"this node lacks {', '.join(missing)}: copy its directory from where `sealstream node prepare` made it"
        )
    return settings


def settings_text(ports: Mapping[str, int]) -> str:
    """The settings file of an installation with these ports."""
    return _TEMPLATE.format(**ports)


def ports_of(settings: Settings) -> dict[str, int]:
    """The port of every listener of the stack."""
    return {name: place_of(settings, name)[1] for name in _PLACES}


def place_of(settings: Settings, name: str) -> tuple[str, int]:
    """Host and port of a listener; of an address that names several, the first."""
    return places_of(settings, name)[0]


def places_of(settings: Settings, name: str) -> list[tuple[str, int]]:
    """Every host and port that the address of a listener names."""
    table, key = _PLACES[name]
    value = getattr(getattr(settings, table), key)
    if not isinstance(value, str):
        return [(settings.gateway.host, value)]
    return [(one.host, one.port) for one in store_places(settings, name)]


def set_port(text: str, name: str, port: int) -> str:
    """The settings file's text with another port for a listener; all else, comments too, stays."""
    table, key = _PLACES[name]
    place = re.compile(rf"(^\[{table}\][^\[]*?^{key} *= *\D*?(?:[\d.]+:)?)\d+(?=[/\"\s]|$)", re.MULTILINE | re.DOTALL)
    changed, count = place.subn(rf"\g<1>{port}", text, count=1)
    if count == 0:
        return f"{text.rstrip()}\n\n[{table}]\n{key} = {port}\n"
    return changed


def _replace_taken_ports(data: DataDir, tell: Callable[[str], None]) -> None:
    ports = ports_of(load_settings(data.config))
    for name, port in ports.items():
        if binding_fault(port):
            ports[name] = choose_port(name, ports.values())
            tell(f"port {port} of {name} cannot be had: takes {ports[name]} from now on")
            text = data.config.read_text("utf-8")
            pki.write_public(data.config, set_port(text, name, ports[name]).encode())


def _make_certificates(settings: Settings) -> None:
    here = ["127.0.0.1", "::1", "localhost", socket.gethostname()]
    pki.make_ca(settings.data.pki)
    pki.issue(settings.data.pki, CERTIFICATE, server=True, hosts=here)
    pki.issue(settings.data.pki, "gateway", server=True, hosts=list(dict.fromkeys([*here, settings.node.advertise])))
    prepare_pins(settings.data.pki, "gateway", enforced=settings.gateway.pin_server)


def make_server_kek(directory: Path, passphrase_file: Path | None, tell: Callable[[str], None]) -> None:
    """The server's KEK, if there is none. A pair whose public half is missing was never given to anybody."""
    if (directory / f"{KEK_NAME}.pub.pem").exists():
        return
    tell("makes the server's KEK (RSA-3072)")
    (directory / f"{KEK_NAME}.pem").unlink(missing_ok=True)
    keys.make_kek(directory, KEK_NAME, read_secret(passphrase_file).encode())

"""The settings of servers: one typed table with its help, read from `sealstream.toml` and the environment.

Read once at start and passed down; never holds a secret's value, only the path of the file that has it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from infra.datadir import CONFIG_VARIABLE, DataDir
from infra.tls import Profile
from schemas.errors import ConfigError

MIB = 1024 * 1024

Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Group(BaseModel):
    """One table of `sealstream.toml`; a name that no setting has is refused, since it is a mistyped one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class NodeSettings(Group):
    """What concerns all processes of a node."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")] = "node-1"
    """Name of this node among all nodes."""
    data_dir: Path = Path()
    """Data directory; the one that holds the settings file when not given."""
    advertise: str = "127.0.0.1"
    """Host name or address under which agents and nodes reach this node."""
    approved: list[str] = ["127.0.0.1", "::1"]
    """Addresses or networks (CIDR) of the nodes that node ports serve."""
    heartbeat_s: Seconds = 3.0
    """Seconds between two heartbeats of a process."""


class KafkaSettings(Group):
    """The brokers."""

    bootstrap: str = "127.0.0.1:9092"
    """Brokers to ask first, `host:port` separated by commas."""
    topic_prefix: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]*$")] = ""
    """Put before every topic and consumer group."""
    replication: Count = 1
    """Replicas of each topic; 3 in production."""
    min_insync: Count = 1
    """Replicas that must have a record before it is acknowledged; 2 of 3."""
    partitions: Count = 6
    """Partitions of a topic that is made; never changed afterwards."""


class ElasticsearchSettings(Group):
    """Where mined text is searched."""

    url: str = "https://127.0.0.1:9200"
    """Address of the cluster."""
    ca_file: Path | None = Path("pki/ca.pem")
    """CA by which its certificate is known."""
    username: str = "sealstream"
    """User of the cluster."""
    password_file: Path | None = Path("secrets/elasticsearch.password")
    """File with its password."""
    index_prefix: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")] = "sealstream"
    """Begins every index name."""


class PostgresqlSettings(Group):
    """Where what is known of agents, envelopes and activity is kept."""

    dsn: str = "postgresql://sealstream@127.0.0.1:5432/sealstream"
    """Address without a password."""
    password_file: Path | None = Path("secrets/postgresql.password")
    """File with the password."""


class RedisSettings(Group):
    """Short-lived state shared by processes."""

    url: str = "redis://127.0.0.1:6379/0"
    """Address of the server."""


class GatewaySettings(Group):
    """What agents and people connect to."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all."""
    agent_port: Port = 10000
    """TLS port of the agents' protocol: even, 10000 to 11000."""
    https_port: Port = 443
    """HTTPS port: enrolment, assignment, health, schemas."""
    mirror_port: Port = 42001
    """Clear-text port that mirrors lifecycle events to approved nodes."""
    tls_profile: Profile = Profile.MODERN
    """`modern`, `datasheet` or `datasheet_ecdhe`; docs/tls.md."""
    agent_tls_profile: Profile | None = None
    """The agent port's own, where it differs."""
    https_tls_profile: Profile | None = None
    """The HTTPS port's own, where it differs."""
    pin_server: bool = True
    """Agents are told the pins of the gateway's keys, and connect to no other key; docs/pki.md."""
    pin_agents: bool = False
    """An agent is admitted by its registered keys alone, not by any that the CA certified."""
    cert_file: Path = Path("pki/gateway.pem")
    """Certificate of the gateway with its chain."""
    key_file: Path = Path("pki/gateway.key")
    """Private key of that certificate."""
    ca_file: Path = Path("pki/ca.pem")
    """CA that issues the agents' certificates."""
    ca_key_file: Path = Path("pki/ca.key")
    """Private key of that CA, with which agents are enrolled."""
    memory_budget_bytes: Annotated[int, Field(ge=8 * MIB)] = 256 * MIB
    """Bytes of envelopes in memory, in all."""
    max_connections: Count = 12000
    """Agents connected at once."""
    max_handshakes: Count = 64
    """TLS handshakes in progress at once."""
    handshake_timeout_s: Seconds = 10.0
    """Seconds until an unfinished TLS handshake is given up."""
    policy_file: Path = Path("policy.json")
    """What agents may record; read again when it changes."""
    recipients_dir: Path = Path("keys")
    """Directory of the public KEKs (`*.pub.pem`) that agents get."""


class KeySettings(Group):
    """The server's KEKs."""

    dir: Path = Path("keys")
    """Directory of `*.pub.pem` and `*.pem`."""
    passphrase_file: Path | None = Path("secrets/kek.passphrase")
    """Passphrase of the private keys."""
    pkcs11_modules: list[Path] = []
    """PKCS#11 libraries that may be loaded for KEKs in tokens, such as `/usr/lib/softhsm/libsofthsm2.so`."""


class UnlockSettings(Group):
    """Opening what is end-to-end encrypted, by people with a passphrase."""

    attempts: Count = 5
    """Attempts that do not open, of one person on one KEK, until no more are taken."""
    window_s: Seconds = 900.0
    """Seconds for which such an attempt counts."""
    sessions: Count = 4
    """Unlocks that one gateway serves at once."""
    session_s: Seconds = 900.0
    """Seconds after which an unlock of the HTTPS port is ended, whatever it does."""
    tokens_file: Path = Path("secrets/api.tokens")
    """Who may use the API: made by `sealstream api token`."""


class ConsoleSettings(Group):
    """The console on the HTTPS port."""

    pages_dir: Path | None = None
    """Folder of the built pages; those that came with the product when not given."""


class RecordingsSettings(Group):
    """Showing what was recorded and sealed to the server's KEK."""

    readers: Annotated[int, Field(ge=1, le=16)] = 1
    """Processes that open recordings for the console; each is started when it is needed."""
    idle_s: Seconds = 300.0
    """Seconds after which such a process that nobody used is ended, and keys and plaintext with it."""
    cache_bytes: Annotated[int, Field(ge=MIB)] = 64 * MIB
    """Bytes of screens that each of them keeps, compressed, to show the moments after them sooner."""


class AccountSettings(Group):
    """Who signs in to the console: sessions, limits, links."""

    address: str = ""
    """Address of the console as people open it, for links and OIDC; of `node.advertise` when not given."""
    idle_s: Seconds = 1800.0
    """Seconds without anything done after which a session ends."""
    session_s: Seconds = 43200.0
    """Seconds after which a session ends, whatever was done."""
    fresh_s: Seconds = 900.0
    """Seconds after showing a password for which accounts can be changed."""
    attempts: Count = 10
    """Failed sign-ins of one name until no more are taken."""
    address_attempts: Count = 50
    """Failed sign-ins from one address until no more are taken."""
    window_s: Seconds = 900.0
    """Seconds for which a failed sign-in counts."""
    first_link_s: Seconds = 86400.0
    """Seconds for which the first administrator's link works."""
    link_s: Seconds = 259200.0
    """Seconds for which a link to set a password works."""
    key_file: Path = Path("secrets/accounts.key")
    """Key of TOTP secrets and sign-in challenges; made when it is missing, and the same on every gateway."""


class OidcSettings(Group):
    """Signing in by an organisation's own provider (OpenID Connect)."""

    issuer: str = ""
    """Issuer of the provider, such as `https://login.example.org/realms/staff`; empty for none."""
    client_id: str = ""
    """Name under which the provider knows this console."""
    client_secret_file: Path | None = None
    """File with the client's secret; none for a public client, which PKCE protects."""
    scopes: str = "openid profile email"
    """What is asked for."""
    name_claim: str = "preferred_username"
    """Claim that becomes an account's name when it is made or found the first time."""
    role_claim: str = ""
    """Claim with the person's groups or roles; empty: roles are given in the console."""
    roles: dict[str, Literal["administrator", "operator", "officer", "auditor", "subject"]] = {}
    """Value of that claim to a role (administrator, operator, officer, auditor, subject); the first that fits."""
    auto_create: bool = False
    """Make an account for who signs in the first time and has a role by the claim; else the name must be there."""
    title: str = "your organisation"
    """Words on the button of the sign-in page: Sign in with "your organisation"."""
    ca_file: Path | None = None
    """CA of the provider's certificate, where the system's are not it."""


class LiveSettings(Group):
    """Watching and listening live."""

    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of the viewers' websockets: odd, 10001 to 11001; 0 for the agent port and one."""
    viewers: Count = 200
    """People who watch or listen at once, on one gateway."""
    viewers_each: Annotated[int, Field(ge=1, le=8)] = 8
    """People who watch one screen, or hear one agent, at once."""
    queue_bytes: Annotated[int, Field(ge=MIB)] = 8 * MIB
    """Bytes that wait for one viewer; beyond them the viewer begins anew with a whole frame."""
    session_s: Seconds = 14400.0
    """Seconds after which a view ends, whatever was seen."""
    audio_cipher: Literal["chacha20-poly1305", "blowfish"] = "chacha20-poly1305"
    """How agents seal live sound: `blowfish` is the datasheet's, in counter mode with HMAC-SHA256."""
    audio_first_port: Annotated[int, Field(ge=1024, le=65535)] = 1024
    """First of the UDP ports, one of which is opened at random for each agent that is heard."""
    audio_last_port: Annotated[int, Field(ge=1024, le=65535)] = 65535
    """Last of them."""
    ticket_key_file: Path = Path("secrets/live.key")
    """Key of viewers' tickets; made when it is missing, and the same on every gateway."""

    @model_validator(mode="after")
    def _order_ports(self) -> Self:
        """The first port is not after the last."""
        if self.audio_first_port > self.audio_last_port:
            raise ValueError("audio_first_port must not be above audio_last_port")
        return self


class UpdateSettings(Group):
    """Updating child nodes over SSH."""

    key_file: Path | None = Path("secrets/nodes.ssh")
    """Private SSH key by which the nodes know this one; never a password."""
    root: str = "/opt/sealstream"
    """Folder on a node that holds its releases and the link `current`, by which its service runs."""
    python: str = "python3"
    """Interpreter on a node that makes a release's virtual environment."""
    restart: str = "systemctl restart sealstream"
    """Command on a node that restarts it."""
    check: str = "{root}/current/bin/sealstream status"
    """Command on a node that ends with 0 when it is well."""
    check_s: Seconds = 120.0
    """Seconds within which a restarted node must be well; then the release before is taken back."""
    drain_s: Seconds = 30.0
    """Seconds for which a node's agents and workers are waited for before it is restarted."""


class StreamsSettings(Group):
    """The workers that mine."""

    workers: Count = 1
    """Worker processes of the local stack."""
    ocr_workers: Count = 1
    """OCR processes of each worker."""
    web_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of the first worker's own page; 0 for none."""


class ArchiveSettings(Group):
    """The disk store."""

    dir: Path = Path("archive")
    """Directory of the archive files."""
    file_bytes: Annotated[int, Field(ge=MIB)] = 256 * MIB
    """Size at which an archive file is closed."""
    fsync: Literal["commit", "never"] = "commit"
    """`commit`: flushed to disk before the offset is committed; `never`: for tests alone."""


class Settings(BaseSettings):
    """All settings, by table."""

    model_config = SettingsConfigDict(
        env_prefix="SEALSTREAM_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    node: NodeSettings = NodeSettings()
    kafka: KafkaSettings = KafkaSettings()
    elasticsearch: ElasticsearchSettings = ElasticsearchSettings()
    postgresql: PostgresqlSettings = PostgresqlSettings()
    redis: RedisSettings = RedisSettings()
    gateway: GatewaySettings = GatewaySettings()
    keys: KeySettings = KeySettings()
    unlock: UnlockSettings = UnlockSettings()
    console: ConsoleSettings = ConsoleSettings()
    recordings: RecordingsSettings = RecordingsSettings()
    accounts: AccountSettings = AccountSettings()
    oidc: OidcSettings = OidcSettings()
    live: LiveSettings = LiveSettings()
    update: UpdateSettings = UpdateSettings()
    streams: StreamsSettings = StreamsSettings()
    archive: ArchiveSettings = ArchiveSettings()

    @model_validator(mode="after")
    def _place_paths(self) -> Self:
        """Relative paths are meant from the data directory."""
        root = self.node.data_dir if self.node.data_dir != Path() else DataDir.find().root
        places: dict[str, Group] = {}
        for name in type(self).model_fields:
            group: Group = getattr(self, name)
            paths = {key: root / value for key, value in group if isinstance(value, Path)}
            places[name] = group.model_copy(update=paths)
        for name, group in places.items():
            object.__setattr__(self, name, group)
        return self

    @property
    def live_port(self) -> int:
        """Port of the viewers' websockets."""
        return self.live.port or self.gateway.agent_port + 1

    @property
    def data(self) -> DataDir:
        """The data directory's layout."""
        return DataDir(self.node.data_dir)


def load_settings(path: Path | None = None) -> Settings:
    """Settings of `path`, else of SEALSTREAM_CONFIG, else of the data directory; the environment overrides each.

    Raises `ConfigError` that tells everything that is wrong at once.
    """
    named = path or os.environ.get(CONFIG_VARIABLE)
    file = Path(named).absolute() if named else DataDir.find().config
    if named and not file.exists():
        raise ConfigError(f"there is no settings file {file}: `sealstream up` makes one in its data directory")

    class FileSettings(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # we have no such file
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # nor such a directory
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file), init_settings

    try:
        return FileSettings(node={"data_dir": file.parent})  # type: ignore[arg-type]  # the weakest source
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors()]
        raise ConfigError(f"{file} and the environment: " + "; ".join(faults)) from None
    except ValueError as error:  # TOML's own
        raise ConfigError(f"{file}: {error}") from None


def read_secret(path: Path | None) -> str:
    """The first line of a secret's file, empty where there is none to use; raises `ConfigError`."""
    if path is None:
        return ""
    try:
        return path.read_text("utf-8").strip("\n")
    except OSError as error:
        raise ConfigError(f"the secret {path} cannot be read: {error.strerror}") from None


def postgresql_dsn(settings: Settings) -> str:
    """The address of PostgreSQL with its password in it, for the driver alone: never logged."""
    password = read_secret(settings.postgresql.password_file)
    head, at, tail = settings.postgresql.dsn.partition("@")
    return f"{head}:{password}@{tail}" if password and at else settings.postgresql.dsn

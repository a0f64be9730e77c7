"""The settings of servers: one typed table with its help, read from `sealstream.toml` and the environment.

Read once at start and passed down; never holds a secret's value, only the path of the file that has it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from infra.datadir import CONFIG_VARIABLE, DataDir
from infra.settings.group import Group
from infra.settings.keeping import RetentionSettings
from infra.settings.nodes import (
    ElasticsearchSettings,
    KafkaSettings,
    NodeSettings,
    PostgresqlSettings,
    RedisSettings,
    UpdateSettings,
)
from infra.settings.observing import MetricsSettings, TracingSettings
from infra.settings.people import AccountSettings, OidcSettings, UnlockSettings
from infra.settings.serving import ConsoleSettings, GatewaySettings, LiveSettings, RecordingsSettings
from infra.settings.working import ArchiveSettings, KeySettings, MinerSettings, StreamsSettings
from schemas.errors import ConfigError

__all__ = [
    "AccountSettings",
    "ArchiveSettings",
    "ConsoleSettings",
    "ElasticsearchSettings",
    "GatewaySettings",
    "Group",
    "KafkaSettings",
    "KeySettings",
    "LiveSettings",
    "MetricsSettings",
    "MinerSettings",
    "NodeSettings",
    "OidcSettings",
    "PostgresqlSettings",
    "RecordingsSettings",
    "RedisSettings",
    "RetentionSettings",
    "Settings",
    "StreamsSettings",
    "TracingSettings",
    "UnlockSettings",
    "UpdateSettings",
    "load_settings",
    "postgresql_dsn",
    "read_secret",
]


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
    miner: MinerSettings = MinerSettings()
    archive: ArchiveSettings = ArchiveSettings()
    retention: RetentionSettings = RetentionSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()

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
    """The address of PostgreSQL with its password in it, for the driver alone: never logged.

    Of several servers it wants the one that may write, unless it says otherwise.
    """
    password = read_secret(settings.postgresql.password_file)
    head, at, tail = settings.postgresql.dsn.partition("@")
    if "," in tail and "target_session_attrs" not in tail:
        tail += f"{'&' if '?' in tail else '?'}target_session_attrs=read-write"
    return f"{head}:{password}@{tail}" if password and at else f"{head}{at}{tail}"

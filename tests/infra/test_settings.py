"""Settings: where they come from, what is refused, and that the docs list them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.cli.settings import list_settings, render_markdown
from infra.settings import KafkaSettings, Settings, load_settings, postgresql_dsn, read_secret
from schemas.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SEALSTREAM_CONFIG", "SEALSTREAM_DATA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "sealstream.toml"


def test_the_docs_list_every_setting() -> None:
    """docs/settings.md holds exactly the table that the code prints."""
    assert render_markdown(Settings) in (ROOT / "docs/settings.md").read_text("utf-8")


def test_every_setting_has_help() -> None:
    """No setting is without its sentence."""
    assert [f"{table}.{name}" for table, name, _, told in list_settings(Settings) if not told.endswith(".")] == []


def test_a_file_overrides_defaults_and_the_environment_overrides_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Environment over file over default, setting by setting."""
    config.write_text('[kafka]\nbootstrap = "a:1"\ntopic_prefix = "x-"\n')
    monkeypatch.setenv("SEALSTREAM_KAFKA__BOOTSTRAP", "b:2")
    kafka = load_settings(config).kafka
    assert (kafka.bootstrap, kafka.topic_prefix, kafka.partitions) == ("b:2", "x-", 6)


def test_paths_are_meant_from_the_directory_of_the_file(config: Path) -> None:
    """A relative path stands below the data directory, an absolute one stays."""
    config.write_text('[keys]\ndir = "/elsewhere"\n')
    settings = load_settings(config)
    assert settings.gateway.cert_file == config.parent / "pki/gateway.pem"
    assert settings.keys.dir == Path("/elsewhere")
    assert settings.data.root == config.parent


def test_the_data_directory_may_lie_elsewhere_than_the_file(config: Path) -> None:
    """`node.data_dir` moves all relative paths."""
    config.write_text('[node]\ndata_dir = "/srv/data"\n')
    assert load_settings(config).archive.dir == Path("/srv/data/archive")


def test_all_that_is_wrong_is_told_at_once(config: Path) -> None:
    """One error names an unknown setting and a value out of range, and the file."""
    config.write_text("[gateway]\nagent_port = 0\n[kafka]\nbootstarp = 'x'\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(config)
    assert all(part in str(caught.value) for part in ("gateway.agent_port", "kafka.bootstarp", str(config)))


def test_a_file_that_is_no_toml_is_named(config: Path) -> None:
    """The error says which file cannot be read."""
    config.write_text("[kafka\n")
    with pytest.raises(ConfigError, match=str(config)):
        load_settings(config)


def test_a_file_that_was_asked_for_must_exist(config: Path) -> None:
    """A named file that is missing is an error, not the defaults."""
    with pytest.raises(ConfigError, match="sealstream up"):
        load_settings(config)


def test_the_environment_names_the_data_directory(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SEALSTREAM_DATA is where the file is looked for."""
    config.write_text('[node]\nid = "here"\n')
    monkeypatch.setenv("SEALSTREAM_DATA", str(config.parent))
    assert load_settings().node.id == "here"


def test_settings_may_be_made_in_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests and benches give groups as values."""
    monkeypatch.setenv("SEALSTREAM_DATA", str(tmp_path))
    settings = Settings(kafka=KafkaSettings(topic_prefix="t-"))
    assert settings.kafka.topic_prefix == "t-"
    assert settings.data.root == tmp_path


def test_the_password_joins_the_address_only_for_the_driver(config: Path) -> None:
    """The DSN in the settings has no password; the driver's has the file's."""
    config.write_text("")
    (config.parent / "secrets").mkdir()
    (config.parent / "secrets/postgresql.password").write_text("xyzzy\n")
    settings = load_settings(config)
    assert "xyzzy" not in settings.model_dump_json()
    assert postgresql_dsn(settings) == "postgresql://sealstream:xyzzy@127.0.0.1:5432/sealstream"


def test_a_secret_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The error names the file, and what the system says."""
    with pytest.raises(ConfigError, match="nothing-here"):
        read_secret(tmp_path / "nothing-here")

"""Settings, documentation, and that the agent stays light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest

from agent.kek import PRODUCT_ID, kek_path
from agent.policy import Policy
from agent.settings import load_settings, setting_rows
from schemas.errors import ConfigError

ROOT = Path(__file__).parents[2]
HEAVY = ("aiokafka", "faust", "confluent_kafka", "elasticsearch", "asyncpg", "redis", "pydantic", "starlette", "typer")


def test_every_fault_of_the_settings_is_told_at_once(tmp_path: Path) -> None:
    """Who edits the file corrects it in one go."""
    (tmp_path / "agent.toml").write_text(
        '[spool]\nmax_bytes = "much"\nmax_age = 3\n[recorder]\nepoch_s = 901\n[sources]\nrun = ["mind"]\n[speed]\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path)
    for name in ("spool.max_bytes", "spool.max_age", "recorder.epoch_s", "sources.run", "[speed]"):
        assert name in str(caught.value)


def test_what_the_file_says_replaces_the_default(tmp_path: Path) -> None:
    """And nothing else changes."""
    (tmp_path / "agent.toml").write_text('[sources]\nmaildirs = ["~/Maildir"]\n[spool]\nmax_age_h = 1\n')
    settings = load_settings(tmp_path)
    assert settings.sources.maildirs == ("~/Maildir",)
    assert settings.spool.max_age_h == 1.0
    assert settings.recorder == load_settings(tmp_path / "none").recorder


def test_the_documentation_lists_every_setting_and_every_policy_field() -> None:
    """`docs/agent.md` and the tables in the code say the same."""
    text = (ROOT / "docs" / "agent.md").read_text("utf-8")
    for row in setting_rows():
        default = ", ".join(row.default) if isinstance(row.default, tuple) else str(row.default)
        assert f"| `{row.name}` | {default or ('none' if row.default == () else 'empty')} | {row.help} |" in text
    for name in Policy().to_json():
        assert f"`{name}`" in text


def test_the_kek_has_one_fixed_place_on_each_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """R6.2: on Windows the datasheet's, elsewhere its like."""
    monkeypatch.delenv("PROGRAMDATA", raising=False)
    assert PureWindowsPath(kek_path("win32")) == PureWindowsPath(rf"C:\ProgramData\{PRODUCT_ID}\certs\kek.pem")
    assert kek_path("linux") == Path("/etc/sealstream/certs/kek.pem")
    assert PRODUCT_ID in str(kek_path("darwin"))


def test_the_agent_imports_nothing_of_the_server() -> None:
    """No Kafka, Faust, store client or pydantic comes with it: it must start fast and stay small."""
    code = (
        "import sys, agent.__main__, agent.installation, agent.catalogue, agent.session, agent.enrolment;"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == "[]"

"""The command line: where `--data` may stand, what is imported, which code an error ends with."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra import cli
from infra.cli import COMMANDS, build_app, modules_for, take_data_option
from infra.cli.exits import Exit, exit_code
from schemas.errors import ConfigError, LocalError, MalformedError, OpenError, SealstreamError, UnavailableError

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    "line", [["--data", "/d", "search", "x"], ["search", "--data", "/d", "x"], ["search", "x", "--data=/d"]]
)
def test_the_data_directory_may_be_named_anywhere(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`--data` is taken from wherever it stands."""
    monkeypatch.setenv("SEALSTREAM_DATA", "/other")
    assert take_data_option(line) == ["search", "x"]
    assert os.environ["SEALSTREAM_DATA"] == "/d"


def test_what_follows_two_dashes_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorded command keeps its own `--data`."""
    monkeypatch.setenv("SEALSTREAM_DATA", "/other")
    assert take_data_option(["agent", "record", "--", "x", "--data", "/d"]) == [
        "agent",
        "record",
        "--",
        "x",
        "--data",
        "/d",
    ]
    assert os.environ["SEALSTREAM_DATA"] == "/other"


def test_data_without_a_directory_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """One clear line, and exit code 2."""
    assert cli.run(["up", "--data"]) == Exit.USAGE
    assert capsys.readouterr().err.startswith("sealstream: --data wants a directory")


def test_only_the_module_of_the_command_is_imported() -> None:
    """A known command names its module; an unknown one needs all, so that the help is whole."""
    assert modules_for(["status", "--json"]) == ["infra.cli.stack"]
    assert modules_for(["--help"]) == list(COMMANDS)


@pytest.mark.parametrize("module", list(COMMANDS))
def test_the_table_of_commands_is_true(module: str) -> None:
    """Each module registers exactly the commands that the table says it does."""
    import typer

    application = build_app([module])
    registered = {command.name for command in application.registered_commands}
    registered |= {group.name for group in application.registered_groups}
    assert registered == set(COMMANDS[module])
    assert typer.main.get_command(application) is not None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), Exit.USAGE),
        (UnavailableError("x"), Exit.UNAVAILABLE),
        (OpenError(), Exit.REFUSED),
        (MalformedError("x"), Exit.REFUSED),
        (LocalError("x"), Exit.NOTHING),
    ],
)
def test_errors_end_with_their_codes(error: SealstreamError, code: Exit) -> None:
    """The tree of errors decides the exit code."""
    assert exit_code(error) is code


def test_the_docs_list_every_exit_code() -> None:
    """docs/exit-codes.md has a row for each code, with the words of the code."""
    text = (ROOT / "docs/exit-codes.md").read_text("utf-8")
    source = (ROOT / "infra/cli/exits.py").read_text("utf-8")
    for code in Exit:
        row = next(line for line in text.splitlines() if line.startswith(f"| {code.value} |"))
        assert f"`{code.name}`" in row
        assert row.split("|")[3].strip() in source


def test_wrong_usage_and_unknown_commands_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """What the command line cannot be is wrong usage."""
    assert cli.run(["no-such-command"]) == Exit.USAGE
    assert cli.run(["status", "--no-such-option"]) == Exit.USAGE
    assert "No such" in capsys.readouterr().err


def test_help_is_quick() -> None:
    """`sealstream --help` imports nothing heavy: neither clients nor numbers nor settings."""
    program = (
        "import sys, infra.cli; infra.cli.run(['--help']);"
        "heavy = {'aiokafka', 'asyncpg', 'elasticsearch', 'pydantic', 'numpy', 'faust', 'cryptography', 'structlog'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    began = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stderr.strip() == "[]", ran.stderr
    assert time.monotonic() - began < 5

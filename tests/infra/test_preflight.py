"""What a machine must have: found where it is, and named with what to do where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.datadir import DataDir
from infra.stack import java, preflight
from infra.stack.account import Account, check_reach
from infra.stack.artifacts import find_artifacts
from infra.stack.java import find_java
from infra.stack.preflight import run_checks
from schemas.errors import ConfigError, UnavailableError


def make_java(home: Path, version: str) -> Path:
    """A program that says it is that Java."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-09-16' >&2\n")
    program.chmod(0o755)
    return home


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no Java but what a test puts there."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(java, "_USUAL_FOLDERS", (str(tmp_path / "jvm"),))
    return tmp_path


def test_java_home_comes_first(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where JAVA_HOME is new enough it is taken, though others are newer."""
    make_java(bare / "jvm/jdk-25", "25.0.1")
    monkeypatch.setenv("JAVA_HOME", str(make_java(bare / "mine", "21.0.2")))
    assert (find_java().home, find_java().version) == (bare / "mine", 21)


def test_an_older_java_on_path_is_passed_over(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java 17 on PATH does not hide the 25 in the usual folder."""
    monkeypatch.setenv("PATH", f"{make_java(bare / 'old', '17.0.15')}/bin:/bin")
    make_java(bare / "jvm/jdk-25", "25")
    assert find_java().version == 25


def test_without_a_new_java_the_error_says_what_was_found(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the old one, and how to get another."""
    monkeypatch.setenv("PATH", f"{make_java(bare / 'old', '1.8.0_402')}/bin:/bin")
    with pytest.raises(UnavailableError, match=r"found only 8 in .*old.*JAVA_HOME"):
        find_java()


def test_a_full_disk_is_told_with_its_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check fails where less is free than the stack wants, even below a directory not yet made."""
    monkeypatch.setattr(preflight, "NEEDED_DISK", 1 << 62)
    finding = next(it for it in run_checks(DataDir(tmp_path / "not/yet")) if it.name == "disk")
    assert not finding.passed
    assert "--data DIR" in finding.told
    restart = next(it for it in run_checks(DataDir(tmp_path), disk=1) if it.name == "disk")
    assert restart.passed


def test_short_memory_is_told_with_its_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check says how much is free and how much is wanted."""
    monkeypatch.setattr(preflight, "NEEDED_MEMORY", 1 << 62)
    finding = next(it for it in run_checks(DataDir(tmp_path)) if it.name == "memory")
    assert not finding.passed
    assert "MiB of memory are free" in finding.told


def test_all_that_is_missing_is_told_at_once(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One error lists every failed check, each with the package that helps."""
    monkeypatch.setenv("SEALSTREAM_CACHE", str(bare / "cache"))
    with pytest.raises(UnavailableError) as caught:
        preflight.require(DataDir(bare))
    told = str(caught.value)
    assert all(word in told for word in ("java:", "maven: ", "apt-get install maven", "apt-get install redis-server"))


def test_a_place_that_the_stores_cannot_enter_is_told(tmp_path: Path) -> None:
    """Another account does not get below a directory that is closed to it."""
    import os

    if os.geteuid() != 0:
        pytest.skip("only root runs the stores under another account")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="cannot enter"):
        check_reach(closed, Account(65534, 65534))


def test_artifacts_change_their_place_with_the_pom(tmp_path: Path) -> None:
    """Versions come from the pom, and the place from all of it, so that a changed pom is brought anew."""
    artifacts = find_artifacts(tmp_path)
    assert artifacts.kafka.name == f"kafka-{artifacts.kafka_version}"
    assert artifacts.kafka.parent == artifacts.elasticsearch.parent != tmp_path
    assert not artifacts.complete

"""Finds a Java runtime that Elasticsearch takes: version 21 or later.

Never takes an older one because it comes first on PATH.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import UnavailableError

OLDEST = 21

_USUAL_FOLDERS = ("/usr/lib/jvm", "/opt", "/usr/local", "/usr/java", "~/.sdkman/candidates/java", "~/.jdks")
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime."""

    home: Path
    version: int

    @property
    def program(self) -> Path:
        """The program `java`."""
        return self.home / "bin" / "java"


def find_java() -> Java:
    """The first that is new enough, by JAVA_HOME, PATH and the usual folders; raises `UnavailableError`."""
    seen: dict[Path, int] = {}
    for home in _homes():
        if home not in seen:
            seen[home] = _version(home)
            if seen[home] >= OLDEST:
                return Java(home, seen[home])
    found = ", ".join(f"{version} in {home}" for home, version in seen.items() if version)
    raise UnavailableError(
        f"no Java {OLDEST} or later by JAVA_HOME, on PATH or in {', '.join(_USUAL_FOLDERS)}"
        f" ({f'found only {found}' if found else 'found none'}):"
        " install a JDK, for example `apt-get install openjdk-21-jre-headless` or from https://adoptium.net,"
        " or set JAVA_HOME to where one lies"
    )


def _homes() -> Iterator[Path]:
    if named := os.environ.get("JAVA_HOME"):
        yield Path(named).expanduser().resolve()
    if program := shutil.which("java"):
        yield Path(program).resolve().parent.parent
    for folder in _USUAL_FOLDERS:
        for java in sorted(Path(folder).expanduser().glob("*/bin/java"), reverse=True):
            yield java.resolve().parent.parent


def _version(home: Path) -> int:
    """The feature release, or 0 for what is no Java."""
    try:
        told = subprocess.run(
            [home / "bin" / "java", "-version"], capture_output=True, text=True, timeout=30, check=False
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = _VERSION.search(told)
    return int(match[1]) if match else 0

"""The fuzz guided by coverage, for hours rather than seconds; wants the extra `fuzz` (atheris).

    uv pip install atheris
    python -m tests.fuzz.atheris_run                      every target for a minute
    python -m tests.fuzz.atheris_run --seconds 3600 mail  one target for an hour

What it finds is written to `tests/fuzz/cases/TARGET/`, where `make test` tries it from then on.
Never stops at the first target that fails: all are run, and the exit code says whether one did.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(".sealstream") / "fuzz"


def main() -> int:
    """Runs each target in a process of its own: the fuzzer ends its process."""
    options = _read_arguments()
    if options.child:
        _fuzz(options.targets[0], options.seconds)
        return 0
    names = options.targets or _names()
    failed = [name for name in names if not _run(name, options.seconds)]
    for name in failed:
        print(f"{name}: see tests/fuzz/cases/{name}/")  # noqa: T201 - this is a command
    return 1 if failed else 0


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzz the parsers of sealstream, guided by coverage.")
    parser.add_argument("targets", nargs="*", help="targets (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _names() -> list[str]:
    from tests.fuzz.targets import TARGETS

    return list(TARGETS)


def _run(name: str, seconds: int) -> bool:
    command = [sys.executable, "-m", "tests.fuzz.atheris_run", "--child", "--seconds", str(seconds), name]
    return subprocess.run(command, check=False).returncode == 0


def _fuzz(name: str, seconds: int) -> None:
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # an extra

    with atheris.instrument_imports(include=["schemas", "agent", "gateway", "infra", "sinks", "email", "json"]):
        from tests.fuzz.target import CASES
        from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    cases, corpus = CASES / name, CORPUS / name
    cases.mkdir(parents=True, exist_ok=True)
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as seeds:
        for number, seed in enumerate(target.seeds):
            (Path(seeds) / str(number)).write_bytes(seed)
        limits = ["-max_len=20000", "-timeout=10", "-rss_limit_mb=2048", f"-max_total_time={seconds}"]
        atheris.Setup([name, *limits, f"-artifact_prefix={cases}/", str(corpus), seeds], target.feed)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())

"""The rules of the packages: who imports whom, and how long a file may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAX_LINES = 400

OURS = ("schemas", "infra", "agent", "gateway", "streams", "sinks")

MAY_IMPORT = {
    "schemas": set(),
    "infra": {"schemas"},
    "agent": {"schemas", "infra"},
    "gateway": {"schemas", "infra", "sinks"},
    "streams": {"schemas", "infra"},
    "sinks": {"schemas", "infra"},
}

HOME_OF = {
    "faust": {"streams"},
    "mode": {"streams"},
    "confluent_kafka": {"gateway", "infra"},
    "asyncpg": {"infra", "sinks", "gateway"},
    "elasticsearch": {"infra", "sinks"},
    "aiokafka": {"infra", "gateway", "streams", "sinks"},
    "tesserocr": {"infra"},
    "grpc": {"streams"},
}
"""Libraries that only these packages touch."""

AGENT_MUST_NOT_LOAD = ("pydantic", "aiokafka", "confluent_kafka", "faust", "asyncpg", "elasticsearch", "redis")

FREE = {"infra/cli", "infra/demo", "infra/stack"}
"""Where commands are put together from all packages, inside functions."""


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """The top-level name of every module that is imported, for type checking alone excepted."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]
        yield from imported(node)


def is_free(path: Path) -> bool:
    return any(path.is_relative_to(ROOT / place) for place in FREE)


@pytest.mark.parametrize("package", OURS)
def test_packages_import_only_what_their_layer_allows(package: str) -> None:
    """A package imports the packages below it, and no others; the command line may import all."""
    allowed = MAY_IMPORT[package] | {package}
    for path in sources(package):
        if is_free(path):
            continue
        wrong = {name for name in imported(ast.parse(path.read_text("utf-8"))) if name in OURS} - allowed
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize("package", OURS)
def test_libraries_stay_where_they_belong(package: str) -> None:
    """Faust is imported in streams alone, stores' clients never in the agent."""
    for path in sources(package):
        wrong = {
            name
            for name in imported(ast.parse(path.read_text("utf-8")))
            if name in HOME_OF and package not in HOME_OF[name]
        }
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_commands_are_imported_lazily() -> None:
    """No module of the command line imports a package of ours other than schemas and infra at its top."""
    for path in sorted((ROOT / "infra/cli").glob("*.py")):
        top = ast.Module(
            [node for node in ast.parse(path.read_text("utf-8")).body if not isinstance(node, ast.FunctionDef)], []
        )
        names = {
            name
            for node in top.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in imported(ast.Module([node], []))
        }
        assert not names & {"agent", "gateway", "streams", "sinks"}, path.name


def assert_loads_none(modules: list[str], unwanted: tuple[str, ...]) -> None:
    """Importing these modules, in a process of its own, loads none of those."""
    import subprocess
    import sys

    program = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"loaded = [name for name in {unwanted!r} if name in sys.modules]\nassert not loaded, loaded"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_the_agent_loads_nothing_of_the_servers() -> None:
    """Importing every module of the agent loads neither Kafka, Faust, a store's client nor pydantic."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sources("agent")
        if path.name != "__main__.py"
    ]
    assert_loads_none(modules, AGENT_MUST_NOT_LOAD)


def test_a_supervisor_and_the_doctor_load_no_client_before_they_ask() -> None:
    """Most nodes have neither Sentinels nor Patroni to ask: their clients are a third of a start."""
    assert_loads_none(["infra.stack.local", "infra.doctor.stores"], ("redis", "httpx2"))


@pytest.mark.parametrize("package", [*OURS, "tests", "bench"])
def test_no_file_is_too_long(package: str) -> None:
    """No file has over 400 lines."""
    for path in sources(package):
        lines = len(path.read_text("utf-8").splitlines())
        assert lines <= MAX_LINES, f"{path.relative_to(ROOT)} has {lines} lines"


@pytest.mark.parametrize("package", OURS)
def test_every_module_says_what_it_is(package: str) -> None:
    """Every module that holds code begins with a docstring."""
    for path in sources(package):
        text = path.read_text("utf-8")
        assert not text.strip() or ast.get_docstring(ast.parse(text)), path.relative_to(ROOT)

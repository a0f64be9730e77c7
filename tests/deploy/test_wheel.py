"""The wheel, built and run as it is installed: commands answer, and what they read at run time is in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from infra.migrate import load_migrations
from tests.deploy.tools import BESIDE, ROOT, find_tool

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what is in the repository: the checkout's own pages and node_modules stay as they are."""
    find_tool("npm", "the console's pages are built by it")
    pytest.importorskip("hatchling")
    place = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            target = place / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(place / "dist")],
        cwd=place / "source",
        env={**os.environ, "PATH": f"{BESIDE}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    (made,) = (place / "dist").glob("sealstream-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program `sealstream` of a fresh environment that has the wheel, and other people's libraries from ours."""
    place = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True, timeout=120)
    site = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(place), "platbase": str(place)}))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # On the path after the wheel's own folder; a .pth in it, such as our editable installation's, is not read.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    program = place / "bin" / "sealstream"
    program.write_text(f"#!{place}/bin/python\nfrom infra.cli import main\nmain()\n", "utf-8")
    program.chmod(0o755)
    return program


def run(program: Path, *arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    """The command, away from the checkout and from every setting of this machine."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SEALSTREAM", "PYTHON"))}
    return subprocess.run(
        [str(program), *arguments],
        cwd=data,
        env={**environment, "SEALSTREAM_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_wheel_holds_what_is_read_at_run_time(wheel: Path) -> None:
    """Pages, migrations, schemas and specifications; and no test, no source of a page, no node_modules."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "gateway/console/dist/pages/index.html" in names
    assert any(name.startswith("gateway/console/dist/pages/assets/") and name.endswith(".js") for name in names)
    assert sum(name.startswith("infra/migrations/") for name in names) == len(load_migrations())
    assert {"schemas/WIRE.md", "schemas/ENVELOPE.md", "schemas/proto/miner.proto"} <= set(names)
    assert len([name for name in names if name.endswith(".avsc")]) == len(list((ROOT / "schemas").rglob("*.avsc")))
    assert "infra/deploy/systemd/sealstream-gateway.service" in names
    assert not [name for name in names if name.startswith(("tests/", "bench/")) or "node_modules" in name]
    assert not [name for name in names if name.startswith("gateway/console/") and "/dist/pages/" not in name]


def test_its_metadata_names_the_command(wheel: Path) -> None:
    """Pip makes `sealstream` from it."""
    with zipfile.ZipFile(wheel) as archive:
        (points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "sealstream = infra.cli:main" in archive.read(points).decode()


def test_its_commands_answer(installed: Path, tmp_path: Path) -> None:
    """Help, settings and the doctor, of the wheel's own modules."""
    helped = run(installed, "--help", data=tmp_path)
    assert helped.returncode == 0, helped.stderr
    assert "doctor" in helped.stdout
    settings = run(installed, "settings", data=tmp_path)
    assert settings.returncode == 0, settings.stderr
    assert "kafka" in settings.stdout
    doctor = run(installed, "doctor", "--json", data=tmp_path)
    assert doctor.returncode in (0, 1), doctor.stderr
    assert {"java", "postgresql", "disk"} <= {it["name"] for it in json.loads(doctor.stdout)["findings"]}


def test_it_is_the_wheel_that_runs(installed: Path, tmp_path: Path) -> None:
    """Its pages, migrations and certificates are found beside its modules, none of them in the checkout."""
    program = (
        "import gateway, infra, schemas, sys\n"
        "from infra.migrate import load_migrations\n"
        "from importlib import resources\n"
        "assert not infra.__file__.startswith(sys.argv[1]), infra.__file__\n"
        "assert (resources.files('gateway') / 'console/dist/pages/index.html').is_file()\n"
        "print(len(load_migrations()))\n"
    )
    ended = run(installed.parent / "python", "-c", program, str(ROOT), data=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) == len(load_migrations())

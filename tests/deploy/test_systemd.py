"""The systemd units: taken by systemd, sandboxed as far as it measures, and as our exit codes and limits want them."""

from __future__ import annotations

import configparser
import ctypes.util
import re
import sys
from pathlib import Path

import pytest

from infra.cli.exits import Exit
from infra.settings import GatewaySettings
from tests.deploy.tools import DEPLOY, find_tool, run

UNITS = DEPLOY / "systemd"
SERVICES = (
    "sealstream-node",
    "sealstream-gateway",
    "sealstream-application@",
    "sealstream-worker@",
    "sealstream-miner",
    "sealstream-sink@",
)
HOW = "apt-get install systemd"
PROGRAM = "/opt/sealstream/current/bin/sealstream"

MOST_EXPOSURE = 2.0
"""As `systemd-analyze security` measures it, 0 to 10; below 2 it says OK."""


def service_of(name: str) -> configparser.SectionProxy:
    """The last value of each name in [Service]."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / f"{name}.service")
    return parser["Service"]


@pytest.fixture
def placed(tmp_path: Path) -> Path:
    """The units where systemd finds them, with a program that there is."""
    for path in [*UNITS.glob("*.service"), *UNITS.glob("*.target"), *UNITS.glob("user/*.service")]:
        (tmp_path / path.name).write_text(path.read_text("utf-8").replace(PROGRAM, "/bin/true"), "utf-8")
    return tmp_path


def test_systemd_takes_the_units(placed: Path) -> None:
    """Not one warning: no unknown name, no value that makes no sense."""
    analyze = find_tool("systemd-analyze", HOW)
    names = [
        "sealstream.target",
        *(f"{name}1.service" if name.endswith("@") else f"{name}.service" for name in SERVICES),
    ]
    units = [placed / name for name in names]
    for unit in units:
        if "@" in unit.name:
            unit.symlink_to(placed / re.sub("@.*", "@.service", unit.name))
    ended = run(analyze, "verify", "--man=no", *units, SYSTEMD_UNIT_PATH=f"{placed}:")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_systemd_takes_the_agents_unit(placed: Path, tmp_path: Path) -> None:
    """It is a unit of a person's own manager."""
    analyze = find_tool("systemd-analyze", HOW)
    unit = placed / "sealstream-agent.service"
    ended = run(
        analyze, "verify", "--user", "--man=no", unit, SYSTEMD_UNIT_PATH=f"{placed}:", XDG_RUNTIME_DIR=str(tmp_path)
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_exposure_is_low(name: str) -> None:
    """Systemd's own measure of what a service that is taken over could do."""
    analyze = find_tool("systemd-analyze", HOW)
    limit = f"--threshold={MOST_EXPOSURE * 10:.0f}"
    ended = run(analyze, "security", "--offline=true", "--no-pager", limit, UNITS / f"{name}.service")
    assert ended.returncode == 0, ended.stdout[-300:]


@pytest.mark.parametrize("name", [*SERVICES, "user/sealstream-agent"])
def test_wrong_settings_are_not_tried_again(name: str) -> None:
    """Every other end is: a store that is away comes back."""
    service = service_of(name)
    assert service["Restart"] == "always"
    assert service["RestartPreventExitStatus"] == str(int(Exit.USAGE))


@pytest.mark.parametrize("name", SERVICES)
def test_only_what_serves_https_has_a_capability(name: str) -> None:
    """The one for port 443."""
    wanted = "CAP_NET_BIND_SERVICE" if name in ("sealstream-node", "sealstream-gateway") else ""
    assert service_of(name)["CapabilityBoundingSet"] == wanted


def test_open_files_suffice() -> None:
    """For as many agents as the settings allow at most, and as much again."""
    for name in ("sealstream-gateway", "sealstream-application@"):
        assert int(service_of(name)["LimitNOFILE"]) >= 2 * GatewaySettings().max_connections


LOADS = """\
import ctypes, errno, os, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE: what MemoryDenyWriteExecute asks for, by the kernel itself
    sys.exit(77 if ctypes.get_errno() == errno.EINVAL else 1)
import gateway.run, sinks.process, streams.app, infra.doctor.run, elasticsearch, pyarrow.parquet, tesserocr
import argon2, uvloop, asyncpg
argon2.PasswordHasher(time_cost=1, memory_cost=1024).hash("x")
thread = threading.Thread(target=str)
thread.start()
thread.join()
assert subprocess.run([sys.executable, "-c", ""]).returncode == 0
try:
    os.chroot("/")
except PermissionError:
    sys.exit(0)
sys.exit("the filter is not in force")
"""


@pytest.mark.parametrize("name", SERVICES)
def test_the_sandbox_lets_our_processes_work(name: str) -> None:
    """Under the unit's own system-call filter, and with memory never both written and executed, all of them load."""
    find_tool("systemd-analyze", HOW)
    if ctypes.util.find_library("seccomp") is None:
        pytest.skip("libseccomp is not here: apt-get install libseccomp2")
    ended = run(sys.executable, "-m", "tests.deploy.sandbox", UNITS / f"{name}.service", sys.executable, "-c", LOADS)
    if ended.returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3 or later)")
    assert ended.returncode == 0, ended.stderr

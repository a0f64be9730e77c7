"""Nodes for tests: Debian's own sshd on the loopback, with a host key and a folder of its own.

Never listens elsewhere than on the loopback, and knows the test's key alone.
"""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.nodes.fleet import Fleet, parse_address
from infra.settings import NodeSettings, Settings, UpdateSettings
from infra.stack.ports import choose_port

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"

RESTART = """#!/bin/sh
# What a node's service does at its restart: note which release it runs, and be well unless the release is bad.
cd "$(dirname "$0")" || exit 1
readlink current >> restarts
version=$(current/bin/python -c "import importlib.metadata as m; print(m.version('sealstream'))") || exit 1
case $version in *bad*) rm -f well; exit 0;; *stuck*) exit 7;; esac
echo "$version" > well
"""

QUICK = f"""#!/bin/sh
# `-m venv FOLDER`, with the pip that this machine has instead of one of its own, which takes most of the time.
exec {sys.executable} -m venv --without-pip --system-site-packages "$3"
"""


@dataclass
class SshNode:
    """One node: where it listens, and its folder."""

    name: str
    port: int
    folder: Path

    @property
    def root(self) -> Path:
        """Its folder of releases."""
        return self.folder / "root"

    @property
    def host_key(self) -> str:
        """The line of its public host key."""
        return (self.folder / "host_key.pub").read_text()

    @property
    def current(self) -> str:
        """What `current` points to."""
        link = self.root / "current"
        return str(link.readlink()) if link.is_symlink() else ""

    @property
    def restarts(self) -> list[str]:
        """The releases that it was restarted with, in order."""
        path = self.root / "restarts"
        return path.read_text().splitlines() if path.exists() else []


def make_key(path: Path) -> None:
    """An SSH key without a passphrase."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True)


def make_wheel(folder: Path, version: str) -> Path:
    """A wheel of that version that holds nothing and needs nothing."""
    path = folder / f"sealstream-{version}-py3-none-any.whl"
    about = f"sealstream-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: sealstream\nVersion: {version}\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    return path


@contextmanager
def running_node(folder: Path, name: str, public_key: str) -> Iterator[SshNode]:
    """A node that answers until the context ends."""
    folder.mkdir()
    (folder / "root").mkdir()
    (folder / "authorized_keys").write_text(public_key)
    make_key(folder / "host_key")
    restart = folder / "root" / "restart.sh"
    restart.write_text(RESTART)
    restart.chmod(0o755)
    node = SshNode(name, choose_port("https"), folder)
    with running_sshd(node):
        yield node


@contextmanager
def running_sshd(node: SshNode) -> Iterator[None]:
    """Its sshd, which is ended with the context."""
    Path("/run/sshd").mkdir(exist_ok=True, mode=0o755)
    config = node.folder / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {node.port}\nHostKey {node.folder}/host_key\n"
        f"AuthorizedKeysFile {node.folder}/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        f"SetEnv PIP_NO_INDEX=1 PIP_FIND_LINKS={node.folder.parent}/index PIP_ROOT_USER_ACTION=ignore\n"
    )
    with (node.folder / "sshd.log").open("ab") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=log, start_new_session=True)
        try:
            _wait_for(node.port, process)
            yield
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "sshd ended at once: see sshd.log"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("sshd does not answer")


def settings_for(data: Path) -> Settings:
    """Settings of the node that updates the others."""
    data.mkdir(parents=True, exist_ok=True)
    key = data / "nodes.ssh"
    if not key.exists():
        make_key(key)
    quick = data / "python"
    quick.write_text(QUICK)
    quick.chmod(0o755)
    update = UpdateSettings(key_file=key, root="unset", python=str(quick), restart="unset", check="unset", check_s=4)
    return Settings(node=NodeSettings(data_dir=data), update=update)


def add_node(fleet: Fleet, node: SshNode, host_key: str = "") -> None:
    """Have it updated from there."""
    from dataclasses import replace

    from infra.nodes.fleet import parse_host_key

    root = str(node.root)
    reached = parse_address(node.name, f"ssh://{getpass.getuser()}@127.0.0.1:{node.port}")
    whole = replace(reached, root=root, restart=f"{root}/restart.sh", check="cd {root} && cat well && rm well")
    fleet.add(whole, parse_host_key(host_key or node.host_key))

"""Runs a program under the system calls that a unit allows: `python -m tests.deploy.sandbox UNIT PROGRAM ARGUMENT…`.

The unit's SystemCallFilter lines become a real seccomp filter, as systemd would make it, on a machine without systemd
as its first process. Never more than that: the unit's other rules are not applied.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path

_ERRNO = 0x0005_0000
_ALLOW = 0x7FFF_0000


def allowed_calls(unit: Path) -> set[str]:
    """The names, by systemd's own sets and its way of reading line after line."""
    allowed = _expand("@default")
    for line in unit.read_text("utf-8").splitlines():
        name, _, value = line.partition("=")
        if name == "SystemCallFilter":
            calls = {call for word in value.removeprefix("~").split() for call in _expand(word)}
            allowed = allowed - calls if value.startswith("~") else allowed | calls
    return allowed


def apply(calls: set[str]) -> None:
    """Allow this process and its children these calls alone; all others fail with EPERM."""
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    seccomp.seccomp_init.argtypes = [ctypes.c_uint32]
    seccomp.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    seccomp.seccomp_load.argtypes = [ctypes.c_void_p]
    context = seccomp.seccomp_init(_ERRNO | errno.EPERM)
    for call in calls:
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:
            seccomp.seccomp_rule_add(context, _ALLOW, number, 0)
    if seccomp.seccomp_load(context):
        raise OSError("the filter is not taken")


def _expand(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    told = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", word], capture_output=True, text=True, check=True
    )
    words = [line.strip() for line in told.stdout.splitlines()[1:]]
    return {call for it in words if it and not it.startswith("#") for call in _expand(it)}


if __name__ == "__main__":
    calls = allowed_calls(Path(sys.argv[1]))
    apply(calls)
    os.execvp(sys.argv[2], sys.argv[2:])

"""The exit codes of every command, and which error ends with which; docs/exit-codes.md says the same."""

from __future__ import annotations

from enum import IntEnum

from schemas.errors import ConfigError, RemoteError, SealstreamError, UnavailableError


class Exit(IntEnum):
    """What a script may rely on."""

    OK = 0
    """The command did what it says."""
    NOTHING = 1
    """Nothing was found, or a check failed."""
    USAGE = 2
    """The command line or the settings cannot be used."""
    UNAVAILABLE = 3
    """Something that the command needs does not answer, or is not installed."""
    REFUSED = 4
    """The other side, or damaged data, does not allow it."""


def exit_code(error: SealstreamError) -> Exit:
    """The code that a command ends with when `error` ends it."""
    match error:
        case ConfigError():
            return Exit.USAGE
        case UnavailableError():
            return Exit.UNAVAILABLE
        case RemoteError():
            return Exit.REFUSED
        case _:
            return Exit.NOTHING

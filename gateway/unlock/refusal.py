"""Why an unlock is refused: one error with a fixed word for it, that the audit, the API and scripts share.

Never says more of a key than that it did not open.
"""

from __future__ import annotations

from schemas.errors import (
    ConfigError,
    KekClosedError,
    KekMissingError,
    MalformedError,
    OpenError,
    RemoteError,
    SealstreamError,
    UnavailableError,
    WrongPassphraseError,
)

NOTHING_FOUND = "nothing_found"
TOO_MANY_ATTEMPTS = "too_many_attempts"
UNAVAILABLE = "unavailable"


class RefusedError(RemoteError):
    """An unlock is refused; `reason` is one of a few fixed words."""

    def __init__(self, reason: str, message: str, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


def refusal_of(error: SealstreamError) -> RefusedError:
    """What an error of ours is for the person who asked."""
    match error:
        case RefusedError():
            return error
        case WrongPassphraseError():
            reason = "wrong_passphrase"
        case KekMissingError():
            reason = "kek_missing"
        case KekClosedError():
            reason = f"kek_{error.state}"
        case UnavailableError():
            reason = UNAVAILABLE
        case MalformedError():
            reason = error.reason
        case OpenError():
            reason = "channel"
        case ConfigError():
            reason = "configuration"
        case _:
            reason = "failed"
    return RefusedError(reason, str(error))

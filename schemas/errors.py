"""The tree of errors: the type says whose fault it is and what the caller will do.

Nothing here carries a key or plaintext, so every message may be logged.

    SealstreamError
    ├── LocalError          our own code or configuration is wrong: let it crash, in plain sight
    │   └── ConfigError     a setting, key file or argument is unusable: tell the person what to change
    │       └── KeyAccessError          a KEK cannot be used to open anything:
    │           ├── WrongPassphraseError    the passphrase (or a token's PIN) is not the key's
    │           ├── KekMissingError         the key, or its private half, is not here
    │           └── KekClosedError          the key was retired or revoked
    ├── RemoteError         a peer or its data is wrong: refuse that data, go on with the rest
    │   ├── MalformedError  bytes are not of the form that the specification gives: dead letter
    │   ├── OpenError       an envelope does not open, for whatever reason: dead letter
    │   └── WireError       a peer broke the wire protocol: end that connection
    └── UnavailableError    a dependency is away: wait and try again, lose nothing
"""

from __future__ import annotations


class SealstreamError(Exception):
    """Anything that sealstream itself raises."""


class LocalError(SealstreamError):
    """Our own mistake: a rule of this code was broken by this code."""


class ConfigError(LocalError):
    """A setting, file or argument cannot be used; the message says what to change."""


class KeyAccessError(ConfigError):
    """A KEK cannot be used to open anything; the type says why, the message what to do."""


class WrongPassphraseError(KeyAccessError):
    """The passphrase, or a token's PIN, opens none of the private keys that were asked for."""


class KekMissingError(KeyAccessError):
    """A KEK is not registered, or its private half is not on this node."""


class KekClosedError(KeyAccessError):
    """A KEK was retired or revoked: `state` is one of these two words."""

    def __init__(self, message: str, state: str) -> None:
        super().__init__(message)
        self.state = state


class RemoteError(SealstreamError):
    """A peer's mistake, or damage to its data."""


class MalformedError(RemoteError):
    """Bytes are not what their specification says; `reason` is one of a few fixed words, for counting."""

    def __init__(self, message: str, reason: str = "malformed") -> None:
        super().__init__(message)
        self.reason = reason


class OpenError(RemoteError):
    """The envelope does not open.

    One error for every way of not opening (wrong key, changed bytes, wrong commitment), so that who sends
    envelopes learns nothing from the difference.
    """

    def __init__(self) -> None:
        super().__init__("the envelope does not open with the keys at hand")


class WireError(RemoteError):
    """A peer broke the wire protocol; `code` is the value that a `Goodbye` frame carries."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class UnavailableError(SealstreamError):
    """A dependency does not answer; waiting and trying again loses nothing."""

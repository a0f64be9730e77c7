"""KEKs of this installation: their files, which of them are registered and for what, and opening the private halves.

Never decides who may open something: that is for who asks for a passphrase, and for the audit.
"""

from __future__ import annotations

from infra.keys.files import (
    KDF_ROUNDS,
    PRIVATE_SUFFIX,
    PUBLIC_SUFFIX,
    KekFiles,
    load_identities,
    load_identity,
    load_recipients,
    make_kek,
    protect,
    read_passphrase,
)

__all__ = [
    "KDF_ROUNDS",
    "PRIVATE_SUFFIX",
    "PUBLIC_SUFFIX",
    "KekFiles",
    "load_identities",
    "load_identity",
    "load_recipients",
    "make_kek",
    "protect",
    "read_passphrase",
]

"""Naming the key-exchange groups of a context, which Python's `ssl` can do for one group alone (before 3.15).

Never used on trust: `infra.tls.check` sees what a listener really offers before it serves anybody.
"""

from __future__ import annotations

import _ssl
import ctypes
import ssl

from schemas.errors import ConfigError

_SET_GROUPS_LIST = 92
"""SSL_CTRL_SET_GROUPS_LIST of openssl/ssl.h; `SSL_CTX_set1_groups_list` is a macro round it."""


def name_groups(context: ssl.SSLContext, groups: tuple[str, ...]) -> None:
    """Let `context` offer these groups by OpenSSL's names, in this order, and no others; raises `ConfigError`."""
    wanted = ":".join(groups)
    if hasattr(context, "set_groups"):
        context.set_groups(wanted)
        return
    try:
        control = ctypes.CDLL(_ssl.__file__).SSL_CTX_ctrl  # found in the libssl that `_ssl` itself is linked with
    except (AttributeError, OSError):
        raise ConfigError(
            "this Python has OpenSSL built in and no way to name TLS groups: use the distribution's Python, or 3.15"
        ) from None
    control.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p]
    control.restype = ctypes.c_long
    # A context is a Python object whose first field is OpenSSL's: `PySSLContext` in Modules/_ssl.c, since 3.2.
    handle = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    if control(handle, _SET_GROUPS_LIST, 0, wanted.encode()) != 1:
        raise ConfigError(f"this OpenSSL lacks one of the groups {wanted}")

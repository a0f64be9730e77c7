"""Hosts as they stand in addresses: an IPv6 address has brackets before a port.

Never looks a name up.
"""

from __future__ import annotations


def bracket(host: str) -> str:
    """A host, without brackets, as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def authority(host: str, port: int) -> str:
    """`host:port`, or `[address]:port`."""
    return f"{bracket(host)}:{port}"

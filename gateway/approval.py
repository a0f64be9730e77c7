"""Which addresses a node port serves (R5.1): the approved ones, single or as networks.

Never decides by name: an address is what the connection really comes from.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from schemas.errors import ConfigError


class ApprovedAddresses:
    """The approved addresses and networks; raises `ConfigError` for what is neither."""

    def __init__(self, approved: Iterable[str]) -> None:
        try:
            self._networks = [ipaddress.ip_network(text, strict=False) for text in approved]
        except ValueError as error:
            raise ConfigError(f"node.approved: {error}") from None

    def __contains__(self, host: object) -> bool:
        """Whether that address is approved; an IPv4 address mapped into IPv6 counts as the IPv4 address it is."""
        try:
            address = ipaddress.ip_address(str(host).partition("%")[0])
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self._networks)

"""nftables: on the ports between nodes, packets of approved addresses alone (R5.1).

Never touches another table than ours, and never another port.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.render.header import comment
from infra.render.nodes import node_ports

if TYPE_CHECKING:
    from infra.approved import Approval, Network
    from infra.settings import Settings

TABLE = "sealstream"

_SCRIPT = """\
table inet {table}
delete table inet {table}
table inet {table} {{
    set node_ports {{
        type inet_service
        elements = {{ {ports} }}
    }}
{sets}
    chain input {{
        type filter hook input priority filter; policy accept;
        tcp dport @node_ports ip saddr @approved4 accept
        tcp dport @node_ports ip6 saddr @approved6 accept
        tcp dport @node_ports counter reject with tcp reset
    }}
}}
"""


def render(settings: Settings, approval: Approval) -> str:
    """A script for `nft -f`, taken whole or not at all; it replaces what an earlier one made."""
    ports = node_ports(settings)
    note = ", ".join(f"{name} {port}" for name, port in ports.items())
    script = _SCRIPT.format(
        table=TABLE,
        ports=", ".join(str(port) for port in sorted(set(ports.values()))),
        sets="\n".join(
            [
                _set("approved4", "ipv4_addr", approval.of_version(4)),
                _set("approved6", "ipv6_addr", approval.of_version(6)),
            ]
        ),
    )
    return comment("nftables", "take it up with `nft -f FILE`", f"ports: {note}") + script


def _set(name: str, kind: str, networks: tuple[Network, ...]) -> str:
    elements = f"        elements = {{ {', '.join(map(str, networks))} }}\n" if networks else ""
    return f"    set {name} {{\n        type {kind}\n        flags interval\n{elements}    }}"

"""What stands at the head of every file that we generate."""

from __future__ import annotations


def comment(what: str, *notes: str) -> str:
    """Lines that say what the file is, where it comes from, and how it is taken up."""
    lines = [
        f"{what}, made by `sealstream infra render` from the approved nodes: change `sealstream approved`, not this."
    ]
    return "".join(f"# {line}\n" for line in (*lines, *notes))

"""Nodes: what they are and what happens to them, draining, updating, and which addresses are approved.

Never lets a page install code that did not lie on this node before: a roll-out names a wheel that is here.
"""

from __future__ import annotations

from fastapi import APIRouter

from gateway.api.nodes import approved, happening, showing, updating

router = APIRouter()
for _part in (showing, happening, approved, updating):
    router.include_router(_part.router)

"""KEKs: what there is, where it lies, what it protects; register, rotate, re-wrap, retire, revoke, assign.

Never takes, opens or shows a private half: what needs one is done by a command of its own process, or by an officer.
"""

from __future__ import annotations

from fastapi import APIRouter

from gateway.api.keys import changes, sets, showing, work

router = APIRouter()
for _part in (showing, sets, changes, work):
    router.include_router(_part.router)

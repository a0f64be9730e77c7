"""Recordings of people: who there is, what was recorded when, and the recordings themselves.

Never answers about anybody whom the account may not see, as if they were not there.
"""

from __future__ import annotations

from fastapi import APIRouter

from gateway.api.recordings import content, frames, overview

router = APIRouter(prefix="/api/v1/recordings", tags=["recordings"])
for part in (overview, content, frames):
    router.include_router(part.router)

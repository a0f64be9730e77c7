"""Search: words in what was recorded, one document with its places on the screen, saved searches, the blind index.

Never finds anybody whom the account may not see.
"""

from __future__ import annotations

from fastapi import APIRouter

from gateway.api.search import asking, blind, documents, saved

router = APIRouter(prefix="/api/v1", tags=["search"])
for part in (asking, documents, saved, blind):
    router.include_router(part.router)

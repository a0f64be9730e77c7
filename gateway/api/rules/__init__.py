"""Rules of alerts: which there are, changing them, and what one as typed would have matched.

Never changes a rule without saying in the audit what it was and what it is.
"""

from __future__ import annotations

from fastapi import APIRouter

from gateway.api.rules import changing, trying

router = APIRouter()
for part in (changing, trying):
    router.include_router(part.router)

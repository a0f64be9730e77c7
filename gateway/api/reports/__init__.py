"""Reports: active and idle time, focus, presence and overtime of the people that an account may see.

Never answers without an audit entry that says whose days these are.
"""

from __future__ import annotations

from fastapi import APIRouter

from gateway.api.reports import activity, days, hours

router = APIRouter(prefix="/api/v1/reports", tags=["reports"])
for part in (activity, days, hours):
    router.include_router(part.router)

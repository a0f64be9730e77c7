"""What the nodes of an installation share through PostgreSQL, followed for as long as a process serves by it.

Never ends by itself: a database that is away is waited out, and the files of this node hold.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from infra.pki.follow import RegisterFollower
from infra.site_follow import SiteFollower

if TYPE_CHECKING:
    from infra.settings import Settings


async def follow_shared(settings: Settings) -> None:
    """Follow the register and the public files, until cancelled."""
    async with asyncio.TaskGroup() as group:
        group.create_task(RegisterFollower(settings).follow(), name="register")
        group.create_task(SiteFollower(settings).follow(), name="site files")

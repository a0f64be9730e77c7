"""An envelope that can never be stored, and what the agent is told of it.

Never raised for what may go better the next time: an agent pushes that again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.wire import VERSION

if TYPE_CHECKING:
    from schemas.frames import NackCode


class Refusal(Exception):  # noqa: N818 - not an error of ours: what a Nack says
    """The code and the words of a Nack."""

    def __init__(self, code: NackCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def older_side(versions: list[int]) -> str:
    """Who has to be updated when an agent offers no version of ours: for the person at the endpoint."""
    if versions and min(versions) > VERSION:
        return "this server is too old for the agent: update the server"
    return "this agent is too old for the server: update it"

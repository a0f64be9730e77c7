"""An envelope that can never be stored, and what the agent is told of it.

Never raised for what may go better the next time: an agent pushes that again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.frames import NackCode


class Refusal(Exception):  # noqa: N818 - not an error of ours: what a Nack says
    """The code and the words of a Nack."""

    def __init__(self, code: NackCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code

"""What both sides of a reader's pipe know: sizes, and how an answer fails.

Never imports anything heavy: the gateway has it in its own process.
"""

from __future__ import annotations

from schemas.errors import LocalError

NUMBER_BYTES = 4
"""Of a request's number, which begins the body of each frame about it."""

PIECE_BYTES = 256 * 1024
"""The most of an answer in one frame."""

CREDIT_BYTES = 4 * 1024 * 1024
"""So much of an answer is under way at once, at most a step more."""


class AnswerError(LocalError):
    """A reader could not answer: the archive is damaged, or a mistake of ours. `reason` is its word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

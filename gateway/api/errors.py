"""Errors of the API: one form for all of them, `{"error": WORD, "message": TEXT}`.

Never tells more of a failure than its word and what the person can do: the log has the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from gateway.unlock.refusal import RefusedError
from schemas.errors import ConfigError, MalformedError, SealstreamError, UnavailableError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

log = structlog.get_logger(__name__)

MAX_FAULTS = 8


class Problem(BaseModel):
    """What every refused request is answered with."""

    error: str
    message: str


class ApiError(SealstreamError):
    """A request is refused; `word` is one of a few fixed words of its route."""

    def __init__(self, status: int, word: str, message: str, *, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.word = word
        self.retry_after_s = retry_after_s


REFUSALS = {
    "unauthorised": 401,
    "out_of_turn": 409,
    "elsewhere": 409,
    "too_many_sessions": 429,
    "nothing_found": 404,
    "too_many_attempts": 429,
    "unavailable": 503,
    "bad_request": 400,
    "bad_scope": 400,
    "bad_key": 400,
    "no_reason": 400,
    "failed": 500,
}
"""Statuses of an unlock's refusals; every other one is 403."""


def not_found(what: str) -> ApiError:
    """There is no such thing, or it is not this person's to know."""
    return ApiError(404, "not_found", f"there is no such {what}, or it is not yours to see")


def as_api_error(error: SealstreamError) -> ApiError:
    """What an error of ours is for the person who asked."""
    match error:
        case ApiError():
            return error
        case RefusedError():
            status = REFUSALS.get(error.reason, 403)
            return ApiError(status, error.reason, str(error), retry_after_s=error.retry_after_s)
        case UnavailableError():
            return ApiError(503, "unavailable", str(error), retry_after_s=5)
        case MalformedError():
            return ApiError(400, error.reason, str(error))
        case ConfigError():
            return ApiError(400, "configuration", str(error))
        case _:
            return ApiError(500, "failed", "this did not work: the server's log says more")


def problem(error: ApiError) -> JSONResponse:
    """The answer to a refused request."""
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else None
    return JSONResponse({"error": error.word, "message": str(error)}, error.status, headers=headers)


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error in the one form."""

    async def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, SealstreamError)
        told = as_api_error(error)
        if told.status >= 500:
            log.warning("api_failed", path=request.url.path, error=type(error).__name__, reason=str(error))
        return problem(told)

    async def invalid(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        faults = [f"{'.'.join(str(part) for part in row['loc'])}: {row['msg']}" for row in error.errors()[:MAX_FAULTS]]
        return problem(ApiError(422, "bad_request", "; ".join(faults)))

    async def http(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        word = {404: "not_found", 405: "bad_method"}.get(error.status_code, "bad_request")
        answer = problem(ApiError(error.status_code, word, str(error.detail)))
        answer.headers.update(error.headers or {})
        return answer

    app.add_exception_handler(SealstreamError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)

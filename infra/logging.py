"""Logging of every process: one structlog pipeline, JSON lines or for a person to read.

Never writes bytes: a field that is bytes may be a key or plaintext, so its presence is a mistake of ours.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO, cast

import structlog

from schemas.errors import LocalError

_REMEMBERED = 1000

_identity: dict[str, str] = {}
"""Fields of every line of this process, in all its tasks and threads: which node it is of, and which life it is in."""


def configure_logging(
    component: str,
    json: bool | None = None,  # noqa: FBT001
    level: int = logging.INFO,
    *,
    node: str = "",
) -> None:
    """Log to standard error as `component` of `node`; as JSON lines where that is not a terminal, or as told."""
    as_json = not sys.stderr.isatty() if json is None else json
    ending: list[Any] = [structlog.processors.JSONRenderer()] if as_json else [_console()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_identity,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if as_json else _unchanged,
        refuse_bytes,
    ]
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", Unfailing(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(component=component)
    _identity.clear()
    identify_process(node=node)
    _adopt_libraries(shared, ending, level)


def identify_process(**fields: str) -> None:
    """Write these fields into every line from now on, unless it has such ones of its own; empty ones are none."""
    _identity.update({name: value for name, value in fields.items() if value})


def add_identity(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Say whose line it is."""
    for name, value in _identity.items():
        event.setdefault(name, value)
    return event


def _console() -> structlog.dev.ConsoleRenderer:
    """Lines for a person, with plain tracebacks: structlog's own show variables, and with them plaintext."""
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


class Unfailing:
    """A text stream that loses what its file refuses, full or closed: no log ends the process."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or lose the text."""
        with contextlib.suppress(OSError):
            if not self._stream.closed:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or lose what was written."""
        with contextlib.suppress(OSError):
            if not self._stream.closed:
                self._stream.flush()


def refuse_bytes(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Raise where a field is bytes, however deep."""
    for name, value in event.items():
        if _holds_bytes(value):
            raise LocalError(f"log field {name!r} holds bytes: log an id or a length instead")
    return event


def _holds_bytes(value: object) -> bool:
    if isinstance(value, bytes | bytearray | memoryview):
        return True
    if isinstance(value, dict):
        return any(_holds_bytes(part) for pair in value.items() for part in pair)
    return isinstance(value, list | tuple | set | frozenset) and any(map(_holds_bytes, value))


def _unchanged(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return event


class Sparing(logging.Filter):
    """Lets a library say the same only once in `every_s`: a broker that is away is worth a line, not a thousand.

    What it held back is counted in the next one, as `repeated`.
    """

    def __init__(self, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written. Records are the same when their texts are, before arguments are put in."""
        what, now = (record.name, str(record.msg)), self._clock()
        said, repeated = self._said.get(what, (now - self._every_s, 0))
        if now - said < self._every_s:
            self._said[what] = said, repeated + 1
            return False
        if len(self._said) > _REMEMBERED:
            self._said.clear()
        self._said[what] = now, 0
        if repeated:
            record.msg = f"{record.msg} (repeated {repeated} times)"
        return True


def _adopt_libraries(shared: list[Any], ending: list[Any], level: int) -> None:
    """Records of the standard library's loggers go the same way; libraries speak from warnings up."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared[:-1], structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(Sparing())
    logging.root.handlers = [handler]
    logging.root.setLevel(max(level, logging.WARNING))

"""Who may call: approved addresses (R5.1) that show a node's certificate. Everybody else gets nothing, not even health.

Never lets a call go on whose caller was taken off the list meanwhile, and never says more than a code to a stranger.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import unquote

import grpc
import structlog
from cryptography import x509

from infra.pki.certificates import is_of_node
from infra.replays.jobs import RefusedReplayError
from schemas.errors import ConfigError, MalformedError, SealstreamError, UnavailableError

if TYPE_CHECKING:
    from infra.metrics import Metrics

log = structlog.get_logger(__name__)

WRITE_S = 5.0
"""So long a call that is to end waits for what it is writing, seconds."""

Handler = Any
"""grpc's `RpcMethodHandler`: which of four functions it has says what streams."""

_KINDS = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
_REPLAY_CODES = {
    "not_found": grpc.StatusCode.NOT_FOUND,
    "nothing_found": grpc.StatusCode.NOT_FOUND,
    "out_of_turn": grpc.StatusCode.FAILED_PRECONDITION,
}


class NotAdmittedError(SealstreamError):
    """The caller gets nothing; `reason` is one of a few fixed words, `told` what it may know."""

    def __init__(self, reason: str, told: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.told = told


class _WholeWrites:
    """A call's context whose writes are never broken off: grpc sends no status behind half a write, and the caller
    would wait for its end for ever.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self._writing: asyncio.Future[None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        """As grpc's, but that it goes on when who waits for it is cancelled."""
        self._writing = asyncio.ensure_future(self._context.write(message))
        self._writing.add_done_callback(lambda writing: writing.cancelled() or writing.exception())
        await asyncio.shield(self._writing)

    async def written(self) -> None:
        """Wait until nothing is being written, but not for ever for a caller that reads nothing."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=WRITE_S)


class Admission(grpc.aio.ServerInterceptor):
    """Stands before every method of every service, also before those that there are not.

    `revoked` is asked with a serial number (hex, capitals); without `certificates` addresses alone decide.
    """

    def __init__(
        self,
        approves: Callable[[str], bool],
        metrics: Metrics,
        *,
        certificates: bool,
        revoked: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._approves = approves
        self._metrics = metrics
        self._certificates = certificates
        self._revoked = revoked
        self._calls: dict[asyncio.Task[Any], str] = {}
        self._dropped: set[asyncio.Task[Any]] = set()

    async def intercept_service(self, continuation: Any, details: Any) -> Handler:
        """The method's handler, behind the question who calls."""
        handler = await continuation(details)
        if handler is None:
            return grpc.unary_unary_rpc_method_handler(self._guard(_no_such_method, "unknown"))
        attribute, make = _KINDS[handler.request_streaming, handler.response_streaming]
        method = details.method.rpartition("/")[2]
        return make(
            self._guard(getattr(handler, attribute), method), handler.request_deserializer, handler.response_serializer
        )

    def drop_unapproved(self) -> None:
        """End the calls of those who are not approved any more."""
        for task, address in self._calls.items():
            if not self._approves(address):
                self._dropped.add(task)
                task.cancel()

    def _guard(self, behaviour: Callable[[Any, Any], Any], method: str) -> Callable[[Any, Any], Any]:
        async def guarded(request: Any, bare: Any) -> Any:
            context, code = _WholeWrites(bare), "OK"
            try:
                with self._noted(self._admit(context)):
                    return await _answer(behaviour(request, context), context)
            except NotAdmittedError as error:
                code = "PERMISSION_DENIED"
                self._metrics.counter("miner_calls_refused_total").labels(error.reason).inc()
                log.warning("miner_call_refused", address=context.peer(), method=method, reason=error.reason)
                await context.written()
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, error.told)
            except SealstreamError as error:
                status = code_of(error)
                code = status.name
                log.info("miner_call_failed", method=method, error=type(error).__name__, reason=str(error))
                await context.abort(status, str(error))
            except grpc.aio.AbortError:
                code = context.code().name
                raise
            except BaseException as error:
                code = "CANCELLED" if isinstance(error, asyncio.CancelledError) else "UNKNOWN"
                raise
            finally:
                self._metrics.counter("miner_calls_total").labels(method, code).inc()

        return guarded

    @contextmanager
    def _noted(self, address: str) -> Iterator[None]:
        """Know of the call while it lasts."""
        task = asyncio.current_task()
        assert task is not None
        self._calls[task] = address
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._dropped:
                raise
            task.uncancel()
            raise NotAdmittedError("unapproved") from None
        finally:
            self._calls.pop(task)
            self._dropped.discard(task)

    def _admit(self, context: Any) -> str:
        """The caller's address; raises `NotAdmittedError`."""
        address = address_of(context.peer())
        if not self._approves(address):
            raise NotAdmittedError("unapproved")
        if self._certificates:
            self._check_certificate(context.auth_context())
        return address

    def _check_certificate(self, shown: Mapping[str, list[bytes]]) -> None:
        try:
            certificate = x509.load_pem_x509_certificate(shown["x509_pem_cert"][0])
        except (KeyError, IndexError, ValueError):
            raise NotAdmittedError("no certificate", "show the certificate of a node") from None
        if not is_of_node(certificate):
            raise NotAdmittedError("not a node", "this is not the certificate of a node")
        if self._revoked(f"{certificate.serial_number:X}"):
            raise NotAdmittedError("revoked", "this certificate is revoked")


def address_of(peer: str) -> str:
    """The address in what gRPC calls a peer, such as ``ipv4:10.0.0.7:4711`` or ``ipv6:%5B::1%5D:4711``."""
    place = unquote(peer.partition(":")[2])
    return place.rpartition(":")[0].strip("[]")


def code_of(error: SealstreamError) -> grpc.StatusCode:
    """What an error of ours is for who called."""
    match error:
        case RefusedReplayError():
            return _REPLAY_CODES.get(error.word, grpc.StatusCode.INVALID_ARGUMENT)
        case UnavailableError():
            return grpc.StatusCode.UNAVAILABLE
        case MalformedError() | ConfigError():
            return grpc.StatusCode.INVALID_ARGUMENT
        case _:
            return grpc.StatusCode.INTERNAL


async def _answer(answer: Any, context: Any) -> Any:
    """Await an answer, or send what a generator of answers gives."""
    if not isinstance(answer, AsyncIterator):
        return await answer
    async with aclosing(answer) as messages:  # type: ignore[type-var]  # a generator, which can be closed
        async for message in messages:
            await context.write(message)
    return None


async def _no_such_method(_request: Any, context: Any) -> NoReturn:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "there is no such method")
    raise AssertionError("abort raises")

"""The odd port: HTTPS websockets by which viewers get what they may watch or hear (R2.3).

Never sends anything before a ticket was shown, nor to a page of another site, nor after its owner's session has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from gateway.facts import now_ms
from gateway.peer import address_text
from gateway.visits import Visits
from gateway.webserver import WebServer, make_server
from schemas.errors import MalformedError, UnavailableError
from schemas.live import LiveMessage

if TYPE_CHECKING:
    import socket
    import ssl

    from gateway.facts import Facts
    from gateway.live.hub import Hub
    from gateway.live.tickets import Ticket, Tickets
    from gateway.live.view import View
    from gateway.marks import Marks
    from infra.metrics import Metrics
    from infra.settings import Settings

log = structlog.get_logger()

PATH = "/live"
TICKET_S = 10.0
"""A connection that shows no ticket for so long is ended."""

WAITING = 64
"""Connections that may be open without a ticket while all places are taken by who has one."""

CHECK_S = 15.0
"""So often it is asked whether the viewer's session still goes on."""

PING_S = 20.0
MAX_MESSAGE_BYTES = 16 * 1024

REFUSED, OVER = 4403, 4410
"""Codes of closing: no ticket that is good; the view has ended. The status before it has the words."""

NOT_UNDERSTOOD = (ValueError, KeyError, TypeError, RecursionError)
"""What reading JSON of a stranger raises."""

Lives = Callable[["Ticket"], Awaitable[bool]]
"""Whether a ticket's owner may go on, by session, role and teams; raises `UnavailableError` when nobody knows."""


class LivePort:
    """The websockets' application; `serve` runs it until `stop`."""

    def __init__(
        self,
        settings: Settings,
        hub: Hub,
        tickets: Tickets,
        *,
        facts: Facts,
        metrics: Metrics,
        lives: Lives,
        marks: Marks,
    ) -> None:
        self._settings = settings
        self._hub = hub
        self._tickets = tickets
        self._facts = facts
        self._metrics = metrics
        self._lives = lives
        self._marks = marks
        self._server: WebServer | None = None
        self._open = 0
        self.app = Starlette(routes=[WebSocketRoute(PATH, self.show)])

    async def show(self, socket: WebSocket) -> None:
        """One viewer, from their ticket to the end."""
        if self._open >= self._settings.live.viewers + WAITING:
            await socket.close()
            return
        await socket.accept()
        self._open += 1
        try:
            with contextlib.suppress(WebSocketDisconnect):
                await self._show(socket)
        finally:
            self._open -= 1

    async def _show(self, socket: WebSocket) -> None:
        try:
            async with asyncio.timeout(TICKET_S):
                ticket = await self._tickets.use(_ticket_in(await socket.receive_text()), now_ms(), self._marks)
            check_origin(socket.headers.get("origin", ""), ticket.origin)
            view = await self._hub.admit(ticket)
        except (MalformedError, UnavailableError, TimeoutError, KeyError) as error:
            told = isinstance(error, MalformedError | UnavailableError)
            await _close(socket, REFUSED, "refused", str(error) if told else "show a ticket first")
            return
        log.info("live_view_begins", agent=ticket.agent_id, what=ticket.what, actor=ticket.actor)
        started = time.monotonic()
        try:
            await self._serve_view(socket, view)
        finally:
            self._hub.leave(view)
            await self._note_end(view, time.monotonic() - started)
        await _close(socket, OVER, "over", view.end_reason or "the view is over")

    async def _serve_view(self, socket: WebSocket, view: View) -> None:
        """Until the viewer, the agent or their session has gone."""
        tasks = [
            asyncio.create_task(self._send(socket, view), name="live send"),
            asyncio.create_task(self._receive(socket, view), name="live receive"),
            asyncio.create_task(self._watch(view), name="live watch"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for fault in ended:
            if isinstance(fault, Exception) and not isinstance(fault, WebSocketDisconnect | RuntimeError):
                raise fault

    async def _send(self, socket: WebSocket, view: View) -> None:
        while (message := await view.take()) is not None:
            await socket.send_bytes(message)

    async def _receive(self, socket: WebSocket, view: View) -> None:
        """Tell the time, so that the viewer can tell how late a picture is; hold while they do not see it."""
        while True:
            try:
                asked = json.loads(await socket.receive_text())
                sent = None if "hold" in asked else float(asked["ping"])
            except NOT_UNDERSTOOD:
                continue  # and not answered
            if sent is None:
                self._hub.hold(view, holds=asked["hold"] is True)
            else:
                view.tell("pong", ping=sent, server_ms=now_ms())

    async def _watch(self, view: View) -> None:
        """End a view when its time is up, or the session that it came by has ended."""
        until = time.monotonic() + self._settings.live.session_s
        while not view.end_reason:
            await asyncio.sleep(min(CHECK_S, max(0.0, until - time.monotonic())))
            if time.monotonic() >= until:
                view.end("the longest time for one view is over: begin another")
            elif refusal := self._hub.allows(view.ticket.what):
                view.end(refusal)
            else:
                await self._check_session(view)

    async def _check_session(self, view: View) -> None:
        try:
            lives = await self._lives(view.ticket)
        except UnavailableError:
            return  # while nobody can know, what was allowed goes on until its time is up
        if not lives:
            view.end("you are signed out, or may not see them any more")

    async def _note_end(self, view: View, seconds: float) -> None:
        """The audit has that it began; that it ended, and after how long, is told too."""
        ticket = view.ticket
        action = "watch" if ticket.what == "screen" else "listen"
        log.info("live_view_ends", agent=ticket.agent_id, what=ticket.what, actor=ticket.actor, seconds=round(seconds))
        await self._facts.audit_durably(
            action,
            ticket.agent_id,
            "done",
            actor=ticket.actor,
            purpose=ticket.purpose,
            persons=ticket.user,
            part="end",
            seconds=f"{seconds:.1f}",
            messages=str(view.sent),
            reason=view.end_reason or "the viewer left",
        )

    async def serve(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        """Serve on `listener` until `stop`."""
        log.info("live_listening", address=address_text(listener.getsockname()))
        await asyncio.to_thread(self._tickets.load)
        visits = Visits(
            self._settings.live.viewers + WAITING,
            self._metrics,
            request_timeout_s=TICKET_S,
            gauge="gateway_live_connections",
        )
        self._server = make_server(
            self.app,
            visits,
            listener,
            context,
            self._settings.gateway.handshake_timeout_s,
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            ws_per_message_deflate=False,
        )
        beside = [asyncio.create_task(self._hub.sweep(), name="live sweep")]
        if self._hub.relay:
            beside.append(asyncio.create_task(self._hub.relay.run(), name="live relay"))
        for task in beside:
            task.add_done_callback(_tell_fault)
        try:
            await self._server.serve()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    def stop(self) -> None:
        """Send viewers away, and let `serve` return."""
        self._hub.end_all("the server stops")
        if self._server:
            self._server.should_exit = True


def _tell_fault(task: asyncio.Task[None]) -> None:
    """A fault beside the views is told, and ends nothing else."""
    if not task.cancelled() and (fault := task.exception()):
        log.error("live_failed", part=task.get_name(), exc_info=fault)


async def _close(socket: WebSocket, code: int, kind: str, reason: str) -> None:
    """Say why, and close; the viewer may have gone already."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        if socket.application_state is WebSocketState.CONNECTED:
            status = json.dumps({"kind": kind, "reason": reason}).encode()
            await socket.send_bytes(bytes((LiveMessage.STATUS,)) + status)
            await socket.close(code)


def _ticket_in(text: str) -> str:
    try:
        ticket = json.loads(text)["ticket"]
    except NOT_UNDERSTOOD:
        ticket = None
    if not isinstance(ticket, str):
        raise MalformedError('the first message is {"ticket": …}', "bad_ticket")
    return ticket


def check_origin(origin: str, wanted: str) -> None:
    """Raise `MalformedError` unless the page that opens the websocket is the console that got the ticket.

    What is no browser says no origin, neither here nor there.
    """
    if origin and origin_of(origin) != origin_of(wanted):
        raise MalformedError("a page of another site opened this websocket", "other_site")


def origin_of(text: str) -> tuple[str, str, int]:
    """Scheme, host and port of an origin; port 443 where it names none."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(text)
        return parts.scheme, parts.hostname or "", parts.port or 443
    return "", "", 0

"""One connection that speaks SMPP: a `Session` on a socket of asyncio's.

It writes once per turn of the event loop, has one timer, and stops reading while the application owes too many answers.
What the events mean is its owner's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

from heliograph.carriers.smpp.pdu import DataSm, DeliverSm, Request, Response, SubmitSm
from heliograph.carriers.smpp.session import BOUND, Closed, Event, Session, SessionState

CLOSE_SECONDS = 5.0  # the peer has so long to read what is still to be written
MAX_UNREAD = 1 << 20  # octets of answers that are kept for a peer that does not read


class Owner(Protocol):
    """Who is told."""

    def happened(self, connection: Connection, events: Sequence[Event]) -> None:
        """The session says this; the last event of a connection is `Closed`."""

    def resumed(self, connection: Connection) -> None:
        """The peer reads again: there may be room."""


class Connection(asyncio.Protocol):
    """A session and its socket. `shortest` is the shortest of the session's time limits, in seconds."""

    def __init__(self, owner: Owner, session: Session, shortest: float, loop: asyncio.AbstractEventLoop) -> None:
        self.session = session
        self.closed: asyncio.Future[None] = loop.create_future()  # done once the socket is gone
        self._owner = owner
        self._shortest = shortest
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flushing = False
        self._writing_paused = False
        self._reading_paused = False
        self._unread = 0
        self._last_words = ""

    # ── For the owner ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def room(self) -> int:
        """How many messages may be submitted now."""
        if self._writing_paused or self.session.state not in BOUND:
            return 0
        return self.session.room

    def submit(self, pdus: Sequence[tuple[SubmitSm | DeliverSm | DataSm, object]]) -> None:
        """As `Session.submit`."""
        self.session.submit(pdus, self._loop.time())
        self._flush_soon()

    def request(self, pdu: Request, token: object = None) -> None:
        """As `Session.request`."""
        self.session.request(pdu, token, now=self._loop.time())
        self._flush_soon()

    def respond(self, responses: Sequence[Response]) -> None:
        """As `Session.respond_all`; reading goes on once enough is answered."""
        self.session.respond_all(responses)
        self._flush_soon()
        if self._reading_paused and not self.session.overrun and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def abort(self, reason: str) -> None:
        """Drop the connection as it is."""
        self._last_words = self._last_words or reason
        if self._transport is not None:
            self._transport.abort()

    # ── For the event loop ───────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._flush_soon()
        self._arm()

    def data_received(self, data: bytes) -> None:
        session = self.session
        events = session.receive(data, self._loop.time())
        if events:
            self._tell(events)
        if session.overrun and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()
        self._flush_soon()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._unread = 0
        self._owner.resumed(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        reason = self._last_words or (f"connection lost: {error}" if error else "the peer closed the connection")
        events = self.session.lost(reason)
        try:
            if events:
                self._owner.happened(self, events)
        finally:
            if not self.closed.done():
                self.closed.set_result(None)

    def _tell(self, events: list[Event]) -> None:
        over = isinstance(events[-1], Closed)
        if over:
            self._flush()  # a last answer
            self._close()
        self._owner.happened(self, events)

    def _close(self) -> None:
        """Close once all is written, or has not been read for too long."""
        if self._transport is not None:
            self._transport.close()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(CLOSE_SECONDS, self._transport.abort)

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        data = self.session.outgoing()
        if not data or self._transport is None or self._transport.is_closing():
            return
        if self._writing_paused:
            # Messages have no room now: these are answers, and a peer that only asks must not fill the memory.
            self._unread += len(data)
            if self._unread > MAX_UNREAD:
                self.abort("the peer does not read its answers")
                return
        self._transport.write(data)

    # Whatever is asked later than now has its deadline at `shortest` from then or after it. So the timer that is set
    # once and looks again when it is due never comes too late.
    def _arm(self) -> None:
        now = self._loop.time()
        self._timer = self._loop.call_at(max(now, min(self.session.next_tick(), now + self._shortest)), self._tick)

    def _tick(self) -> None:
        events = self.session.tick(self._loop.time())
        self._flush_soon()
        if self.session.state is not SessionState.CLOSED:
            self._arm()
        if events:
            self._tell(events)

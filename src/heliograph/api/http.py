"""HTTP/1.1 as both doors have it: whole requests, answered one after the other, within limits.

A connection reads a request to its end before anybody looks at it, so that no endpoint meets half a body and a slow
client costs a buffer, not a task. Requests that come before an answer has left wait their turn, and reading pauses.
What breaks a limit is answered in its turn too, and then the connection ends: the rest of the request is read and
thrown away for a moment, since closing a connection over unread bytes resets it and may take the answer along
(RFC 9112 §9.6).

uvicorn's protocol gives the ASGI side (`RequestResponseCycle`), flow control and the server's bookkeeping.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from heliograph.api.ground import Ground, HttpLimits, Watched, lines
from heliograph.api.replies import Reply
from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError, HeliographError, OurFault

__all__ = ["Connection", "HttpLimits"]

_log = logging.getLogger(__name__)

_SLICE = 32 * 1024  # bytes parsed at a time: bounds the requests that can wait behind one another
_LARGE = 64 * 1024  # bodies over this size share a bound
_TURNED_AWAY = 128  # connections above the cap that are told so; what comes on top is dropped
_NEVER = math.inf


class Exchange(Protocol):
    """A request that was received whole, on the way to its answer."""

    def start(self) -> None:
        """Have it answered; the connection is told by `finished`."""

    def close_after(self) -> None:
        """Let its answer be the connection's last."""

    def abandon(self) -> None:
        """The connection is gone; what is under way may end, but nothing can be written."""


class Connection(HttpToolsProtocol):
    """One client's connection; what an exchange is, a subclass says.

    `deadline` is when the connection ends unless something happens, in the loop's time.
    """

    ground: ClassVar[Ground]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        limits = self.ground.limits
        self.deadline = _NEVER
        self._max_header_bytes = limits.max_header_bytes
        self._max_body_bytes = limits.max_body_bytes
        self._timeout = limits.request_timeout_seconds
        self._keep_alive = limits.keep_alive_seconds
        # What was received whole and waits, and what is being answered.
        self._waiting: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._pumping = False
        # What was read and is not parsed yet.
        self._unread = b""
        # The request that is being received.
        self._receiving = False
        self._chunk = 0  # size of what is being parsed
        self._head_bytes = 0  # at most so many bytes were parsed since the last progress
        self.url = b""
        self.headers = []  # as they come: those of the head, then the trailers
        self.method = b""
        self.head: list[tuple[bytes, bytes]] = []
        self.fields: dict[bytes, bytes] = {}  # of headers that come twice the last
        self._body: bytes | bytearray = b""
        self._reserved = 0
        self._continue = False
        self._upgrade = False
        # The end.
        self._deaf = False  # what comes is thrown away
        self._ended = False  # the client sends no more
        self._draining = False
        self.lost = False

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        ground = self.ground
        self.peer = self.client[0] if self.client else "-"
        self._proxied = ground.proxies.trusts(self.peer)
        self.deadline = self.loop.time() + self._timeout
        ground.watch(self.loop, cast("set[Watched]", self.connections))
        above = len(self.connections) - ground.limits.max_connections
        if above > _TURNED_AWAY:
            transport.abort()
        elif above > 0:
            self._refuse(OurFault(errors.OVERLOADED, "The server has as many connections as it takes; try again soon."))
            self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._deaf = True
        self.connections.discard(self)
        if self._current is not None:
            self._current.abandon()
        self._waiting.clear()
        self._unread = b""
        self._forget_request()
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._unread or len(data) > _SLICE:
            self._unread += data
        else:
            self._parse(data)
        if self._current is None or self._waiting or self._unread:
            self._pump()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client sends no more; it may still read what it is owed. TLS has no such half-open state here."""
        self._ended = True
        if self.scheme == "https":
            return None
        return self._current is not None or bool(self._waiting or self._unread)

    def pause_writing(self) -> None:
        """The client does not read its answers: it gets no more until it does, and not for ever."""
        super().pause_writing()
        self.deadline = self.loop.time() + self._timeout

    def resume_writing(self) -> None:
        super().resume_writing()
        self.deadline = self.loop.time() + self._timeout if self._receiving else _NEVER
        self._pump()

    def shutdown(self) -> None:
        """The server stops: end now, or after the requests that have begun to arrive."""
        self._draining = True
        if self._current is not None and not (self._waiting or self._unread or self._receiving):
            self._current.close_after()
        self._pump()

    def expire(self, now: float) -> None:
        """The deadline has passed."""
        if self.transport.is_closing() or self.flow.write_paused:
            self.transport.abort()
        elif self._current is not None:
            # The one being answered is not to blame for the one that does not come.
            self._deafen()
            self._current.close_after()
            self.deadline = _NEVER
        else:
            self.deadline = now + self.ground.limits.linger_seconds
            self.transport.close()

    # -- the parser's calls

    def _parse(self, data: bytes | memoryview) -> None:
        size = len(data)
        self._chunk = size
        self._head_bytes += size
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(bytes(data)[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            _log.exception("reading a request failed")
            self._refuse(OurFault(errors.INTERNAL_ERROR))
        except httptools.HttpParserError as error:
            self._refuse(CallerError(errors.HTTP_MALFORMED, f"The request is not HTTP/1.1: {error}."))
        else:
            # Heads without end, and trailers and chunk extensions. The first slice may not have been of this head.
            if self._receiving and self._head_bytes - _SLICE > self._max_header_bytes:
                self._refuse(_head_too_large(self._max_header_bytes))

    def on_message_begin(self) -> None:
        if self._deaf:
            return
        self.url = b""
        self.headers = []
        self.method = b""
        self._head_bytes = self._chunk
        if not self._receiving:  # blank lines before a request begin it more than once
            self._receiving = True
            self.deadline = self.loop.time() + self._timeout

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # The parser leaves the blanks behind a value, which are no part of it (RFC 9110 §5.5).
        self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._deaf:
            return
        self.method = self.parser.get_method()
        self.head = self.headers
        self.headers = []  # trailers are nothing to us (RFC 9110 §6.5.1)
        if self._head_bytes > self._max_header_bytes and self._head_size() > self._max_header_bytes:
            self._refuse(_head_too_large(self._max_header_bytes))
            return
        self._head_bytes = 0
        fields = self.fields = dict(self.head)
        if b"host" not in fields or len(fields) < len(self.head) or b"transfer-encoding" in fields:
            wrong = self._ambiguous()
            if wrong:
                self._refuse(CallerError(errors.HTTP_MALFORMED, wrong))
                return
        length = fields.get(b"content-length")
        if length is not None and int(length) > self._max_body_bytes:
            self._refuse(_too_large(int(length), self._max_body_bytes))
            return
        if b"expect" in fields:
            self._continue = fields[b"expect"].lower() == b"100-continue" and self.parser.get_http_version() == "1.1"
        if b"upgrade" in fields:
            self._upgrade = self.parser.should_upgrade()

    def _ambiguous(self) -> str:
        """What a proxy before us may have read in another way than we do; "" when there is nothing of the kind."""
        hosts = sum(name == b"host" for name, _ in self.head)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):  # RFC 9112 §3.2
            return f"The request has {hosts} Host headers; send exactly one."
        codings = [value.lower() for name, value in self.head if name == b"transfer-encoding"]
        if codings not in ([], [b"chunked"]):  # RFC 9112 §6.1
            return "The body has a transfer coding besides chunked; send it plain, with a Content-Length."
        return ""

    def on_body(self, body: bytes) -> None:
        if self._deaf:
            return
        self._head_bytes = 0
        if not self._body:
            self._body = body
        elif isinstance(self._body, bytearray):
            self._body += body
        else:
            self._body = bytearray(self._body + body)
        size = len(self._body)
        if size > _LARGE or size > self._max_body_bytes:
            self._weigh(size)

    def on_message_complete(self) -> None:
        if self._deaf or self._upgrade:
            return
        keep_alive = self.parser.should_keep_alive()
        if keep_alive and b"connection" in self.fields:
            keep_alive = self.parser.get_http_version() == "1.1"  # HTTP/1.0 may ask for it, but is not kept alive
        try:
            exchange = self.exchange(keep_alive)
        except httptools.HttpParserInvalidURLError:
            self._refuse(CallerError(errors.HTTP_MALFORMED, "The request target is neither a path nor a URL."))
            return
        self._forget_request()
        self._waiting.append(exchange)
        self._deaf = not keep_alive

    def exchange(self, keep_alive: bool) -> Exchange:
        """The request that was just received whole. Raises `HttpParserInvalidURLError` when its target is none."""
        raise NotImplementedError

    def refusal(self, error: HeliographError) -> Exchange:
        """The request that is being received, to be answered with an error."""
        raise NotImplementedError

    def take_body(self) -> bytes | bytearray:
        """The body of the request that was just received whole."""
        body, self._body = self._body, b""
        return body

    def caller(self) -> str:
        """The address of who made the request that was just received."""
        return self.ground.proxies.caller(self.peer, self.head) if self._proxied else self.peer

    def _head_size(self) -> int:
        """The request line and the headers, as they came but for blanks."""
        line = len(self.method) + len(self.url) + len(b"  HTTP/1.1\r\n")
        return line + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.head) + len(b"\r\n")

    def _weigh(self, size: int) -> None:
        if size > self._max_body_bytes:
            self._refuse(_too_large(size, self._max_body_bytes))
        elif self.ground.reserve(size - self._reserved):
            self._reserved = size
        else:
            self._refuse(
                OurFault(errors.OVERLOADED, "The server holds as many large bodies as it can; try again soon.")
            )

    def _forget_request(self) -> None:
        """No request is being received."""
        self._receiving = False
        self._continue = False
        self.deadline = _NEVER
        self._body = b""
        if self._reserved:
            self.ground.release(self._reserved)
            self._reserved = 0

    def _decline_upgrade(self, rest: bytes) -> None:
        """Serve a request that offers another protocol as if it did not (RFC 9110 §7.8).

        The parser has passed over the body, as it must when a connection changes hands; so a new one reads the request
        again, without the offer. Java's client offers h2c with its first request, bodies included. CONNECT asks for
        what cannot be left out.
        """
        if self._deaf:
            return
        if self.method == b"CONNECT":
            self._refuse(CallerError(errors.HTTP_MALFORMED, "CONNECT asks for a proxy, which this server is not."))
            return
        lines = [b"%b %b HTTP/%b" % (self.method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in _without_upgrade(self.head)]
        self._upgrade = False
        self.parser = httptools.HttpRequestParser(self)
        self._parse(b"\r\n".join([*lines, b"", b""]))
        if rest:
            self._parse(rest)

    # -- answering, one request after the other

    def _pump(self) -> None:
        """Answer what waits and parse what is unread, in turn, until an answer has to be waited for."""
        if self._pumping or self.lost:
            return
        self._pumping = True
        try:
            while self._current is None and not self.flow.write_paused and not self.transport.is_closing():
                if self._waiting:
                    self._begin(self._waiting.popleft())
                elif self._unread:
                    data, self._unread = memoryview(self._unread)[:_SLICE], self._unread[_SLICE:]
                    if not self._deaf:
                        self._parse(data)
                else:
                    self._rest()
                    break
        finally:
            self._pumping = False
        if (self._waiting or self._unread) and not self.transport.is_closing():
            self.flow.pause_reading()

    def _begin(self, exchange: Exchange) -> None:
        self._current = exchange
        if (self._draining or self.ground.draining) and not (self._waiting or self._unread or self._receiving):
            exchange.close_after()
        exchange.start()

    def _rest(self) -> None:
        """Nothing is being answered, nothing waits."""
        if self._ended or (self._draining and not self._receiving and not self._deaf):
            self.transport.close()
            return
        self.flow.resume_reading()
        if not self._receiving:
            if self.deadline == _NEVER and not self._deaf:
                self.deadline = self.loop.time() + self._keep_alive
        elif self._continue and not self._body:
            self._continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def finished(self) -> None:
        """The current exchange is answered."""
        self._current = None
        self.server_state.total_requests += 1
        if not self._pumping:
            self._pump()

    def write(self, reply: Reply, request_id: str, *, close: bool, head: bool = False) -> None:
        """Write an answer; `head` when it answers a HEAD."""
        body = reply.body
        self.transport.write(
            b"%b%b%bcontent-length: %d\r\nx-request-id: %b\r\n%b\r\n%b"
            % (
                STATUS_LINE[reply.status],
                self.ground.default_lines(self.server_state.default_headers),
                lines(reply.headers),
                len(body),
                request_id.encode(),
                b"connection: close\r\n" if close else b"",
                b"" if head else body,
            )
        )

    @property
    def busy(self) -> bool:
        """Whether a request of this connection is being answered."""
        return self._current is not None

    def linger(self) -> None:
        """The last answer is written: say so, and read on for a moment so that it arrives."""
        self._deafen()
        self._waiting.clear()
        self._unread = b""
        self.deadline = self.loop.time() + self.ground.limits.linger_seconds
        self.flow.resume_reading()
        if self._ended:
            self.transport.close()
        elif self.transport.can_write_eof():
            self.transport.write_eof()

    def _refuse(self, error: HeliographError) -> None:
        """The request being received breaks a rule: its answer, in its turn, is this error, and the last of all."""
        if not self._deaf:
            self._deafen()
            self._waiting.append(self.refusal(error))

    def _deafen(self) -> None:
        self._deaf = True
        self._forget_request()


def _too_large(size: int, limit: int) -> CallerError:
    detail = f"The body has {size} bytes or more; the limit is {limit}: send less."
    return CallerError(errors.REQUEST_TOO_LARGE, detail, facts={"max_bytes": limit})


def _head_too_large(limit: int) -> CallerError:
    return CallerError(errors.HEADERS_TOO_LARGE, facts={"max_bytes": limit})


def _without_upgrade(headers: list[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    for name, value in headers:
        if name == b"connection":
            kept = [token for token in value.split(b",") if token.strip().lower() != b"upgrade"]
            if kept:
                yield name, b",".join(kept)
        elif name != b"upgrade":
            yield name, value

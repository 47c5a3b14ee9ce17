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
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol, cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from heliograph.api.asgi import Api
from heliograph.api.caller import Proxies
from heliograph.api.replies import Headers, Reply
from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError, HeliographError, OurFault

_log = logging.getLogger(__name__)

_SLICE = 32 * 1024  # bytes parsed at a time: bounds the requests that can wait behind one another
_LARGE = 64 * 1024  # bodies over this size share a bound
_TURNED_AWAY = 128  # connections above the cap that are told so; what comes on top is dropped
_NEVER = math.inf


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What a client may ask of the server. Sizes are in bytes."""

    max_body_bytes: int = 1024 * 1024
    max_header_bytes: int = 32 * 1024
    max_connections: int = 10_000
    request_timeout_seconds: float = 30.0
    keep_alive_seconds: float = 75.0
    linger_seconds: float = 2.0
    """How long a connection that ends over an error goes on reading."""
    max_bodies_bytes: int = 256 * 1024 * 1024
    """Large bodies that are being received, all connections together."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose word is taken for the caller's address."""


class Ground:
    """What the connections of a server have in common."""

    def __init__(self, api: Api, limits: HttpLimits) -> None:
        self.api = api
        self.access = api.access
        self.limits = limits
        self.proxies = Proxies(limits.trusted_proxies)
        self._bodies_bytes = 0
        self._tick = max(0.05, min(1.0, limits.request_timeout_seconds / 10, limits.keep_alive_seconds / 10))
        self._sweeping = False
        self._default_headers: list[tuple[bytes, bytes]] = []
        self._default_lines = b""

    def lines(self, default_headers: list[tuple[bytes, bytes]]) -> bytes:
        """The headers that uvicorn has for every answer, and changes every second, as they are written."""
        if default_headers is not self._default_headers:
            self._default_headers = default_headers
            self._default_lines = _lines(tuple(default_headers))
        return self._default_lines

    def reserve(self, size: int) -> bool:
        """Account for `size` more bytes of a large body; False when there is no room for them."""
        if self._bodies_bytes + size > self.limits.max_bodies_bytes:
            return False
        self._bodies_bytes += size
        return True

    def release(self, size: int) -> None:
        """Give back what was reserved."""
        self._bodies_bytes -= size

    def watch(self, loop: asyncio.AbstractEventLoop, connections: Iterable[object]) -> None:
        """Look at all connections now and then: one timer for the server instead of two calls for each request."""
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(self._tick, self._sweep, loop, connections)

    def _sweep(self, loop: asyncio.AbstractEventLoop, connections: Iterable[object]) -> None:
        self._sweeping = False
        now = loop.time()
        watched = [one for one in connections if isinstance(one, Connection)]
        for connection in watched:
            if connection.deadline <= now:
                connection.expire(now)
        if watched:
            self.watch(loop, connections)


@lru_cache(1024)
def _lines(headers: Headers) -> bytes:
    return b"".join(b"%b: %b\r\n" % (name.lower(), value) for name, value in headers)


class Exchange(Protocol):
    """A request that was received whole, on the way to its answer."""

    keep_alive: bool

    def start(self) -> None:
        """Have it answered; the connection is told by `finished`."""

    def close_after(self) -> None:
        """Let its answer be the connection's last."""

    def abandon(self) -> None:
        """The connection is gone; what is under way may end, but nothing can be written."""


class Connection(HttpToolsProtocol):
    """One client's connection. `deadline` is when it ends unless something happens, in the loop's time."""

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
        self._in_body = False
        self.url = b""
        self.headers = []
        self.method = b""
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
        ground.watch(self.loop, self.connections)
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
                self._refuse(CallerError(errors.HEADERS_TOO_LARGE))

    def on_message_begin(self) -> None:
        if self._deaf:
            return
        self.url = b""
        self.headers = []
        self.method = b""
        self._head_bytes = self._chunk
        self._in_body = False
        if not self._receiving:  # blank lines before a request begin it more than once
            self._receiving = True
            self.deadline = self.loop.time() + self._timeout

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:  # trailers are read over (RFC 9110 §6.5.1)
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._deaf:
            return
        self.method = self.parser.get_method()
        self._in_body = True
        if self._head_bytes > self._max_header_bytes and self._head_size() > self._max_header_bytes:
            self._refuse(CallerError(errors.HEADERS_TOO_LARGE))
            return
        self._head_bytes = 0
        headers = dict(self.headers)
        length = headers.get(b"content-length")
        if length is not None and int(length) > self._max_body_bytes:
            self._refuse(_too_large(int(length), self._max_body_bytes))
            return
        if b"expect" in headers:
            self._continue = headers[b"expect"].lower() == b"100-continue" and self.parser.get_http_version() == "1.1"
        if b"upgrade" in headers:
            self._upgrade = self.parser.should_upgrade()

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
        keep_alive = self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1"
        try:
            exchange = self.exchange(keep_alive)
        except httptools.HttpParserInvalidURLError:
            self._refuse(CallerError(errors.HTTP_MALFORMED, "The request target is neither a path nor a URL."))
            return
        self._forget_request()
        self._waiting.append(exchange)
        self._deaf = not keep_alive

    def exchange(self, keep_alive: bool) -> Exchange:
        """The request that was just received whole."""
        return AsgiExchange(self, keep_alive)

    def take_body(self) -> bytes | bytearray:
        """The body of the request that was just received whole."""
        body, self._body = self._body, b""
        return body

    def caller(self) -> str:
        """The address of who made the request that was just received."""
        return self.ground.proxies.caller(self.peer, self.headers) if self._proxied else self.peer

    def _head_size(self) -> int:
        """The request line and the headers, as they came but for blanks."""
        line = len(self.method) + len(self.url) + len(b"  HTTP/1.1\r\n")
        return line + sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers) + len(b"\r\n")

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
        again, without the offer. Java's client offers h2c with its first request, bodies included.
        """
        if self._deaf:
            return
        lines = [b"%b %b HTTP/%b" % (self.method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in _without_upgrade(self.headers)]
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
        if self._draining and not (self._waiting or self._unread or self._receiving):
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
                self.ground.lines(self.server_state.default_headers),
                _lines(reply.headers),
                len(body),
                request_id.encode(),
                b"connection: close\r\n" if close else b"",
                b"" if head else body,
            )
        )

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
            self._waiting.append(Refusal(self, error))

    def _deafen(self) -> None:
        self._deaf = True
        self._forget_request()


def _too_large(size: int, limit: int) -> CallerError:
    return CallerError(errors.REQUEST_TOO_LARGE, f"The body has {size} bytes or more; the limit is {limit}: send less.")


def _without_upgrade(headers: list[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    for name, value in headers:
        if name == b"connection":
            kept = [token for token in value.split(b",") if token.strip().lower() != b"upgrade"]
            if kept:
                yield name, b",".join(kept)
        elif name != b"upgrade":
            yield name, value


class Refusal:
    """A request that broke a rule of HTTP or a limit before it was received whole."""

    keep_alive = False

    def __init__(self, connection: Connection, error: HeliographError) -> None:
        self._connection = connection
        self._error = error
        self._method = connection.method or connection.parser.get_method() if connection.url else b""
        self._url = connection.url if connection.headers or connection.method else b""

    def start(self) -> None:
        connection, api = self._connection, self._connection.ground.api
        request_id = api.new_request_id()
        method = self._method.decode("ascii", "replace")
        reply, template = api.refuse(method, _path(self._url), self._error, request_id)
        connection.write(reply, request_id, close=True, head=self._method == b"HEAD")
        if api.access is not None:
            api.access.add(request_id, "-", method or "-", template, reply.status, time.perf_counter(), connection.peer)
        connection.linger()
        connection.finished()

    def close_after(self) -> None:
        """It is the last anyway."""

    def abandon(self) -> None:
        """It takes no time."""


def _path(url: bytes) -> str:
    """The path of a target, decoded; "" when there is none."""
    try:
        path = httptools.parse_url(url).path if url else None
    except httptools.HttpParserInvalidURLError:
        path = None
    return unquote(path.decode("ascii", "replace")) if path else ""


class AsgiExchange:
    """A request for the ASGI application. Raises `HttpParserInvalidURLError` for a target that is none."""

    def __init__(self, connection: Connection, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self._connection = connection
        self._cycle: RequestResponseCycle | None = None
        self._body = connection.take_body()
        url = httptools.parse_url(connection.url)
        raw_path = url.path or b"/"
        path = raw_path.decode("ascii", "replace")
        caller = connection.caller()
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": connection.asgi_version, "spec_version": "2.3"},
            "http_version": connection.parser.get_http_version(),
            "server": connection.server,
            "client": (caller, connection.client[1] if connection.client and caller == connection.client[0] else 0),
            "scheme": connection.scheme,
            "root_path": "",
            "headers": connection.headers,
            "state": {**connection.app_state, "request_id": connection.ground.api.new_request_id()},
            "method": connection.method.decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": url.query or b"",
        }

    def start(self) -> None:
        connection = self._connection
        received = asyncio.Event()
        received.set()
        cycle = RequestResponseCycle(
            scope=cast("Any", self._scope),
            transport=connection.transport,
            flow=connection.flow,
            logger=connection.logger,
            access_logger=connection.access_logger,
            access_log=False,
            default_headers=connection.server_state.default_headers,
            message_event=received,
            expect_100_continue=False,
            keep_alive=self.keep_alive,
            on_response=connection.finished,
        )
        cycle.body = self._body  # type: ignore[assignment]
        cycle.more_body = False
        self._cycle = cycle
        connection._start_asgi_task(cycle, cast("Any", connection.ground.api))

    def close_after(self) -> None:
        self.keep_alive = False
        if self._cycle is not None:
            self._cycle.keep_alive = False

    def abandon(self) -> None:
        if self._cycle is not None:
            self._cycle.disconnected = True
            self._cycle.message_event.set()

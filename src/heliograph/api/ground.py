"""What the connections of a server have in common: limits, the bodies they hold together, the watch over deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from heliograph.api.asgi import Api
from heliograph.api.caller import Proxies
from heliograph.api.replies import Headers
from heliograph.api.traffic import Busy


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


class Watched(Busy, Protocol):
    """A connection, as far as its deadline and counting go."""

    deadline: float

    def expire(self, now: float) -> None:
        """The deadline has passed."""


class Ground:
    """What the connections of a server have in common."""

    def __init__(self, api: Api, limits: HttpLimits) -> None:
        self.api = api
        self.access = api.access
        self.limits = limits
        self.proxies = Proxies(limits.trusted_proxies)
        self.draining = False  # the server is about to stop: every answer is the last of its connection
        self._bodies_bytes = 0
        self._tick = max(0.05, min(1.0, limits.request_timeout_seconds / 10, limits.keep_alive_seconds / 10))
        self._sweeping = False
        self._default_headers: list[tuple[bytes, bytes]] = []
        self._default_lines = b""

    def default_lines(self, default_headers: list[tuple[bytes, bytes]]) -> bytes:
        """The headers that uvicorn has for every answer, and changes every second, as they are written."""
        if default_headers is not self._default_headers:
            self._default_headers = default_headers
            self._default_lines = lines(tuple(default_headers))
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

    def watch(self, loop: asyncio.AbstractEventLoop, connections: Collection[Watched]) -> None:
        """Look at all connections now and then: one timer for the server instead of two calls for each request."""
        if not self._sweeping:
            self._sweeping = True
            self.api.traffic.connections = connections
            loop.call_later(self._tick, self._sweep, loop, connections)

    def _sweep(self, loop: asyncio.AbstractEventLoop, connections: Collection[Watched]) -> None:
        self._sweeping = False
        now = loop.time()
        watched = list(connections)
        for connection in watched:
            if connection.deadline <= now:
                connection.expire(now)
        if watched:
            self.watch(loop, connections)


@lru_cache(1024)
def lines(headers: Headers) -> bytes:
    """Headers as they are written."""
    return b"".join(b"%b: %b\r\n" % (name.lower(), value) for name, value in headers)

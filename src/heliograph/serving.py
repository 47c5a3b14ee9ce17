"""The HTTP server around an `App`: its limits, its signals, how it begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from types import FrameType

import uvicorn

from heliograph.api.asgi import build
from heliograph.api.door import protocol_class
from heliograph.api.ground import Ground
from heliograph.api.http import HttpLimits
from heliograph.app import App
from heliograph.config import Settings

_log = logging.getLogger(__name__)
_SPARE_FILES = 512  # open files besides connections and callbacks: the store, logs, and who is turned away


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[App, uvicorn.Server]]:
    """A started `App` with its HTTP server, not yet listening."""
    app = App(settings)
    await app.start()
    try:
        http = settings.http
        limits = HttpLimits(
            max_body_bytes=http.max_body_bytes,
            max_header_bytes=http.max_header_bytes,
            max_connections=connections_that_fit(http.max_connections, settings.callbacks.in_flight),
            request_timeout_seconds=http.request_timeout_seconds,
            keep_alive_seconds=http.keep_alive_seconds,
            trusted_proxies=http.trusted_proxies,
        )
        api = build(app.services)
        protocol = protocol_class(api, limits, http.lean_door)
        config = uvicorn.Config(
            api,
            host=http.host,
            port=http.port,
            http=protocol,
            ws="none",
            loop="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=10,
            ssl_certfile=http.tls_cert or None,
            ssl_keyfile=http.tls_key or None,
            backlog=4096,
        )
        yield app, HttpServer(config, app, protocol.ground, http.drain_seconds)
    finally:
        await app.stop()
        for number in _SIGNALS:  # not before: a second one shall end the wait for the carriers too
            asyncio.get_running_loop().remove_signal_handler(number)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class HttpServer(uvicorn.Server):
    """uvicorn's server, which would end the process with the signal that stopped it, before `App.stop` has run.

    A first SIGINT or SIGTERM makes sends 503 at once, so that a load balancer learns of it; `drain_seconds` later the
    port is closed. A second signal ends all waiting.
    """

    def __init__(self, config: uvicorn.Config, app: App, ground: Ground, drain_seconds: float) -> None:
        super().__init__(config)
        self._app = app
        self._ground = ground
        self._drain_seconds = drain_seconds

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen and serve until a signal stops it."""
        await super().serve(sockets or _sockets(self.config))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals go to `handle_exit` until `serving` has stopped everything."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called on the loop with every signal."""
        if self._ground.draining:
            _log.warning("%s again: stopping at once", signal.Signals(sig).name)
            self.should_exit = self.force_exit = True
            self._app.hurry()
            self._cut_off()
            return
        _log.info("%s: taking no new messages, then stopping", signal.Signals(sig).name)
        self._app.drain()
        self._ground.draining = True
        if self._drain_seconds:
            asyncio.get_running_loop().call_later(self._drain_seconds, self._close)
        else:
            self._close()

    def _close(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, answer what is under way, and leave nobody connected to a server that is gone."""
        await super().shutdown(sockets)
        self._cut_off()

    def _cut_off(self) -> None:
        if self.should_exit:
            for connection in list(self.server_state.connections):
                connection.transport.abort()


async def serve(settings: Settings, on_ready: Callable[[App], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM. `on_ready` is called once the port is open."""
    async with serving(settings) as (app, server):
        tune()
        watch = asyncio.get_running_loop().create_task(_announce(app, server, on_ready))
        try:
            await server.serve()
        finally:
            watch.cancel()


def _sockets(config: uvicorn.Config) -> list[socket.socket] | None:
    """`::` is every address, of both families, where asyncio would listen to one; None to leave it to asyncio."""
    if config.host != "::" or not socket.has_dualstack_ipv6():
        return None
    address, backlog = ("::", config.port), config.backlog
    return [socket.create_server(address, family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)]


async def _announce(app: App, server: uvicorn.Server, on_ready: Callable[[App], None] | None) -> None:
    while not server.started:  # noqa: ASYNC110 (uvicorn offers no event)
        await asyncio.sleep(0.02)
    if on_ready is not None:
        on_ready(app)


def run(settings: Settings, on_ready: Callable[[App], None] | None = None) -> None:
    """`serve` on uvloop."""
    import uvloop

    uvloop.run(serve(settings, on_ready))


def tune() -> None:
    """What measurably helps latency: no collections of what never dies, and a writer thread that gets the interpreter
    sooner.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(0.000_2)


def connections_that_fit(max_connections: int, callbacks_in_flight: int) -> int:
    """Raise this process's limit of open files as far as the settings need; the connections that it then can hold.

    Fewer than the settings say only where the hard limit is lower: then that is logged, with the remedy.
    """
    besides = callbacks_in_flight + _SPARE_FILES
    wanted = max_connections + besides
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS has a limit of the kernel's below the hard one
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return max_connections
    fit = max(1, soft - besides)
    _log.warning(
        "http.max_connections is %d, but this process may open %d files only: it takes %d connections; raise the limit"
        " to %d (LimitNOFILE= of systemd, --ulimit nofile= of docker) or lower the setting",
        max_connections,
        soft,
        fit,
        wanted,
    )
    return fit

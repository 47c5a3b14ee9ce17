"""A request and its answer: by the application, or by a refusal. The lean door adds its own (`api.door`)."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from heliograph.api.http import Connection
from heliograph.messaging.errors import HeliographError

_SLASH: Final = re.compile("%2f", re.IGNORECASE)


class Refusal:
    """A request that broke a rule of HTTP or a limit before it was received whole."""

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
        api.traffic.refused(method, template, reply.status, reply.headers)
        api.note(request_id, method, template, reply, reply.account)
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
    return _decoded(path) if path else ""


def _decoded(path: bytes) -> str:
    """A path without its percent encoding; an encoded slash is no slash and stays (RFC 3986 §2.2)."""
    text = path.decode("ascii", "replace")
    return unquote(_SLASH.sub("%252F", text)) if "%" in text else text


class AsgiExchange:
    """A request for the ASGI application. Raises `HttpParserInvalidURLError` for a target that is none."""

    def __init__(self, connection: Connection, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self._connection = connection
        self._cycle: RequestResponseCycle | None = None
        self._body = connection.take_body()
        url = httptools.parse_url(connection.url)
        raw_path = url.path or b"/"
        caller = connection.caller()
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": connection.asgi_version, "spec_version": "2.3"},
            "http_version": connection.parser.get_http_version(),
            "server": connection.server,
            "client": (caller, connection.client[1] if connection.client and caller == connection.client[0] else 0),
            "scheme": connection.scheme,
            "root_path": "",
            "headers": connection.head,
            "state": {
                **connection.app_state,
                "request_id": connection.ground.api.new_request_id(),
                "peer": connection.peer,
            },
            "method": connection.method.decode("ascii"),
            "path": _decoded(raw_path),
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

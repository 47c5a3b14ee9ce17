"""The ASGI application: Starlette endpoints, and around them what every answer has.

One face answers for each part of the URL space, its errors included: RealTime for `/api/…`, plain pages for the rest.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from heliograph.api import pages, realtime
from heliograph.api.health import Health
from heliograph.api.metrics import Metrics
from heliograph.api.pages import Pages
from heliograph.api.realtime import RealTime
from heliograph.api.reference import Reference
from heliograph.api.replies import Headers, Reply, ReplyResponse
from heliograph.api.services import Services
from heliograph.api.traffic import Fields, Traffic
from heliograph.kit.log import request_ids
from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError


def build(services: Services) -> Api:
    """The application over these services."""
    return Api(services)


@dataclass(frozen=True, slots=True)
class Found:
    """What a URL and method lead to: a route, or the error that comes before all others. `template` is for the log."""

    route: Route | None
    error: CallerError | None = None
    headers: Headers = ()

    @property
    def template(self) -> str:
        return self.route.path if self.route is not None else "-"


_NOWHERE = Found(
    None, CallerError(errors.NOT_FOUND, "No resource has this path; case counts, and so does a slash at the end.")
)


class Api:
    """The application. Its server (`api.http`) puts each request's id into the scope's state."""

    def __init__(self, services: Services) -> None:
        self.realtime = RealTime(services)
        self.access = services.access
        self.traffic = Traffic(realtime.SEND_PATH)
        self.new_request_id = request_ids()
        self._metrics = Metrics(services, self.traffic)
        pages_for_people = [*Pages().routes(), *Reference().routes()]
        self._routes = [*self.realtime.routes(), *Health(services).routes(), self._metrics.route, *pages_for_people]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"nothing here speaks {scope['type']}")
        began = time.perf_counter()
        state: dict[str, Any] = scope.setdefault("state", {})
        request_id: str = state.get("request_id") or self.new_request_id()
        state["request_id"] = request_id
        status = 0
        headers: Fields = ()

        async def send_with_id(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], message["headers"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        found = self._visible(self.find(scope["method"], scope["path"]), scope)
        try:
            if found.route is None or found.error is not None:
                raise found.error or CallerError(errors.NOT_FOUND)
            scope.update(found.route.matches(scope)[1])
            await found.route.handle(scope, receive, send_with_id)
        except Exception as error:
            if status:
                raise
            more = (*found.headers, *state.get("limit", ()))
            reply = _refusal(scope["path"], error, request_id, state.get("account", "-"), more)
            await ReplyResponse(reply)(scope, receive, send_with_id)
        finally:
            self._count(found.template, scope["method"], status, began, headers)
            if self.access is not None:
                client, account = scope.get("client") or ("-",), state.get("account", "-")
                self.access.add(request_id, account, scope["method"], found.template, status, began, client[0])

    def find(self, method: str, path: str) -> Found:
        """Where a request goes. A trailing slash is another path, and OPTIONS a method like any other."""
        for route in self._routes:
            if route.path_regex.fullmatch(path):
                allowed = route.methods or set()
                if method in allowed:
                    return Found(route)
                names = ", ".join(sorted(allowed))
                error = CallerError(errors.METHOD_NOT_ALLOWED, f"{method} is no method of this URL; use {names}.")
                return Found(route, error, ((b"allow", names.encode()),))
        return _NOWHERE

    def _visible(self, found: Found, scope: Scope | None) -> Found:
        """What was found, unless it is not there for this caller: of a request cut short nobody knows enough."""
        hidden = found.route is self._metrics.route and (scope is None or not self._metrics.admits(scope))
        return _NOWHERE if hidden else found

    def _count(self, route: str, method: str, status: int, began: float, headers: Fields) -> None:
        if not status:
            return  # cut off, so there is no answer
        if route == realtime.SEND_PATH and method == "POST":
            self.traffic.sent(status, began, headers)
        else:
            self.traffic.answered(method, route, status, began, headers)

    def refuse(self, method: str, path: str, error: Exception, request_id: str) -> tuple[Reply, str]:
        """The answer to a request that fails before anybody looks at it, and the template of its route.

        That the URL or the method is wrong comes before every other error; `path` is "" when it is not known.
        """
        found = self._visible(self.find(method, path), None) if path else Found(None)
        return _refusal(path, found.error or error, request_id, "-", found.headers), found.template


def _refusal(path: str, error: Exception, request_id: str, account: str, headers: Headers) -> Reply:
    """An error as the face of this path tells it."""
    face = realtime.refusal if path.startswith("/api/") else pages.refusal
    return face(error, request_id, account, headers)

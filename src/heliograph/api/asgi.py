"""The ASGI application: Starlette endpoints, and around them what every answer has.

One face answers for each part of the URL space, its errors included: an API for what it owns, plain pages for the rest.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from heliograph.api import pages
from heliograph.api.face import Face, HotSend
from heliograph.api.health import Health
from heliograph.api.metrics import Metrics
from heliograph.api.pages import Pages
from heliograph.api.reference import Reference
from heliograph.api.replies import Headers, Reply, ReplyResponse
from heliograph.api.services import Services
from heliograph.api.traffic import Fields, Traffic
from heliograph.kit.log import request_ids
from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError

APIS: Final = tuple(import_module(f"heliograph.api.{name}") for name in ("sms747", "realtime"))
"""The APIs, each a module with a `face` and a `TELLING`. Of those the first that owns a path answers for it."""


def build(services: Services) -> Api:
    """The application over these services."""
    return Api(services, [api.face(services) for api in APIS])


@dataclass(frozen=True, slots=True)
class Found:
    """What a URL and method lead to: a route, or the error that comes before all others. `template` is for the log."""

    route: Route | None
    error: CallerError | None = None
    headers: Headers = ()

    @property
    def template(self) -> str:
        return self.route.path if self.route is not None else "-"


@dataclass(frozen=True, slots=True)
class Hot:
    """A hot send, and the template of its route."""

    route: str
    send: HotSend


def _nowhere(path: str) -> Found:
    detail = "No resource has this path; case counts, and so does a slash at the end."
    return Found(None, CallerError(errors.NOT_FOUND, detail, facts={"resource": "url", "id": path[:200]}))


class Api:
    """The application. Its server (`api.http`) puts each request's id into the scope's state."""

    def __init__(self, services: Services, faces: Sequence[Face]) -> None:
        self._faces = faces
        self.hot: dict[bytes, Hot] = {
            target: Hot(face.send_route, send) for face in faces for target, send in face.hot.items()
        }
        self.access = services.access
        self.journal = services.journal
        self.traffic = Traffic(frozenset(face.send_route for face in faces))
        self.new_request_id = request_ids(services.clock.now_utc_ms)
        self._metrics = Metrics(services, self.traffic)
        pages_for_people = [*Pages(faces).routes(), *Reference(faces).routes()]
        of_faces = [route for face in faces for route in face.routes]
        self._routes = [*of_faces, *Health(services).routes(), self._metrics.route, *pages_for_people]

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
            reply = self._refusal(scope["path"], error, request_id, state.get("account", "-"), more)
            await ReplyResponse(reply)(scope, receive, send_with_id)
        finally:
            self._count(found.template, scope["method"], status, began, headers)
            if self.access is not None:
                client, account = scope.get("client") or ("-",), state.get("account", "-")
                self.access.add(request_id, account, scope["method"], found.template, status, began, client[0])
            told: Reply | None = state.get("reply")
            if told is not None and told.code:
                self.note(request_id, scope["method"], found.template, told, state.get("account", told.account))

    def find(self, method: str, path: str) -> Found:
        """Where a request goes. A trailing slash is another path, and OPTIONS a method like any other."""
        for route in self._routes:
            if route.path_regex.fullmatch(path):
                allowed = route.methods or set()
                if method in allowed:
                    return Found(route)
                names = ", ".join(sorted(allowed))
                detail = f"{method} is no method of this URL; use {names}."
                error = CallerError(errors.METHOD_NOT_ALLOWED, detail, facts={"allowed": sorted(allowed)})
                return Found(route, error, ((b"allow", names.encode()),))
        return _nowhere(path)

    def _visible(self, found: Found, scope: Scope | None) -> Found:
        """What was found, unless it is not there for this caller: of a request cut short nobody knows enough."""
        hidden = found.route is self._metrics.route and (scope is None or not self._metrics.admits(scope))
        return _nowhere(self._metrics.route.path) if hidden else found

    def _count(self, route: str, method: str, status: int, began: float, headers: Fields) -> None:
        if not status:
            return  # cut off, so there is no answer
        if method == "POST" and route in self.traffic.send_routes:
            self.traffic.sent(route, status, began, headers)
        else:
            self.traffic.answered(method, route, status, began, headers)

    def note(self, request_id: str, method: str, route: str, reply: Reply, account: str) -> None:
        """Enter a request into the journal whose answer tells of an error."""
        if self.journal is not None:
            self.journal.add(request_id, account, method or "-", route, reply.status, reply.code, reply.detail)

    def refuse(self, method: str, path: str, error: Exception, request_id: str) -> tuple[Reply, str]:
        """The answer to a request that fails before anybody looks at it, and the template of its route.

        That the URL or the method is wrong comes before every other error; `path` is "" when it is not known.
        """
        found = self._visible(self.find(method, path), None) if path else Found(None)
        return self._refusal(path, found.error or error, request_id, "-", found.headers), found.template

    def _refusal(self, path: str, error: Exception, request_id: str, account: str, headers: Headers) -> Reply:
        """An error as the face of this path tells it."""
        face = next((face for face in self._faces if face.owns(path)), None)
        tell = pages.refusal if face is None else face.refusal
        return tell(error, request_id, account, headers)

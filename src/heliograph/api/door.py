"""The two doors: every request to Starlette, or the hot sends past it.

The lean door answers the hot sends without ASGI scope, task or future: the request goes straight to the function that
the Starlette route calls, with a callback that writes the answer. Everything else goes to Starlette there too.
"""

from __future__ import annotations

import time
from typing import Any

from heliograph.api.asgi import Api, Hot
from heliograph.api.exchanges import AsgiExchange, Refusal
from heliograph.api.ground import Ground, HttpLimits
from heliograph.api.head import authorization, header
from heliograph.api.http import Connection, Exchange
from heliograph.api.replies import Reply
from heliograph.messaging.errors import HeliographError


def protocol_class(api: Api, limits: HttpLimits, lean: bool) -> type[Connection]:
    """The class of a server's connections, for `uvicorn.Config(http=…)`. `lean` opens the lean door."""
    base = LeanConnection if lean else PlainConnection
    members: dict[str, Any] = {"ground": Ground(api, limits)}
    return type(base.__name__, (base,), members)


class PlainConnection(Connection):
    """A connection without the lean door."""

    def exchange(self, keep_alive: bool) -> Exchange:
        return AsgiExchange(self, keep_alive)

    def refusal(self, error: HeliographError) -> Exchange:
        return Refusal(self, error)


class LeanConnection(PlainConnection):
    """A connection with the lean door."""

    def exchange(self, keep_alive: bool) -> Exchange:
        if self.method == b"POST":
            hot = self.ground.api.hot.get(self.url.partition(b"?")[0])
            if hot is not None:
                return LeanExchange(self, hot, keep_alive)
        return AsgiExchange(self, keep_alive)


class LeanExchange:
    """A send. The answer comes when its commit is on disk, or at once when nothing is to be stored."""

    __slots__ = (
        "_authorization",
        "_began",
        "_body",
        "_caller",
        "_connection",
        "_hot",
        "_key",
        "_request_id",
        "keep_alive",
    )

    def __init__(self, connection: LeanConnection, hot: Hot, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self._hot = hot
        self._connection = connection
        fields, head = connection.fields, connection.head
        once = len(fields) == len(head)
        self._authorization = fields.get(b"authorization") if once else authorization(head)
        self._key = fields.get(b"idempotency-key") if once else header(head, b"idempotency-key")
        self._body = connection.take_body()
        self._caller = connection.caller()
        self._request_id = connection.ground.api.new_request_id()
        self._began = time.perf_counter()

    def start(self) -> None:
        self._hot.send(self._authorization, self._key, self._body, self._caller, self._request_id, self._answer)

    def close_after(self) -> None:
        self.keep_alive = False

    def abandon(self) -> None:
        """The messages are accepted or not, whoever is there to hear it; `_answer` finds the connection gone."""

    def _answer(self, reply: Reply) -> None:
        connection = self._connection
        ground = connection.ground
        route = self._hot.route
        ground.api.traffic.sent(route, reply.status, self._began, reply.headers)
        access = ground.access
        if access is not None:
            access.add(self._request_id, reply.account, "POST", route, reply.status, self._began, self._caller)
        if reply.code:
            ground.api.note(self._request_id, "POST", route, reply, reply.account)
        if connection.lost or connection.transport.is_closing():
            return
        connection.write(reply, self._request_id, close=not self.keep_alive)
        if not self.keep_alive:
            connection.transport.close()
        connection.finished()

"""Whether the process lives, and whether it serves."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heliograph.api.replies import JSON, Reply, ReplyResponse, explained
from heliograph.api.services import Services
from heliograph.messaging import errors

_UNREADY = errors.OurFault(errors.STORE_UNAVAILABLE)


class Health:
    """`/healthz` for whoever restarts a dead process, `/readyz` for whoever sends requests to living ones."""

    def __init__(self, services: Services) -> None:
        self._ready = services.ready

    def routes(self) -> list[Route]:
        """What is where."""
        return [
            Route("/healthz", self._healthz, methods=["GET"]),
            Route("/readyz", self._readyz, methods=["GET"]),
        ]

    async def _healthz(self, _: Request) -> Response:
        return ReplyResponse(Reply(200, JSON, b'{"status":"ok"}'))

    async def _readyz(self, _: Request) -> Response:
        problems = self._ready()
        if not problems:
            return ReplyResponse(Reply(200, JSON, b'{"status":"ready"}'))
        body = msgspec.json.encode({"status": "unavailable", "problems": problems})
        return ReplyResponse(Reply(503, (*JSON, *explained(_UNREADY)), body))

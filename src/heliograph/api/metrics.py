"""`/metrics`: the figures in Prometheus' text format, for those who are meant to see them and there for nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from typing import Final

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from heliograph.api import figures
from heliograph.api.replies import Headers, Reply, ReplyResponse
from heliograph.api.services import Services
from heliograph.api.traffic import Traffic
from heliograph.webhooks.guard import parse_networks

_HEADERS: Final[Headers] = (
    (b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),
    (b"cache-control", b"no-store"),
)
_FORWARDED: Final = frozenset({b"forwarded", b"via", b"x-real-ip", b"true-client-ip", b"cf-connecting-ip"})


class Metrics:
    """The page. What it shows is read while it is made, without waiting for anything."""

    def __init__(self, services: Services, traffic: Traffic) -> None:
        self._traffic = traffic
        self._engine = services.engine
        self._networks = parse_networks(services.metrics_networks)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self.route = Route("/metrics", self._page, methods=["GET"])

    def admits(self, scope: Scope) -> bool:
        """Whether the page is there for who asks.

        With a mark of a proxy, only if a trusted one names the caller: the address of another says nothing.
        """
        caller = scope["client"][0] if scope.get("client") else ""
        forwarded = any(name in _FORWARDED or name.startswith(b"x-forwarded-") for name, _ in scope["headers"])
        if forwarded and caller == scope["state"].get("peer", caller):
            return False
        try:
            address = ip_address(caller)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        yield from figures.of_http(self._traffic)
        if self._engine is not None:
            yield from self._engine.figures()

    async def _page(self, _: Request) -> Response:
        return ReplyResponse(Reply(200, _HEADERS, generate_latest(self._registry)))

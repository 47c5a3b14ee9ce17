"""What the server was asked and how it answered, in numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from time import perf_counter
from typing import Final, Protocol

from heliograph.kit.metrics import Histogram
from heliograph.messaging.errors import REGISTRY

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PAGE: Final = b"</errors/"  # every error answer links to its page, see `replies.explained`

Fields = Iterable[tuple[bytes, bytes]]  # of an answer's head


class Busy(Protocol):
    """A connection, as far as counting goes."""

    @property
    def busy(self) -> bool:
        """Whether a request of it is being answered."""


class Traffic:
    """Counts of a server, on the event loop. Routes are templates, so there are few of everything; those of sends are
    `send_routes`.

    `sends` counts answers by route and status, `others` those to the rest by method, route and status, `errors` those
    with an error by its code.
    """

    def __init__(self, send_routes: frozenset[str]) -> None:
        self.send_routes = send_routes
        self.sends: dict[tuple[str, int], int] = defaultdict(int)
        self.others: dict[tuple[str, str, int], int] = defaultdict(int)
        self.errors = dict.fromkeys(REGISTRY, 0)
        self.send_seconds = Histogram()
        self.other_seconds = Histogram()
        self.connections: Collection[Busy] = ()

    def sent(self, route: str, status: int, began: float, headers: Fields) -> None:
        """A send is answered; `began` by `perf_counter`. Every send passes here, so it does the least."""
        self.send_seconds.observe(perf_counter() - began)
        self.sends[route, status] += 1
        if status >= 400:
            self._count_error(headers)

    def answered(self, method: str, route: str, status: int, began: float, headers: Fields) -> None:
        """Another request is answered."""
        self.other_seconds.observe(perf_counter() - began)
        self.refused(method, route, status, headers)

    def refused(self, method: str, route: str, status: int, headers: Fields) -> None:
        """A request was answered that was not received whole, so that nobody can say how long it took."""
        self.others[method if method in _METHODS else "other", route, status] += 1
        if status >= 400:
            self._count_error(headers)

    def in_flight(self) -> int:
        """Requests that were received and are not answered."""
        return sum(connection.busy for connection in self.connections)

    def _count_error(self, headers: Fields) -> None:
        for name, value in headers:
            if name == b"link" and value.startswith(_PAGE):
                code = value[len(_PAGE) :].partition(b">")[0].decode()
                self.errors[code] = self.errors.get(code, 0) + 1

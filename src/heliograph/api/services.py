"""What the faces are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from heliograph.api.figures import Engine
from heliograph.kit.clock import Clock
from heliograph.kit.log import AccessLog
from heliograph.messaging.accounts import Account
from heliograph.messaging.submissions import Order
from heliograph.service.accounts import Directory, Tokens
from heliograph.service.idempotency import Idempotency
from heliograph.service.limits import Limits
from heliograph.service.query import Query
from heliograph.service.submit import Answer, Keyed
from heliograph.store.interface import Store


class Submitting(Protocol):
    """Accepting an order; `service.submit.Submit` does it."""

    draining: bool

    def __call__(
        self, account: Account, order: Order, dialect: int, answer: Answer, keyed: Keyed | None = None
    ) -> None: ...


@dataclass(slots=True)
class Services:
    """The services of a server. `ready` names what keeps it from serving; `access` gets a line for every request;
    `engine` is what `/metrics` tells of beside the requests, to callers in `metrics_networks`.
    """

    directory: Directory
    tokens: Tokens
    submit: Submitting
    once: Idempotency
    limits: Limits
    query: Query
    store: Store
    clock: Clock
    ready: Callable[[], list[str]]
    access: AccessLog | None = None
    engine: Engine | None = None
    metrics_networks: tuple[str, ...] = ()

"""What the faces are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from heliograph.api.figures import Engine
from heliograph.kit.clock import Clock
from heliograph.kit.log import AccessLog
from heliograph.messaging.accounts import Account
from heliograph.messaging.errors import HeliographError
from heliograph.messaging.submissions import Order
from heliograph.service.accounts import Directory, Tokens
from heliograph.service.cancel import Cancel
from heliograph.service.idempotency import Idempotency
from heliograph.service.journal import Journal
from heliograph.service.limits import Limits
from heliograph.service.query import Query
from heliograph.service.submit import Answer, Entry, Keyed, KeyedBatch
from heliograph.store.interface import Answered, Store


class Submitting(Protocol):
    """Accepting an order; `service.submit.Submit` does it."""

    draining: bool

    def __call__(
        self,
        account: Account,
        order: Order,
        dialect: int,
        answer: Answer,
        keyed: Keyed | None = None,
        request_id: str = "",
    ) -> None: ...

    def batch(
        self,
        account: Account,
        orders: Sequence[Order | HeliographError],
        dialect: int,
        answer: Callable[[list[Entry] | Answered | HeliographError], None],
        keyed: KeyedBatch | None = None,
        request_id: str = "",
    ) -> None: ...


@dataclass(slots=True)
class Services:
    """The services of a server. `ready` names what keeps it from serving; `access` gets a line for every request,
    `journal` those that are refused;
    `engine` is what `/metrics` tells of beside the requests, to callers in `metrics_networks`. A batch may have
    `max_messages`.
    """

    directory: Directory
    tokens: Tokens
    submit: Submitting
    once: Idempotency
    limits: Limits
    query: Query
    cancel: Cancel
    currency: str
    store: Store
    clock: Clock
    ready: Callable[[], list[str]]
    access: AccessLog | None = None
    journal: Journal | None = None
    engine: Engine | None = None
    metrics_networks: tuple[str, ...] = ()
    max_messages: int = 1_000

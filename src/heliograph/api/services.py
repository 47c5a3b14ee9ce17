"""What the faces are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from heliograph.kit.clock import Clock
from heliograph.kit.log import AccessLog
from heliograph.messaging.accounts import Account
from heliograph.messaging.submissions import Order
from heliograph.service.accounts import Directory, Tokens
from heliograph.service.query import Query
from heliograph.service.submit import Answer
from heliograph.store.interface import Store


class Submitting(Protocol):
    """Accepting an order; `service.submit.Submit` does it."""

    draining: bool

    def __call__(self, account: Account, order: Order, dialect: int, answer: Answer) -> None: ...


@dataclass(slots=True)
class Services:
    """The services of a server. `ready` names what keeps it from serving; `access` gets a line for every request."""

    directory: Directory
    tokens: Tokens
    submit: Submitting
    query: Query
    store: Store
    clock: Clock
    ready: Callable[[], list[str]]
    access: AccessLog | None = None

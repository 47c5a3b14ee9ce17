"""What the rows of the SQLite engine are to the rest of the program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from heliograph.messaging.accounts import Account, AccountStatus, Tier
from heliograph.messaging.numbers import NumberPolicy
from heliograph.messaging.submissions import Status
from heliograph.store import interface as it

# -- accounts: a column for each field but the id, which the database gives, and the inbound numbers, which are rows

ACCOUNT_COLUMNS = tuple(name for name in Account.__struct_fields__ if name not in ("id", "inbound"))


def _json(value: Sequence[str] | frozenset[str] | None) -> str | None:
    return None if value is None else msgspec.json.encode(sorted(value)).decode()


def _set(column: str | None) -> frozenset[str] | None:
    return None if column is None else frozenset(msgspec.json.decode(column, type=list[str]))


# How a field is written and read, where that is not as it is.
_CODECS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "status": (str, AccountStatus),
    "numbers": (str, NumberPolicy),
    "tier": (str, Tier),
    "senders": (_json, _set),
    "countries": (_json, _set),
    "networks": (_json, lambda column: tuple(msgspec.json.decode(column, type=list[str]))),
    "sending": (int, bool),
    "intermediate": (int, bool),
}


def account_row(account: Account) -> tuple[Any, ...]:
    """The values of ACCOUNT_COLUMNS."""
    values = ((name, getattr(account, name)) for name in ACCOUNT_COLUMNS)
    return tuple(_CODECS[name][0](value) if name in _CODECS else value for name, value in values)


def account_of(row: Sequence[Any]) -> Account:
    """An account from its id, its inbound numbers as a JSON array, and ACCOUNT_COLUMNS."""
    fields = dict(zip(ACCOUNT_COLUMNS, row[2:], strict=True))
    for name, (_, read) in _CODECS.items():
        fields[name] = read(fields[name])
    return Account(id=row[0], inbound=_set(row[1]) or frozenset(), **fields)


# -- messages


def trace_of(request_id: str) -> str:
    """What is stored of a request id."""
    return request_id.removeprefix("req_")


def message_of(row: Sequence[Any]) -> it.StoredMessage:
    """A message from the columns of `queries.MESSAGE`."""
    values = list(row)
    values[9], values[13] = bool(values[9]), Status(values[13])
    return it.StoredMessage(*values)

"""What an engine tells and does for the upkeep of its data: `heliograph db` and `heliograph doctor`.

Nothing here opens a store: the schema may be an older or newer one, the file damaged, a server running over it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import msgspec


class Schema(msgspec.Struct, frozen=True):
    """The version of the schema that was found, and the newest that this program knows."""

    found: int
    newest: int


class Size(msgspec.Struct, frozen=True):
    """Of the database's files, in bytes; `free_bytes` are inside the database and used again."""

    database_bytes: int
    log_bytes: int
    free_bytes: int


class Rows(msgspec.Struct, frozen=True):
    """How many rows a table has; counting all of a large one would take too long."""

    table: str
    rows: int
    precision: Literal["exact", "about", "at least"]


class CarrierLoad(msgspec.Struct, frozen=True):
    """A carrier's messages: `open` have no final status, `waiting` of those are in line, not put aside."""

    name: str
    open: int
    waiting: int
    oldest_waiting_utc_ms: int  # 0 when none waits


class Money(msgspec.Struct, frozen=True):
    """Sums over all accounts, in micro-units; charges are negative."""

    topups_micros: int
    charges_micros: int
    refunds_micros: int
    balances_micros: int


class Figures(msgspec.Struct, frozen=True):
    """What `heliograph db stats` prints. Times that there are not are 0."""

    schema: Schema
    size: Size
    tables: list[Rows]
    oldest_message_utc_ms: int
    newest_message_utc_ms: int
    carriers: list[CarrierLoad]
    pending_callbacks: int
    failed_callbacks: int
    money: Money


class AccountLinks(msgspec.Struct, frozen=True):
    """What an account's settings name outside of the database; "" for nothing."""

    ref: str
    carrier: str
    dlr_url: str
    mo_url: str


class CarrierNote(msgspec.Struct, frozen=True):
    """How a carrier stands, as a server noted it last; `stored` when its settings are in the database, `stopped` by
    command.
    """

    name: str
    stored: bool
    stopped: bool
    state: str
    detail: str
    since_utc_ms: int


class Debtor(msgspec.Struct, frozen=True):
    """An account whose balance is below what its credit allows."""

    ref: str
    balance_micros: int
    credit_limit_micros: int


class Symptoms(msgspec.Struct, frozen=True):
    """What a diagnosis needs of the data. Times that there are not are 0, accounts are named by their ref."""

    size: Size
    damage: list[str]  # the first of what a check of the whole file found
    read_through: bool  # whether there was such a check: of a large file there is not
    newest_utc_ms: int
    carriers: list[CarrierLoad]
    carrier_notes: list[CarrierNote]
    default_carrier: str | None  # by command
    accounts: list[AccountLinks]
    overdue_utc_ms: int  # when the pending callback that has waited longest was due
    overdue_ref: str
    failed_callbacks: dict[str, int]  # since the time that was asked for, by account
    debtors: list[Debtor]
    ledger_gap_micros: int | None  # balances less postings; None when there are too many to add up in passing


class Maintenance(Protocol):
    """The upkeep of one data folder."""

    def schema(self) -> Schema:
        """Raises `Unavailable` when the database cannot be read."""

    def fingerprint(self) -> str:
        """Of the keys that the data were made with; "" when they do not know. Raises `Unavailable`."""

    def size(self) -> Size:
        """Of its files now."""

    def copy(self, target: Path) -> None:
        """Copy the database of one moment to a new file, and check the copy, while others go on writing. Raises
        `Unavailable` when the database cannot be read or is damaged, `OSError` when the copy cannot be written.
        """

    def figures(self) -> Figures:
        """Raises `Unavailable`, and `SchemaTooNew`."""

    def loads(self) -> list[CarrierLoad]:
        """What each carrier that ever was has to do. As `symptoms`."""

    def symptoms(self, failed_since_utc_ms: int) -> Symptoms:
        """Raises `Unavailable`. The schema must be one that this program knows; nothing is written."""

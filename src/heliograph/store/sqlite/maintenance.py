"""Upkeep of the SQLite engine's file: copying it, measuring it, looking for damage.

The queries here are not those of the engine: they work on any schema since the first, and belong to no request.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw

from heliograph.messaging.ledger import PostingKind
from heliograph.store import interface as it
from heliograph.store.maintenance import (
    AccountLinks,
    CarrierLoad,
    CarrierNote,
    Debtor,
    Figures,
    Money,
    Rows,
    Schema,
    Size,
    Symptoms,
)

BUSY_MILLISECONDS = 5_000
STEP_PAGES = 1_000  # copied at a time: 4 MB, which a disk takes in before the next
COUNTED_ROWS = 100_000  # of a table at most; beyond that the number is an estimate
ADDED_POSTINGS = 1_000_000  # at most, by a diagnosis in passing
READ_THROUGH_BYTES = 256 << 20  # at most, by a diagnosis in passing

# -- queries

USER_TABLES = (
    "SELECT name, wr FROM pragma_table_list"
    " WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
)
HAS_META = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'meta'"  # not before the second schema
FINGERPRINT = "SELECT value FROM meta WHERE name = 'keys'"
COUNT_UP_TO = 'SELECT count(*) FROM (SELECT 1 FROM "{table}" LIMIT {most})'
ROWID_SPAN = 'SELECT (SELECT max(rowid) FROM "{table}") - (SELECT min(rowid) FROM "{table}") + 1'
OLDEST_MESSAGE = "SELECT registered_utc_ms FROM request ORDER BY id LIMIT 1"
NEWEST_MESSAGE = "SELECT registered_utc_ms FROM request ORDER BY id DESC LIMIT 1"
CARRIER_NOTES = "SELECT name, settings != x'', stopped, state, detail, since_utc_ms FROM carrier ORDER BY id"
DEFAULT_CARRIER = "SELECT value FROM meta WHERE name = 'default carrier'"
NEWEST_TIME = (
    "SELECT max("
    " coalesce((SELECT registered_utc_ms FROM request ORDER BY id DESC LIMIT 1), 0),"
    " coalesce((SELECT at_utc_ms FROM posting ORDER BY id DESC LIMIT 1), 0),"
    " coalesce((SELECT created_utc_ms FROM callback ORDER BY id DESC LIMIT 1), 0))"
)
# `status < 2` is how SQLite recognises the index of open messages; above the mark nothing was handed over.
MARKS = "SELECT id, name, coalesce(number, 0) FROM carrier LEFT JOIN mark ON carrier_id = id ORDER BY name"
COUNT_OPEN = "SELECT count(*) FROM message WHERE carrier_id = ? AND status < 2"
# Above the mark: first tries, then those that were put aside for another or for later and are in line again.
COUNT_WAITING = (
    "SELECT (SELECT count(*) FROM message WHERE carrier_id = ?1 AND status < 2 AND status = 0 AND id > ?2"
    " AND NOT EXISTS (SELECT 1 FROM retry WHERE retry.message_id = message.id))"
    " + (SELECT count(*) FROM retry WHERE carrier_id = ?1 AND number > ?2)"
)
OLDEST_WAITING = (
    "SELECT registered_utc_ms FROM request WHERE id ="
    " (SELECT request_id FROM message WHERE carrier_id = ? AND status < 2 AND status = 0 AND id > ?"
    " AND NOT EXISTS (SELECT 1 FROM retry WHERE retry.message_id = message.id) ORDER BY id LIMIT 1)"
)
COUNT_PENDING_CALLBACKS = "SELECT count(*) FROM callback WHERE state = 'pending'"
COUNT_FAILED_CALLBACKS = "SELECT count(*) FROM callback WHERE state = 'failed'"
LONGEST_OVERDUE = (
    "SELECT next_utc_ms, coalesce((SELECT ref FROM account WHERE account.id = account_id), '')"
    " FROM callback WHERE state = 'pending' ORDER BY next_utc_ms LIMIT 1"
)
# A failed callback keeps the time at which its last attempt was given up at the latest.
FAILED_SINCE = (
    "SELECT account.ref, count(*) FROM callback JOIN account ON account.id = account_id"
    " WHERE state = 'failed' AND next_utc_ms > ? GROUP BY account.ref ORDER BY account.ref"
)
LINKS = "SELECT ref, carrier, dlr_url, mo_url FROM account ORDER BY id"
DEBTORS = (
    "SELECT ref, balance_micros, credit_limit_micros FROM balance JOIN account ON account.id = account_id"
    " WHERE balance_micros < -credit_limit_micros ORDER BY ref"
)
BALANCES = "SELECT balance_micros FROM balance"
NEWEST_POSTING = "SELECT coalesce(max(id), 0) FROM posting"
# Whole units and the rest apart: neither sum can overflow.
POSTED = "SELECT kind, sum(amount_micros / 1000000), sum(amount_micros % 1000000) FROM posting GROUP BY kind"


class SqliteMaintenance:
    """See `store.maintenance.Maintenance`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "heliograph.sqlite"

    def schema(self) -> Schema:
        with self._reading() as connection:
            return _schema(connection)

    def fingerprint(self) -> str:
        with self._reading() as connection:
            known = connection.execute(HAS_META).get and connection.execute(FINGERPRINT).get
            return str(known or "")

    def size(self) -> Size:
        with self._reading() as connection:
            return self._size(connection)

    def copy(self, target: Path) -> None:
        # Open all the while: to close a file drops SQLite's locks on it.
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with self._reading(long=True) as source:
                _copy(source, target, file.fileno())
            _flush(file.fileno())  # what closing the copy wrote, too
        damage = _damage_of_file(target)
        if damage:
            raise it.Unavailable(f"{self._path} is damaged, database disk image is malformed: {damage[0]}")

    def figures(self) -> Figures:
        with self._reading() as connection:
            schema = _schema(connection)
            if schema.found > schema.newest:
                raise it.SchemaTooNew(
                    f"the data have schema {schema.found}, this program knows {schema.newest}:"
                    " run the version that wrote them or later"
                )
            if not schema.found:
                return Figures(schema, self._size(connection), [], 0, 0, [], 0, 0, Money(0, 0, 0, 0))
            return Figures(
                schema=schema,
                size=self._size(connection),
                tables=_tables(connection),
                oldest_message_utc_ms=_number(connection, OLDEST_MESSAGE),
                newest_message_utc_ms=_number(connection, NEWEST_MESSAGE),
                carriers=_carriers(connection),
                pending_callbacks=_number(connection, COUNT_PENDING_CALLBACKS),
                failed_callbacks=_number(connection, COUNT_FAILED_CALLBACKS),
                money=_money(connection),
            )

    def loads(self) -> list[CarrierLoad]:
        with self._reading() as connection:
            return _carriers(connection)

    def symptoms(self, failed_since_utc_ms: int) -> Symptoms:
        with self._reading() as connection:
            size = self._size(connection)
            whole = size.database_bytes <= READ_THROUGH_BYTES
            damage = _damage(connection) if whole else []
            overdue_utc_ms, overdue_ref = next(iter(connection.execute(LONGEST_OVERDUE)), (0, ""))
            return Symptoms(
                size=size,
                damage=damage,
                read_through=whole,
                newest_utc_ms=_number(connection, NEWEST_TIME),
                carriers=_carriers(connection),
                carrier_notes=[CarrierNote(*row) for row in connection.execute(CARRIER_NOTES)],
                default_carrier=next((name for (name,) in connection.execute(DEFAULT_CARRIER)), None),
                accounts=[AccountLinks(*row) for row in connection.execute(LINKS)],
                overdue_utc_ms=overdue_utc_ms,
                overdue_ref=overdue_ref,
                failed_callbacks=dict(connection.execute(FAILED_SINCE, (failed_since_utc_ms,))),
                debtors=[Debtor(*row) for row in connection.execute(DEBTORS)],
                ledger_gap_micros=_ledger_gap(connection),
            )

    @contextlib.contextmanager
    def _reading(self, *, long: bool = False) -> Iterator[apsw.Connection]:
        """One moment of the data, which nothing that is written meanwhile changes. Raises `Unavailable`.

        Reading a database that nobody has open leaves files of a log behind, unless it is taken to be one that nobody
        writes. Not so when reading takes `long`: a server may start in the middle.
        """
        path, flags = str(self._path), apsw.SQLITE_OPEN_READONLY
        if not self._log_path.exists():
            if long and os.access(self._path.parent, os.W_OK):
                flags = apsw.SQLITE_OPEN_READWRITE
            else:
                path, flags = f"file:{quote(path)}?immutable=1", flags | apsw.SQLITE_OPEN_URI
        try:
            connection = apsw.Connection(path, flags)
        except apsw.Error as error:
            raise it.Unavailable(f"cannot open {self._path}: {error}") from error
        try:
            connection.set_busy_timeout(BUSY_MILLISECONDS)
            connection.execute("BEGIN")
            _schema(connection)  # the transaction begins with the first read
            yield connection
        except apsw.Error as error:
            raise it.Unavailable(f"cannot read {self._path}: {error}") from error
        finally:
            connection.close()

    @property
    def _log_path(self) -> Path:
        return self._path.with_name(f"{self._path.name}-wal")

    def _size(self, connection: apsw.Connection) -> Size:
        free = _number(connection, "PRAGMA freelist_count") * _number(connection, "PRAGMA page_size")
        log = self._log_path.stat().st_size if self._log_path.exists() else 0
        return Size(self._path.stat().st_size, log, free)


def _schema(connection: apsw.Connection) -> Schema:
    files = resources.files("heliograph.store.sqlite").joinpath("migrations").iterdir()
    newest = sum(file.name.endswith(".sql") for file in files)
    return Schema(_number(connection, "PRAGMA user_version"), newest)


def _number(connection: apsw.Connection, query: str, parameters: tuple[int, ...] = ()) -> int:
    return int(connection.execute(query, parameters).get or 0)


# -- copying


def _copy(source: apsw.Connection, target: Path, descriptor: int) -> None:
    """Copy page by page. The transaction that `source` is in keeps the moment, so no write makes the copy begin anew.

    Every step is flushed, so that a commit never waits behind a whole database. While 0.7 GB were copied at 400 sends a
    second, their 99th percentile was 80 ms; unflushed 271 ms, with VACUUM INTO 237 ms, without a copy 22 ms (medians
    of three rounds, on two cores that others used too).
    """
    try:
        copy = apsw.Connection(str(target), apsw.SQLITE_OPEN_READWRITE)
        with contextlib.closing(copy):
            copy.execute("PRAGMA journal_mode = OFF").fetchall()
            copy.execute("PRAGMA synchronous = OFF").fetchall()  # flushed here, and worthless until it is whole
            with copy.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(STEP_PAGES)
                    _flush(descriptor)
    except apsw.FullError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error


def _flush(descriptor: int) -> None:
    """Return when what was copied is on disk."""
    os.fsync(descriptor)


def _damage_of_file(path: Path) -> list[str]:
    try:
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        with contextlib.closing(apsw.Connection(f"file:{quote(str(path))}?immutable=1", flags)) as connection:
            return _damage(connection)
    except apsw.Error as error:
        return [str(error)]


def _damage(connection: apsw.Connection) -> list[str]:
    """The first of what is wrong with a database; nothing when it is sound."""
    found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    return [] if found == ["ok"] else found


# -- measuring


def _tables(connection: apsw.Connection) -> list[Rows]:
    tables: list[tuple[Any, ...]] = connection.execute(USER_TABLES).fetchall()
    return [_rows(connection, name, bool(without_rowid)) for name, without_rowid in tables]


def _rows(connection: apsw.Connection, table: str, without_rowid: bool) -> Rows:
    counted = _number(connection, COUNT_UP_TO.format(table=table, most=COUNTED_ROWS + 1))
    if counted <= COUNTED_ROWS:
        return Rows(table, counted, "exact")
    if without_rowid:
        return Rows(table, COUNTED_ROWS, "at least")
    return Rows(table, _number(connection, ROWID_SPAN.format(table=table)), "about")


def _carriers(connection: apsw.Connection) -> list[CarrierLoad]:
    carriers: list[tuple[Any, ...]] = connection.execute(MARKS).fetchall()
    return [
        CarrierLoad(
            name=name,
            open=_number(connection, COUNT_OPEN, (id_,)),
            waiting=_number(connection, COUNT_WAITING, (id_, mark)),
            oldest_waiting_utc_ms=_number(connection, OLDEST_WAITING, (id_, mark)),
        )
        for id_, name, mark in carriers
    ]


def _money(connection: apsw.Connection) -> Money:
    posted = _posted(connection)
    return Money(
        topups_micros=posted.get(PostingKind.TOPUP, 0),
        charges_micros=posted.get(PostingKind.CHARGE, 0),
        refunds_micros=posted.get(PostingKind.REFUND, 0),
        balances_micros=_balances(connection),
    )


def _posted(connection: apsw.Connection) -> dict[int, int]:
    return {kind: units * 1_000_000 + rest for kind, units, rest in connection.execute(POSTED)}


def _balances(connection: apsw.Connection) -> int:
    rows: list[tuple[Any, ...]] = connection.execute(BALANCES).fetchall()
    return sum(balance for (balance,) in rows)


def _ledger_gap(connection: apsw.Connection) -> int | None:
    if _number(connection, NEWEST_POSTING) > ADDED_POSTINGS:
        return None
    return _balances(connection) - sum(_posted(connection).values())

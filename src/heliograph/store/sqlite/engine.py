"""The embedded store: SQLite in WAL with `synchronous=FULL`, one writer thread, one reader thread.

SQLite with care: a version without the WAL-reset corruption bug, local disks only, one serving process (a lock file),
and after a failed flush or a commit whose effect is unknown the process stops and recovers from the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import queue
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import IO, Any, TypeVar

import apsw

from heliograph.kit.keys import DATABASE, MARK, data_lost, foreign_keys, has_database, lost_database, mark_installed
from heliograph.store import interface as it
from heliograph.store.group import GroupCommit
from heliograph.store.sqlite import queries
from heliograph.store.sqlite.reads import Reads
from heliograph.store.sqlite.writes import Writes

T = TypeVar("T")
_log = logging.getLogger(__name__)

OLDEST_SQLITE = (3, 51, 3)  # earlier ones can corrupt a WAL database when the log is reset
BUSY_MILLISECONDS = 5_000
# A connection belongs to one thread at a time, so SQLite need not lock it.
OPEN_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_NOMUTEX
STATEMENTS_KEPT = 1_000  # bulk statements come in every number of rows below 64
CHECKPOINT_PAGES = 4_000  # 16 MB of log
LOG_INDEX_BYTES = 512 * 1024  # of shared memory, for 64,000 pages of log


class SqliteStore:
    """The store in one file, `heliograph.sqlite` in the data folder.

    `exclusive` takes the lock of the serving process; without it the store is for short commands beside a server, which
    needs no lock to be opened and does not `migrate` data of an older version, but refuses them. `fingerprint` is that
    of the keys, by which new data, and old ones that have none, know them from then on.
    """

    def __init__(
        self,
        folder: Path,
        *,
        exclusive: bool = False,
        migrate: bool | None = None,
        fingerprint: str = "",
        max_waiting_rows: int = 200_000,
        on_fatal: Callable[[it.StoreError], None] | None = None,
    ) -> None:
        self._folder = folder
        self._path = folder / DATABASE
        self._exclusive = exclusive
        self._migrate = exclusive if migrate is None else migrate
        self._fingerprint = fingerprint
        self._max_waiting_rows = max_waiting_rows
        self._on_fatal = on_fatal or (lambda error: None)
        self._lock: IO[str] | None = None
        self._log_index = -1
        self._inbox: queue.SimpleQueue[list[it.Op[Any]] | None] = queue.SimpleQueue()
        self._hooks: list[it.CommitHook] = []

    async def open(self) -> None:
        """Take the data, bring them up to date, start the threads. Raises `Unavailable` when another process serves
        them, `SchemaTooNew`, `SchemaTooOld`, `ForeignKeys`, `DataLost`.
        """
        if tuple(map(int, apsw.sqlite_lib_version().split("."))) < OLDEST_SQLITE:
            raise it.Unavailable(
                f"SQLite {apsw.sqlite_lib_version()} can corrupt its log; install an apsw that bundles a newer one"
            )
        self._loop = asyncio.get_running_loop()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._exclusive:
                self._take_lock()
            if trouble := lost_database(self._folder):
                raise it.DataLost(trouble)
            writing = self._connect()
            self._prepare(writing)
            if self._exclusive:
                self._reserve_log_index(writing)
        except BaseException as error:
            if self._lock is not None:
                self._lock.close()
            if isinstance(error, apsw.Error | OSError):
                raise it.Unavailable(f"cannot open {self._path}: {self._why(error)}") from error
            raise
        self._group = GroupCommit(
            self._loop, self._inbox.put, max_weight=self._max_waiting_rows, on_fatal=self._on_fatal
        )
        for hook in self._hooks:
            self._group.add_hook(hook)
        self._writer = threading.Thread(target=self._write_groups, args=(writing,), name="store-writer", daemon=True)
        self._writer.start()
        self._reader = ThreadPoolExecutor(1, "store-reader")
        self._reading = await self._loop.run_in_executor(self._reader, self._connect)

    async def close(self) -> None:
        """Commit what waits and let go of the file."""
        await self._group.drained()
        self._inbox.put(None)
        await self._loop.run_in_executor(self._reader, self._writer.join)
        await self._loop.run_in_executor(self._reader, self._reading.close)
        self._reader.shutdown()
        if self._log_index >= 0:
            os.close(self._log_index)
        if self._lock is not None:
            self._lock.close()

    def submit(self, op: it.Op[Any], done: it.Done, weight: int = 1) -> None:
        """See `store.interface.Store`."""
        self._group.submit(op, done, weight)

    async def apply(self, op: it.Op[T]) -> T:
        """See `store.interface.Store`."""
        waiter: asyncio.Future[T] = self._loop.create_future()

        def done(result: Any) -> None:
            if waiter.done():
                return
            if isinstance(result, Exception):
                waiter.set_exception(result)
            else:
                waiter.set_result(result)

        self._group.submit(op, done)
        return await waiter

    def request_commit(self) -> None:
        """See `store.interface.Store`."""
        self._group.request()

    def add_hook(self, hook: it.CommitHook) -> None:
        """See `store.interface.Store`; before `open`."""
        self._hooks.append(hook)

    @property
    def waiting_rows(self) -> int:
        """See `store.interface.Store`."""
        return self._group.waiting_rows

    async def read(self, query: Callable[[it.Reads], T]) -> T:
        """See `store.interface.Store`."""
        return await self._loop.run_in_executor(self._reader, self._read, query)

    # -- the threads

    def _read(self, query: Callable[[it.Reads], T]) -> T:
        try:
            self._reading.execute("BEGIN")
            return query(Reads(self._reading))
        except apsw.Error as error:
            raise it.Unavailable(f"reading the store failed: {error}") from error
        finally:
            with contextlib.suppress(apsw.Error):
                self._reading.execute("ROLLBACK")

    def _write_groups(self, connection: apsw.Connection) -> None:
        writes = Writes(connection)
        while (ops := self._inbox.get()) is not None:
            results: Sequence[Any] | it.StoreError
            try:
                results = self.commit(connection, writes, ops)
            except it.StoreError as error:
                results = error
            except Exception as error:
                _log.exception("a group of writes failed")
                results = it.Unavailable(f"{type(error).__name__}: {error}")
            self._loop.call_soon_threadsafe(self._group.finished, results)
        connection.close()

    @staticmethod
    def commit(connection: apsw.Connection, writes: Writes, ops: list[it.Op[Any]]) -> list[Any]:
        """One transaction. Raises `Unavailable` when certainly nothing is stored, `Uncertain` when nobody knows."""
        try:
            connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError as error:
            raise it.Unavailable("another process keeps the store locked") from error
        except apsw.Error as error:
            raise _sorted(error) from error
        try:
            results = writes.run(ops)
        except BaseException as error:
            with contextlib.suppress(apsw.Error):  # SQLite has rolled back by itself on some errors
                connection.execute("ROLLBACK")
            writes.forget()
            if isinstance(error, apsw.Error):
                raise _sorted(error) from error
            raise
        try:
            connection.execute("COMMIT")
        except apsw.FullError as error:
            with contextlib.suppress(apsw.Error):
                connection.execute("ROLLBACK")
            writes.forget()
            raise it.Unavailable(f"the disk is full: {error}") from error
        except apsw.Error as error:
            raise it.Uncertain(f"the effect of a commit is unknown: {error}") from error
        return results

    # -- the file

    def _take_lock(self) -> None:
        path = self._folder / "heliograph.lock"
        self._lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "unknown"
            raise it.Unavailable(
                f"another process (pid {owner}) serves {self._folder}; stop it, or use another --data folder"
            ) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def _prepare(self, connection: apsw.Connection) -> None:
        """Have the data fit this program and these keys. What is in order is only read."""
        installed = (self._folder / MARK).exists()
        new = not schema_version(connection)
        if new and installed:
            raise it.DataLost(data_lost(self._folder))
        if self._migrate or new:
            migrate(connection)
        else:
            self._require_schema(connection)
        if self._fingerprint:
            known = connection.execute(queries.FINGERPRINT).get
            if known is None and (self._migrate or new):
                connection.execute(queries.KEEP_FINGERPRINT, (self._fingerprint,))
                known = connection.execute(queries.FINGERPRINT).get
            if known not in (None, self._fingerprint):
                raise it.ForeignKeys(foreign_keys(self._folder))
        if self._migrate or new:
            mark_installed(self._folder)

    def _require_schema(self, connection: apsw.Connection) -> None:
        version, newest = schema_version(connection), newest_schema()
        if version > newest:
            raise _too_new(version, newest)
        if version < newest:
            raise it.SchemaTooOld(
                f"the data in {self._folder} have schema {version}, this program's is {newest}; run"
                " `heliograph db backup` and `heliograph db migrate` (or start the server)"
            )

    def _reserve_log_index(self, connection: apsw.Connection) -> None:
        """Give the log's index in shared memory the room that it may need, while there is room.

        SQLite lets it grow in the midst of a commit, when the pages are in the log already. On a full disk that fails,
        and then the commit has not happened for us but would have for whoever recovers the file.
        """
        connection.execute("BEGIN IMMEDIATE")  # who grows the index holds the write lock
        try:
            # Stays open as long as the connections: closing any descriptor of it drops SQLite's locks.
            self._log_index = os.open(f"{self._path}-shm", os.O_RDWR)
            size = os.fstat(self._log_index).st_size
            missing = b"\0" * max(0, LOG_INDEX_BYTES - size)
            if os.pwrite(self._log_index, missing, size) < len(missing):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            connection.execute("ROLLBACK")

    def _why(self, error: apsw.Error | OSError) -> str:
        """Why the file cannot be opened: of a full disk SQLite may say "disk I/O error" only."""
        if isinstance(error, apsw.IOError) and shutil.disk_usage(self._folder).free < LOG_INDEX_BYTES:
            return f"its disk is full ({error})"
        return str(error)

    def _connect(self) -> apsw.Connection:
        makes = self._migrate or not has_database(self._folder)
        umask = os.umask(0o077)
        try:
            connection = apsw.Connection(str(self._path), OPEN_FLAGS, statementcachesize=STATEMENTS_KEPT)
        except apsw.Error as error:
            raise it.Unavailable(f"cannot open {self._path}: {error}") from error
        finally:
            os.umask(umask)
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        if makes:
            connection.execute("PRAGMA journal_mode=WAL").fetchall()  # stays so, and writes if it was not
        for pragma in (
            "synchronous=FULL",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
            "cache_size=-65536",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection


def schema_version(connection: apsw.Connection) -> int:
    """The version of the schema that the data have; 0 when there is nothing yet."""
    return int(connection.execute("PRAGMA user_version").get)


def newest_schema() -> int:
    """The version of the schema that this program works with."""
    return len(_steps())


def migrate(connection: apsw.Connection) -> None:
    """Bring the schema to this program's version, a transaction a step; a new one is there whole or not at all. Raises
    `SchemaTooNew`.
    """
    steps = _steps()
    version = schema_version(connection)
    if version > len(steps):
        raise _too_new(version, len(steps))
    while schema_version(connection) < len(steps):
        connection.execute("BEGIN IMMEDIATE")
        try:
            done = schema_version(connection)  # another process may have been first
            due = steps[done : done + 1] if done else steps
            for step in due:
                connection.execute(step)
            connection.execute(f"PRAGMA user_version = {done + len(due)}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _too_new(version: int, newest: int) -> it.SchemaTooNew:
    return it.SchemaTooNew(
        f"the data have schema {version}, this program knows {newest}: run the version that wrote them or later"
    )


def _steps() -> list[str]:
    folder = resources.files("heliograph.store.sqlite").joinpath("migrations")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [file.read_text() for file in files]


def _sorted(error: apsw.Error) -> it.StoreError:
    """Before COMMIT nothing is stored; but a device that fails to read or write is not to be trusted further."""
    if isinstance(error, apsw.IOError | apsw.CorruptError | apsw.NotADBError):
        return it.Uncertain(f"the store's file fails: {error}")
    return it.Unavailable(f"the store refused a write: {error}")

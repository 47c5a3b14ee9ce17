"""What the suite needs of an engine besides the interface: to open it, to cut it off, to make it fail."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import apsw

from heliograph.messaging.accounts import Account
from heliograph.messaging.submissions import Happening, Request, Submission
from heliograph.messaging.text import Encoding, Text
from heliograph.store import interface as it
from heliograph.store.sqlite import SqliteStore

HOUR = 3_600_000


class Engine(Protocol):
    """An engine under test; the data are in `folder`."""

    folder: Path
    fatal: list[it.StoreError]

    def new(self, **options: Any) -> it.Store:
        """A store over the data, not open yet, as the serving process would have it."""

    async def abandon(self, store: it.Store) -> None:
        """Let go as a killed process would: without a word to anyone, and with what was not committed lost."""

    def set_credit(self, account_id: int, micros: int) -> None:
        """Give an account credit."""

    def full_disk(self, store: it.Store) -> contextlib.AbstractContextManager[None]:
        """Commits fail, certainly."""

    def lost_commit(self, store: it.Store, *, stored: bool) -> contextlib.AbstractContextManager[None]:
        """Commits fail in a way that leaves it unknown whether they happened."""

    def slow(self, store: it.Store, seconds: float) -> None:
        """Commits take at least so long, so that groups form."""

    def grown_schema(self) -> None:
        """The data look as if a newer version of the program had written them."""


class _Sqlite(SqliteStore):
    """The embedded engine, with its commit within reach."""

    before: Callable[[apsw.Connection], None] = staticmethod(lambda connection: None)
    around: Callable[[apsw.Connection], Any] = staticmethod(lambda connection: connection)

    def commit(self, connection: apsw.Connection, writes: Any, ops: Any) -> list[Any]:  # type: ignore[override]
        self.before(connection)
        return SqliteStore.commit(self.around(connection), writes, ops)


class _LosesCommit:
    """A connection whose COMMIT reports a failure of the device, after or instead of doing it."""

    def __init__(self, connection: apsw.Connection, stored: bool) -> None:
        self._connection = connection
        self._stored = stored

    def execute(self, sql: str, *values: Any) -> Any:
        if sql == "COMMIT":
            self._connection.execute("COMMIT" if self._stored else "ROLLBACK")
            raise apsw.IOError("disk I/O error")
        return self._connection.execute(sql, *values)


class SqliteEngine:
    """`store.sqlite`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fatal: list[it.StoreError] = []

    def new(self, **options: Any) -> it.Store:
        return _Sqlite(self.folder, **{"exclusive": True, "on_fatal": self.fatal.append, **options})

    async def abandon(self, store: Any) -> None:
        await asyncio.sleep(0)
        store._inbox.put(None)
        await asyncio.to_thread(store._writer.join)
        await asyncio.get_running_loop().run_in_executor(store._reader, store._reading.close)
        store._reader.shutdown()
        store._lock.close()

    def set_credit(self, account_id: int, micros: int) -> None:
        connection = apsw.Connection(str(self.folder / "heliograph.sqlite"))
        connection.set_busy_timeout(5000)
        connection.execute("UPDATE balance SET credit_limit_micros = ? WHERE account_id = ?", (micros, account_id))
        connection.close()

    @contextlib.contextmanager
    def full_disk(self, store: Any) -> Iterator[None]:
        def full(connection: apsw.Connection) -> None:
            connection.execute("PRAGMA max_page_count = 1").fetchall()  # the least it can be is what there is

        def room(connection: apsw.Connection) -> None:
            connection.execute("PRAGMA max_page_count = 4294967294").fetchall()

        store.before = full
        try:
            yield
        finally:
            store.before = room

    @contextlib.contextmanager
    def lost_commit(self, store: Any, *, stored: bool) -> Iterator[None]:
        store.around = lambda connection: _LosesCommit(connection, stored)
        try:
            yield
        finally:
            store.around = lambda connection: connection

    def slow(self, store: Any, seconds: float) -> None:
        store.before = lambda connection: time.sleep(seconds)

    def grown_schema(self) -> None:
        connection = apsw.Connection(str(self.folder / "heliograph.sqlite"))
        version = connection.execute("PRAGMA user_version").get
        connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.close()


ENGINES: dict[str, Callable[[Path], Engine]] = {"sqlite": SqliteEngine}


def report(ended: Sequence[it.Ended]) -> list[it.CallbackDraft | None]:
    """A callback for every end, whose body tells it."""
    return [it.CallbackDraft("dlr", f"{one.message_id} {one.status.name} {one.done_utc_ms}".encode()) for one in ended]


class Books:
    """An open store, and short ways to write what tests need in it."""

    def __init__(self, engine: Engine, store: it.Store) -> None:
        self.engine = engine
        self.store = store
        self.next = 1

    async def account(self, ref: str = "demo", balance: int = 1_000_000, **settings: Any) -> Account:
        account = Account(id=0, ref=ref, name=ref.title(), email=f"{ref}@example.net", **settings)
        return await self.store.apply(it.CreateAccount(account, [], balance))

    def request(
        self,
        account_id: int,
        prices: Sequence[int],
        *,
        segments: int = 1,
        carrier_id: int = 1,
        at_utc_ms: int = 1000,
        send_at_utc_ms: int = 0,
    ) -> it.Accept:
        """A request of a message a price, with ids that follow the last one's."""
        first, self.next = self.next, self.next + len(prices)
        text = Text("x" * (153 * segments if segments > 1 else 5), Encoding.GSM7, segments)
        expires = (send_at_utc_ms or at_utc_ms) + 48 * HOUR
        request = Request(first, account_id, 1, "96000", text, at_utc_ms, expires, send_at_utc_ms)
        return it.Accept(
            request,
            [
                Submission(id_, request, f"5691234{id_:04d}", price, carrier_id, 188, 1, id_)
                for id_, price in enumerate(prices, first)
            ],
        )

    async def accept(self, account_id: int, count: int = 1, price: int = 10, **how: Any) -> list[Submission]:
        """Messages that are stored and paid."""
        op = self.request(account_id, [price] * count, **how)
        assert all(await self.store.apply(op))
        return op.submissions

    async def taken(self, *submissions: Submission, at_utc_ms: int = 2000) -> None:
        """The carrier took every part; part P of message M is `ref-M-P`."""
        await self.store.apply(
            it.StoreTaken(
                [
                    it.Took(one.id, part, parts, f"ref-{one.id}-{part}", at_utc_ms, part == parts)
                    for one in submissions
                    for parts in [one.request.text.segments]
                    for part in range(1, parts + 1)
                ]
            )
        )

    async def end(self, message_id: int, happening: Happening, at_utc_ms: int = 3000, **how: Any) -> None:
        await self.store.apply(it.Finish([it.Ending(message_id, happening, at_utc_ms, **how)], report))

    async def receipts(self, *receipts: it.PartReceipt) -> list[it.PartReceipt]:
        return await self.store.apply(it.StoreReceipts(list(receipts), report))

    async def message(self, message_id: int) -> it.StoredMessage:
        found = await self.store.read(lambda reads: reads.message(message_id))
        assert found is not None, f"there is no message {message_id}"
        return found

    async def callbacks(self, message_id: int) -> list[tuple[str, str]]:
        """What each callback tells, and its state."""
        found = await self.store.read(lambda reads: reads.callbacks_of(message_id))
        return [(one.body.decode().split()[1], one.state) for one in found]

    async def balance(self, account_id: int) -> int:
        return await self.store.read(lambda reads: reads.balance(account_id))

    async def postings(self) -> list[tuple[int, str, int, int, int]]:
        found = await self.store.read(lambda reads: reads.postings(0, 10_000))
        return [(one.account_id, one.kind.name, one.amount_micros, one.request_id, one.message_id) for one in found]

    async def check_sums(self) -> None:
        """Every balance is the sum of its postings."""
        sums: dict[int, int] = {}
        for account_id, _, amount, _, _ in await self.postings():
            sums[account_id] = sums.get(account_id, 0) + amount
        balances = await self.store.read(lambda reads: reads.balances())
        assert {account_id: sums.get(account_id, 0) for account_id in balances} == balances
        assert set(sums) <= set(balances)

    async def reopened(self, *, clean: bool) -> Books:
        """The same data, opened again, after a clean stop or none."""
        if clean:
            await self.store.close()
        else:
            await self.engine.abandon(self.store)
        again = Books(self.engine, self.engine.new())
        again.next = self.next
        await again.store.open()
        return again


@contextlib.asynccontextmanager
async def opened(engine: Engine, **options: Any) -> AsyncIterator[Books]:
    """A store of this engine, closed in the end, with sums checked."""
    books = Books(engine, engine.new(**options))
    await books.store.open()
    try:
        yield books
    except BaseException:
        await engine.abandon(books.store)
        raise
    await books.check_sums()
    await books.store.close()


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario; one that hangs fails."""
    asyncio.run(asyncio.wait_for(scenario, 30))

"""Messages for later: stored and paid at once, put aside until their time, in line from then on."""

from __future__ import annotations

from pathlib import Path

import apsw
import msgspec
from tests.conformance.store.books import HOUR, Books, Engine, SqliteEngine, opened, report, run

from heliograph.messaging.submissions import Status
from heliograph.store import interface as it
from heliograph.store.sqlite import engine as sqlite

SCHEDULED, REFUSED = it.Kept.SCHEDULED, it.Kept.REFUSED


async def due(books: Books, now_utc_ms: int, limit: int = 10) -> list[int]:
    return [one.id for one in await books.store.read(lambda reads: reads.due_retries(1, now_utc_ms, limit))]


async def waiting(books: Books) -> list[int]:
    return [one.id for one in await books.store.read(lambda reads: reads.claim(1, 0, 10))]


def test_message_for_later_is_paid_now_and_in_nobodys_line_before_its_time(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account(balance=100)
        op = books.request(account.id, [40, 90, 40], send_at_utc_ms=9000)
        assert await books.store.apply(op) == [SCHEDULED, REFUSED, SCHEDULED]
        assert await books.balance(account.id) == 20
        for clean in (True, False):
            books = await books.reopened(clean=clean)
            state = await books.store.read(lambda reads: reads.lane(1))
            assert (state.in_doubt, state.waiting) == ([], 0)
            assert await waiting(books) == []
            assert await due(books, 8999) == []
            assert await due(books, 9000) == [1, 3]
        message = await books.message(1)
        assert (message.status, message.send_at_utc_ms) == (Status.PENDING, 9000)
        await books.store.close()

    run(scenario())


def test_what_is_due_comes_by_time_and_then_by_id_in_pages(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            for at in (9000, 7000, 9000, 8000):
                await books.store.apply(books.request(account.id, [1, 1], send_at_utc_ms=at))
            assert await due(books, 9000) == [3, 4, 7, 8, 1, 2, 5, 6]
            assert await due(books, 9000, 3) == [3, 4, 7]

    run(scenario())


def test_queued_when_due_it_waits_under_its_new_number_and_after_a_crash_too(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account()
        op = books.request(account.id, [1, 1], send_at_utc_ms=9000)
        await books.store.apply(op)
        await books.accept(account.id)
        again = [msgspec.structs.replace(one, number=number) for number, one in enumerate(op.submissions, 10)]
        assert await books.store.apply(it.Requeue(again[:1])) == [True]
        assert await books.store.apply(it.Requeue(again)) == [False, True]
        books = await books.reopened(clean=False)
        assert await waiting(books) == [3, 1, 2]
        assert await due(books, 1 << 60) == []
        await books.taken(again[0])
        await books.store.apply(it.StoreTaken([it.Took(2, 1, 1, "r", 9500, retried=True)]))
        assert (await books.message(2)).status is Status.SENT
        await books.store.close()

    run(scenario())


def test_it_is_cancelled_before_and_after_it_is_due(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            op = books.request(account.id, [40, 40], send_at_utc_ms=9000)
            await books.store.apply(op)
            await books.store.apply(it.MoveMark(1, 5, 1))  # others' numbers: this has none
            await books.store.apply(it.Requeue([msgspec.structs.replace(op.submissions[1], number=10)]))
            assert await books.store.apply(it.Cancel(1, 1, 5000, report)) == 0
            assert await books.store.apply(it.Cancel(2, 1, 5000, report)) == 10
            assert await due(books, 1 << 60) == []
            assert await waiting(books) == []
            assert await books.balance(account.id) == 100

    run(scenario())


def test_its_validity_is_over_only_after_its_time(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            await books.store.apply(books.request(account.id, [1], send_at_utc_ms=100 * HOUR))
            for now, lapsed in ((100 * HOUR, []), (148 * HOUR - 1, []), (148 * HOUR, [(1, 0)])):
                found = await books.store.read(lambda reads, now=now: reads.overdue(1, 0, 100, now))  # type: ignore[misc]
                assert [(one.id, one.number) for one in found.lapsed] == lapsed

    run(scenario())


def test_who_has_opted_out_gets_no_message_for_later_either(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            await books.store.apply(it.SetOptOut(account.id, "1555", True, 1))
            op = msgspec.structs.replace(books.request(account.id, [10, 10], send_at_utc_ms=9000), report=report)
            op.submissions[0].recipient = "1555"
            assert await books.store.apply(op) == [it.Kept.ENDED, SCHEDULED]
            assert await due(books, 1 << 60) == [2]
            assert await books.balance(account.id) == 90
            assert await books.callbacks(1) == [("REJECTED", "pending")]

    run(scenario())


def test_those_who_opted_out_since_are_known(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            one, two = await books.account("one"), await books.account("two")
            ops = [books.request(account.id, [1, 1], send_at_utc_ms=9000) for account in (one, two)]
            for op in ops:
                op.submissions[0].recipient = "1555"
                await books.store.apply(op)
            await books.store.apply(it.SetOptOut(two.id, "1555", True, 2000))

            def query(reads: it.Reads) -> frozenset[int]:
                return reads.unwanted(reads.due_retries(1, 9000, 10))

            assert await books.store.read(query) == {ops[1].submissions[0].id}
            assert await books.store.read(lambda reads: reads.unwanted([])) == frozenset()

    run(scenario())


def test_data_of_the_version_before_are_taken_over(tmp_path: Path) -> None:
    """With a message in line, one put aside and one sent."""

    engine = SqliteEngine(tmp_path / "data")
    (tmp_path / "data").mkdir()
    connection = apsw.Connection(str(tmp_path / "data" / "heliograph.sqlite"))
    migrations = Path(sqlite.__file__).parent / "migrations"
    for version, step in enumerate(sorted(file for file in migrations.iterdir() if file.name < "0003"), 1):
        connection.execute(step.read_text())
        connection.execute(f"PRAGMA user_version = {version}")
    assert connection.execute("PRAGMA user_version").get == 2
    connection.execute(
        "INSERT INTO request (id, account_id, sender, text, encoding, segments, registered_utc_ms, expires_utc_ms)"
        " VALUES (1, 1, '96000', 'hello', 0, 1, 1000, 9000)"
    )
    for id_, status in ((1, 0), (2, 0), (3, 1)):
        connection.execute(
            "INSERT INTO message (id, request_id, account_id, carrier_id, dialect, status, recipient, price_micros,"
            " operator_id, operator_source) VALUES (?, 1, 1, 1, 1, ?, '1555', 0, 0, 0)",
            (id_, status),
        )
    connection.execute("INSERT INTO retry (message_id, carrier_id, due_utc_ms) VALUES (2, 1, 5000)")
    connection.close()

    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        assert await waiting(books) == [1]
        assert await due(books, 5000) == [2]
        message = await books.message(3)
        assert message.status is Status.SENT
        assert (message.send_at_utc_ms, message.reference, message.callback_url, message.trace) == (0, None, "", "")
        assert await books.store.apply(it.Cancel(1, 1, 6000, report)) == 1
        await books.store.close()

    run(scenario())

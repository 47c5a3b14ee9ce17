"""Cancelling: only what was certainly never sent; the price goes back once, and the account is told."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.conformance.store.books import Books, Engine, opened, report, run

from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.submissions import Happening, Status, Submission
from heliograph.store import interface as it


async def cancel(books: Books, one: Submission, at_utc_ms: int = 5000) -> int | None:
    return await books.store.apply(it.Cancel(one.id, one.carrier_id, at_utc_ms, report))


async def put_aside(books: Books, one: Submission, *, doubted: bool = False) -> None:
    retry = it.Retry(one.id, one.carrier_id, 9000, True, 2000, "put off", "", doubted=doubted)
    await books.store.apply(it.StoreRetries([retry]))


async def requeued(books: Books, one: Submission, number: int) -> None:
    again = msgspec.structs.replace(one, number=number)
    assert await books.store.apply(it.Requeue([again])) == [True]


async def cancelled(books: Books, account_id: int, one: Submission, balance: int) -> None:
    message = await books.message(one.id)
    assert (message.status, message.refunded, message.done_utc_ms) == (Status.CANCELLED, True, 5000)
    assert await books.callbacks(one.id) == [("CANCELLED", "pending")]
    assert await books.balance(account_id) == balance
    assert await books.store.read(lambda reads: reads.claim(1, 0, 10)) == []
    assert await books.store.read(lambda reads: reads.due_retries(1, 1 << 60, 10)) == []


async def untouched(books: Books, account_id: int, one: Submission, status: Status, balance: int) -> None:
    message = await books.message(one.id)
    assert (message.status, message.refunded) == (status, False)
    assert "CANCELLED" not in dict(await books.callbacks(one.id))
    assert await books.balance(account_id) == balance


def test_message_that_waits_is_cancelled_refunded_once_and_told(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            (one,) = await books.accept(account.id, price=40)
            assert await cancel(books, one) == one.id
            await cancelled(books, account.id, one, 100)
            assert await cancel(books, one, 6000) is None
            await cancelled(books, account.id, one, 100)
            refunds = [row for row in await books.postings() if row[1] == "REFUND"]
            assert refunds == [(account.id, "REFUND", 40, 0, one.id)]

    run(scenario())


def test_two_that_cancel_at_once_refund_once(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            (one,) = await books.accept(account.id, price=40)
            engine.slow(books.store, 0.01)
            assert await asyncio.gather(*(cancel(books, one) for _ in range(5))) == [one.id, *[None] * 4]
            await cancelled(books, account.id, one, 100)

    run(scenario())


def test_message_put_aside_for_another_try_is_cancelled(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            (one,) = await books.accept(account.id, price=40)
            await books.store.apply(it.MoveMark(1, one.id, 1))
            await put_aside(books, one)
            assert await cancel(books, one) == 0
            await cancelled(books, account.id, one, 100)
            assert await books.store.apply(it.Requeue([msgspec.structs.replace(one, number=9)])) == [False]

    run(scenario())


def test_message_that_waits_for_another_try_in_line_is_cancelled_until_the_mark_covers_it(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            one, two = await books.accept(account.id, 2, price=40)
            await books.store.apply(it.MoveMark(1, two.id, 1))
            for number, message in ((10, one), (11, two)):
                await put_aside(books, message)
                await requeued(books, message, number)
            await books.store.apply(it.MoveMark(1, 10, 1))
            assert await cancel(books, one) is None
            assert await cancel(books, two) == 11
            await untouched(books, account.id, one, Status.PENDING, 60)

    run(scenario())


@pytest.mark.parametrize(("mark", "sent"), [((1, 1), True), ((1, 0), False), ((2, 1), True), ((0, 0), False)])
def test_message_at_or_below_the_mark_may_be_on_the_wire_and_is_not_cancelled(
    engine: Engine, mark: tuple[int, int], sent: bool
) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            (one,) = await books.accept(account.id, price=40, segments=2)
            await books.store.apply(it.MoveMark(1, *mark))
            await books.store.apply(it.MoveMark(2, 1 << 40, 1))  # another carrier's does not count
            assert await cancel(books, one) == (None if sent else one.id)
            if sent:
                await untouched(books, account.id, one, Status.PENDING, 60)
            else:
                await cancelled(books, account.id, one, 100)

    run(scenario())


def test_message_in_doubt_is_not_cancelled(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            (one,) = await books.accept(account.id, price=40)
            await put_aside(books, one, doubted=True)
            assert await cancel(books, one) is None
            await untouched(books, account.id, one, Status.PENDING, 60)

    run(scenario())


def test_message_of_which_a_part_was_taken_is_not_cancelled(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            (one,) = await books.accept(account.id, price=40, segments=2)
            await books.store.apply(it.StoreTaken([it.Took(one.id, 1, 2, "r", 2000, last=False)]))
            await put_aside(books, one)
            assert await cancel(books, one) is None
            await untouched(books, account.id, one, Status.PENDING, 60)

    run(scenario())


def test_message_that_was_sent_or_is_at_its_end_is_not_cancelled(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            sent, delivered, unknown = await books.accept(account.id, 3, price=10)
            await books.taken(sent, delivered)
            await books.receipts(it.PartReceipt(1, "x", ReceiptState.DELIVERED, 3000, delivered.id))
            await books.end(unknown.id, Happening.LEFT_IN_DOUBT)
            for one in (sent, delivered, unknown):
                assert await cancel(books, one) is None
            await untouched(books, account.id, sent, Status.SENT, 70)
            await untouched(books, account.id, delivered, Status.DELIVERED, 70)
            await untouched(books, account.id, unknown, Status.UNKNOWN, 70)
            (lapsed,) = await books.accept(account.id, price=10)
            await books.end(lapsed.id, Happening.LAPSED)
            assert await cancel(books, lapsed) is None
            assert (await books.message(lapsed.id)).status is Status.EXPIRED
            assert await books.balance(account.id) == 70

    run(scenario())


def test_nothing_is_cancelled_where_there_is_no_message(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            assert await books.store.apply(it.Cancel(77, 1, 5000, report)) is None

    run(scenario())


@pytest.mark.parametrize("stored", [True, False])
def test_after_a_commit_that_nobody_knows_of_a_cancelled_message_is_refunded_and_another_is_not(
    engine: Engine, stored: bool
) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account(balance=100)
        (one,) = await books.accept(account.id, price=40)
        with engine.lost_commit(books.store, stored=stored), pytest.raises(it.Uncertain):
            await cancel(books, one)
        books = await books.reopened(clean=False)
        assert await cancel(books, one) == (None if stored else one.id)
        await cancelled(books, account.id, one, 100)
        await books.store.close()

    run(scenario())


def test_authors_of_callbacks_can_read_the_message_as_it_is_after_every_kind_of_end(engine: Engine) -> None:
    async def scenario() -> None:
        seen: dict[int, Status] = {}

        def author(ended: list[it.Ended]) -> list[None]:
            for one in ended:
                assert one.reads is not None
                (message,) = one.reads.messages_of([one.message_id])
                assert (message.status, message.id) == (one.status, one.message_id)
                assert one.status is Status.SENT or message.done_utc_ms == one.done_utc_ms
                seen[one.message_id] = one.status
            return [None] * len(ended)

        async with opened(engine) as books:
            account = await books.account()
            told, delivered, refused, regretted = await books.accept(account.id, 4)
            took = [it.Took(one.id, 1, 1, f"r{one.id}", 2000, tell=one is told) for one in (told, delivered)]
            await books.store.apply(it.StoreTaken(took, author))  # type: ignore[arg-type]
            receipt = it.PartReceipt(1, "x", ReceiptState.DELIVERED, 3000, delivered.id)
            await books.store.apply(it.StoreReceipts([receipt], author))  # type: ignore[arg-type]
            end = it.Ending(refused.id, Happening.REFUSED, 3000)
            await books.store.apply(it.Finish([end], author))  # type: ignore[arg-type]
            await books.store.apply(it.Cancel(regretted.id, 1, 3000, author))  # type: ignore[arg-type]
            expected = (Status.SENT, Status.DELIVERED, Status.REJECTED, Status.CANCELLED)
            assert seen == dict(zip((told.id, delivered.id, refused.id, regretted.id), expected, strict=True))

    run(scenario())

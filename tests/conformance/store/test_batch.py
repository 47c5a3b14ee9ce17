"""Batches: requests of one account in one commit, each stored and paid on its own, with one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from tests.conformance.store.books import Books, Engine, opened, report, run

from heliograph.messaging.submissions import Status
from heliograph.store import interface as it

BODY = b"\x01" * 32
STORED, REFUSED = it.Kept.STORED, it.Kept.REFUSED


def rendered(kept: Sequence[it.Kept]) -> bytes:
    return " ".join(one.name for one in kept).encode()


def batch(
    books: Books, account_id: int, prices: Sequence[int], *, key: str = "", at_utc_ms: int = 1000
) -> it.AcceptMany:
    """A request of one message for each price."""
    accepts = [books.request(account_id, [price], at_utc_ms=at_utc_ms) for price in prices]
    return it.AcceptMany(accepts, it.Once(account_id, at_utc_ms, "batch", key, BODY, rendered) if key else None)


async def charged(books: Books) -> list[tuple[int, int]]:
    return [(request_id, -amount) for _, kind, amount, request_id, _ in await books.postings() if kind == "CHARGE"]


def test_each_is_a_request_of_its_own_paid_in_order_while_the_balance_lasts(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            op = batch(books, account.id, [60, 50, 30, 20, 10, 0])
            assert await books.store.apply(op) == [[one] for one in (STORED, REFUSED, STORED, REFUSED, STORED, STORED)]
            assert await charged(books) == [(1, 60), (3, 30), (5, 10), (6, 0)]
            assert await books.balance(account.id) == 0
            for accept in op.accepts:
                found = await books.store.read(lambda reads, id_=accept.request.id: reads.message(id_))  # type: ignore[misc]
                assert (found is not None) == (accept.request.id in (1, 3, 5, 6))
            waiting = await books.store.read(lambda reads: reads.claim(1, 0, 10))
            assert [one.id for one in waiting] == [1, 3, 5, 6]

    run(scenario())


def test_batch_without_messages_is_nothing(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            await books.account()
            assert await books.store.apply(it.AcceptMany([])) == []
            assert await charged(books) == []

    run(scenario())


@pytest.mark.parametrize("prices", [[40, 90, 40], [], [1000]])
def test_repeat_of_a_batch_gets_its_answer_and_costs_nothing(engine: Engine, prices: list[int]) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            first = await books.store.apply(batch(books, account.id, prices, key="k"))
            assert isinstance(first, list)
            before = await charged(books)
            again = await books.store.apply(batch(books, account.id, [1, 1], key="k", at_utc_ms=5000))
            assert again == it.Answered(BODY, rendered([one for (one,) in first]))
            assert await charged(books) == before

    run(scenario())


def test_hundreds_at_once_with_one_key_are_one_batch(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=1000)
            engine.slow(books.store, 0.01)
            ops = [batch(books, account.id, [7, 8], key="k") for _ in range(300)]
            results = await asyncio.gather(*map(books.store.apply, ops))
            assert results.count([[STORED], [STORED]]) == 1
            assert results.count(it.Answered(BODY, b"STORED STORED")) == 299
            assert await books.balance(account.id) == 985

    run(scenario())


def test_batches_and_requests_of_one_group_are_paid_and_listed_in_the_order_they_came(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=50)
            ops: list[it.Op[object]] = [
                it.ListMessages(100),
                batch(books, account.id, [20, 20]),
                books.request(account.id, [10]),
                batch(books, account.id, [1]),
            ]
            _, first, second, third = await asyncio.gather(*map(books.store.apply, ops))
            assert (first, second, third) == ([[STORED], [STORED]], [STORED], [[REFUSED]])
            while await books.store.apply(it.ListMessages(100)):
                pass
            found = await books.store.read(lambda reads: reads.messages(it.MessageFilter(account_id=account.id), 10))
            assert [one.id for one in found] == [3, 2, 1]

    run(scenario())


def test_later_and_opted_out_ones_are_told_apart_in_a_batch(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            accepts = [books.request(account.id, [10], send_at_utc_ms=at) for at in (0, 9000, 0, 0)]
            for accept, refuse in zip(accepts, (False, False, True, False), strict=True):
                kept_of = msgspec.structs.replace(accept, report=report, refuse_opted_out=refuse)
                accepts[accepts.index(accept)] = kept_of
            for one in accepts[2:]:
                one.submissions[0].recipient = "1555"
            await books.store.apply(it.SetOptOut(account.id, "1555", True, 1))
            kept = await books.store.apply(it.AcceptMany(accepts))
            assert kept == [[STORED], [it.Kept.SCHEDULED], [it.Kept.OPTED_OUT], [it.Kept.ENDED]]
            assert await charged(books) == [(1, 10), (2, 10), (4, 10)]
            assert await books.balance(account.id) == 80
            assert (await books.message(4)).status is Status.REJECTED

    run(scenario())


@pytest.mark.parametrize("stored", [True, False])
def test_after_a_commit_that_nobody_knows_of_the_whole_batch_is_there_with_its_answer_or_nothing(
    engine: Engine, stored: bool
) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account(balance=100)
        with engine.lost_commit(books.store, stored=stored), pytest.raises(it.Uncertain):
            await books.store.apply(batch(books, account.id, [10, 20], key="k"))
        books = await books.reopened(clean=False)
        again = await books.store.apply(batch(books, account.id, [10, 20], key="k"))
        assert again == (it.Answered(BODY, b"STORED STORED") if stored else [[STORED], [STORED]])
        assert [cost for _, cost in await charged(books)] == [10, 20]
        await books.store.close()

    run(scenario())


def test_batch_that_does_not_fit_on_the_disk_leaves_nothing(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            with engine.full_disk(books.store), pytest.raises(it.Unavailable):
                await books.store.apply(batch(books, account.id, [0] * 2000, key="k"))
            assert await charged(books) == []
            assert await books.store.apply(batch(books, account.id, [10], key="k")) == [[STORED]]

    run(scenario())

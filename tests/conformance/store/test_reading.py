"""Reading: lists in order and in pages, one moment at a time."""

from __future__ import annotations

import asyncio
import time

from tests.conformance.store.books import Books, Engine, opened, run

from heliograph.messaging.ledger import PostingKind
from heliograph.messaging.submissions import Happening
from heliograph.store import interface as it


async def listed(books: Books, account_id: int | None, limit: int = 100, before: int | None = None) -> list[int]:
    found = await books.store.read(lambda reads: reads.messages(it.MessageFilter(account_id=account_id), limit, before))
    return [one.id for one in found]


def test_unknown_message_has_nothing(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            for id_ in (0, 1, 1 << 52):
                found = await books.store.read(
                    lambda reads, id_=id_: (
                        reads.message(id_),
                        reads.parts(id_),
                        reads.events(id_),
                        reads.callbacks_of(id_),
                    )
                )
                assert found == (None, [], [], [])

    run(scenario())


def test_account_lists_its_messages_newest_first_whether_entered_in_the_list_yet_or_not(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            a, b = await books.account("a"), await books.account("b")
            mine: list[int] = []
            everyones: list[int] = []
            for round_ in range(6):
                for account, count in ((a, 3), (b, 2)):
                    ids = [one.id for one in await books.accept(account.id, count)]
                    everyones = ids[::-1] + everyones
                    if account is a:
                        mine = ids[::-1] + mine
                assert await listed(books, a.id) == mine, f"round {round_}"
                assert await listed(books, None) == everyones
                for limit in (1, 2, 4, 7):
                    seen: list[int] = []
                    before: int | None = None
                    while page := await listed(books, a.id, limit, before):
                        assert len(page) <= limit
                        seen += page
                        before = page[-1]
                    assert seen == mine
                await books.store.apply(it.ListMessages(4))  # it lags behind by more and more

    run(scenario())


def test_listing_ends_and_covers_everything(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            assert await books.store.apply(it.ListMessages(10)) == 0
            account = await books.account()
            await books.accept(account.id, 25)
            rounds = 0
            while await books.store.apply(it.ListMessages(10)):
                rounds += 1
                assert rounds < 10, "listing does not end"
            assert rounds == 3
            assert await listed(books, account.id) == list(range(25, 0, -1))
            await books.accept(account.id, 2)
            assert await books.store.apply(it.ListMessages(10)) > 0
            assert await listed(books, account.id, 3) == [27, 26, 25]

    run(scenario())


def test_ledger_and_messages_are_read_in_pages_for_an_audit(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=1000)
            kept, refused = await books.accept(account.id, 2, price=30)
            (third,) = await books.accept(account.id, price=5)
            await books.end(refused.id, Happening.REFUSED, 4000)
            found: list[it.Posting] = []
            while page := await books.store.read(
                lambda reads, after=found[-1].id if found else 0: reads.postings(after, 2)
            ):
                assert len(page) <= 2
                found += page
            told = [(p.kind, p.amount_micros, p.request_id, p.message_id) for p in found]
            assert told == [
                (PostingKind.TOPUP, 1000, 0, 0),
                (PostingKind.CHARGE, -60, kept.id, 0),
                (PostingKind.CHARGE, -5, third.id, 0),
                (PostingKind.REFUND, 30, 0, refused.id),
            ]
            paid: list[it.PaidMessage] = []
            while some := await books.store.read(
                lambda reads, after=paid[-1].id if paid else 0: reads.paid_messages(after, 2)
            ):
                paid += some
            assert paid == [
                it.PaidMessage(kept.id, kept.id, account.id, 30, False),
                it.PaidMessage(refused.id, kept.id, account.id, 30, True),
                it.PaidMessage(third.id, third.id, account.id, 5, False),
            ]

    run(scenario())


def test_reads_of_one_call_see_one_moment(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=10_000_000)
            stop = False

            async def write() -> None:
                while not stop:
                    await books.accept(account.id, 3, price=7)

            writer = asyncio.create_task(write())
            moments = set()
            deadline = time.monotonic() + 30
            while len(moments) < 20:
                assert time.monotonic() < deadline, "nothing was written meanwhile"
                balance, postings, messages, again = await books.store.read(
                    lambda reads: (
                        reads.balance(account.id),
                        reads.postings(0, 100_000),
                        reads.paid_messages(0, 100_000),
                        reads.balance(account.id),
                    )
                )
                assert balance == again == sum(one.amount_micros for one in postings)
                assert balance == 10_000_000 - sum(one.price_micros for one in messages)
                moments.add(balance)
            stop = True
            await writer

    run(scenario())


def test_failed_read_harms_no_later_one(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()

            def broken(reads: it.Reads) -> None:
                reads.balance(account.id)
                raise ZeroDivisionError

            for _ in range(3):
                result = await asyncio.gather(books.store.read(broken), return_exceptions=True)
                assert isinstance(result[0], ZeroDivisionError)
                assert await books.balance(account.id) == 1_000_000

    run(scenario())


def test_events_come_in_the_order_they_were_noted(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id)
            for number in (3, 1, 2):
                await books.store.apply(
                    it.StoreRetries([it.Retry(one.id, 1, 1, False, number, f"event {number}", f"detail {number}")])
                )
            events = await books.store.read(lambda reads: reads.events(one.id))
            assert events == [it.Event(number, f"event {number}", f"detail {number}") for number in (3, 1, 2)]

    run(scenario())

"""Recipients that want nothing more: their messages are accepted and at once at their end, and cost nothing."""

from __future__ import annotations

import asyncio

import msgspec
from tests.conformance.store.books import Books, Engine, opened, report, run

from heliograph.messaging.submissions import Status
from heliograph.store import interface as it

NUMBER = "447700900123"


def to(books: Books, account_id: int, *recipients: str, price: int = 10) -> it.Accept:
    accept = msgspec.structs.replace(books.request(account_id, [price] * len(recipients)), report=report)
    for submission, recipient in zip(accept.submissions, recipients, strict=True):
        submission.recipient = recipient
    return accept


async def opt(books: Books, account_id: int, recipient: str, *, out: bool) -> bool:
    return await books.store.apply(it.SetOptOut(account_id, recipient, out, 500))


def test_message_to_who_opted_out_is_rejected_refunded_and_told_and_the_others_are_not_touched(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            await opt(books, account.id, NUMBER, out=True)
            accept = to(books, account.id, "1555", NUMBER, "1556", NUMBER)
            expected = [it.Kept.STORED, it.Kept.ENDED, it.Kept.STORED, it.Kept.ENDED]
            assert await books.store.apply(accept) == expected
            for submission, kept in zip(accept.submissions, expected, strict=True):
                message = await books.message(submission.id)
                ended = kept is it.Kept.ENDED
                assert message.status is (Status.REJECTED if ended else Status.PENDING)
                assert message.refunded is ended
                assert await books.callbacks(submission.id) == ([("REJECTED", "pending")] if ended else [])
                assert ("no more messages" in message.detail) is ended
            assert await books.balance(account.id) == 80
            waiting = await books.store.read(lambda reads: reads.claim(1, 0, 10))
            assert [one.id for one in waiting] == [accept.submissions[0].id, accept.submissions[2].id]

    run(scenario())


def test_message_that_is_refunded_at_once_takes_no_balance_from_the_others(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=15)
            await opt(books, account.id, NUMBER, out=True)
            both = to(books, account.id, NUMBER, "1555", NUMBER, "1556")
            alone = [to(books, account.id, NUMBER) for _ in range(20)]
            results = await asyncio.gather(*(books.store.apply(one) for one in (*alone, both)))
            assert results[:-1] == [[it.Kept.ENDED]] * 20
            assert results[-1] == [it.Kept.ENDED, it.Kept.STORED, it.Kept.ENDED, it.Kept.REFUSED]
            assert await books.balance(account.id) == 5
            assert await books.store.apply(to(books, account.id, NUMBER)) == [it.Kept.ENDED]
            assert await books.balance(account.id) == 5

    run(scenario())


def test_opting_out_is_of_an_account_and_is_undone_by_opting_in(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        one, two = await books.account("one"), await books.account("two")
        assert [await opt(books, one.id, NUMBER, out=True) for _ in range(2)] == [True, False]
        books = await books.reopened(clean=False)
        assert await books.store.apply(to(books, one.id, NUMBER)) == [it.Kept.ENDED]
        assert await books.store.apply(to(books, two.id, NUMBER)) == [it.Kept.STORED]
        assert [await opt(books, one.id, NUMBER, out=False) for _ in range(2)] == [True, False]
        assert await books.store.apply(to(books, one.id, NUMBER)) == [it.Kept.STORED]
        await books.store.close()

    run(scenario())


def test_lists_come_by_number_in_pages(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            one, two = await books.account("one"), await books.account("two")
            for number in ("3", "1", "2", "10"):
                await opt(books, one.id, number, out=True)
            await opt(books, two.id, "9", out=True)

            async def page(after: str, limit: int) -> list[str]:
                return await books.store.read(lambda reads: reads.opt_outs(one.id, after, limit))

            assert await page("", 10) == ["1", "10", "2", "3"]
            assert await page("10", 1) == ["2"]
            assert await page("3", 10) == []

    run(scenario())


def test_who_wants_to_hear_of_it_gets_an_error_and_pays_nothing(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=25)
            await opt(books, account.id, NUMBER, out=True)
            accept = msgspec.structs.replace(
                to(books, account.id, NUMBER, "1555", NUMBER, "1556", "1557"), refuse_opted_out=True
            )
            stored, refused, out = it.Kept.STORED, it.Kept.REFUSED, it.Kept.OPTED_OUT
            assert await books.store.apply(accept) == [out, stored, out, stored, refused]
            assert await books.balance(account.id) == 5
            found = await books.store.read(lambda reads: reads.messages(it.MessageFilter(), 10))
            assert [one.recipient for one in found] == ["1556", "1555"]
            assert await books.store.apply(
                msgspec.structs.replace(to(books, account.id, NUMBER), refuse_opted_out=True)
            ) == [out]
            assert [row[1] for row in await books.postings()] == ["TOPUP", "CHARGE"]

    run(scenario())


def test_error_of_who_opted_out_is_the_answer_to_a_repeat_too(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            await opt(books, account.id, NUMBER, out=True)
            once = it.Once(account.id, 1000, "send", "k", b"1" * 32, lambda kept: kept[0].name.encode())
            accept = msgspec.structs.replace(to(books, account.id, NUMBER), refuse_opted_out=True, once=once)
            assert await books.store.apply(accept) == [it.Kept.OPTED_OUT]
            await opt(books, account.id, NUMBER, out=False)
            again = msgspec.structs.replace(to(books, account.id, NUMBER), refuse_opted_out=True, once=once)
            assert await books.store.apply(again) == it.Answered(b"1" * 32, b"OPTED_OUT")
            assert await books.balance(account.id) == 100

    run(scenario())

"""Accepting: stored and charged in one, or not at all."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from tests.conformance.store.books import HOUR, Books, Engine, opened, run

from heliograph.messaging import ledger
from heliograph.messaging.accounts import Account
from heliograph.messaging.submissions import Request, Status, Submission
from heliograph.messaging.text import Encoding, Text
from heliograph.store import interface as it


async def together(books: Books, ops: list[it.Op[Any]]) -> list[Any]:
    """The results of operations submitted in the same moment, so that they share a group."""
    return list(await asyncio.gather(*(books.store.apply(op) for op in ops), return_exceptions=True))


def test_accepted_message_is_stored_as_it_was_given(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            text = Text("Grüße 😀", Encoding.UCS2, 1)
            told = {"reference": "order 17", "callback_url": "https://x/cb", "trace": "018f"}
            request = Request(7, account.id, 2, "Büro", text, 1_000, 1_000 + HOUR, **told)  # type: ignore[arg-type]
            op = it.Accept(request, [Submission(7, request, "56912345678", 35_000, 3, 188, 1, 7)])
            assert await books.store.apply(op) == [True]
            assert await books.message(7) == it.StoredMessage(
                id=7,
                account_id=account.id,
                dialect=2,
                sender="Büro",
                recipient="56912345678",
                text="Grüße 😀",
                encoding=8,
                segments=1,
                price_micros=35_000,
                refunded=False,
                carrier_id=3,
                operator_id=188,
                operator_source=1,
                status=Status.PENDING,
                tries=0,
                registered_utc_ms=1_000,
                sent_utc_ms=0,
                done_utc_ms=0,
                expires_utc_ms=1_000 + HOUR,
                ref="",
                detail="",
                send_at_utc_ms=0,
                reference="order 17",
                callback_url="https://x/cb",
                trace="018f",
            )
            assert await books.postings() == [
                (account.id, "TOPUP", 1_000_000, 0, 0),
                (account.id, "CHARGE", -35_000, 7, 0),
            ]
            assert await books.balance(account.id) == 965_000

    run(scenario())


def test_recipients_are_covered_in_order_and_a_cheaper_one_after_a_gap_too(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            op = books.request(account.id, [60, 50, 30, 20, 10, 0])
            assert await books.store.apply(op) == [True, False, True, False, True, True]
            stored = [(await books.store.read(lambda reads, i=i: reads.message(i))) is not None for i in range(1, 7)]
            assert stored == [True, False, True, False, True, True]
            assert await books.balance(account.id) == 0
            assert [row[1:3] for row in await books.postings()] == [("TOPUP", 100), ("CHARGE", -100)]

    run(scenario())


def test_nothing_at_all_is_stored_when_no_recipient_is_covered(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=5)
            assert await books.store.apply(books.request(account.id, [6, 7])) == [False, False]
            assert await books.store.read(lambda reads: reads.paid_messages(0, 10)) == []
            assert [row[1] for row in await books.postings()] == ["TOPUP"]
            assert await books.store.read(lambda reads: reads.messages(it.MessageFilter(), 10)) == []
            assert await books.balance(account.id) == 5

    run(scenario())


def test_one_posting_a_request_however_many_recipients(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=10_000_000)
            for count in (1, 2, 63, 64, 65, 255, 256, 257, 1000):
                before = len(await books.postings())
                await books.accept(account.id, count, price=3)
                added = (await books.postings())[before:]
                assert [row[1:3] for row in added] == [("CHARGE", -3 * count)]
            paid = await books.store.read(lambda reads: reads.paid_messages(0, 10_000))
            assert [one.id for one in paid] == list(range(1, books.next))

    run(scenario())


def test_many_requests_in_one_group_never_overdraw_an_account(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            rich = await books.account("rich", balance=10_000)
            poor = await books.account("poor", balance=100)
            ops: list[it.Op[Any]] = []
            for _ in range(60):
                ops += [books.request(poor.id, [7, 3]), books.request(rich.id, [7, 3])]
            results = await together(books, ops)
            assert results[1::2] == [[True, True]] * 60
            spent = sum(7 * a + 3 * b for a, b in results[::2])
            assert spent == 100
            assert results[0] == [True, True]  # the first come are served
            assert await books.balance(poor.id) == 0
            assert await books.balance(rich.id) == 10_000 - 600

    run(scenario())


def test_balance_of_a_group_before_counts(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=10)
            assert await books.store.apply(books.request(account.id, [10])) == [True]
            assert await books.store.apply(books.request(account.id, [1])) == [False]
            await books.store.apply(it.TopUp(account.id, 1, 5, "more"))
            assert await books.store.apply(books.request(account.id, [1])) == [True]

    run(scenario())


def test_credit_lets_the_balance_go_below_zero_and_no_further(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=10)
            engine.set_credit(account.id, 25)
            assert await books.store.apply(books.request(account.id, [10, 20, 10, 5, 1])) == [
                True,
                True,
                False,
                True,
                False,
            ]
            assert await books.balance(account.id) == -25

    run(scenario())


def test_empty_account_can_send_what_is_free_only(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=0)
            assert await books.store.apply(books.request(account.id, [1, 0])) == [False, True]
            assert await books.balance(account.id) == 0

    run(scenario())


def test_no_top_up_leaves_a_debt_or_a_sum_that_is_not_exact(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=10)
            for amount in (-11, ledger.MAX_BALANCE_MICROS):
                with pytest.raises(it.Refused):
                    await books.store.apply(it.TopUp(account.id, amount, 5, "too much"))
            assert await books.store.apply(it.TopUp(account.id, -10, 5, "taken back")) == 0
            assert await books.store.apply(it.TopUp(account.id, ledger.MAX_BALANCE_MICROS, 5, "all there is")) == 10**18
            with pytest.raises(it.Refused):
                await books.account("other", balance=-1)

    run(scenario())


def test_account_that_does_not_exist_pays_for_nothing(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            assert await books.store.apply(books.request(99, [5])) == [False]

    run(scenario())


def test_sums_beyond_32_bits_are_exact(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=9_007_199_254_740_993)
            await books.accept(account.id, 3, price=1_000_000_000_001)
            assert await books.balance(account.id) == 9_007_199_254_740_993 - 3_000_000_000_003

    run(scenario())


def test_what_is_wrong_with_one_write_does_not_harm_the_others_of_its_group(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            taken = Account(id=0, ref="demo", name="", email="")
            other = Account(id=0, ref="other", name="", email="")
            wrong_credential = Account(id=0, ref="third", name="", email="")
            credential = it.Credential(1, "rt_1", bytes(32))
            results = await together(
                books,
                [
                    books.request(account.id, [10]),
                    it.CreateAccount(taken, [], 50),
                    it.TopUp(77, 5, 1, ""),
                    it.CreateAccount(other, [credential], 50),
                    it.CreateAccount(wrong_credential, [credential], 50),
                    it.UpdateAccount(78, {"name": "x"}),
                    it.UpdateAccount(account.id, {"ref": "other"}),
                    it.TopUp(account.id, 5, 1, ""),
                    books.request(account.id, [20]),
                ],
            )
            assert results[0] == [True]
            assert results[8] == [True]
            assert [type(result) for result in results[1:8]] == [
                it.Conflict,
                it.Missing,
                Account,
                it.Conflict,
                it.Missing,
                it.Conflict,
                int,
            ]
            assert results[7] == 100 - 30 + 5
            accounts = await books.store.read(lambda reads: reads.accounts())
            assert [one.ref for one in accounts] == ["demo", "other"]
            assert await books.balance(accounts[1].id) == 50

    run(scenario())


def test_everything_survives_a_restart_clean_or_not(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account(balance=1000)
        for clean in (True, False):
            await books.accept(account.id, 5)
            before = await books.store.read(
                lambda reads: (reads.messages(it.MessageFilter(), 100), reads.postings(0, 100), reads.accounts())
            )
            books = await books.reopened(clean=clean)
            after = await books.store.read(
                lambda reads: (reads.messages(it.MessageFilter(), 100), reads.postings(0, 100), reads.accounts())
            )
            assert after == before
        assert len(after[0]) == 10
        await books.store.close()

    run(scenario())


def test_answer_comes_only_when_another_process_could_read_it(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            beside = engine.new(exclusive=False)
            await beside.open()
            engine.slow(books.store, 0.02)
            for _ in range(5):
                (one,) = await books.accept(account.id)
                assert await beside.read(lambda reads, id_=one.id: reads.message(id_)) is not None
            await beside.close()

    run(scenario())


def test_ids_are_leased_once_over_restarts(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        leased: list[tuple[int, int]] = []
        for count in (5, 1000, 1, 3):
            first = await books.store.apply(it.LeaseIds(count))
            leased.append((first, first + count))
            books = await books.reopened(clean=count % 2 == 0)
        assert leased[0][0] >= 1
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(leased))
        await books.store.close()

    run(scenario())

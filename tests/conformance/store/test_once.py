"""Requests that happen once: the answer is stored with what it answers, and is the answer for a day."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from tests.conformance.store.books import HOUR, Books, Engine, opened, run

from heliograph.store import interface as it

BODY, OTHER = b"\x01" * 32, b"\x02" * 32


def rendered(kept: Sequence[it.Kept]) -> bytes:
    return " ".join(one.name for one in kept).encode()


def once(
    books: Books, account_id: int, prices: Sequence[int], *, at_utc_ms: int = 1000, **key: str | bytes
) -> it.Accept:
    """A request with a key."""
    of = {"route": "sms", "key": "k", "body_sha256": BODY, **key}
    wanted = it.Once(account_id, at_utc_ms, answer=rendered, **of)  # type: ignore[arg-type]
    return msgspec.structs.replace(books.request(account_id, prices, at_utc_ms=at_utc_ms), once=wanted)


async def charged(books: Books) -> list[int]:
    return [-amount for _, kind, amount, _, _ in await books.postings() if kind == "CHARGE"]


def test_repeat_gets_the_first_answer_and_nothing_is_stored_or_charged_again(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            first = once(books, account.id, [40, 90, 40])
            assert await books.store.apply(first) == [it.Kept.STORED, it.Kept.REFUSED, it.Kept.STORED]
            for body in (BODY, OTHER):  # who asks compares the bodies
                repeat = once(books, account.id, [1], body_sha256=body, at_utc_ms=5000)
                assert await books.store.apply(repeat) == it.Answered(BODY, b"STORED REFUSED STORED")
            assert await charged(books) == [80]
            assert len(await books.store.read(lambda reads: reads.messages(it.MessageFilter(), 100))) == 2

    run(scenario())


def test_refusal_of_every_recipient_is_an_answer_too(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=10)
            assert await books.store.apply(once(books, account.id, [40])) == [it.Kept.REFUSED]
            await books.store.apply(it.TopUp(account.id, 100, 1, ""))
            assert await books.store.apply(once(books, account.id, [40])) == it.Answered(BODY, b"REFUSED")
            assert await charged(books) == []

    run(scenario())


def test_key_is_of_an_account_and_a_route(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            one, two = await books.account("one"), await books.account("two")
            await books.store.apply(once(books, one.id, [1]))
            for other in (
                once(books, two.id, [2]),
                once(books, one.id, [3], route="batch"),
                once(books, one.id, [4], key="K"),
                books.request(one.id, [5]),
                books.request(one.id, [6]),
            ):
                assert await books.store.apply(other) == [it.Kept.STORED]
            assert await charged(books) == [1, 2, 3, 4, 5, 6]

    run(scenario())


def test_hundreds_at_once_with_one_key_are_one_request(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=1000)
            engine.slow(books.store, 0.01)
            requests = [once(books, account.id, [7]) for _ in range(300)]
            results = await asyncio.gather(*map(books.store.apply, requests))
            assert results.count([it.Kept.STORED]) == 1
            assert results.count(it.Answered(BODY, b"STORED")) == 299
            assert await charged(books) == [7]
            assert await books.balance(account.id) == 993

    run(scenario())


def test_answer_counts_for_a_day(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            await books.store.apply(once(books, account.id, [1], at_utc_ms=1000))
            within = once(books, account.id, [2], at_utc_ms=1000 + 24 * HOUR - 1)
            assert isinstance(await books.store.apply(within), it.Answered)
            after = once(books, account.id, [3], at_utc_ms=1000 + 24 * HOUR, body_sha256=OTHER)
            assert await books.store.apply(after) == [it.Kept.STORED]
            last = once(books, account.id, [4], at_utc_ms=1000 + 48 * HOUR - 1)
            assert await books.store.apply(last) == it.Answered(OTHER, b"STORED")
            assert await charged(books) == [1, 3]
            found = await books.store.read(
                lambda reads: [reads.answered(account.id, "sms", "k", 1000 + age * HOUR) for age in (23, 24)]
            )
            assert found == [it.Answered(OTHER, b"STORED"), None]

    run(scenario())


def test_old_answers_are_forgotten_oldest_first_and_in_portions(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            for at in (30, 10, 20, 40):
                await books.store.apply(once(books, account.id, [1], key=f"at {at}", at_utc_ms=at))
            assert await books.store.apply(it.ForgetAnswers(9, 10)) == 0

            async def left() -> list[int]:
                return await books.store.read(
                    lambda reads: [at for at in (10, 20, 30, 40) if reads.answered(account.id, "sms", f"at {at}", 0)]
                )

            assert await books.store.apply(it.ForgetAnswers(30, 2)) == 2
            assert await left() == [30, 40]
            assert await books.store.apply(it.ForgetAnswers(30, 2)) == 1
            assert await left() == [40]
            assert await books.store.apply(it.ForgetAnswers(30, 2)) == 0

    run(scenario())


@pytest.mark.parametrize("stored", [True, False])
def test_after_a_commit_that_nobody_knows_of_request_and_answer_are_both_there_or_neither(
    engine: Engine, stored: bool
) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account(balance=100)
        with engine.lost_commit(books.store, stored=stored), pytest.raises(it.Uncertain):
            await books.store.apply(once(books, account.id, [40]))
        books = await books.reopened(clean=False)
        again = await books.store.apply(once(books, account.id, [40]))
        assert again == (it.Answered(BODY, b"STORED") if stored else [it.Kept.STORED])
        assert await charged(books) == [40]
        await books.store.close()

    run(scenario())


def test_answer_is_there_after_a_crash_and_one_that_was_not_stored_is_not(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account(balance=100)
        with engine.full_disk(books.store):
            many = msgspec.structs.replace(
                books.request(account.id, [0] * 2000), once=it.Once(account.id, 1, "sms", "k", BODY, rendered)
            )
            with pytest.raises(it.Unavailable):
                await books.store.apply(many)
        assert await books.store.apply(once(books, account.id, [40])) == [it.Kept.STORED]
        books = await books.reopened(clean=False)
        assert await books.store.apply(once(books, account.id, [40])) == it.Answered(BODY, b"STORED")
        assert await charged(books) == [40]
        await books.store.close()

    run(scenario())


def test_an_answer_that_is_not_to_be_kept_leaves_the_key_free(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=10)
            poor = once(books, account.id, [40])
            assert poor.once is not None
            unkept = msgspec.structs.replace(poor.once, answer=lambda kept: None)
            assert await books.store.apply(msgspec.structs.replace(poor, once=unkept)) == [it.Kept.REFUSED]
            await books.store.apply(it.TopUp(account.id, 100, 1, ""))
            assert await books.store.apply(once(books, account.id, [40])) == [it.Kept.STORED]
            assert await books.store.apply(once(books, account.id, [40])) == it.Answered(BODY, b"STORED")

    run(scenario())

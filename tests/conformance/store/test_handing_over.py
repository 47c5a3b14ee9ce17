"""Handing over: the mark, what a crash leaves in doubt, what waits, and other tries."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.conformance.store.books import Books, Engine, opened, run

from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.submissions import Happening, Status, Submission
from heliograph.store import interface as it


def retry(message_id: int, due_utc_ms: int, **how: Any) -> it.Retry:
    return it.Retry(
        message_id,
        how.get("carrier_id", 1),
        due_utc_ms,
        how.get("spends_try", True),
        how.get("at", 100),
        how.get("event", "put off"),
        how.get("detail", "busy"),
        how.get("doubted", False),
    )


async def lane(books: Books, carrier_id: int = 1) -> it.LaneState:
    return await books.store.read(lambda reads: reads.lane(carrier_id))


async def claim(books: Books, after: int, limit: int = 100, carrier_id: int = 1) -> list[Submission]:
    return await books.store.read(lambda reads: reads.claim(carrier_id, after, limit))


async def due(books: Books, now: int, limit: int = 100, carrier_id: int = 1) -> list[Submission]:
    return await books.store.read(lambda reads: reads.due_retries(carrier_id, now, limit))


async def requeue(books: Books, *numbered: tuple[Submission, int]) -> list[bool]:
    again = [msgspec.structs.replace(one, number=number) for one, number in numbered]
    return await books.store.apply(it.Requeue(again))


def ids(submissions: list[Submission]) -> list[int]:
    return [one.id for one in submissions]


# -- carriers


def test_carrier_keeps_its_id_by_name(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        a = await books.store.apply(it.RegisterCarrier("a"))
        b = await books.store.apply(it.RegisterCarrier("b"))
        assert a != b
        again = await books.reopened(clean=False)
        assert await again.store.apply(it.RegisterCarrier("b")) == b
        assert await again.store.apply(it.RegisterCarrier("a")) == a
        assert await again.store.read(lambda reads: reads.carriers()) == {a: "a", b: "b"}
        await again.store.close()

    run(scenario())


# -- the mark


def test_before_anything_was_sent_nothing_is_in_doubt(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            assert await lane(books) == it.LaneState(0, 0, [], 0)
            account = await books.account()
            await books.accept(account.id, 3)
            assert await lane(books) == it.LaneState(0, 0, [], 3)

    run(scenario())


def test_after_a_crash_what_lies_below_the_mark_without_an_outcome_is_in_doubt(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account()
        sent = await books.accept(account.id, 6)
        other = await books.accept(account.id, 2, carrier_id=2)
        await books.store.apply(it.MoveMark(1, sent[3].id, 1))
        await books.taken(sent[1])
        await books.end(sent[2].id, Happening.REFUSED)
        books = await books.reopened(clean=False)
        assert await lane(books) == it.LaneState(sent[3].id, 1, [sent[0], sent[3]], 2)
        assert await lane(books, 2) == it.LaneState(0, 0, [], 2)
        assert ids(await claim(books, sent[3].id)) == ids(sent[4:])
        assert ids(await claim(books, 0, carrier_id=2)) == ids(other)
        await books.store.close()

    run(scenario())


def test_mark_within_a_long_message_leaves_its_other_parts_out_of_doubt(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id, segments=4)
            await books.store.apply(it.MoveMark(1, one.id, 3))
            await books.store.apply(it.StoreTaken([it.Took(one.id, 2, 4, "r2", 5, False)]))
            state = await lane(books)
            assert (state.number, state.part, state.waiting) == (one.id, 3, 0)
            assert state.in_doubt == [msgspec.structs.replace(one, taken=frozenset({2}), parts=4)]

    run(scenario())


def test_each_carrier_has_a_mark_of_its_own_and_it_moves(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            for carrier_id, number, part in ((1, 10, 1), (2, 5, 3), (1, 12, 2)):
                await books.store.apply(it.MoveMark(carrier_id, number, part))
            for carrier_id, number, part in ((1, 12, 2), (2, 5, 3)):
                state = await lane(books, carrier_id)
                assert (state.number, state.part) == (number, part)

    run(scenario())


# -- what carriers took


def test_message_is_sent_when_the_carrier_took_it(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id)
            await books.store.apply(it.StoreTaken([it.Took(one.id, 1, 1, "abc-1", 777)]))
            message = await books.message(one.id)
            assert (message.status, message.sent_utc_ms, message.ref) == (Status.SENT, 777, "abc-1")
            assert await books.store.read(lambda reads: reads.parts(one.id)) == []
            assert await claim(books, 0) == []

    run(scenario())


def test_long_message_is_sent_with_its_last_part_and_its_parts_are_remembered(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id, segments=3)
            for part, last in ((2, False), (1, False), (3, True)):
                assert (await books.message(one.id)).status is Status.PENDING
                await books.store.apply(it.StoreTaken([it.Took(one.id, part, 3, f"r{part}", 770 + part, last)]))
            message = await books.message(one.id)
            assert (message.status, message.sent_utc_ms) == (Status.SENT, 773)
            parts = await books.store.read(lambda reads: reads.parts(one.id))
            assert parts == [(1, "r1", None), (2, "r2", None), (3, "r3", None)]

    run(scenario())


def test_hundreds_taken_at_once_are_each_stored_with_their_own_reference(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=10_000_000)
            sent = await books.accept(account.id, 700)
            await books.taken(*sent)
            stored = await books.store.read(lambda reads: reads.messages(it.MessageFilter(), 1000))
            assert {one.id: one.ref for one in stored} == {one.id: f"ref-{one.id}-1" for one in sent}
            assert {one.status for one in stored} == {Status.SENT}

    run(scenario())


def test_message_that_was_ended_meanwhile_is_not_brought_back_by_the_carriers_answer(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            short, long = *(await books.accept(account.id)), *(await books.accept(account.id, segments=2))
            for one in (short, long):
                await books.end(one.id, Happening.LEFT_IN_DOUBT)
            await books.taken(short, long)
            for one in (short, long):
                assert (await books.message(one.id)).status is Status.UNKNOWN

    run(scenario())


# -- other tries


def test_message_put_off_waits_until_it_is_due_and_says_why(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            a, b, c = await books.accept(account.id, 3)
            await books.store.apply(it.MoveMark(1, c.id, 1))
            await books.store.apply(
                it.StoreRetries([retry(a.id, 500), retry(b.id, 400, spends_try=False), retry(c.id, 900, doubted=True)])
            )
            assert (await lane(books)).in_doubt == []
            assert await claim(books, 0) == [], "not in its old place"
            assert await due(books, 399) == []
            found = await due(books, 500)
            assert [(one.id, one.tries, one.number, one.doubted) for one in found] == [
                (b.id, 0, 0, False),
                (a.id, 1, 0, False),
            ]
            (last,) = [one for one in await due(books, 1000) if one.id == c.id]
            assert (last.tries, last.doubted) == (1, True)
            assert ids(await due(books, 1000, limit=1)) == [b.id]
            events = await books.store.read(lambda reads: reads.events(a.id))
            assert events == [it.Event(100, "put off", "busy")]

    run(scenario())


def test_due_message_is_queued_again_once_and_in_its_new_place(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            a, b = await books.accept(account.id, 2)
            books.next = 10
            (later,) = await books.accept(account.id)
            await books.store.apply(it.MoveMark(1, b.id, 1))
            await books.store.apply(it.StoreRetries([retry(a.id, 500), retry(b.id, 500)]))
            found = await due(books, 500)
            assert await requeue(books, (found[0], 9), (found[1], 11)) == [True, True]
            assert await requeue(books, (found[0], 12)) == [False], "queued twice"
            assert await due(books, 10_000) == []
            state = await lane(books)
            assert (state.in_doubt, state.waiting) == ([], 3)
            waiting = await claim(books, b.id)
            assert [(one.id, one.number) for one in waiting] == [(a.id, 9), (later.id, 10), (b.id, 11)]
            assert [(one.id, one.number) for one in await claim(books, 9, 1)] == [(later.id, 10)]
            assert [(one.id, one.number) for one in await claim(books, 10, 5)] == [(b.id, 11)]

    run(scenario())


def test_claims_of_every_size_give_the_same_order_of_first_and_further_tries(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            tried = await books.accept(account.id, 20)
            await books.store.apply(it.MoveMark(1, tried[-1].id, 1))
            await books.store.apply(it.StoreRetries([retry(one.id, 1) for one in tried]))
            found = await due(books, 1)
            numbers = [
                101,
                102,
                103,
                110,
                111,
                120,
                121,
                122,
                130,
                140,
                150,
                151,
                152,
                153,
                154,
                160,
                170,
                180,
                190,
                199,
            ]
            await requeue(books, *zip(found, numbers, strict=True))
            fresh = []
            for id_ in (100, 105, 106, 107, 125, 145, 146, 155, 200, 201):
                books.next = id_
                fresh += await books.accept(account.id)
            expected = sorted([*numbers, *ids(fresh)])
            for limit in (1, 2, 3, 7, 100):
                at, seen = tried[-1].id, []
                while page := await claim(books, at, limit):
                    assert len(page) <= limit
                    seen += [one.number for one in page]
                    at = seen[-1]
                assert seen == expected
            assert (await lane(books)).waiting == len(expected)

    run(scenario())


def test_retry_below_the_mark_is_in_doubt_under_its_new_number(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account()
        (one,) = await books.accept(account.id)
        books.next = 9
        (other,) = await books.accept(account.id)
        await books.store.apply(it.MoveMark(1, one.id, 1))
        await books.store.apply(it.StoreRetries([retry(one.id, 1)]))
        await requeue(books, ((await due(books, 1))[0], 10))
        await books.store.apply(it.MoveMark(1, 10, 1))
        books = await books.reopened(clean=False)
        state = await lane(books)
        assert [(s.id, s.number, s.tries) for s in state.in_doubt] == [(other.id, 9, 0), (one.id, 10, 1)]
        assert state.waiting == 0
        await books.store.apply(it.StoreTaken([it.Took(one.id, 1, 1, "r", 5, True, retried=True)]))
        assert [s.id for s in (await lane(books)).in_doubt] == [other.id]
        await books.store.close()

    run(scenario())


def test_message_can_be_put_off_again_and_again(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id)
            for tries in range(1, 4):
                await books.store.apply(it.StoreRetries([retry(one.id, tries * 100, event=f"try {tries}")]))
                assert await due(books, tries * 100 - 1) == []
                (again,) = await due(books, tries * 100)
                assert again.tries == tries
                assert await requeue(books, (again, 10 * tries)) == [True]
            events = await books.store.read(lambda reads: reads.events(one.id))
            assert [event.event for event in events] == ["try 1", "try 2", "try 3"]

    run(scenario())


def test_message_that_is_over_is_not_put_off(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id)
            await books.receipts(it.PartReceipt(1, "r", ReceiptState.UNDELIVERABLE, 5, one.id))
            await books.store.apply(it.StoreRetries([retry(one.id, 1)]))
            assert await due(books, 100) == []
            assert (await books.message(one.id)).tries == 0

    run(scenario())


def test_message_that_ends_while_it_waits_is_not_tried_again(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            waiting, queued = await books.accept(account.id, 2)
            await books.store.apply(it.StoreRetries([retry(waiting.id, 1), retry(queued.id, 1)]))
            found = await due(books, 1)
            assert await requeue(books, (found[1], 50)) == [True]
            for one in (waiting, queued):
                await books.end(one.id, Happening.LAPSED)
            assert await requeue(books, (found[0], 51)) == [False]
            assert await due(books, 100) == []
            assert await claim(books, 0) == []
            state = await lane(books)
            assert (state.in_doubt, state.waiting) == ([], 0)

    run(scenario())


def test_parts_taken_stay_taken_over_tries(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id, segments=3)
            await books.store.apply(
                it.StoreTaken([it.Took(one.id, 1, 3, "r1", 5, False), it.Took(one.id, 3, 3, "r3", 5, False)])
            )
            await books.store.apply(it.StoreRetries([retry(one.id, 1)]))
            (again,) = await due(books, 1)
            assert again.taken == frozenset({1, 3})
            assert again.request == one.request
            await requeue(books, (again, 77))
            (claimed,) = await claim(books, 50)
            assert claimed.taken == frozenset({1, 3})
            await books.store.apply(it.StoreTaken([it.Took(one.id, 2, 3, "r2", 9, True, retried=True)]))
            assert (await books.message(one.id)).status is Status.SENT
            assert (await lane(books)).waiting == 0

    run(scenario())


def test_message_sent_again_after_a_crash_says_so_and_counts_as_doubted(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id)
            await books.store.apply(it.MoveMark(1, one.id, 1))
            await books.store.apply(it.Resend([one.id], 123))
            (event,) = await books.store.read(lambda reads: reads.events(one.id))
            assert (event.at_utc_ms, event.event) == (123, "sent again")
            assert "twice" in event.detail
            ((again),) = (await lane(books)).in_doubt
            assert (again.tries, again.doubted) == (1, True)

    run(scenario())


# -- receipts that are awaited


def test_parts_without_a_final_receipt_are_awaited_in_pages(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            short = await books.accept(account.id, 5)
            (long, half) = await books.accept(account.id, 2, segments=2)
            (pending, foreign) = (await books.accept(account.id))[0], (await books.accept(account.id, carrier_id=2))[0]
            await books.taken(*short, long, foreign)
            await books.store.apply(it.StoreTaken([it.Took(half.id, 2, 2, "half", 9, False)]))
            await books.receipts(
                it.PartReceipt(1, "", ReceiptState.DELIVERED, 9, short[1].id),
                it.PartReceipt(1, "", ReceiptState.DELIVERED, 9, long.id, 1, 2),
                it.PartReceipt(1, "", ReceiptState.ENROUTE, 9, long.id, 2, 2),
            )
            expected = [(short[i].id, 1, 1, f"ref-{short[i].id}-1") for i in (0, 2, 3, 4)]
            expected += [(long.id, 2, 2, f"ref-{long.id}-2"), (half.id, 2, 2, "half")]
            for limit in (1, 2, 3, 100):
                seen, after = [], 0
                while page := await books.store.read(
                    lambda reads, after=after, limit=limit: reads.awaiting_receipt(1, after, limit)
                ):
                    seen += [(one.message_id, one.part, one.parts, one.ref) for one in page]
                    after = max(one.message_id for one in page)
                assert seen == expected
            assert pending.id not in [message_id for message_id, *_ in expected]

    run(scenario())

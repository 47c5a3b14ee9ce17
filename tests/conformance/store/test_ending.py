"""Ends: by the table of transitions, refunded once or not at all, told once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from tests.conformance.store.books import Engine, opened, report, run

from heliograph.messaging import submissions
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.submissions import Happening, Status
from heliograph.store import interface as it

RECEIPTS = {
    ReceiptState.DELIVERED: Status.DELIVERED,
    ReceiptState.REJECTED: Status.REJECTED,
    ReceiptState.UNDELIVERABLE: Status.UNDELIVERED,
    ReceiptState.DELETED: Status.UNDELIVERED,
    ReceiptState.SKIPPED: Status.UNDELIVERED,
    ReceiptState.EXPIRED: Status.EXPIRED,
    ReceiptState.UNKNOWN: Status.UNKNOWN,
}


@pytest.mark.parametrize("happening", list(Happening))
@pytest.mark.parametrize("parts_taken", [0, 1])
def test_message_ends_by_the_table_and_is_refunded_by_the_rule(
    engine: Engine, happening: Happening, parts_taken: int
) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            one, untouched = await books.accept(account.id, 2, price=40)
            await books.end(one.id, happening, 5000, parts_taken=parts_taken, detail="so it was")
            message = await books.message(one.id)
            expected = submissions.after(Status.PENDING, happening)
            refunded = submissions.refunded(happening, parts_taken=parts_taken)
            assert message.status is (expected or Status.PENDING)
            assert message.refunded is refunded
            assert await books.balance(account.id) == (60 if refunded else 20)
            if expected is not None and expected.final:
                assert (message.done_utc_ms, message.detail) == (5000, "so it was")
                assert await books.callbacks(one.id) == [(expected.name, "pending")]
            else:
                assert await books.callbacks(one.id) == []
            refunds = [row for row in await books.postings() if row[1] == "REFUND"]
            assert refunds == ([(account.id, "REFUND", 40, 0, one.id)] if refunded else [])
            assert (await books.message(untouched.id)).status is Status.PENDING

    run(scenario())


def test_refund_is_made_once_however_often_and_in_whatever_groups_the_end_is_told(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            (one,) = await books.accept(account.id, price=40)
            ending = it.Ending(one.id, Happening.REFUSED, 5000)
            await books.store.apply(it.Finish([ending, ending], report))
            await books.store.apply(it.Finish([ending], report))
            await books.end(one.id, Happening.TRIES_USED_UP)
            await books.end(one.id, Happening.LAPSED)
            assert await books.balance(account.id) == 100
            assert await books.callbacks(one.id) == [("REJECTED", "pending")]

    run(scenario())


def test_free_message_ends_without_a_posting(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=0)
            (one,) = await books.accept(account.id, price=0)
            await books.end(one.id, Happening.REFUSED)
            assert (await books.message(one.id)).refunded
            assert [row[1] for row in await books.postings()] == ["CHARGE"]

    run(scenario())


def test_first_final_stays_but_for_unknown(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            for state, status in RECEIPTS.items():
                (one,) = await books.accept(account.id)
                await books.taken(one)
                await books.receipts(it.PartReceipt(1, "r", state, 4000, one.id))
                assert (await books.message(one.id)).status is status
                for at, later in enumerate(RECEIPTS, 4001):
                    await books.receipts(it.PartReceipt(1, "r", later, at, one.id))
                message = await books.message(one.id)
                if status is Status.UNKNOWN:
                    assert (message.status, message.done_utc_ms) == (Status.DELIVERED, 4001)
                    assert await books.callbacks(one.id) == [("UNKNOWN", "cancelled"), ("DELIVERED", "pending")]
                else:
                    assert (message.status, message.done_utc_ms) == (status, 4000)
                    assert await books.callbacks(one.id) == [(status.name, "pending")]

    run(scenario())


def test_callback_of_unknown_that_was_acknowledged_stays_and_the_later_final_has_its_own(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id)
            await books.end(one.id, Happening.LEFT_IN_DOUBT)
            (told,) = await books.store.apply(it.ClaimCallbacks(10_000, 10, (60,), frozenset()))
            await books.store.apply(it.SettleCallbacks([it.Settlement(told.id, True, False, "200", 10_001)]))
            await books.receipts(it.PartReceipt(1, "r", ReceiptState.DELIVERED, 20_000, one.id))
            assert await books.callbacks(one.id) == [("UNKNOWN", "acknowledged"), ("DELIVERED", "pending")]

    run(scenario())


def test_callback_cancelled_while_it_was_under_way_is_not_revived_by_its_answer(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id)
            await books.end(one.id, Happening.LEFT_IN_DOUBT)
            (told,) = await books.store.apply(it.ClaimCallbacks(10_000, 10, (60, 60), frozenset()))
            await books.receipts(it.PartReceipt(1, "r", ReceiptState.DELIVERED, 20_000, one.id))
            await books.store.apply(it.SettleCallbacks([it.Settlement(told.id, False, False, "500", 10_001)]))
            assert await books.callbacks(one.id) == [("UNKNOWN", "cancelled"), ("DELIVERED", "pending")]
            due = await books.store.apply(it.ClaimCallbacks(10**9, 10, (60, 60), frozenset()))
            assert [callback.body.split()[1] for callback in due] == [b"DELIVERED"]

    run(scenario())


def test_several_ends_of_a_message_in_one_write_come_out_as_one_after_the_other(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            a, b, c = await books.accept(account.id, 3)
            await books.taken(a, b, c)

            def receipts(message_id: int, *states: ReceiptState) -> list[it.PartReceipt]:
                return [it.PartReceipt(1, "r", state, 4000 + i, message_id) for i, state in enumerate(states)]

            await books.receipts(
                *receipts(a.id, ReceiptState.UNKNOWN, ReceiptState.DELIVERED),
                *receipts(b.id, ReceiptState.EXPIRED, ReceiptState.DELIVERED),
                *receipts(
                    c.id, ReceiptState.ENROUTE, ReceiptState.UNKNOWN, ReceiptState.ENROUTE, ReceiptState.REJECTED
                ),
            )
            for one, status, done in (
                (a, Status.DELIVERED, 4001),
                (b, Status.EXPIRED, 4000),
                (c, Status.REJECTED, 4003),
            ):
                message = await books.message(one.id)
                assert (message.status, message.done_utc_ms) == (status, done)
                pending = [name for name, state in await books.callbacks(one.id) if state == "pending"]
                assert pending == [status.name]
            (held,) = await books.accept(account.id)
            await books.store.apply(
                it.Finish(
                    [
                        it.Ending(held.id, Happening.LEFT_IN_DOUBT, 10),
                        it.Ending(held.id, Happening.RECEIPT_DELIVERED, 11, parts_taken=1),
                    ],
                    report,
                )
            )
            assert (await books.message(held.id)).status is Status.DELIVERED
            pending = [name for name, state in await books.callbacks(held.id) if state == "pending"]
            assert pending == ["DELIVERED"]

    run(scenario())


def test_author_of_callbacks_sees_what_ended_and_may_decline(engine: Engine) -> None:
    async def scenario() -> None:
        seen: list[it.Ended] = []

        def author(ended: Sequence[it.Ended]) -> list[it.CallbackDraft | None]:
            seen.extend(ended)
            return [None if one.message_id == 1 else it.CallbackDraft("dlr", b"body", "http://x/") for one in ended]

        async with opened(engine) as books:
            account = await books.account()
            a, b = await books.accept(account.id, 2)
            endings = [it.Ending(one.id, Happening.REFUSED, 77) for one in (a, b)]
            await books.store.apply(it.Finish(endings, author))
            told = [msgspec.structs.replace(one, reads=None) for one in seen]
            assert told == [it.Ended(one.id, account.id, 1, one.recipient, Status.REJECTED, 77) for one in (a, b)]
            assert await books.store.read(lambda reads: reads.callbacks_of(a.id)) == []
            (callback,) = await books.store.read(lambda reads: reads.callbacks_of(b.id))
            assert (callback.account_id, callback.kind, callback.url, callback.body) == (
                account.id,
                "dlr",
                "http://x/",
                b"body",
            )
            assert (callback.state, callback.attempt, callback.created_utc_ms, callback.next_utc_ms) == (
                "pending",
                0,
                77,
                77,
            )

    run(scenario())


def test_end_of_a_message_that_does_not_exist_is_nothing(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            await books.end(12345, Happening.REFUSED)
            assert await books.store.read(lambda reads: reads.callbacks_of(12345)) == []

    run(scenario())


def test_hundreds_of_ends_at_once_are_each_their_own(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=10_000_000)
            sent = await books.accept(account.id, 600, price=7)
            await books.taken(*sent[::2])
            states = list(RECEIPTS)
            receipts = [
                it.PartReceipt(1, "r", states[i % 7], 4000 + i, one.id) for i, one in enumerate(sent) if i % 2 == 0
            ]
            refused = [it.Ending(one.id, Happening.REFUSED, 5000 + i) for i, one in enumerate(sent) if i % 2]
            await books.receipts(*receipts)
            await books.store.apply(it.Finish(refused, report))
            stored = {
                one.id: one for one in await books.store.read(lambda reads: reads.messages(it.MessageFilter(), 1000))
            }
            for i, one in enumerate(sent):
                expected = Status.REJECTED if i % 2 else RECEIPTS[states[i % 7]]
                assert (stored[one.id].status, stored[one.id].done_utc_ms) == (
                    expected,
                    (5000 if i % 2 else 4000) + i,
                )
                assert await books.callbacks(one.id) == [(expected.name, "pending")]
            assert await books.balance(account.id) == 10_000_000 - 300 * 7

    run(scenario())

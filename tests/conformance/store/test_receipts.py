"""Receipts: for one part or several, early or late, matched in memory or in the store."""

from __future__ import annotations

import itertools

import pytest
from tests.conformance.store.books import Books, Engine, opened, report, run

from heliograph.messaging import delivery
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.submissions import Status, Submission
from heliograph.store import interface as it

DELIVERED, ENROUTE = ReceiptState.DELIVERED, ReceiptState.ENROUTE


async def tell(books: Books, one: Submission, part: int, state: ReceiptState, at_utc_ms: int = 4000) -> None:
    parts = one.request.text.segments
    receipt = it.PartReceipt(1, f"ref-{one.id}-{part}", state, at_utc_ms, one.id, part, parts)
    assert await books.receipts(receipt) == []


def test_intermediate_report_changes_nothing(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id)
            await books.taken(one)
            for state in (ReceiptState.SCHEDULED, ENROUTE, ReceiptState.ACCEPTED):
                await tell(books, one, 1, state)
            message = await books.message(one.id)
            assert (message.status, message.done_utc_ms) == (Status.SENT, 0)
            assert await books.callbacks(one.id) == []

    run(scenario())


def test_receipt_of_a_message_that_nobody_knows_was_taken_proves_it_and_ends_it(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            (one,) = await books.accept(account.id, price=40)
            await books.store.apply(it.StoreRetries([it.Retry(one.id, 1, 50, True, 1, "no answer", "")]))
            await tell(books, one, 1, ReceiptState.REJECTED)
            message = await books.message(one.id)
            assert (message.status, message.refunded) == (Status.REJECTED, False)
            assert await books.store.read(lambda reads: reads.due_retries(1, 1000, 10)) == []
            assert await books.balance(account.id) == 60

    run(scenario())


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_long_message_is_delivered_when_its_last_part_is_whichever_that_is(
    engine: Engine, order: tuple[int, ...]
) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id, segments=3)
            await books.taken(one)
            for at, part in enumerate(order, 4001):
                assert (await books.message(one.id)).status is Status.SENT
                await tell(books, one, part, DELIVERED, at)
            message = await books.message(one.id)
            assert (message.status, message.done_utc_ms) == (Status.DELIVERED, 4003)
            assert await books.callbacks(one.id) == [("DELIVERED", "pending")]

    run(scenario())


def test_any_news_of_two_parts_comes_out_as_the_rule_says(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=10_000_000)
            for first, second in itertools.product(ReceiptState, repeat=2):
                (one,) = await books.accept(account.id, segments=2)
                await books.taken(one)
                await tell(books, one, 1, first)
                after_one = delivery.of_all_parts([first, None], 2)
                await tell(books, one, 2, second)
                happening = after_one or delivery.of_all_parts([first, second], 2)
                expected = Status.SENT if happening is None else STATUS[happening.name]
                assert (await books.message(one.id)).status is expected, (first, second)
                parts = await books.store.read(lambda reads, id_=one.id: reads.parts(id_))
                assert [state for _, _, state in parts] == [first, second]

    run(scenario())


STATUS = {
    "RECEIPT_DELIVERED": Status.DELIVERED,
    "RECEIPT_REJECTED": Status.REJECTED,
    "RECEIPT_UNDELIVERED": Status.UNDELIVERED,
    "RECEIPT_EXPIRED": Status.EXPIRED,
    "RECEIPT_UNKNOWN": Status.UNKNOWN,
}


def test_late_or_repeated_news_of_a_part_does_not_undo_its_final_receipt(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id, segments=2)
            await books.taken(one)
            for state in (ENROUTE, ReceiptState.UNKNOWN, ENROUTE, DELIVERED, ENROUTE, ReceiptState.UNKNOWN, DELIVERED):
                await tell(books, one, 1, state)
            parts = await books.store.read(lambda reads: reads.parts(one.id))
            assert [state for _, _, state in parts] == [DELIVERED, None]
            assert (await books.message(one.id)).status is Status.SENT
            await tell(books, one, 2, DELIVERED)
            assert (await books.message(one.id)).status is Status.DELIVERED

    run(scenario())


def test_receipts_of_all_parts_in_one_write(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id, segments=5)
            await books.taken(one)
            await books.receipts(*[it.PartReceipt(1, "", DELIVERED, 4000, one.id, part, 5) for part in range(1, 6)])
            assert (await books.message(one.id)).status is Status.DELIVERED
            assert await books.callbacks(one.id) == [("DELIVERED", "pending")]

    run(scenario())


def test_answer_and_receipt_in_one_group_are_stored_in_the_order_given(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id, segments=2)
            answered: list[object] = []
            took = [it.Took(one.id, part, 2, f"r{part}", 2000, part == 2) for part in (1, 2)]
            books.store.submit(it.StoreTaken(took), answered.append)
            receipts = [it.PartReceipt(1, f"r{part}", DELIVERED, 3000, one.id, part, 2) for part in (1, 2)]
            await books.store.apply(it.StoreReceipts(receipts, report))
            assert answered == [None]
            message = await books.message(one.id)
            assert (message.status, message.sent_utc_ms, message.done_utc_ms) == (Status.DELIVERED, 2000, 3000)

    run(scenario())


# -- matched in the store


def test_receipt_that_names_only_the_carriers_id_finds_its_message(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (short, long) = *(await books.accept(account.id)), *(await books.accept(account.id, segments=2))
            await books.taken(short, long)
            await books.store.apply(it.StoreRefs(1, sorted([("b", short.id, 1), ("a", long.id, 2)])))
            await books.store.apply(it.StoreRefs(1, [("c", long.id, 1)]))
            stranger = it.PartReceipt(1, "d", DELIVERED, 4000)
            other_carrier = it.PartReceipt(2, "b", DELIVERED, 4000)
            unmatched = await books.receipts(it.PartReceipt(1, "b", DELIVERED, 4000), stranger, other_carrier)
            assert unmatched == [stranger, other_carrier]
            assert (await books.message(short.id)).status is Status.DELIVERED
            await books.receipts(it.PartReceipt(1, "a", DELIVERED, 4001))
            assert (await books.message(long.id)).status is Status.SENT
            await books.receipts(it.PartReceipt(1, "c", DELIVERED, 4002))
            assert (await books.message(long.id)).status is Status.DELIVERED

    run(scenario())


def test_carriers_id_that_was_used_again_means_the_newest_message(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            old, new = await books.accept(account.id, 2)
            await books.taken(old, new)
            await books.store.apply(it.StoreRefs(1, [("1", old.id, 1)]))
            await books.store.apply(it.StoreRefs(1, [("1", new.id, 1)]))
            assert await books.receipts(it.PartReceipt(1, "1", DELIVERED, 4000)) == []
            assert [(await books.message(one.id)).status for one in (old, new)] == [Status.SENT, Status.DELIVERED]

    run(scenario())


def test_carriers_ids_are_found_after_a_restart_and_after_failed_writes(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account()
        sent = await books.accept(account.id, 6)
        await books.taken(*sent)
        for number, one in enumerate(sent):
            if number == 2:
                with engine.lost_commit(books.store, stored=False), pytest.raises(it.Uncertain):
                    await books.store.apply(it.StoreRefs(1, [(f"r{number}", one.id, 1)]))
                books = await books.reopened(clean=False)
            if number == 4:
                with engine.full_disk(books.store), pytest.raises(it.Unavailable):
                    await books.store.apply(it.StoreRefs(1, [("x" * 5000 + str(i), one.id, 1) for i in range(500)]))
            await books.store.apply(it.StoreRefs(1, [(f"r{number}", one.id, 1)]))
        books = await books.reopened(clean=True)
        for number, one in enumerate(sent):
            assert await books.receipts(it.PartReceipt(1, f"r{number}", DELIVERED, 4000)) == []
            assert (await books.message(one.id)).status is Status.DELIVERED
        await books.store.close()

    run(scenario())


def test_thousands_of_old_ids_in_runs_are_all_found(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=10_000_000)
            sent = await books.accept(account.id, 900)
            await books.taken(*sent)
            for at in range(0, 900, 300):
                run_ = sorted((f"{one.id * 7919 % 10_007:05}", one.id, 1) for one in sent[at : at + 300])
                await books.store.apply(it.StoreRefs(1, run_))
            receipts = [it.PartReceipt(1, f"{one.id * 7919 % 10_007:05}", DELIVERED, 4000) for one in sent]
            assert await books.receipts(*receipts) == []
            stored = await books.store.read(lambda reads: reads.messages(it.MessageFilter(), 1000))
            assert {one.status for one in stored} == {Status.DELIVERED}

    run(scenario())

"""Messages whose time is over: found page by page wherever they wait, and still known to a receipt that comes late."""

from __future__ import annotations

import pytest
from tests.conformance.store.books import HOUR, Books, Engine, opened, report, run

from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.submissions import Happening, Status, Submission
from heliograph.store import interface as it

LIVES = 48 * HOUR  # what Books gives a message that is registered at 1000
OVER = 1000 + LIVES


async def overdue(books: Books, now: int, after: int = 0, look_at: int = 100, carrier_id: int = 1) -> it.Overdue:
    return await books.store.read(lambda reads: reads.overdue(carrier_id, after, look_at, now))


def ids(submissions: list[Submission]) -> list[int]:
    return [one.id for one in submissions]


async def put_aside(books: Books, message_id: int, due_utc_ms: int = 1) -> None:
    await books.store.apply(it.StoreRetries([it.Retry(message_id, 1, due_utc_ms, True, 1, "put off", "")]))


def test_what_was_not_sent_lapses_with_its_validity_and_not_before(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            first, sent, ended = await books.accept(account.id, 3)
            (later,) = await books.accept(account.id, at_utc_ms=2000)
            (elsewhere,) = await books.accept(account.id, carrier_id=2)
            await books.taken(sent)
            await books.end(ended.id, Happening.REFUSED)
            assert await overdue(books, OVER - 1) == it.Overdue([], [], 0)
            assert ids((await overdue(books, OVER)).lapsed) == [first.id]
            found = await overdue(books, OVER + 1000)
            assert ids(found.lapsed) == [first.id, later.id]
            assert found.silent == []
            assert ids((await overdue(books, OVER, carrier_id=2)).lapsed) == [elsewhere.id]
            assert await overdue(books, OVER, carrier_id=3) == it.Overdue([], [], 0)

    run(scenario())


def test_what_was_sent_is_silent_a_day_after_its_validity_and_not_before(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            single, delivered = await books.accept(account.id, 2)
            whole, begun = await books.accept(account.id, 2, segments=2)
            await books.taken(single, delivered, whole)
            await books.receipts(it.PartReceipt(1, "r", ReceiptState.DELIVERED, 4000, delivered.id))
            await books.receipts(it.PartReceipt(1, "r", ReceiptState.DELIVERED, 4000, whole.id, 1, 2))
            await books.store.apply(it.StoreTaken([it.Took(begun.id, 1, 2, "ref", 2000, last=False)]))
            assert (await overdue(books, OVER + it.SILENCE_MS - 1)).silent == []
            found = await overdue(books, OVER + it.SILENCE_MS)
            assert found.silent == [single.id, whole.id]
            assert [(one.id, one.taken) for one in found.lapsed] == [(begun.id, frozenset({1}))]

    run(scenario())


def test_what_lapsed_tells_where_it_waits(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            fresh, aside, queued = await books.accept(account.id, 3)
            await put_aside(books, aside.id)
            await put_aside(books, queued.id)
            queued.number = 500
            assert await books.store.apply(it.Requeue([queued])) == [True]
            found = (await overdue(books, OVER)).lapsed
            assert [(one.id, one.number, one.tries) for one in found] == [
                (fresh.id, fresh.id, 0),
                (aside.id, 0, 1),
                (queued.id, 500, 1),
            ]
            assert found[0] == fresh
            for one in found:
                await books.end(one.id, Happening.LAPSED)
            assert (await overdue(books, OVER)).lapsed == []
            assert await books.store.read(lambda reads: reads.due_retries(1, OVER, 10)) == []
            assert await books.store.read(lambda reads: reads.claim(1, 0, 10)) == []

    run(scenario())


@pytest.mark.parametrize("look_at", [1, 2, 3, 7, 100])
def test_pages_come_to_every_open_message_once_and_then_to_an_end(engine: Engine, look_at: int) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            mine: list[Submission] = []
            for _ in range(6):
                mine += await books.accept(account.id, 2)
                await books.accept(account.id, 2, carrier_id=2)
            await books.taken(*mine[::3])
            await books.end(mine[4].id, Happening.REFUSED)
            lapsed: list[int] = []
            silent: list[int] = []
            after = pages = 0
            while True:
                found = await overdue(books, OVER + it.SILENCE_MS, after, look_at)
                assert len(found.lapsed) + len(found.silent) <= look_at
                lapsed += ids(found.lapsed)
                silent += found.silent
                pages += 1
                if not found.looked_to:
                    break
                assert found.looked_to > after
                after = found.looked_to
            assert silent == ids(mine[::3])
            assert lapsed == [id_ for id_ in ids(mine) if id_ not in silent and id_ != mine[4].id]
            assert pages == 11 // look_at + 1

    run(scenario())


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("segments", [1, 3])
def test_receipt_after_silence_counts_also_when_the_server_has_been_started_anew(
    engine: Engine, segments: int, clean: bool
) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account()
        one, other = await books.accept(account.id, 2, segments=segments)
        await books.taken(one, other)
        await books.end(one.id, Happening.SILENT, OVER + it.SILENCE_MS)
        message = await books.message(one.id)
        assert (message.status, message.refunded) == (Status.UNKNOWN, False)
        books = await books.reopened(clean=clean)
        assert await books.store.read(lambda reads: reads.awaiting_receipt(1, 0, 10)) == [
            it.Awaiting(other.id, part, segments, f"ref-{other.id}-{part}", 2000, "96000")
            for part in range(1, segments + 1)
        ]
        for part in range(1, segments + 1):
            assert await books.callbacks(one.id) == [("UNKNOWN", "pending")]
            unmatched = await books.receipts(it.PartReceipt(1, f"ref-{one.id}-{part}", ReceiptState.DELIVERED, 9000))
            assert unmatched == []
        assert (await books.message(one.id)).status is Status.DELIVERED
        assert await books.callbacks(one.id) == [("UNKNOWN", "cancelled"), ("DELIVERED", "pending")]
        first, second = await books.store.read(lambda reads: reads.callbacks_of(one.id))
        assert first.id != second.id
        again = it.PartReceipt(1, f"ref-{one.id}-1", ReceiptState.REJECTED, 9001)
        assert await books.receipts(again) == []
        assert (await books.message(one.id)).status is Status.DELIVERED
        elsewhere = it.PartReceipt(2, f"ref-{one.id}-1", ReceiptState.DELIVERED, 9002)
        assert await books.receipts(elsewhere) == [elsewhere], "another carrier's id"
        await books.store.close()

    run(scenario())


def test_ids_kept_for_late_receipts_and_runs_of_ids_do_not_hide_each_other(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            a, b, c = await books.accept(account.id, 3)
            await books.taken(a, b, c)
            await books.end(a.id, Happening.SILENT)
            await books.store.apply(it.StoreRefs(1, [(f"ref-{b.id}-1", b.id, 1)]))
            await books.end(b.id, Happening.SILENT)
            await books.store.apply(it.StoreRefs(1, [(f"ref-{c.id}-1", c.id, 1)]))
            for one in (a, b, c):
                assert await books.receipts(it.PartReceipt(1, f"ref-{one.id}-1", ReceiptState.DELIVERED, 9000)) == []
                assert (await books.message(one.id)).status is Status.DELIVERED

    run(scenario())


def test_sent_is_told_only_where_it_is_wanted_and_only_of_whole_messages_that_have_not_ended(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            wanted, unwanted, ended = await books.accept(account.id, 3)
            (long,) = await books.accept(account.id, segments=2)
            await books.receipts(it.PartReceipt(1, "r", ReceiptState.DELIVERED, 1500, ended.id))
            took = [
                it.Took(wanted.id, 1, 1, "a", 2000, tell=True),
                it.Took(unwanted.id, 1, 1, "b", 2000),
                it.Took(ended.id, 1, 1, "c", 2000, tell=True),
                it.Took(long.id, 1, 2, "d", 2000, last=False, tell=True),
            ]
            await books.store.apply(it.StoreTaken(took, report))
            assert await books.callbacks(wanted.id) == [("SENT", "pending")]
            assert await books.callbacks(unwanted.id) == []
            assert await books.callbacks(ended.id) == [("DELIVERED", "pending")]
            assert await books.callbacks(long.id) == []
            await books.store.apply(it.StoreTaken([it.Took(long.id, 2, 2, "e", 2500, tell=True)], report))
            (told,) = await books.store.read(lambda reads: reads.callbacks_of(long.id))
            assert told.body.decode() == f"{long.id} SENT 2500"
            assert told.created_utc_ms == told.next_utc_ms == 2500

    run(scenario())

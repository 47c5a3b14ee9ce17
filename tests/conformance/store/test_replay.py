"""Replaying callbacks, and listing them."""

from __future__ import annotations

from typing import Any

from tests.conformance.store.books import Books, Engine, opened, run

from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.submissions import Happening
from heliograph.store import interface as it

DELAYS = (60, 60, 60)


async def owed(books: Books, account_id: int, at_utc_ms: int = 1000) -> it.Callback:
    """A callback that is pending."""
    (one,) = await books.accept(account_id)
    await books.end(one.id, Happening.LEFT_IN_DOUBT, at_utc_ms)
    (callback,) = await books.store.read(lambda reads: reads.callbacks_of(one.id))
    return callback


async def settled(books: Books, callback: it.Callback, *, acknowledged: bool) -> None:
    await books.store.apply(it.ClaimCallbacks(callback.next_utc_ms, 100, DELAYS, frozenset()))
    result = "200" if acknowledged else "503"
    await books.store.apply(
        it.SettleCallbacks([it.Settlement(callback.id, acknowledged, not acknowledged, result, 2000)])
    )


async def stored(books: Books, callback_id: int) -> it.Callback:
    found = await books.store.read(lambda reads: reads.callback(callback_id))
    assert found is not None
    return found


async def listed(books: Books, limit: int = 100, before: int | None = None, **wanted: Any) -> list[int]:
    found = await books.store.read(lambda reads: reads.callbacks(it.CallbackFilter(**wanted), limit, before))
    return [one.id for one in found]


def test_replay_is_a_whole_new_run_of_the_same_callback(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account()
        for acknowledged in (True, False):
            callback = await owed(books, account.id)
            await settled(books, callback, acknowledged=acknowledged)
            assert (await stored(books, callback.id)).state == ("acknowledged" if acknowledged else "failed")
            assert await books.store.apply(it.ReplayCallbacks([callback.id], 9000)) == [callback.id]
            books = await books.reopened(clean=False)
            assert await books.store.apply(it.ClaimCallbacks(8999, 10, DELAYS, frozenset())) == []
            now = 9000
            for attempt in (1, 2, 3):
                (begun,) = await books.store.apply(it.ClaimCallbacks(now, 10, DELAYS, frozenset()))
                assert (begun.id, begun.body, begun.attempt) == (callback.id, callback.body, attempt)
                now = begun.next_utc_ms
            assert await books.store.apply(it.ClaimCallbacks(now, 10, DELAYS, frozenset())) == []
            assert (await stored(books, callback.id)).state == "failed"
            events = await books.store.read(lambda reads, id_=callback.message_id: reads.events(id_))
            assert [(event.event, event.at_utc_ms) for event in events] == [(it.REPLAYED, 9000)]
        await books.store.close()

    run(scenario())


def test_what_is_pending_or_cancelled_or_does_not_exist_is_not_replayed(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            pending, cancelled, failed = [await owed(books, account.id) for _ in range(3)]
            await books.receipts(it.PartReceipt(1, "r", ReceiptState.DELIVERED, 1500, cancelled.message_id))
            await settled(books, failed, acknowledged=False)
            before = [await stored(books, one.id) for one in (pending, cancelled)]
            wanted = [pending.id, cancelled.id, failed.id, 12345]
            assert await books.store.apply(it.ReplayCallbacks(wanted, 9000)) == [failed.id]
            assert await books.store.apply(it.ReplayCallbacks(wanted, 9000)) == [], "it is pending now"
            assert [await stored(books, one.id) for one in (pending, cancelled)] == before
            assert await books.store.read(lambda reads: reads.events(pending.message_id)) == []

    run(scenario())


def test_callback_of_a_message_from_a_phone_is_replayed_too(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            told = it.CallbackDraft("mo", b"hello")
            await books.store.apply(it.StoreInbound([it.InboundDraft(1, account.id, "1", "2", "hello", 1000, told)]))
            (id_,) = await listed(books)
            await settled(books, await stored(books, id_), acknowledged=True)
            assert await books.store.apply(it.ReplayCallbacks([id_], 9000)) == [id_]
            (begun,) = await books.store.apply(it.ClaimCallbacks(9000, 10, DELAYS, frozenset()))
            assert (begun.id, begun.kind, begun.attempt) == (id_, "mo", 1)

    run(scenario())


def test_callbacks_are_found_by_account_state_and_kind_newest_first_in_pages(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            a, b = await books.account("a"), await books.account("b")
            one, two, three, four = [await owed(books, account.id) for account in (a, b, a, b)]
            told = it.CallbackDraft("mo", b"hello")
            await books.store.apply(it.StoreInbound([it.InboundDraft(1, a.id, "1", "2", "hello", 1000, told)]))
            inbound = (await listed(books))[0]
            await settled(books, one, acknowledged=False)
            await settled(books, four, acknowledged=False)
            await settled(books, two, acknowledged=True)
            assert await listed(books) == [inbound, four.id, three.id, two.id, one.id]
            assert await listed(books, account_id=a.id) == [inbound, three.id, one.id]
            assert await listed(books, kind="mo") == [inbound]
            assert await listed(books, kind="dlr", account_id=a.id) == [three.id, one.id]
            assert await listed(books, state="failed") == [four.id, one.id]
            assert await listed(books, state="failed", account_id=a.id) == [one.id]
            assert await listed(books, state="failed", kind="mo") == []
            assert await listed(books, state="acknowledged") == [two.id]
            assert await listed(books, state="pending") == [inbound, three.id]
            assert await listed(books, 2) == [inbound, four.id]
            assert await listed(books, 2, four.id) == [three.id, two.id]
            assert await listed(books, 5, four.id, state="failed") == [one.id]
            assert await books.store.read(lambda reads: reads.callback(12345)) is None

    run(scenario())

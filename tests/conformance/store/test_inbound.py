"""Messages from phones: stored with their callbacks, or not at all."""

from __future__ import annotations

import pytest
from tests.conformance.store.books import Books, Engine, opened, run

from heliograph.store import interface as it


def written(account_id: int, text: str, at_utc_ms: int = 1000, *, told: bool = True) -> it.InboundDraft:
    callback = it.CallbackDraft("mo", text.encode()) if told else None
    return it.InboundDraft(3, account_id, "56912345678", "96000", text, at_utc_ms, callback)


async def texts(books: Books, account_id: int | None, limit: int = 100, before: int | None = None) -> list[str]:
    return [one.text for one in await books.store.read(lambda reads: reads.inbound(account_id, limit, before))]


def test_message_from_a_phone_comes_back_as_it_was_written_and_its_owner_is_called(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account()
        await books.store.apply(it.StoreInbound([written(account.id, "Grüße ✓ 👋", 7000)]))
        books = await books.reopened(clean=False)
        (found,) = await books.store.read(lambda reads: reads.inbound(None, 10))
        assert found == it.StoredInbound(found.id, 3, account.id, "56912345678", "96000", "Grüße ✓ 👋", 7000)
        assert await books.store.apply(it.ClaimCallbacks(6999, 10, (60,), frozenset())) == []
        (due,) = await books.store.apply(it.ClaimCallbacks(7000, 10, (60,), frozenset()))
        assert (due.account_id, due.message_id, due.kind, due.url) == (account.id, 0, "mo", "")
        assert due.body.decode() == "Grüße ✓ 👋"
        assert await books.store.read(lambda reads: reads.callback(due.id)) == due
        await books.store.close()

    run(scenario())


def test_lists_are_newest_first_of_all_of_an_account_or_of_nobody(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            a, b = await books.account("a"), await books.account("b")
            await books.store.apply(
                it.StoreInbound([written(a.id, "1"), written(b.id, "2"), written(0, "3", told=False)])
            )
            await books.store.apply(it.StoreInbound([written(a.id, "4"), written(0, "5", told=False)]))
            assert await texts(books, None) == ["5", "4", "3", "2", "1"]
            assert await texts(books, a.id) == ["4", "1"]
            assert await texts(books, b.id) == ["2"]
            assert await texts(books, 0) == ["5", "3"]
            (newest,) = await books.store.read(lambda reads: reads.inbound(None, 1))
            assert await texts(books, None, 2, newest.id) == ["4", "3"]
            callbacks = await books.store.read(lambda reads: reads.callbacks(it.CallbackFilter(kind="mo"), 10))
            assert [one.body.decode() for one in callbacks] == ["4", "2", "1"], "nobody is called for nobody's"

    run(scenario())


def test_messages_that_could_not_be_stored_leave_nothing(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            with engine.full_disk(books.store), pytest.raises(it.Unavailable):
                await books.store.apply(it.StoreInbound([written(account.id, "x" * 500) for _ in range(1000)]))
            assert await texts(books, None) == []
            assert await books.store.read(lambda reads: reads.callbacks(it.CallbackFilter(), 10)) == []

    run(scenario())

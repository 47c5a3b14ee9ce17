"""Failing: nothing half done, everybody told, and no going on when nobody knows what is on disk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest
from tests.conformance.store.books import Books, Engine, opened, run

from heliograph.messaging import errors
from heliograph.messaging.submissions import Happening
from heliograph.store import interface as it


class Hook:
    """Notes what it hears."""

    def __init__(self, *add: it.Op[Any]) -> None:
        self.add = list(add)
        self.heard: list[tuple[str, list[str]]] = []

    def before_commit(self, ops: Sequence[it.Op[Any]]) -> list[it.Op[Any]]:
        added, self.add = self.add, []
        return added

    def after_commit(self, ops: Sequence[it.Op[Any]], results: Sequence[Any]) -> None:
        assert len(ops) == len(results)
        self.heard.append(("stored", [type(op).__name__ for op in ops]))

    def commit_failed(self, ops: Sequence[it.Op[Any]], error: it.StoreError) -> None:
        self.heard.append(("failed", [type(op).__name__ for op in ops]))


async def everything(books: Books) -> object:
    return await books.store.read(
        lambda reads: (
            reads.messages(it.MessageFilter(), 1000),
            reads.postings(0, 1000),
            reads.balances(),
            reads.lane(1),
        )
    )


def test_full_disk_fails_the_whole_group_and_leaves_nothing(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=10_000_000)
            await books.accept(account.id, 3)
            before = await everything(books)
            with engine.full_disk(books.store):
                ops = [
                    it.MoveMark(1, 3, 1),
                    books.request(account.id, [1] * 1000),
                    it.TopUp(account.id, 5, 1, ""),
                    books.request(account.id, [1] * 1000),
                ]
                results = await asyncio.gather(*(books.store.apply(op) for op in ops), return_exceptions=True)
            assert [type(result) for result in results] == [it.Unavailable] * 4
            assert await everything(books) == before
            assert engine.fatal == []
            await books.accept(account.id, 1000)  # there is room again
            await books.store.apply(it.MoveMark(1, 3, 1))

    run(scenario())


def test_write_that_the_engine_cannot_carry_out_fails_its_group_and_leaves_nothing(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=1000)
            (one,) = await books.accept(account.id)
            before = await everything(books)

            def broken(ended: Sequence[it.Ended]) -> list[it.CallbackDraft | None]:
                raise ZeroDivisionError

            results = await asyncio.gather(
                books.store.apply(it.Finish([it.Ending(one.id, Happening.REFUSED, 5)], broken)),
                books.store.apply(it.TopUp(account.id, 5, 1, "")),
                return_exceptions=True,
            )
            assert [type(result) for result in results] == [it.Unavailable] * 2
            assert await everything(books) == before
            await books.accept(account.id)

    run(scenario())


def test_id_used_twice_is_refused_and_charges_nothing(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=1000)
            op = books.request(account.id, [10])
            assert await books.store.apply(op) == [True]
            with pytest.raises(it.StoreError):
                await books.store.apply(op)
            assert await books.balance(account.id) == 990

    run(scenario())


@pytest.mark.parametrize("stored", [False, True])
def test_after_a_commit_of_unknown_effect_nothing_is_accepted_until_the_data_are_opened_again(
    engine: Engine, stored: bool
) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account(balance=1000)
        with engine.lost_commit(books.store, stored=stored):
            results = await asyncio.gather(
                books.store.apply(books.request(account.id, [10])),
                books.store.apply(it.TopUp(account.id, 5, 1, "")),
                return_exceptions=True,
            )
        assert [type(result) for result in results] == [it.Uncertain] * 2
        assert [type(error) for error in engine.fatal] == [it.Uncertain]
        for _ in range(3):
            with pytest.raises(errors.OurFault) as caught:
                await books.store.apply(it.TopUp(account.id, 5, 1, ""))
            assert caught.value.kind is errors.STORE_UNAVAILABLE
        assert len(engine.fatal) == 1
        books = await books.reopened(clean=False)
        assert await books.balance(account.id) == (1000 - 10 + 5 if stored else 1000)
        assert (await books.store.read(lambda reads: reads.message(1)) is not None) is stored
        await books.check_sums()
        await books.store.close()

    run(scenario())


def test_store_that_failed_for_good_can_still_be_closed(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account()
        engine.slow(books.store, 0.05)
        with engine.lost_commit(books.store, stored=False):
            first = asyncio.ensure_future(books.store.apply(it.TopUp(account.id, 5, 1, "")))
            await asyncio.sleep(0.02)
            second = asyncio.ensure_future(books.store.apply(it.TopUp(account.id, 5, 1, "")))
            results = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(result) for result in results] == [it.Uncertain] * 2
        await asyncio.wait_for(books.store.close(), 5)

    run(scenario())


def test_hooks_take_part_in_every_group_and_hear_what_became_of_it(engine: Engine) -> None:
    async def scenario() -> None:
        store = engine.new()
        hook = Hook(it.MoveMark(1, 5, 1))
        store.add_hook(hook)
        await store.open()
        books = Books(engine, store)
        store.request_commit()
        account = await books.account()
        assert hook.heard == [("stored", ["CreateAccount", "MoveMark"])]
        assert (await store.read(lambda reads: reads.lane(1))).number == 5
        with engine.full_disk(store), contextlib.suppress(it.Unavailable):
            hook.add = [it.MoveMark(1, 6, 1)]
            await store.apply(books.request(account.id, [1] * 1000))
        assert hook.heard[1] == ("failed", ["Accept", "MoveMark"])
        assert (await store.read(lambda reads: reads.lane(1))).number == 5
        await store.close()

    run(scenario())


def test_writes_of_a_moment_share_one_commit(engine: Engine) -> None:
    async def scenario() -> None:
        store = engine.new()
        hook = Hook()
        store.add_hook(hook)
        await store.open()
        books = Books(engine, store)
        account = await books.account()
        engine.slow(store, 0.02)
        await asyncio.gather(*(books.accept(account.id) for _ in range(50)))
        assert hook.heard[1:] == [("stored", ["Accept"] * 50)]
        await store.close()

    run(scenario())


def test_past_the_bound_of_waiting_rows_nothing_is_taken(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine, max_waiting_rows=10) as books:
            account = await books.account()
            answers: list[Any] = []
            books.store.submit(books.request(account.id, [1] * 8), answers.append, 8)
            with pytest.raises(errors.OurFault) as caught:
                books.store.submit(books.request(account.id, [1] * 3), answers.append, 3)
            assert caught.value.kind is errors.OVERLOADED
            assert caught.value.retry_after_seconds > 0
            books.store.submit(books.request(account.id, [1] * 2), answers.append, 2)
            while len(answers) < 2:
                await asyncio.sleep(0.001)
            assert answers == [[True] * 8, [True] * 2]
            assert len(await books.store.read(lambda reads: reads.paid_messages(0, 100))) == 10

    run(scenario())


def test_closing_stores_what_waits_first(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account()
        engine.slow(books.store, 0.05)
        answers: list[Any] = []
        books.store.submit(books.request(account.id, [1]), answers.append)
        await asyncio.sleep(0.01)
        for _ in range(2):  # while a group is being written
            books.store.submit(books.request(account.id, [1]), answers.append)
        books = await books.reopened(clean=True)
        assert answers == [[True]] * 3
        assert len(await books.store.read(lambda reads: reads.paid_messages(0, 100))) == 3
        await books.store.close()

    run(scenario())


def test_data_of_a_newer_version_are_refused_and_left_alone(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        await books.account()
        await books.store.close()
        engine.grown_schema()
        for _ in range(2):
            with pytest.raises(it.SchemaTooNew, match="version"):
                await engine.new().open()

    run(scenario())


def test_second_server_over_the_same_data_is_refused_until_the_first_has_gone(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        await books.account()
        for _ in range(2):
            with pytest.raises(it.Unavailable):
                await engine.new().open()
        books = await books.reopened(clean=True)
        books = await books.reopened(clean=False)
        assert len(await books.store.read(lambda reads: reads.accounts())) == 1
        await books.store.close()

    run(scenario())

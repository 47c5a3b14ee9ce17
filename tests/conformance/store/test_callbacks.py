"""Callbacks: begun on disk before the wire is touched, by the schedule, until acknowledged or given up."""

from __future__ import annotations

from typing import Any

from tests.conformance.store.books import Books, Engine, opened, report, run

from heliograph.messaging.submissions import Happening
from heliograph.store import interface as it

DELAYS = (300, 900, 120)  # three attempts, then two minutes of grace


async def owed(books: Books, account_id: int, *due_utc_ms: int) -> list[int]:
    """Callbacks due at these times; their ids."""
    found = []
    for at in due_utc_ms:
        (one,) = await books.accept(account_id)
        await books.end(one.id, Happening.LEFT_IN_DOUBT, at)
        (callback,) = await books.store.read(lambda reads, id_=one.id: reads.callbacks_of(id_))
        found.append(callback.id)
    return found


async def claim(books: Books, now: int, limit: int = 100, **how: Any) -> list[it.Callback]:
    busy = how.pop("busy", frozenset())
    return await books.store.apply(it.ClaimCallbacks(now, limit, DELAYS, busy, **how))


async def settle(books: Books, callback_id: int, **how: Any) -> None:
    settlement = it.Settlement(
        callback_id,
        how.get("acknowledged", False),
        how.get("give_up", False),
        how.get("result", "500"),
        1,
    )
    await books.store.apply(it.SettleCallbacks([settlement]))


def ids(callbacks: list[it.Callback]) -> list[int]:
    return [one.id for one in callbacks]


async def stored(books: Books, callback_id: int) -> it.Callback:
    messages = await books.store.read(lambda reads: reads.messages(it.MessageFilter(), 1000))
    every = [
        callback
        for message in messages
        for callback in await books.store.read(lambda reads, id_=message.id: reads.callbacks_of(id_))
    ]
    return next(one for one in every if one.id == callback_id)


def test_due_callbacks_are_begun_oldest_first_and_not_before_their_time(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            a, b, c, d = await owed(books, account.id, 300, 100, 200, 400)
            assert await claim(books, 99) == []
            assert ids(await claim(books, 300, 2)) == [b, c]
            assert ids(await claim(books, 300, 2)) == [a]
            assert ids(await claim(books, 399)) == []
            assert ids(await claim(books, 400)) == [d]

    run(scenario())


def test_attempt_is_on_disk_before_it_is_made_and_the_next_is_counted_from_its_start(engine: Engine) -> None:
    async def scenario() -> None:
        books = Books(engine, engine.new())
        await books.store.open()
        account = await books.account()
        (id_,) = await owed(books, account.id, 1_000)
        now = 5_000
        for attempt, delay in enumerate(DELAYS, 1):
            (begun,) = await claim(books, now)
            assert (begun.attempt, begun.next_utc_ms) == (attempt, now + delay * 1000)
            books = await books.reopened(clean=False)  # in the midst of the attempt: it counts
            assert await stored(books, id_) == begun
            assert await claim(books, now + delay * 1000 - 1) == []
            now += delay * 1000
        assert await claim(books, now) == [], "all attempts were begun"
        assert (await stored(books, id_)).state == "failed"
        assert await claim(books, now * 10) == []
        await books.store.close()

    run(scenario())


def test_acknowledged_callback_is_never_made_again(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (id_,) = await owed(books, account.id, 100)
            await claim(books, 100)
            await settle(books, id_, acknowledged=True, result="200")
            assert await claim(books, 10**12) == []
            found = await stored(books, id_)
            assert (found.state, found.attempt, found.last_result) == ("acknowledged", 1, "200")
            await settle(books, id_, result="500")  # an answer that comes late changes nothing
            assert (await stored(books, id_)).state == "acknowledged"

    run(scenario())


def test_refused_callback_is_due_again_by_the_schedule_and_failed_after_the_last(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (id_,) = await owed(books, account.id, 0)
            now = 0
            for attempt, delay in enumerate(DELAYS, 1):
                assert ids(await claim(books, now)) == [id_]
                last = attempt == len(DELAYS)
                await settle(books, id_, give_up=last, result=f"answer {attempt}")
                found = await stored(books, id_)
                assert (found.state, found.last_result) == ("failed" if last else "pending", f"answer {attempt}")
                now += delay * 1000
            assert await claim(books, now * 10) == []

    run(scenario())


def test_body_is_the_same_at_every_attempt(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            await owed(books, account.id, 0)
            bodies = set()
            for now in (0, 10**6, 10**7):
                (begun,) = await claim(books, now)
                bodies.add(begun.body)
            assert len(bodies) == 1

    run(scenario())


def test_busy_accounts_are_left_alone_and_keep_their_turn(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            one, two, three = [await books.account(ref) for ref in ("one", "two", "three")]
            a = await owed(books, one.id, 10, 20)
            b = await owed(books, two.id, 30, 40)
            c = await owed(books, three.id, 50)
            assert ids(await claim(books, 100, 2, busy=frozenset({one.id}))) == b
            assert ids(await claim(books, 100, 2, busy=frozenset({one.id, two.id}))) == c
            assert ids(await claim(books, 100, 5, busy=frozenset({three.id, 999}))) == a

    run(scenario())


def test_claim_can_be_for_one_account_and_for_what_is_due_from_a_time_on(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            one, two = [await books.account(ref) for ref in ("one", "two")]
            a = await owed(books, one.id, 10, 30, 50)
            b = await owed(books, two.id, 20, 40)
            assert ids(await claim(books, 100, 1, only=one.id)) == [a[0]]
            assert ids(await claim(books, 100, 9, after_utc_ms=40)) == [b[1], a[2]]
            assert ids(await claim(books, 100, 9, only=two.id, after_utc_ms=30)) == []
            assert ids(await claim(books, 100, 9)) == [b[0], a[1]]

    run(scenario())


def test_claim_gives_as_many_as_asked_for_although_some_are_used_up(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            spent = await owed(books, account.id, 1, 2, 3)
            for now in (10, 10**7, 10**8):
                assert ids(await claim(books, now, 3)) == spent
            fresh = await owed(books, account.id, 10**10, 10**10 + 1)
            assert ids(await claim(books, 10**11, 2)) == fresh
            assert {(await stored(books, id_)).state for id_ in spent} == {"failed"}

    run(scenario())


def test_hundreds_of_callbacks_are_begun_and_settled_at_once(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=10_000_000)
            sent = await books.accept(account.id, 500)
            endings = [it.Ending(one.id, Happening.LEFT_IN_DOUBT, 100 + i) for i, one in enumerate(sent)]
            await books.store.apply(it.Finish(endings, report))
            begun = await claim(books, 10_000, 1000)
            assert [one.message_id for one in begun] == [one.id for one in sent]
            await books.store.apply(
                it.SettleCallbacks(
                    [it.Settlement(one.id, i % 3 == 0, i % 3 == 1, f"r{i}", 1) for i, one in enumerate(begun)]
                )
            )
            states = ["acknowledged", "failed", "pending"]
            for i, one in enumerate(sent):
                (found,) = await books.store.read(lambda reads, id_=one.id: reads.callbacks_of(id_))
                assert (found.state, found.last_result) == (states[i % 3], f"r{i}")

    run(scenario())


def test_an_attempt_that_failed_is_in_the_timeline_for_good(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            (one,) = await books.accept(account.id)
            await books.end(one.id, Happening.RECEIPT_DELIVERED)
            for attempt, event in ((1, "attempt 1 of 7: 500"), (2, "")):
                (begun,) = await claim(books, 10_000_000_000 * attempt)
                settlement = it.Settlement(begun.id, not event, False, "…", 5, one.id, event)
                await books.store.apply(it.SettleCallbacks([settlement]))
            events = await books.store.read(lambda reads: reads.events(one.id))
            assert events == [it.Event(5, it.CALLED_BACK, "attempt 1 of 7: 500")]

    run(scenario())

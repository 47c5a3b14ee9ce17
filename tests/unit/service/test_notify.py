"""Callbacks over the real store, a clock set by hand and a customer's server that answers by a script."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.harness.receiver import HANG, Receiver

from heliograph.kit.clock import ManualClock
from heliograph.kit.ids import PublicIds
from heliograph.kit.keys import load_or_create
from heliograph.messaging.accounts import Account
from heliograph.messaging.submissions import Happening, Request, Submission
from heliograph.messaging.text import Encoding, Text
from heliograph.service.accounts import Directory
from heliograph.service.notify import Notify, Poster, webhook_ids
from heliograph.store import interface as it
from heliograph.store.sqlite import SqliteStore
from heliograph.webhooks import schedule, signature
from heliograph.webhooks.sender import Attempted, Call, Sender

MINUTES = [seconds // 60 for seconds in schedule.STARTS_SECONDS]
TIMEOUT = 0.25
OK, REFUSED = Attempted(True, "200"), Attempted(False, "500")


class Fake:
    """A poster that answers by a function, and remembers calls and how many were under way at a time."""

    def __init__(self, answer: Callable[[Call], Awaitable[Attempted]]) -> None:
        self.answer = answer
        self.calls: list[Call] = []
        self.under_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def post(self, call: Call) -> Attempted:
        self.calls.append(call)
        for key in (call.url, "all"):
            self.under_way[key] += 1
            self.most[key] = max(self.most[key], self.under_way[key])
        try:
            return await self.answer(call)
        finally:
            for key in (call.url, "all"):
                self.under_way[key] -= 1


async def at_once(call: Call) -> Attempted:
    return OK


async def never(call: Call) -> Attempted:
    await asyncio.Event().wait()
    raise AssertionError


class World:
    """A store with accounts and a `Notify` over it."""

    def __init__(self, folder: Path, clock: ManualClock, poster: Poster, **limits: int) -> None:
        self.clock = clock
        self.keys = load_or_create(folder)
        self.ids = PublicIds(self.keys.ids)
        self.store = SqliteStore(folder, exclusive=True)
        self.directory = Directory(self.store)
        self.notify = Notify(self.store, self.directory, self.keys, self.ids, poster, clock, **limits)

    async def account(self, name: str, dlr_url: str = "", mo_url: str = "") -> Account:
        account = Account(id=0, ref=name, name=name, email="", dlr_url=dlr_url, mo_url=mo_url)
        created = await self.store.apply(it.CreateAccount(account, [], 10_000_000_000))
        await self.directory.refresh()
        return created

    async def change(self, account: Account, **changes: Any) -> None:
        await self.store.apply(it.UpdateAccount(account.id, changes))
        await self.directory.refresh()

    async def tell(self, account: Account, count: int = 1, *, kind: str = "dlr", url: str = "") -> list[int]:
        """Messages that end: a callback each, stored in the transaction that ends them. Returns their ids."""
        first = await self.store.apply(it.LeaseIds(count))
        now = self.clock.now_utc_ms()
        request = Request(first, account.id, 1, "96000", Text("x", Encoding.GSM7, 1), now, now + 1000)
        ids = range(first, first + count)
        messages = [Submission(id_, request, "56912340000", 1, 1, 0, 0, id_) for id_ in ids]
        assert await self.store.apply(it.Accept(request, messages)) == [True] * count

        def report(ended: Sequence[it.Ended]) -> list[it.CallbackDraft | None]:
            return [it.CallbackDraft(kind, b'{"id":"%d"}' % one.message_id, url) for one in ended]

        endings = [it.Ending(id_, Happening.RECEIPT_DELIVERED, now, parts_taken=1) for id_ in ids]
        await self.store.apply(it.Finish(endings, report))
        return list(ids)

    async def callback(self, message_id: int) -> it.Callback:
        (only,) = await self.store.read(lambda reads: reads.callbacks_of(message_id))
        return only

    async def settled(self, message_id: int, attempt: int, within: float = 5.0) -> it.Callback:
        """The callback once this attempt of it has ended and that is stored."""
        deadline = time.monotonic() + within
        while (callback := await self.callback(message_id)).attempt < attempt:
            assert time.monotonic() < deadline, callback
            await asyncio.sleep(0.005)
        await until(lambda: not self.notify.under_way, within)
        return await self.callback(message_id)

    async def quiet(self) -> None:
        """Returns when there has been time for anything that could happen."""
        await asyncio.sleep(0.05)
        await until(lambda: not self.notify.under_way)


async def until(done: Callable[[], object], within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def world(
    folder: Path, poster: Poster | None = None, clock: ManualClock | None = None, *, start: bool = True, **limits: int
) -> AsyncIterator[World]:
    sender = Sender(timeout_seconds=TIMEOUT, allow_networks=["127.0.0.1"])
    made = World(folder, clock or ManualClock(), poster or sender, **limits)
    await made.store.open()
    try:
        await made.directory.refresh()
        if start:
            await made.notify.start()
        yield made
        await made.notify.stop(0.5)
    finally:
        await made.store.close()
        await sender.close()


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def minutes(receiver: Receiver, start_utc_ms: int) -> list[float]:
    return [(int(call.headers["webhook-timestamp"]) - start_utc_ms / 1000) / 60 for call in receiver.calls]


# -- the schedule


def test_attempts_at_0_5_20_50_and_110_minutes_and_none_after_200(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as here:
            customer = await here.account("customer", receiver.url + "/dlr")
            start = here.clock.now_utc_ms()
            (message,) = await here.tell(customer)
            results = []
            for attempt, (begin, end) in enumerate(pairwise(MINUTES), start=1):
                callback = await here.settled(message, attempt)
                results.append(callback.last_result)
                if callback.state == "acknowledged":
                    break
                assert callback.state == "pending"
                here.clock.advance((end - begin) * 60 - 1)
                await here.quiet()
                assert len(receiver.calls) == attempt
                here.clock.advance(1)
            assert results == ["500", "204", "302", f"timeout after {TIMEOUT} s", "200"]
            here.clock.advance(2 * 24 * 3600)
            await here.quiet()
            assert minutes(receiver, start) == [0, 5, 20, 50, 110]
            assert (await here.callback(message)).state == "acknowledged"
            counted = here.notify
            assert (counted.begun, counted.acknowledged, counted.failed, counted.given_up) == (5, 1, 4, 0)
            assert len({(call.target, call.body, call.headers["webhook-id"]) for call in receiver.calls}) == 1

    with Receiver([500, 204, 302, HANG, 200]) as receiver:
        run(test())


def test_seven_refusals_are_kept_as_failed(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as here:
            customer = await here.account("customer", receiver.url)
            start = here.clock.now_utc_ms()
            (message,) = await here.tell(customer)
            for attempt, wait in enumerate((*schedule.DELAYS_SECONDS, 0), start=1):
                callback = await here.settled(message, attempt)
                here.clock.advance(wait)
            assert callback.state == "failed"
            assert callback.last_result == "503"
            here.clock.advance(3 * 24 * 3600)
            await here.quiet()
            assert minutes(receiver, start) == MINUTES == [0, 5, 20, 50, 110, 410, 1850]
            assert await here.callback(message) == callback
            counted = here.notify
            assert (counted.begun, counted.acknowledged, counted.failed, counted.given_up) == (7, 0, 7, 1)

    with Receiver([503] * 7) as receiver:
        run(test())


def test_an_attempt_is_due_from_the_start_of_the_one_before_however_long_that_took(tmp_path: Path) -> None:
    async def slow(call: Call) -> Attempted:
        here_clock.advance(200)
        return REFUSED

    here_clock = ManualClock()
    start = here_clock.now_utc_ms()

    async def test() -> None:
        poster = Fake(slow)
        async with world(tmp_path, poster, here_clock) as here:
            (message,) = await here.tell(await here.account("customer", "http://customer/"))
            await here.settled(message, 1)
            here_clock.advance(100)
            await here.settled(message, 2)
            assert [call.timestamp - start // 1000 for call in poster.calls] == [0, 300]

    run(test())


def test_a_process_that_was_down_over_several_due_times_makes_one_attempt(tmp_path: Path) -> None:
    async def refuse(call: Call) -> Attempted:
        return REFUSED

    async def test() -> None:
        clock, poster = ManualClock(), Fake(refuse)
        async with world(tmp_path, poster, clock) as here:
            (message,) = await here.tell(await here.account("customer", "http://customer/"))
            await here.settled(message, 1)
        clock.advance(3 * 3600)
        async with world(tmp_path, poster, clock) as here:
            await here.settled(message, 2)
            clock.advance(15 * 60)
            await here.settled(message, 3)
        assert len(poster.calls) == 3

    run(test())


# -- where to


def test_a_corrected_url_saves_what_is_pending(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as here:
            customer = await here.account("customer", wrong.url)
            (message,) = await here.tell(customer)
            await here.settled(message, 1)
            await here.change(customer, dlr_url=right.url + "/corrected")
            here.clock.advance(300)
            assert (await here.settled(message, 2)).state == "acknowledged"
            assert [call.target for call in right.calls] == ["/corrected"]
            assert len(wrong.calls) == 1
            assert right.calls[0].body == wrong.calls[0].body
            assert right.calls[0].headers["webhook-id"] == wrong.calls[0].headers["webhook-id"]

    with Receiver([404]) as wrong, Receiver() as right:
        run(test())


def test_without_a_url_the_attempt_has_failed_and_a_new_one_saves_the_rest(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as here:
            customer = await here.account("customer")
            (message,) = await here.tell(customer)
            here.clock.advance(1)  # nobody has a URL, so only the poll looks for callbacks
            callback = await here.settled(message, 1)
            assert (callback.state, callback.last_result) == ("pending", "the account has no URL")
            await here.change(customer, dlr_url=receiver.url)
            here.clock.advance(300)
            assert (await here.settled(message, 2)).state == "acknowledged"

    with Receiver() as receiver:
        run(test())


def test_each_kind_has_its_url_and_a_url_fixed_at_accept_comes_first(tmp_path: Path) -> None:
    async def test() -> None:
        poster = Fake(at_once)
        async with world(tmp_path, poster) as here:
            customer = await here.account("customer", "http://customer/dlr", "http://customer/mo")
            for kind, url in (("dlr", ""), ("mo", ""), ("dlr", "http://elsewhere/fixed")):
                (message,) = await here.tell(customer, kind=kind, url=url)
                await here.settled(message, 1)
            assert [call.url for call in poster.calls] == [
                "http://customer/dlr",
                "http://customer/mo",
                "http://elsewhere/fixed",
            ]

    run(test())


def test_an_address_inside_is_refused_and_tried_again_by_the_schedule(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as here:
            (message,) = await here.tell(await here.account("customer", "http://127.0.0.2/"))
            callback = await here.settled(message, 1)
            assert callback.last_result.startswith("refused address 127.0.0.2 (loopback; allow it under")
            assert callback.state == "pending"

    run(test())


# -- who says so


def test_the_signature_holds_with_the_accounts_secret_and_with_the_one_before(tmp_path: Path) -> None:
    def holds(secret: str, call: Call) -> bool:
        try:
            signature.verify(
                signature.key_of(secret),
                webhook_id=call.webhook_id,
                timestamp=str(call.timestamp),
                signatures=call.signature,
                body=call.body,
                now=call.timestamp,
            )
        except signature.Unverified:
            return False
        return True

    async def test() -> None:
        poster = Fake(at_once)
        async with world(tmp_path, poster) as here:
            customer = await here.account("customer", "http://customer/")
            secrets = [here.keys.webhook_secret(customer.id, generation) for generation in (1, 2, 3)]
            for generation, expected in ((1, [True, False, False]), (2, [True, True, False]), (3, [False, True, True])):
                await here.change(customer, secret_generation=generation)
                (message,) = await here.tell(customer)
                await here.settled(message, 1)
                assert [holds(secret, poster.calls[-1]) for secret in secrets] == expected
            assert not holds(here.keys.webhook_secret(customer.id + 1, 3), poster.calls[-1])

    run(test())


def test_every_callback_has_an_id_of_its_own_that_no_message_has(tmp_path: Path) -> None:
    ids = PublicIds(load_or_create(tmp_path).ids)
    callbacks = webhook_ids(ids, range(1, 1_000))
    assert len(set(callbacks)) == 999
    assert all(one.startswith("cb_") and one[3:].isdecimal() for one in callbacks)
    assert not {int(one[3:]) for one in callbacks} & set(ids.publish(1, 100_000))


# -- crashes


def test_the_attempt_is_stored_before_the_wire_is_touched(tmp_path: Path) -> None:
    seen: list[it.Callback] = []

    async def test() -> None:
        async def look(call: Call) -> Attempted:
            seen.append(await here.callback(msgspec.json.decode(call.body, type=dict[str, int], strict=False)["id"]))
            return OK

        async with world(tmp_path, Fake(look)) as here:
            (message,) = await here.tell(await here.account("customer", "http://customer/"))
            await here.settled(message, 1)
            (before,) = seen
            assert (before.attempt, before.state, before.last_result) == (1, "pending", "")
            assert before.next_utc_ms == here.clock.now_utc_ms() + 300_000

    run(test())


def test_a_callback_is_begun_by_the_transaction_that_stores_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path, Fake(never)) as here:
            (message,) = await here.tell(await here.account("customer", "http://customer/"))
            assert (await here.callback(message)).attempt == 1  # as soon as the message's end is on disk

    run(test())


async def claim(here: World) -> list[it.Callback]:
    """What a process does before the wire is touched; this one then dies."""
    now = here.clock.now_utc_ms()
    return await here.store.apply(it.ClaimCallbacks(now, 10, schedule.CLAIM_DELAYS_SECONDS, frozenset()))


def test_an_attempt_that_a_crash_cut_off_counts_and_the_next_comes_by_the_schedule(tmp_path: Path) -> None:
    async def test() -> None:
        clock, poster = ManualClock(), Fake(at_once)
        async with world(tmp_path, poster, clock, start=False) as here:
            (message,) = await here.tell(await here.account("customer", "http://customer/"))
            assert len(await claim(here)) == 1
        clock.advance(299)
        async with world(tmp_path, poster, clock) as here:
            await here.quiet()
            assert not poster.calls
            clock.advance(1)
            callback = await here.settled(message, 2)
            assert (callback.state, callback.last_result) == ("acknowledged", "200")

    run(test())


def test_a_crash_in_the_seventh_attempt_ends_as_failed_after_the_grace(tmp_path: Path) -> None:
    async def test() -> None:
        clock, poster = ManualClock(), Fake(at_once)
        async with world(tmp_path, poster, clock, start=False) as here:
            (message,) = await here.tell(await here.account("customer", "http://customer/"))
            for wait in (*schedule.DELAYS_SECONDS, schedule.GRACE_SECONDS - 1):
                assert len(await claim(here)) == 1
                clock.advance(wait)
        async with world(tmp_path, poster, clock) as here:
            await here.quiet()
            assert (await here.callback(message)).state == "pending"
            clock.advance(1)
            await here.quiet()
            callback = await here.callback(message)
            assert (callback.state, callback.attempt, callback.last_result) == ("failed", 7, "no answer")
            assert not poster.calls

    run(test())


def test_an_end_that_could_not_be_stored_is_stored_later_and_the_call_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = SqliteStore.commit
    failing = [True]

    def sometimes(connection: Any, writes: Any, ops: list[it.Op[Any]]) -> list[Any]:
        if failing[0] and any(type(op) is it.SettleCallbacks for op in ops):
            raise it.Unavailable("the disk is full")
        return commit(connection, writes, ops)

    monkeypatch.setattr(SqliteStore, "commit", staticmethod(sometimes))

    async def test() -> None:
        poster = Fake(at_once)
        async with world(tmp_path, poster) as here:
            (message,) = await here.tell(await here.account("customer", "http://customer/"))
            await until(lambda: poster.calls)
            for _ in range(3):
                await asyncio.sleep(0.03)
                assert (await here.callback(message)).state == "pending"
                here.clock.advance(1)
            failing[0] = False
            here.clock.advance(1)
            assert (await here.settled(message, 1)).state == "acknowledged"
            assert len(poster.calls) == 1

    run(test())


def test_stopping_waits_for_attempts_under_way_and_stores_their_ends(tmp_path: Path) -> None:
    async def slow(call: Call) -> Attempted:
        await asyncio.sleep(0.2)
        return OK

    async def test() -> None:
        clock, poster = ManualClock(), Fake(slow)
        async with world(tmp_path, poster, clock) as here:
            messages = await here.tell(await here.account("customer", "http://customer/"), 100)
            await until(lambda: poster.calls)
            await here.notify.stop()
            states = Counter([(await here.callback(message)).state for message in messages])
        assert states["acknowledged"] == len(poster.calls) > 0
        async with world(tmp_path, poster, clock) as here:  # the rest is still due, and nothing is told twice
            await until(lambda: len(poster.calls) == 100)
        assert len({call.webhook_id for call in poster.calls}) == 100

    run(test())


def test_stopping_does_not_wait_for_ever(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path, Fake(never)) as here:
            (message,) = await here.tell(await here.account("customer", "http://customer/"))
            started = time.monotonic()
            await here.notify.stop(0.1)
            assert time.monotonic() - started < 1
            callback = await here.callback(message)
            assert (callback.state, callback.attempt) == ("pending", 1)
            assert callback.last_result == "the server stopped before there was an answer"

    run(test())


def test_a_bug_in_the_poster_is_a_failed_attempt(tmp_path: Path) -> None:
    async def broken(call: Call) -> Attempted:
        raise RuntimeError("a bug")

    async def test() -> None:
        async with world(tmp_path, Fake(broken)) as here:
            (message,) = await here.tell(await here.account("customer", "http://customer/"))
            callback = await here.settled(message, 1)
            assert (callback.state, callback.last_result) == ("pending", "the server failed to make the call")

    run(test())


# -- many


def test_a_slow_endpoint_delays_nobody_else(tmp_path: Path) -> None:
    async def test() -> None:
        async def answer(call: Call) -> Attempted:
            return await (never(call) if "slow" in call.url else at_once(call))

        poster = Fake(answer)
        async with world(tmp_path, poster) as here:
            slow = [await here.account(f"slow-{n}", f"http://slow-{n}/") for n in range(12)]
            for account in slow:
                await here.tell(account, 300)
            quick = await here.account("quick", "http://quick/")
            for _ in range(5):
                here.clock.advance(1)
                started = time.monotonic()
                for message in await here.tell(quick, 50):
                    assert (await here.callback(message)).attempt <= 1
                await until(lambda: not sum(n for url, n in poster.under_way.items() if url == "http://quick/"))
                await until(lambda: Counter(call.url for call in poster.calls)["http://quick/"] % 50 == 0)
                assert time.monotonic() - started < 1
            assert Counter(call.url for call in poster.calls)["http://quick/"] == 250
            assert poster.most["all"] <= 256
            assert all(poster.most[f"http://slow-{n}/"] <= 32 for n in range(12))

    run(test())


def test_everything_is_told_once_within_the_limits(tmp_path: Path) -> None:
    async def brief(call: Call) -> Attempted:
        await asyncio.sleep(0.001)
        return OK

    async def test() -> None:
        poster = Fake(brief)
        async with world(tmp_path, poster, in_flight=40, in_flight_per_endpoint=16) as here:
            accounts = [await here.account(f"customer-{n}", f"http://customer-{n}/") for n in range(5)]
            await asyncio.gather(*[here.tell(account, 200) for account in accounts for _ in range(2)])
            await until(lambda: len(poster.calls) == 2_000, within=20)
            await here.quiet()
            assert len({call.webhook_id for call in poster.calls}) == 2_000
            assert poster.most["all"] <= 40
            assert max(n for url, n in poster.most.items() if url != "all") <= 16

    run(test())

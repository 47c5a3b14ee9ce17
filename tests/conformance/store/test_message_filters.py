"""Finding messages: by account, status, recipient, sender, carrier and time, alone and together."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from tests.conformance.store.books import Books, Engine, opened, run

from heliograph.messaging.submissions import Happening, Status
from heliograph.store import interface as it


async def found(books: Books, limit: int = 1000, before: int | None = None, **wanted: Any) -> list[int]:
    messages = await books.store.read(lambda reads: reads.messages(it.MessageFilter(**wanted), limit, before))
    return [one.id for one in messages]


async def fill(books: Books) -> tuple[list[it.StoredMessage], list[int]]:
    """Messages of two accounts that differ in everything, newest first; the accounts' ids."""
    accounts = [(await books.account(ref)).id for ref in ("a", "b")]
    for at, (account_id, carrier_id, sender, ended) in enumerate(
        itertools.product(accounts, (1, 2), ("96000", "Acme"), (True, False))
    ):
        accept = books.request(account_id, [1, 1], carrier_id=carrier_id, at_utc_ms=1000 + 10 * at)
        request = msgspec.structs.replace(accept.request, sender=sender)
        for submission, recipient in zip(accept.submissions, ("111", "222"), strict=True):
            submission.request, submission.recipient = request, recipient
        await books.store.apply(it.Accept(request, accept.submissions))
        if ended:
            await books.end(accept.submissions[0].id, Happening.REFUSED)
    return await books.store.read(lambda reads: reads.messages(it.MessageFilter(), 1000)), accounts


@pytest.mark.parametrize("listed", [0, 9, 1000])
def test_every_combination_finds_what_it_asks_for(engine: Engine, listed: int) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            messages, accounts = await fill(books)
            assert len(messages) == 32
            if listed:
                await books.store.apply(it.ListMessages(listed))
            choices: dict[str, tuple[Any, ...]] = {
                "account_id": (None, accounts[0]),
                "status": (None, Status.PENDING, Status.REJECTED),
                "recipient": ("", "111", "333"),
                "sender": ("", "Acme"),
                "carrier_id": (None, 2),
                "since_utc_ms": (0, 1035),
                "until_utc_ms": (None, 1120),
            }
            for values in itertools.product(*choices.values()):
                wanted = dict(zip(choices, values, strict=True))
                expected = [
                    one.id
                    for one in messages
                    if all(
                        getattr(one, name) == value
                        for name, value in wanted.items()
                        if not name.endswith("_utc_ms") and value not in (None, "")
                    )
                    and wanted["since_utc_ms"] <= one.registered_utc_ms < (wanted["until_utc_ms"] or 1 << 60)
                ]
                assert await found(books, **wanted) == expected, wanted

    run(scenario())


@pytest.mark.parametrize("limit", [1, 3, 5])
def test_pages_hold_everything_once(engine: Engine, limit: int) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            _, accounts = await fill(books)
            await books.store.apply(it.ListMessages(9))
            for wanted in ({}, {"account_id": accounts[0]}, {"recipient": "222", "account_id": accounts[1]}):
                seen: list[int] = []
                before: int | None = None
                while page := await found(books, limit, before, **wanted):
                    assert len(page) <= limit
                    seen += page
                    before = page[-1]
                assert seen == await found(books, **wanted)

    run(scenario())


def test_bounds_of_a_time_hold_the_first_moment_and_not_the_second(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account()
            early, *_ = await books.accept(account.id, at_utc_ms=100)
            several = await books.accept(account.id, 3, at_utc_ms=200)
            late, *_ = await books.accept(account.id, at_utc_ms=300)
            at_200 = [one.id for one in several][::-1]
            assert await found(books, since_utc_ms=200) == [late.id, *at_200]
            assert await found(books, since_utc_ms=201) == [late.id]
            assert await found(books, until_utc_ms=200) == [early.id]
            assert await found(books, until_utc_ms=201) == [*at_200, early.id]
            assert await found(books, since_utc_ms=200, until_utc_ms=300) == at_200
            assert await found(books, since_utc_ms=301) == []
            assert await found(books, until_utc_ms=100) == []
            assert await found(books, until_utc_ms=0) == []

    run(scenario())


def test_nothing_is_found_where_nothing_is(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            assert await found(books) == []
            assert await found(books, since_utc_ms=5, until_utc_ms=10) == []
            assert await found(books, account_id=1, status=Status.SENT) == []

    run(scenario())


@pytest.mark.parametrize("listed", [0, 1000])
def test_what_is_sent_later_is_told_apart_by_when_it_is_due(engine: Engine, listed: int) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account_id = (await books.account()).id
            now, soon, late = [(await books.accept(account_id, send_at_utc_ms=due))[0].id for due in (0, 5000, 9000)]
            if listed:
                await books.store.apply(it.ListMessages(listed))
            for at, due in ((0, [late, soon]), (4999, [late, soon]), (5000, [late]), (9000, [])):
                assert await found(books, account_id=account_id, due_after_utc_ms=at) == due
                rest = [one for one in (late, soon, now) if one not in due]
                assert await found(books, account_id=account_id, due_until_utc_ms=at) == rest
                assert await found(books, due_until_utc_ms=at) == rest

    run(scenario())

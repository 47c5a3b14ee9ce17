"""The journal: what it keeps of refused requests, how many, and what it never holds."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from heliograph.kit.clock import ManualClock
from heliograph.messaging.errors import OVERLOADED, OurFault
from heliograph.service.journal import KEPT_PER_SECOND, ONES_PER_SECOND, Journal
from heliograph.service.upkeep import Upkeep
from heliograph.store.interface import Failure, ForgetFailures, StoreFailures, Unavailable

DAY_MS = 24 * 3_600_000


class Shelf:
    """A store that keeps what it is given, unless it is broken."""

    def __init__(self) -> None:
        self.kept: list[Failure] = []
        self.error: Exception | None = None

    async def apply(self, op: Any) -> None:
        assert type(op) is StoreFailures
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.kept += op.failures


class Bench:
    def __init__(self) -> None:
        self.shelf = Shelf()
        self.clock = ManualClock(1_000_000)
        self.journal = Journal(self.shelf, self.clock)  # type: ignore[arg-type]

    def add(self, count: int = 1, *, account: str = "acc_1", **more: Any) -> None:
        about = {"method": "POST", "route": "/api/sms", "status": 400, "code": "text_empty", "detail": "Empty.", **more}
        for number in range(count):
            self.journal.add(f"req_{number}", account, **about)

    def flush(self) -> list[Failure]:
        asyncio.run(self.journal.flush())
        kept, self.shelf.kept = self.shelf.kept, []
        return kept


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_holds_what_the_caller_saw(bench: Bench) -> None:
    detail = "The account's prices have none for 56912340000; remove it."
    bench.add(status=406, code="sender_not_allowed", detail=detail)
    (kept,) = bench.flush()
    assert kept == Failure("req_0", 1_000_000, "acc_1", "POST", "/api/sms", 406, "sender_not_allowed", detail)
    assert bench.flush() == []


@pytest.mark.parametrize(
    ("code", "detail", "kept"),
    [
        (
            "field_invalid",
            'message is the string "Your code is 1234"; send an object.',
            "message is the string …; send an object.",
        ),
        ("field_invalid", 'text is the string "a \\" b"; send one.', "text is the string …; send one."),
        ("grant_unsupported", "grant_type 'rts_secret' is not supported.", "grant_type … is not supported."),
        ("auth_malformed", "the account's id 'it\\'s' is malformed.", "the account's id … is malformed."),
        ("recipient_invalid", "'my secret' is no number.", "… is no number."),
        ("sender_malformed", '"it\'s a secret" is no sender.', "… is no sender."),
        ("sender_not_allowed", "'secret' is not a sender.", "… is not a sender."),
        ("query_invalid", "limit 'secret' is no number.", "limit … is no number."),
        ("a_kind_to_come", "'secret' and \"secret\".", "… and …."),
        ("text_empty", "half \ud83d", "half \\ud83d"),
        ("text_empty", "x" * 5000, "x" * 1000),
    ],
)
def test_it_never_holds_what_may_be_a_text_or_a_secret(bench: Bench, code: str, detail: str, kept: str) -> None:
    bench.add(code=code, detail=detail)
    (one,) = bench.flush()
    assert one.detail == kept


def test_an_attack_is_kept_in_part_and_counted(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    for account in range(5_000):
        bench.add(account=f"acc_{account}")
    with caplog.at_level(logging.WARNING):
        assert len(bench.flush()) == KEPT_PER_SECOND
    assert bench.journal.lost == 5_000 - KEPT_PER_SECOND
    assert [record.message.split()[0] for record in caplog.records] == [str(5_000 - KEPT_PER_SECOND)]
    bench.clock.advance(1)
    bench.add(5_000)
    with caplog.at_level(logging.WARNING):
        assert len(bench.flush()) == ONES_PER_SECOND
    assert len(caplog.records) == 1, "it complains once a minute"
    bench.clock.advance(60)
    with caplog.at_level(logging.WARNING):
        bench.flush()
    assert len(caplog.records) == 2


@pytest.mark.parametrize("flooding", ["-", "acc_2"])
def test_a_flood_of_one_caller_leaves_room_for_others(bench: Bench, flooding: str) -> None:
    bench.add(5_000, account=flooding)
    bench.add(KEPT_PER_SECOND - ONES_PER_SECOND)
    kept = bench.flush()
    assert sum(one.account == flooding for one in kept) == ONES_PER_SECOND
    assert len(kept) == KEPT_PER_SECOND


@pytest.mark.parametrize("error", [Unavailable("full"), OurFault(OVERLOADED)])
def test_what_the_store_does_not_take_is_lost_and_the_next_is_kept(bench: Bench, error: Exception) -> None:
    bench.shelf.error = error
    bench.add(3)
    assert bench.flush() == []
    assert bench.journal.lost == 3
    bench.shelf.error = None
    bench.add(1)
    assert len(bench.flush()) == 1


def test_a_store_that_hangs_costs_a_bounded_list(bench: Bench) -> None:
    for _ in range(20):
        bench.add(ONES_PER_SECOND)
        bench.clock.advance(1)
    assert len(bench.flush()) == 1_000


def test_upkeep_forgets_what_is_older_than_a_week_or_too_much() -> None:
    asked: list[ForgetFailures] = []

    class Store:
        async def apply(self, op: Any) -> int:
            await asyncio.sleep(0)
            if type(op) is ForgetFailures:
                asked.append(op)
                return op.limit if len(asked) < 3 else 0
            return 0

    async def scenario() -> None:
        clock = ManualClock(30 * DAY_MS)
        follows = asyncio.get_running_loop().create_task(Upkeep(Store(), clock).follow())  # type: ignore[arg-type]
        for _ in range(70):
            await asyncio.sleep(0)
            clock.advance(1)
            for _ in range(20):
                await asyncio.sleep(0)
        follows.cancel()

    asyncio.run(scenario())
    assert [(one.keep, one.keep_each, one.before_utc_ms // DAY_MS) for one in asked] == [(100_000, 20_000, 23)] * 4, (
        "in portions, each minute"
    )

"""What `heliograph message` tells of messages in every state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.cli.conftest import Command

from heliograph.cli.common import public_ids, show_time
from heliograph.cli.message import Story, tell
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.submissions import Happening, Request, Status, Submission
from heliograph.messaging.text import compose
from heliograph.store.interface import (
    Accept,
    Callback,
    CallbackDraft,
    Ended,
    Ending,
    Event,
    Finish,
    Op,
    RegisterCarrier,
    Retry,
    StoredMessage,
    StoreRetries,
    StoreTaken,
    Took,
)
from heliograph.store.sqlite import SqliteStore

NOW = 1_767_225_600_000
DELIVERED, REFUSED, RETRIED, WAITING = 11, 12, 13, 14


def report(ended: list[Ended]) -> list[CallbackDraft | None]:
    return [CallbackDraft("dlr", b'{"id":"1"}') for _ in ended]


@pytest.fixture
def stored(heliograph: Command) -> Callable[[int], str]:
    """An account with four messages, three of them in the midst of something; the public id of each."""
    heliograph("account", "create", "--name", "Acme", "--email", "x@acme.example", "--id", "acme", "--balance", "50")

    async def fill() -> None:
        store = SqliteStore(heliograph.folder)
        await store.open()
        (account,) = await store.read(lambda reads: reads.accounts())
        carrier = await store.apply(RegisterCarrier("simulator"))
        text = compose("Hello", 0, max_segments=10)
        request = Request(DELIVERED, account.id, 1, "96000", text, NOW, NOW + 3_600_000)
        messages = [
            Submission(number, request, "56910000000", 1_000_000, carrier, 0, 0, number)
            for number in (DELIVERED, REFUSED, RETRIED, WAITING)
        ]
        operations: list[Op[Any]] = [
            Accept(request, messages),
            StoreTaken([Took(DELIVERED, 1, 1, "ref-11", NOW + 5)]),
            StoreRetries([Retry(RETRIED, carrier, NOW + 30_000, True, NOW + 6, "temporary error", "busy")]),
            Finish([Ending(DELIVERED, Happening.RECEIPT_DELIVERED, NOW + 200, parts_taken=1)], report),
            Finish([Ending(REFUSED, Happening.REFUSED, NOW + 7, detail="unknown number")], report),
        ]
        for operation in operations:
            await store.apply(operation)
        await store.close()

    asyncio.run(fill())
    ids = public_ids(heliograph.folder)
    return lambda internal: str(ids.publish(internal, 1)[0])


def test_messages_are_listed_newest_first_of_all_or_of_an_account(
    heliograph: Command, stored: Callable[[int], str]
) -> None:
    expected = [stored(id_) for id_ in (WAITING, RETRIED, REFUSED, DELIVERED)]
    assert [one["id"] for one in heliograph.json("message", "list")] == expected
    assert [one["id"] for one in heliograph.json("message", "list", "--account", "acme", "--limit", "2")] == expected[
        :2
    ]
    printed = heliograph("message", "list").out
    assert [line.split()[0] for line in printed.splitlines()[1:]] == expected
    heliograph("message", "list", "--account", "nobody", code=1)
    heliograph("message", "list", "--limit", "0", code=2)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--status", "delivered"), [DELIVERED]),
        (("--status", "PENDING"), [WAITING, RETRIED]),
        (("--recipient", "+56910000000"), [WAITING, RETRIED, REFUSED, DELIVERED]),
        (("--recipient", "56910000009"), []),
        (("--sender", "96000", "--status", "rejected"), [REFUSED]),
        (("--sender", "9600"), []),
        (("--carrier", "simulator", "--account", "acme"), [WAITING, RETRIED, REFUSED, DELIVERED]),
        (("--since", "2026-01-01"), [WAITING, RETRIED, REFUSED, DELIVERED]),
        (("--since", "2026-01-01T00:00:00.001"), []),
        (("--until", "2026-01-01T01:00:00.001+01:00"), [WAITING, RETRIED, REFUSED, DELIVERED]),
        (("--until", "2026-01-01T01:00:00+01:00"), []),
        (("--until", "2026-01-01T00:00Z"), []),
        (("--until", "1s"), [WAITING, RETRIED, REFUSED, DELIVERED]),
        (("--since", "30m"), []),
        (("--since", "1900-01-01"), [WAITING, RETRIED, REFUSED, DELIVERED]),
    ],
)
def test_a_list_is_narrowed_by_what_is_known_of_a_message(
    heliograph: Command, stored: Callable[[int], str], words: tuple[str, ...], expected: list[int]
) -> None:
    assert [one["id"] for one in heliograph.json("message", "list", *words)] == [stored(id_) for id_ in expected]


def test_a_list_goes_on_where_the_page_before_ended(heliograph: Command, stored: Callable[[int], str]) -> None:
    pages = []
    before: list[str] = []
    while page := heliograph.json("message", "list", "--limit", "3", *before):
        pages.append([one["id"] for one in page])
        before = ["--before", page[-1]["id"]]
    assert pages == [[stored(id_) for id_ in (WAITING, RETRIED, REFUSED)], [stored(DELIVERED)]]


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("--status", "lost"), 2, "lost"),
        (("--recipient", "0123"), 2, "--recipient '0123'"),
        (("--carrier", "pigeon"), 1, "'pigeon': there is no such carrier; there are simulator"),
        (("--since", "yesterday"), 2, "--since 'yesterday'"),
        (("--until", "2026-13-01"), 2, "a duration ago like 30m, 2h or 7d"),
        (("--before", "abc"), 2, "--before abc"),
        (("--status", "foo"), 2, "'--status': 'foo' is not one of 'pending', 'sent'"),
        (("--limit", "0"), 2, "'--limit': '0' is too little; give 1 or more"),
        (("--limit", "99999"), 2, "'--limit': '99999' is too much; give 10000 or less"),
        (("--limit", "abc"), 2, "'--limit': 'abc' is no whole number; write it in digits"),
    ],
)
def test_a_filter_that_makes_no_sense_is_named_with_a_remedy(
    heliograph: Command, stored: Callable[[int], str], words: tuple[str, ...], code: int, named: str
) -> None:
    assert named in heliograph("message", "list", *words, code=code).err


def test_a_message_is_shown_with_all_that_an_operator_asks_for(
    heliograph: Command, stored: Callable[[int], str]
) -> None:
    shown = heliograph.json("message", "show", stored(REFUSED))
    assert shown["id"] == stored(REFUSED)
    assert shown["account_id"] == "acme"
    assert (shown["status"], shown["price"], shown["cost"]) == ("REJECTED", "1", "0")
    assert (shown["text"], shown["recipient"], shown["carrier"]) == ("Hello", "+56910000000", "simulator")
    assert shown["registered"] == "2026-01-01T00:00:00.000Z"
    assert shown["sent"] is None
    assert shown["detail"] == "unknown number"
    assert "REJECTED" in heliograph("message", "show", stored(REFUSED)).out


def test_the_story_of_a_delivered_message(heliograph: Command, stored: Callable[[int], str]) -> None:
    events = heliograph.json("message", "timeline", stored(DELIVERED))
    assert [one["event"] for one in events] == ["accepted", "charged", "sent", "delivered", "callback", "next"]
    assert "ref-11" in events[2]["detail"]
    assert "attempt 1 of 7" in events[5]["detail"]


def test_the_story_of_a_refused_message_has_its_refund(heliograph: Command, stored: Callable[[int], str]) -> None:
    events = heliograph.json("message", "timeline", stored(REFUSED))
    assert [one["event"] for one in events] == ["accepted", "charged", "rejected", "refunded", "callback", "next"]
    assert events[2]["detail"] == "unknown number"


def test_the_story_of_a_message_that_waits_for_another_try(heliograph: Command, stored: Callable[[int], str]) -> None:
    printed = heliograph("message", "timeline", stored(RETRIED)).out
    assert "temporary error" in printed
    assert "busy" in printed
    assert "+56910000000" in printed


@pytest.mark.parametrize("id_", ["1", "0", "01", "abc", "-1", "٣", "9007199254740992", "99999999999999999999"])
def test_a_message_that_is_not_there_is_exit_code_1(
    heliograph: Command, stored: Callable[[int], str], id_: str
) -> None:
    words = ("message", "timeline", "--", id_)
    assert "there is no message" in heliograph(*words, code=1).err


def message(**changes: Any) -> StoredMessage:
    fields = dict.fromkeys(StoredMessage.__struct_fields__, 0) | {"sender": "S", "ref": "", "detail": "", "status": 2}
    fields |= {"segments": 2, "price_micros": 2_000_000, "registered_utc_ms": NOW, "sent_utc_ms": NOW + 10}
    fields |= {"status": Status.DELIVERED, "done_utc_ms": NOW + 20, "refunded": False, **changes}
    return StoredMessage(**fields)  # type: ignore[arg-type]


def test_parts_callbacks_and_events_have_their_places() -> None:
    delay = 300_000
    pending = Callback(1, 1, 1, "dlr", "", b"{}", "pending", 1, NOW + 20, NOW + 30 + delay, "HTTP 500")
    settled = Callback(2, 1, 1, "dlr", "https://x/", b"{}", "acknowledged", 1, NOW + 20, NOW + 40 + delay, "HTTP 200")
    story = Story(
        message(),
        "acme",
        "simulator",
        [(1, "a", ReceiptState.DELIVERED), (2, "b", None)],
        [Event(NOW + 5, "sent again", "after a crash")],
        [pending, settled],
    )
    told = [(event.at_utc_ms - NOW, event.event, event.detail) for event in tell(story)]
    assert (10, "sent", "simulator took it part 1 as a, part 2 as b") in told
    assert (5, "sent again", "after a crash") in told
    assert (30, "called back", "attempt 1 of 7: HTTP 500") in told
    assert (30 + delay, "next", "attempt 2 of 7 is due") in told
    assert (40, "called back", "attempt 1 of 7: HTTP 200, acknowledged") in told
    assert sum(event == "next" for _, event, _ in told) == 1


def test_attempts_are_counted_anew_after_a_replay() -> None:
    failed = [Event(NOW + 30 + n, "called back", f"attempt {n} of 7: HTTP 500") for n in range(1, 8)]
    replayed = [*failed, Event(NOW + 90, "replayed", "by the operator")]
    acknowledged = Callback(1, 1, 1, "dlr", "", b"{}", "acknowledged", 1, NOW + 20, NOW + 100 + 300_000, "HTTP 200")
    story = Story(message(), "acme", "simulator", [], replayed, [acknowledged])
    told = [(event.at_utc_ms - NOW, event.event, event.detail) for event in tell(story)]
    assert (100, "called back", "attempt 1 of 7: HTTP 200, acknowledged") in told
    assert sum(event == "called back" for _, event, _ in told) == 8


def test_the_story_of_a_message_for_later_that_its_account_cancelled() -> None:
    changes = {"send_at_utc_ms": NOW + 60_000, "sent_utc_ms": 0, "status": Status.CANCELLED}
    story = Story(message(**changes, refunded=True, detail="by its account"), "acme", "simulator", [], [], [])
    told = {event.event: event.detail for event in tell(story)}
    assert list(told) == ["accepted", "charged", "scheduled", "cancelled", "refunded"]
    assert told["scheduled"] == f"for {show_time(NOW + 60_000)}"
    assert told["cancelled"] == "by its account"

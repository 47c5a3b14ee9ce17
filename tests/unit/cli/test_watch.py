"""What the demo tells at the terminal, in what order, and how little of it under load."""

from __future__ import annotations

from typing import Any

from heliograph.cli.listen import Received
from heliograph.cli.watch import Look, Watch
from heliograph.kit.ids import PublicIds
from heliograph.messaging.submissions import Status
from heliograph.store.interface import Event, StoredMessage

IDS = PublicIds(bytes(32))


def message(id_: int, status: Status = Status.PENDING, **changes: Any) -> StoredMessage:
    fields = dict.fromkeys(StoredMessage.__struct_fields__, 0) | {"id": id_, "account_id": 1, "sender": "96000"}
    fields |= {"recipient": "56910000000", "price_micros": 1_000_000, "detail": "", "status": status, **changes}
    return StoredMessage(**fields)  # type: ignore[arg-type]


def watch() -> Watch:
    return Watch(None, IDS, print)  # type: ignore[arg-type]


def callback(id_: int, at_utc_ms: int = 1_000) -> Received:
    public = IDS.publish(id_, 1)[0]
    return Received(at_utc_ms, "POST", "/", "", f'{{"id":"{public}","status":1}}', 200, True)


def events(lines: list[str]) -> list[str]:
    return [line.split()[1] for line in lines]


def test_a_message_is_followed_from_acceptance_to_its_callback() -> None:
    told = watch()
    first = told.tell(Look([message(70)], [], {1: 456_000_000}), 0.0)
    assert events(first) == ["accepted"]
    assert str(IDS.publish(70, 1)[0]) in first[0]
    assert "stored, paid 1, balance 456.00" in first[0]
    told.called_back(callback(70))
    done = message(70, Status.DELIVERED, sent_utc_ms=5, done_utc_ms=200)
    second = told.tell(Look([], [done], {}), 0.2)
    assert events(second) == ["sent", "delivered", "callback"]
    assert "signature verified, answered 200" in second[2]
    assert told.tell(Look([], [], {}), 0.4) == []


def test_a_message_that_was_over_before_it_was_seen_is_told_whole() -> None:
    done = message(70, Status.REJECTED, done_utc_ms=5, refunded=True, detail="no such number")
    lines = watch().tell(Look([done], [], {1: 0}), 0.0)
    assert events(lines) == ["accepted", "rejected"]
    assert "balance" not in lines[0]  # it is that after the refund
    assert lines[1].endswith("no such number, refunded 1")


def test_the_ids_of_an_earlier_run_are_not_counted_as_messages() -> None:
    assert len(watch().tell(Look([message(1_000_000)], [], {1: 0}), 0.0)) == 1


def test_messages_of_one_moment_are_all_told_and_what_their_balances_were_is_not() -> None:
    done = [
        message(id_, Status.DELIVERED, registered_utc_ms=id_, sent_utc_ms=80, done_utc_ms=99) for id_ in (73, 71, 70)
    ]
    lines = watch().tell(Look(done, [], {1: 454_000_000}), 0.0)
    assert events(lines) == ["accepted"] * 3 + ["sent"] * 3 + ["delivered"] * 3
    assert [line.split()[2] for line in lines[:3]] == [str(IDS.publish(id_, 1)[0]) for id_ in (70, 71, 73)]
    assert not any("balance" in line or "more" in line for line in lines)


def test_lines_are_in_the_order_of_their_times() -> None:
    told = watch()
    told.tell(Look([message(70)], [], {1: 0}), 0.0)
    told.called_back(callback(70, 150))
    ended = message(70, Status.DELIVERED, sent_utc_ms=100, done_utc_ms=140)
    lines = told.tell(Look([message(71, registered_utc_ms=120)], [ended], {1: 0}), 0.2)
    assert events(lines) == ["sent", "accepted", "delivered", "callback"]


def test_a_message_that_is_sent_again_says_so_each_time() -> None:
    told = watch()
    told.tell(Look([message(70)], [], {1: 0}), 0.0)
    unanswered = [Event(at, "no answer, sent again: it may arrive twice", "nobody there") for at in (10, 1_010)]
    again = told.tell(Look([], [message(70, tries=1)], {}, {70: unanswered[:1]}), 0.2)
    assert "no answer" in again[0]
    assert again[0].endswith("sent again: it may arrive twice; nobody there")
    assert told.tell(Look([], [message(70, tries=1)], {}, {70: unanswered[:1]}), 0.4) == []
    ended = message(70, Status.UNKNOWN, tries=2, done_utc_ms=2_010, detail="nobody there")
    assert events(told.tell(Look([], [ended], {}, {70: unanswered}), 2.2)) == ["no", "unknown"]


def test_what_is_left_out_is_counted_by_messages_not_by_ids() -> None:
    told = watch()
    for look in range(4):  # uses up the lines
        ids = range(100 * look + 10, 100 * look, -1)
        told.tell(Look([message(id_) for id_ in ids], [], {1: 0}), look * 0.001)
    followed = list(told.followed)
    ended = [message(id_, Status.DELIVERED, sent_utc_ms=1, done_utc_ms=2) for id_ in followed]
    left_out, *rest = told.tell(Look([], ended, {}), 1.0)
    assert left_out == f"              … and {40 - len(followed)} more messages"
    assert len(rest) == 2 * len(followed)
    told.called_back(callback(99_999))
    told.tell(Look([message(5_007), message(5_000)], [], {1: 0}), 1.001)
    assert told.tell(Look([], [], {}), 2.1) == ["              … and 1 more message and 1 more callback"]


def test_under_load_it_prints_about_ten_lines_a_second_and_counts_the_rest() -> None:
    told = watch()
    lines: list[str] = []
    for look in range(50):  # ten seconds
        newest = 1_000 * (look + 1)
        finished = [message(id_, Status.DELIVERED, sent_utc_ms=1, done_utc_ms=2) for id_ in told.followed]
        for id_ in [*told.followed, *range(newest - 200, newest)]:
            told.called_back(callback(id_))
        lines += told.tell(Look([message(newest - n) for n in range(20)], finished, {1: 0}), look * 0.2)
    counted = [line for line in lines if "more messages" in line]
    assert 100 <= len(lines) <= 150
    assert len(counted) == 9
    assert "4,99" in counted[-1]
    assert " more callbacks" in counted[-1]
    assert events(lines).count("accepted") - events(lines).count("delivered") <= 10
    assert events(lines).count("delivered") >= 20


def test_what_it_remembers_is_bounded() -> None:
    told = watch()
    for look in range(100):
        told.tell(
            Look([message(look + 1, tries=1)], [], {1: 0}, {look + 1: [Event(1, "put off (throttled)", "")]}), look
        )
    assert len(told.followed) <= 20


def test_a_followed_message_that_is_gone_from_a_look_is_no_trouble() -> None:
    told = watch()
    told.tell(Look([message(70)], [], {1: 0}), 0.0)
    assert told.tell(Look([], [], {}), 0.2) == []

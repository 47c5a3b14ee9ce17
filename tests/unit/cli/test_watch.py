"""What the demo tells at the terminal, in what order, and how little of it under load."""

from __future__ import annotations

from typing import Any

from heliograph.cli.listen import Received
from heliograph.cli.watch import Look, Watch
from heliograph.kit.ids import PublicIds
from heliograph.messaging.submissions import Status
from heliograph.store.interface import StoredMessage

IDS = PublicIds(bytes(32))


def message(id_: int, status: Status = Status.PENDING, **changes: Any) -> StoredMessage:
    fields = dict.fromkeys(StoredMessage.__struct_fields__, 0) | {"id": id_, "account_id": 1, "sender": "96000"}
    fields |= {"recipient": "56910000000", "price_micros": 1_000_000, "detail": "", "status": status, **changes}
    return StoredMessage(**fields)  # type: ignore[arg-type]


def watch() -> Watch:
    return Watch(None, IDS, print)  # type: ignore[arg-type]


def callback(id_: int) -> Received:
    public = IDS.publish(id_, 1)[0]
    return Received(0, "POST", "/", "", f'{{"id":"{public}","status":1}}', 200, True)


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
    assert lines[1].endswith("no such number, refunded 1")


def test_the_ids_of_an_earlier_run_are_not_counted_as_messages() -> None:
    assert len(watch().tell(Look([message(1_000_000)], [], {1: 0}), 0.0)) == 1


def test_under_load_it_prints_about_ten_lines_a_second_and_counts_the_rest() -> None:
    told = watch()
    lines: list[str] = []
    for look in range(50):  # ten seconds
        newest = 1_000 * (look + 1)
        finished = [message(id_, Status.DELIVERED, sent_utc_ms=1, done_utc_ms=2) for id_ in told.followed]
        for id_ in [*told.followed, *range(newest - 200, newest)]:
            told.called_back(callback(id_))
        lines += told.tell(Look([message(newest - n) for n in range(5)], finished, {1: 0}), look * 0.2)
    counted = [line for line in lines if "more messages" in line]
    assert 80 <= len(lines) <= 110
    assert len(counted) == 9
    assert "4,998 more messages and 1," in counted[-1]
    assert events(lines).count("accepted") == events(lines).count("delivered") >= 20


def test_a_followed_message_that_is_gone_from_a_look_is_no_trouble() -> None:
    told = watch()
    told.tell(Look([message(70)], [], {1: 0}), 0.0)
    assert told.tell(Look([], [], {}), 0.2) == []

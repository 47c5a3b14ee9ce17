"""Delivery reports: written for those who asked, and never in the way of the commit."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from heliograph.kit.ids import PublicIds
from heliograph.messaging.submissions import Status
from heliograph.service.report import Report
from heliograph.store.interface import CallbackDraft, Ended, Unavailable

IDS = PublicIds(bytes(32))


def body(public_id: str, recipient: str, status: Status, done_utc_ms: int) -> bytes:
    if recipient == "13":
        raise ValueError("unlucky")
    return f"{public_id} {recipient} {status.name} {done_utc_ms}".encode()


def report(*ended: Ended) -> list[CallbackDraft | None]:
    return Report(SimpleNamespace(reporting={1}, intermediate=set()), IDS, {1: body}, {})(ended)  # type: ignore[arg-type]


def ended(message_id: int, account_id: int = 1, recipient: str = "56912340000") -> Ended:
    return Ended(message_id, account_id, 1, recipient, Status.DELIVERED, 7)


def test_only_accounts_with_a_url_are_told() -> None:
    drafts = report(ended(5, account_id=2), ended(6), ended(7, account_id=2))
    told = CallbackDraft("dlr", f"{IDS.publish(6, 1)[0]} 56912340000 DELIVERED 7".encode())
    assert drafts == [None, told, None]


def test_a_report_that_cannot_be_written_leaves_the_others_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    drafts = report(ended(5), ended(6, recipient="13"), ended(7))
    assert [draft is None for draft in drafts] == [False, True, False]
    assert str(IDS.publish(6, 1)[0]) in caplog.text


def test_messages_count_as_ended_once_their_group_is_stored_and_never_when_it_is_not() -> None:
    counting = Report(SimpleNamespace(reporting=set(), intermediate=set()), IDS, {}, {})  # type: ignore[arg-type]
    counting([ended(5), ended(6)])
    assert not counting.ended
    counting.commit_failed([], Unavailable("the disk is full"))
    counting([ended(5)])
    counting.after_commit([], [])
    assert counting.ended == {Status.DELIVERED: 1}
    counting.after_commit([], [])
    assert counting.ended == {Status.DELIVERED: 1}


class Reads:
    """Messages as the store has them."""

    def __init__(self, *messages: SimpleNamespace) -> None:
        self.messages = {one.id: one for one in messages}
        self.asked = 0

    def messages_of(self, message_ids: Sequence[int]) -> list[SimpleNamespace]:
        self.asked += 1
        return [self.messages[id_] for id_ in message_ids]


def test_a_dialect_that_tells_all_of_a_message_gets_it_and_the_message_may_have_a_url_of_its_own() -> None:
    reads = Reads(*(SimpleNamespace(id=id_, callback_url=url) for id_, url in ((5, "https://x/"), (6, ""), (7, ""))))
    whole = {2: lambda public_id, message: f"{public_id} all of {message.id}".encode()}
    reports = Report(SimpleNamespace(reporting={1}, intermediate=set()), IDS, {1: body}, whole)  # type: ignore[arg-type]
    told = [
        Ended(id_, account_id, dialect, "56912340000", Status.DELIVERED, 7, reads)  # type: ignore[arg-type]
        for id_, account_id, dialect in ((5, 2, 2), (6, 2, 2), (7, 1, 2), (8, 1, 1))
    ]
    first, second, third, fourth = reports(told)
    public = [str(IDS.publish(one.message_id, 1)[0]) for one in told]
    assert first == CallbackDraft("dlr", f"{public[0]} all of 5".encode(), "https://x/")
    assert second is None, "nobody wants to be told"
    assert third == CallbackDraft("dlr", f"{public[2]} all of 7".encode())
    assert fourth == CallbackDraft("dlr", f"{public[3]} 56912340000 DELIVERED 7".encode())
    assert reads.asked == 1, "one read for all of a group"

"""Delivery reports: written for those who asked, and never in the way of the commit."""

from __future__ import annotations

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
    return Report(SimpleNamespace(reporting={1}, intermediate=set()), IDS, {1: body})(ended)  # type: ignore[arg-type]


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
    counting = Report(SimpleNamespace(reporting=set(), intermediate=set()), IDS, {})  # type: ignore[arg-type]
    counting([ended(5), ended(6)])
    assert not counting.ended
    counting.commit_failed([], Unavailable("the disk is full"))
    counting([ended(5)])
    counting.after_commit([], [])
    assert counting.ended == {Status.DELIVERED: 1}
    counting.after_commit([], [])
    assert counting.ended == {Status.DELIVERED: 1}

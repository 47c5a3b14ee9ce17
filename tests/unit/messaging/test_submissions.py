"""The life of a message, and what an order becomes."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.messaging import errors
from heliograph.messaging.accounts import Account
from heliograph.messaging.errors import CallerError
from heliograph.messaging.numbers import NumberPolicy
from heliograph.messaging.operators import Operator, OperatorSource, OperatorTable
from heliograph.messaging.pricing import PriceList
from heliograph.messaging.routing import Routes
from heliograph.messaging.submissions import (
    TRANSITIONS,
    Draft,
    Happening,
    Order,
    Rules,
    Status,
    after,
    draft,
    refunded,
)

FINAL = {
    *(Status.DELIVERED, Status.REJECTED, Status.UNDELIVERED, Status.EXPIRED, Status.UNKNOWN, Status.CANCELLED),
}
RECEIPTS = {happening for happening in Happening if happening.name.startswith("RECEIPT_")}


# -- transitions


def test_statuses_keep_their_stored_numbers() -> None:
    assert [status.name for status in sorted(Status)] == [
        *("PENDING", "SENT", "DELIVERED", "REJECTED", "UNDELIVERED", "EXPIRED", "UNKNOWN", "CANCELLED")
    ]
    assert [int(status) for status in sorted(Status)] == list(range(8))


def test_finals_are_those_that_customers_are_told() -> None:
    assert {status for status in Status if status.final} == FINAL


def test_final_status_never_changes_but_unknown_by_a_receipt() -> None:
    for status in FINAL - {Status.UNKNOWN}:
        assert {after(status, happening) for happening in Happening} == {None}
    for happening in Happening:
        later = after(Status.UNKNOWN, happening)
        if happening in RECEIPTS - {Happening.RECEIPT_UNKNOWN}:
            assert later in FINAL - {Status.UNKNOWN}
        else:
            assert later is None


def test_nothing_leads_back() -> None:
    for (status, _), later in TRANSITIONS.items():
        assert later is not Status.PENDING
        assert status is Status.PENDING or later is not Status.SENT
        assert status is not later


def test_every_happening_does_something_to_some_message() -> None:
    assert {happening for _, happening in TRANSITIONS} == set(Happening)


def test_every_status_can_be_reached_and_every_open_one_left() -> None:
    assert set(TRANSITIONS.values()) == set(Status) - {Status.PENDING}
    assert {status for status, _ in TRANSITIONS} == {Status.PENDING, Status.SENT, Status.UNKNOWN}


def test_receipt_means_the_same_whether_the_answer_was_had_or_not() -> None:
    for happening in RECEIPTS:
        assert after(Status.PENDING, happening) is after(Status.SENT, happening)
        assert (after(Status.SENT, happening) or Status.SENT).final


def test_whole_table_by_hand() -> None:
    assert after(Status.PENDING, Happening.TAKEN) is Status.SENT
    assert after(Status.PENDING, Happening.REFUSED) is Status.REJECTED
    assert after(Status.PENDING, Happening.TRIES_USED_UP) is Status.UNDELIVERED
    assert after(Status.PENDING, Happening.LAPSED) is Status.EXPIRED
    assert after(Status.PENDING, Happening.LEFT_IN_DOUBT) is Status.UNKNOWN
    assert after(Status.PENDING, Happening.OPTED_OUT) is Status.REJECTED
    assert after(Status.PENDING, Happening.CANCELLED) is Status.CANCELLED
    assert after(Status.SENT, Happening.SILENT) is Status.UNKNOWN
    assert after(Status.SENT, Happening.RECEIPT_DELIVERED) is Status.DELIVERED
    assert after(Status.SENT, Happening.RECEIPT_REJECTED) is Status.REJECTED
    assert after(Status.SENT, Happening.RECEIPT_UNDELIVERED) is Status.UNDELIVERED
    assert after(Status.SENT, Happening.RECEIPT_EXPIRED) is Status.EXPIRED
    assert after(Status.SENT, Happening.RECEIPT_UNKNOWN) is Status.UNKNOWN
    assert after(Status.PENDING, Happening.SILENT) is None
    for happening in set(Happening) - RECEIPTS - {Happening.SILENT}:
        assert after(Status.SENT, happening) is None
    assert len(TRANSITIONS) == 7 + 1 + 5 + 5 + 4


def test_money_goes_back_only_for_messages_of_which_certainly_no_part_was_taken() -> None:
    back = {happening for happening in Happening if refunded(happening, parts_taken=0)}
    assert back == {
        *(Happening.REFUSED, Happening.TRIES_USED_UP, Happening.LAPSED, Happening.OPTED_OUT, Happening.CANCELLED),
    }
    for happening in Happening:
        assert not refunded(happening, parts_taken=1)
        assert not refunded(happening, parts_taken=10)
    # nor for any end that a receipt brings: a receipt proves that it was taken
    assert not back & RECEIPTS


# -- drafts


ENTEL = Operator(188, "Entel", "730", "01")


def account(**settings: Any) -> Account:
    return Account(
        **{
            "id": 1,
            "ref": "demo",
            "name": "",
            "email": "",
            "senders": frozenset({"96000"}),
            "numbers": NumberPolicy.SYNTAX,
            **settings,
        }
    )


def rules(**settings: Any) -> Rules:
    return Rules(
        **{
            "prices": {"default": PriceList({"56": 35_000, "44": 1_000_000}), "free": PriceList({"": 0})},
            "operators": OperatorTable({188: ENTEL}, {"569": ENTEL}),
            "routes": Routes({"main": 1, "other": 2}, "main"),
            "max_recipients": 4,
            "max_segments": 3,
            **settings,
        }
    )


def order(*recipients: str, text: str = "hello", sender: str = "96000") -> Order:
    return Order(list(recipients), sender, text, 0)


def test_order_becomes_a_draft_for_each_recipient() -> None:
    text, drafts = draft(order("56912345678", "+447700900123", text="x" * 161), account(), rules())
    assert text.segments == 2
    assert drafts == [
        Draft("56912345678", 70_000, 1, 188, OperatorSource.PREFIX),
        Draft("447700900123", 2_000_000, 1, 0, OperatorSource.NONE),
    ]


def test_accounts_own_price_list_and_carrier_count() -> None:
    _, drafts = draft(order("12025550123"), account(price_list="free", carrier="other"), rules())
    assert drafts == [Draft("12025550123", 0, 2, 0, OperatorSource.NONE)]


def test_same_number_twice_is_two_drafts() -> None:
    _, drafts = draft(order("56912345678", "+56912345678"), account(), rules())
    assert [one.recipient for one in drafts] == ["56912345678"] * 2


@pytest.mark.parametrize(
    ("asked", "settings", "kind", "pointer"),
    [
        (order(), {}, errors.RECIPIENTS_EMPTY, "/recipients"),
        (order(*["56912345678"] * 5), {}, errors.RECIPIENTS_TOO_MANY, "/recipients"),
        (order("56912345678", text=""), {}, errors.TEXT_EMPTY, "/message/text"),
        (order("56912345678", text="x" * 460), {}, errors.TEXT_TOO_LONG, "/message/text"),
        (order("56912345678", "1555123"), {}, errors.RECIPIENT_INVALID, "/recipients/1"),
        (order("56912345678", sender="Bank"), {}, errors.SENDER_NOT_ALLOWED, "/sender"),
        (order("56912345678", sender="!" * 12), {}, errors.SENDER_MALFORMED, "/sender"),
        (order("56912345678", "12025550123"), {}, errors.NO_PRICE, "/recipients/1"),
        (order("56912345678"), {"carrier": "gone"}, errors.NO_ROUTE, "/recipients/0"),
    ],
)
def test_wrong_order_is_refused_and_the_field_named(
    asked: Order, settings: dict[str, Any], kind: errors.Kind, pointer: str
) -> None:
    with pytest.raises(CallerError) as caught:
        draft(asked, account(**settings), rules())
    assert caught.value.kind is kind
    assert caught.value.pointer == pointer


def test_body_comes_before_the_sender_and_the_sender_before_the_destination() -> None:
    wrong = {"sender": "Bank", "recipients": ["56912345678", "12025550123"]}
    with pytest.raises(CallerError) as caught:
        draft(order("56912345678", "1555123", sender="Bank"), account(carrier="gone"), rules())
    assert caught.value.kind is errors.RECIPIENT_INVALID
    with pytest.raises(CallerError) as caught:
        draft(order(*wrong["recipients"], sender="Bank"), account(carrier="gone"), rules())
    assert caught.value.kind is errors.SENDER_NOT_ALLOWED
    with pytest.raises(CallerError) as caught:
        draft(order(*wrong["recipients"]), account(), rules())
    assert caught.value.kind is errors.NO_PRICE

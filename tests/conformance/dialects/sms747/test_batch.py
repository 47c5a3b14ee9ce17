"""`POST /api/v1/message/batch`: in order, each message for itself, in one commit."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from tests.harness.client import phone
from tests.harness.client747 import Accounts747, Client747, check_error, check_error_body, check_message, order
from tests.harness.wire import Response


def entries(response: Response) -> list[dict[str, Any]]:
    assert response.status == 200, (response.status, response.body)
    assert list(response.json()) == ["data"]
    found: list[dict[str, Any]] = response.json()["data"]
    for one in found:
        if "error" not in one or "id" in one:
            check_message(one)
        else:
            assert list(one) == ["error"]
    return found


def code(entry: dict[str, Any]) -> str | None:
    return entry["error"]["code"] if "id" not in entry else None


def test_every_message_is_answered_in_order(client747: Client747) -> None:
    found = entries(client747.batch([order(phone(n=n), f"text {n}", reference=str(n)) for n in range(100)]))
    assert [(one["recipient"], one["message"], one["reference"]) for one in found] == [
        (phone(n=n), f"text {n}", str(n)) for n in range(100)
    ]
    assert len({one["id"] for one in found}) == 100
    assert client747.show(found[50]["id"])["message"] == "text 50"


def test_each_message_may_have_every_field(client747: Client747) -> None:
    rich = order(
        sender="96000", reference="r", callback_url="https://example.net/", validity_seconds=600, priority="unknown"
    )
    (found,) = entries(client747.batch([rich]))
    assert (found["sender"], found["reference"], found["status"]) == ("96000", "r", "queued")
    (found,) = entries(client747.batch([{"to": phone(), "message": "x"}]))
    assert found["recipient"] == phone()


def test_a_wrong_message_does_not_stop_the_others(client747: Client747) -> None:
    before = Decimal(client747.balance())
    wrong: list[tuple[Any, int, str]] = [
        (order("+1555123"), 400, "invalid_phone_number"),
        (order("56910000000"), 400, "invalid_phone_number"),
        (order(message=""), 400, "invalid_request"),
        (order(message="a" * 1531), 422, "message_too_long"),
        (order(sender="My Company Ltd"), 400, "invalid_request"),
        (order(sender="Bank"), 403, "permission_denied"),
        ({"message": "x"}, 400, "invalid_request"),
        ({}, 400, "invalid_request"),
        (order(validity_seconds=0), 422, "invalid_request"),
        (order(send_at="x"), 400, "invalid_request"),
        (order(reference="x" * 65), 400, "invalid_request"),
        (order(to=phone(n=9)), 400, "invalid_request"),
        (5, 400, "invalid_request"),
        (None, 400, "invalid_request"),
        ([], 400, "invalid_request"),
    ]
    messages = [one for what, _, _ in wrong for one in (order(), what)]
    found = entries(client747.batch([*messages, order()]))
    assert [code(one) for one in found[::2]] == [None] * (len(wrong) + 1)
    for entry, (_, status, expected) in zip(found[1::2], wrong, strict=True):
        check_error_body(entry, status, expected)
    assert Decimal(client747.balance()) == before - len(wrong) - 1


def test_an_error_in_a_batch_is_the_error_of_the_single_send(client747: Client747) -> None:
    for one in (order("+1555123"), order(message="a" * 1531), order(sender="Bank"), {"to": "12", "message": "x"}):
        (entry,) = entries(client747.batch([one]))
        assert entry == client747.post(one).json()


def test_messages_are_paid_in_order_and_a_dear_one_does_not_stop_a_cheaper(accounts747: Accounts747) -> None:
    poor = accounts747.new(balance="4.00")
    texts = ["x", "a" * 400, "a" * 200, "x", "x"]  # 1, 3, 2, 1 and 1 segments
    found = entries(poor.batch([order(message=text) for text in texts]))
    refused = "insufficient_funds"
    assert [code(one) for one in found] == [None, None, refused, refused, refused]
    assert poor.balance() == "0.00"
    accounts747.topup(poor, "2.00")
    found = entries(poor.batch([order(message="a" * 400), order(), order(message="a" * 200), order()]))
    assert [code(one) for one in found] == [refused, None, refused, None]
    details = check_error_body(found[0], 422, refused)
    assert (Decimal(details["required"]), details["currency"]) == (3, "USD")
    assert poor.balance() == "0.00"
    assert len(poor.page(limit=100)["data"]) == 4


def test_a_batch_of_nothing_but_errors_is_200_and_costs_nothing(client747: Client747) -> None:
    before = client747.balance()
    assert [code(one) for one in entries(client747.batch([order("x"), order("y")]))] == ["invalid_phone_number"] * 2
    assert client747.balance() == before


def test_the_same_message_twice_is_two_messages_both_paid(client747: Client747) -> None:
    before = Decimal(client747.balance())
    found = entries(client747.batch([order(), order()]))
    assert found[0]["id"] != found[1]["id"]
    assert Decimal(client747.balance()) == before - 2


def test_a_thousand_messages_are_taken_and_one_more_is_refused(client747: Client747) -> None:
    before = Decimal(client747.balance())
    assert len({one["id"] for one in entries(client747.batch([order(message="x")] * 1000))}) == 1000
    response = client747.batch([order(message="x")] * 1001)
    assert check_error(response, response.status, "invalid_request")["parameter"] == "messages"
    assert response.status in (400, 422)
    assert Decimal(client747.balance()) == before - 1000


def test_an_empty_batch_is_refused(client747: Client747) -> None:
    response = client747.batch([])
    assert response.status in (400, 422)
    assert check_error(response, response.status, "invalid_request")["parameter"] == "messages"


@pytest.mark.parametrize("messages", [None, 5, "x", {}, True])
def test_messages_that_are_no_array_are_400(client747: Client747, messages: object) -> None:
    assert check_error(client747.batch(messages), 400, "invalid_request")["parameter"] == "messages"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b'{"message":"x","recipient":"+56910000000"}'])
def test_a_body_without_messages_is_400(client747: Client747, body: bytes) -> None:
    check_error(client747.post(body, "/api/v1/message/batch"), 400, "invalid_request")


def test_messages_of_a_batch_are_sent_like_any_other(client747: Client747) -> None:
    found = entries(client747.batch([order(phone("0000")), order(phone("0001")), order("x"), order(phone("0002"))]))
    statuses = [client747.wait_status(one["id"])["status"] for one in found if "id" in one]
    assert statuses == ["delivered", "undelivered", "rejected"]


def test_those_who_opted_out_are_refused_one_by_one(customer: Client747) -> None:
    customer.told("optout", "--add", phone(n=44))
    found = entries(customer.batch([order(phone(n=43)), order(phone(n=44)), order(phone(n=45))]))
    assert [code(one) for one in found] == [None, "permission_denied", None]
    assert check_error_body(found[1], 403, "permission_denied")["hint"]
    assert customer.balance() == "48.00"


def test_a_batch_counts_as_one_call(accounts747: Accounts747) -> None:
    limited = accounts747.new(limited=True)
    before = int(limited.batch([order()]).header("RateLimit-Remaining") or -1)
    after = int(limited.batch([order()] * 50).header("RateLimit-Remaining") or -1)
    assert after == before - 1


def test_a_batch_is_listed_newest_first(accounts747: Accounts747) -> None:
    client = accounts747.new()
    found = entries(client.batch(json.loads(json.dumps([order(phone(n=n)) for n in range(5)]))))
    assert [one["id"] for one in client.page()["data"]] == [one["id"] for one in found][::-1]

"""What is paid, by whom, and never twice: the contract's "Money" and "Get balance"."""

from __future__ import annotations

import json
import re
import time

import pytest
from tests.conftest import Accounts
from tests.harness.client import JSON, Client, message, phone
from tests.harness.wire import encode

SUBMITTED, NO_BALANCE = "submitted", "account_no_balance"


def statuses(body: dict[str, list[dict[str, str]]]) -> list[str]:
    return [entry["status"] for entry in body["submissions"]]


def test_the_balance_is_a_string_with_two_decimals(client: Client, accounts: Accounts) -> None:
    response = accounts.new(balance="457").get("/api/balance")
    assert response.status == 200
    assert (response.header("Content-Type") or "").split(";")[0] == "application/json"
    assert response.json() == {"balance": "457.00"}
    assert re.fullmatch(r"[0-9]+\.[0-9]{2}", client.balance())


def test_the_balance_is_shown_rounded_down(accounts: Accounts) -> None:
    assert accounts.new(balance="5.009999").balance() == "5.00"
    assert accounts.new(balance="0.999").balance() == "0.99"


def test_three_are_paid_of_five_when_the_balance_covers_three(accounts: Accounts) -> None:
    poor = accounts.new(balance="3.00")
    response = poor.send([phone(n=n) for n in range(5)])
    assert response.status == 200
    assert statuses(response.json()) == [SUBMITTED] * 3 + [NO_BALANCE] * 2
    for entry in response.json()["submissions"][3:]:
        assert set(entry) == {"status"}
    assert poor.balance() == "0.00"
    again = poor.send([phone()])
    assert (again.status, again.json()) == (200, {"submissions": [{"status": NO_BALANCE}]})
    for entry in response.json()["submissions"][:3]:
        assert poor.wait_final(entry["submissionId"])["info"]["cost"] == 1
    assert poor.balance() == "0.00"


def test_a_long_message_that_is_not_covered_whole_is_not_paid_in_part(accounts: Accounts) -> None:
    poor = accounts.new(balance="3.50")
    response = poor.send([phone(n=n) for n in range(3)], "a" * 161)
    assert statuses(response.json()) == [SUBMITTED, NO_BALANCE, NO_BALANCE]
    assert poor.balance() == "1.50"
    assert statuses(poor.send([phone(), phone()]).json()) == [SUBMITTED, NO_BALANCE]
    assert poor.balance() == "0.50"


def test_two_hundred_requests_at_once_never_overdraw(accounts: Accounts) -> None:
    rich = accounts.new(balance="503.00")
    body = json.dumps(message([phone(n=n) for n in range(5)])).encode()
    request = encode("POST", "/api/sms", [rich.bearer, JSON], body)
    wires = [rich.server.wire(timeout=30) for _ in range(200)]
    try:
        for wire in wires:
            wire.send(request)
        answers = [wire.read() for wire in wires]
    finally:
        for wire in wires:
            wire.close()
    assert {answer.status for answer in answers} == {200}
    found = [status for answer in answers for status in statuses(answer.json())]
    assert (found.count(SUBMITTED), found.count(NO_BALANCE)) == (503, 497)
    ids = [e["submissionId"] for answer in answers for e in answer.json()["submissions"] if e["status"] == SUBMITTED]
    assert len(set(ids)) == 503
    assert rich.balance() == "0.00"


def test_the_same_number_twice_is_two_messages_and_both_are_paid(accounts: Accounts) -> None:
    customer = accounts.new(balance="10.00")
    response = customer.send([phone(), phone(), phone().lstrip("+")])
    ids = [entry["submissionId"] for entry in response.json()["submissions"]]
    assert len(set(ids)) == 3
    assert customer.balance() == "7.00"


@pytest.mark.parametrize(("fate", "status"), [("0000", "DELIVERED"), ("0001", "UNDELIVERED"), ("0002", "REJECTED")])
def test_what_a_carrier_took_stays_paid_however_it_ends(accounts: Accounts, fate: str, status: str) -> None:
    customer = accounts.new(balance="10.00")
    info = customer.wait_final(customer.submit(phone(fate), "a" * 307))
    assert (info["info"]["status"]["status"], info["info"]["cost"]) == (status, 3)
    assert customer.balance() == "7.00"


def test_an_outcome_that_is_not_known_is_not_refunded(accounts: Accounts) -> None:
    customer = accounts.new(balance="10.00")
    doubtful, certain = customer.submit(phone("0010")), customer.submit(phone("0000"))
    customer.wait_final(certain)
    assert customer.info(doubtful)["info"]["cost"] == 1
    assert customer.balance() == "8.00"


def test_cost_is_as_short_as_it_is_exact(client: Client) -> None:
    response = client.get(f"/api/sms/{client.submit()}")
    assert re.search(rb'"cost": ?1[,}]', response.body), response.body


def test_one_account_pays_and_no_other(client: Client, other: Client) -> None:
    before = other.balance()
    client.send([phone()] * 3)
    assert other.balance() == before


def test_money_added_by_the_operator_can_be_spent_within_two_seconds(accounts: Accounts) -> None:
    poor = accounts.new(balance="0.50")
    assert statuses(poor.send([phone()]).json()) == [NO_BALANCE]
    accounts.topup(poor, "1.25")
    deadline = time.monotonic() + 2
    while poor.balance() != "1.75":
        assert time.monotonic() < deadline, poor.balance()
        time.sleep(0.05)
    assert statuses(poor.send([phone(), phone()]).json()) == [SUBMITTED, NO_BALANCE]
    assert poor.balance() == "0.75"


REFUSALS = {
    "a wrong type": {"recipients": [phone()], "sender": "96000", "message": {"text": 1}},
    "a wrong number": message([phone(), "12"]),
    "a wrong charset": message([phone()], charset=2),
    "a character that does not fit": message([phone()], "ç", charset=1),
    "too many segments": message([phone()], "a" * 1531),
    "too many recipients": message([phone()] * 1001),
    "a malformed sender": message([phone()], sender=""),
    "a sender not allowed": message([phone()], sender="Nobody"),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_a_refused_request_is_not_charged(client: Client, why: str) -> None:
    before = client.balance()
    assert client.post(REFUSALS[why]).status in (400, 406)
    assert client.balance() == before

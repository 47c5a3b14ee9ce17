"""`Idempotency-Key`: a send or a batch that happens once, however often it is repeated."""

from __future__ import annotations

import json
import threading
import uuid
from decimal import Decimal

import pytest
from tests.harness.client import JSON, message, phone
from tests.harness.client747 import ACCOUNT, BATCH, CUSTOM, Accounts747, Client747, check_error, order
from tests.harness.wire import Response

BODIES = {
    CUSTOM: json.dumps(order(reference="once")).encode(),
    BATCH: json.dumps({"messages": [order(phone(n=n)) for n in range(3)] + [order("+1555123")]}).encode(),
}
GOOD = {CUSTOM: 201, BATCH: 200}
COST = {CUSTOM: 1, BATCH: 3}
PATHS = list(BODIES)


def send(client: Client747, path: str, key: str, body: bytes | None = None) -> Response:
    return client.post(BODIES[path] if body is None else body, path, [("Idempotency-Key", key)])


@pytest.mark.parametrize("path", PATHS)
def test_a_repeat_gets_the_first_answer_with_its_status_and_is_not_charged(customer: Client747, path: str) -> None:
    key, before = str(uuid.uuid4()), Decimal(customer.balance())
    first = send(customer, path, key)
    assert (first.status, first.header("Idempotency-Replayed")) == (GOOD[path], None)
    for _ in range(3):
        again = send(customer, path, key)
        assert (again.status, again.body) == (GOOD[path], first.body)
        assert again.header("Idempotency-Replayed") == "true"
        assert again.header("Content-Type") == "application/json"
        assert again.header("X-Request-Id") != first.header("X-Request-Id")
        assert again.header("RateLimit-Limit")
    assert Decimal(customer.balance()) == before - COST[path]
    assert len(customer.page()["data"]) == COST[path]


@pytest.mark.parametrize("path", PATHS)
def test_another_body_under_the_same_key_is_422(customer: Client747, path: str) -> None:
    key = str(uuid.uuid4())
    first = send(customer, path, key)
    before = customer.balance()
    for body in (BODIES[path] + b" ", BODIES[path].replace(b"hello", b"other"), b"{}"):
        if body == b"{}":
            assert send(customer, path, key, body).status in (400, 422)
        else:
            check_error(send(customer, path, key, body), 422, "invalid_request")
    assert send(customer, path, key).body == first.body
    assert customer.balance() == before


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "cl\xe9", "a\tb"])
def test_a_key_that_is_none_is_400(customer: Client747, path: str, key: str) -> None:
    check_error(send(customer, path, key), 400, "invalid_request")
    assert customer.balance() == "50.00"


def test_two_keys_are_none(customer: Client747) -> None:
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    check_error(customer.post(order(), CUSTOM, headers), 400, "invalid_request")


def test_a_key_belongs_to_its_account_and_its_route(customer: Client747, other747: Client747) -> None:
    key = str(uuid.uuid4())
    single, batch = send(customer, CUSTOM, key), send(customer, BATCH, key)
    assert (single.status, batch.status) == (201, 200)
    assert batch.header("Idempotency-Replayed") is None
    elsewhere = send(other747, CUSTOM, key)
    assert elsewhere.header("Idempotency-Replayed") is None
    assert elsewhere.body != single.body
    there = customer.realtime.call(
        "POST",
        "/api/sms",
        [customer.realtime.bearer, JSON, ("Idempotency-Key", key)],
        json.dumps(message([phone()])).encode(),
    )
    assert (there.status, there.header("Idempotency-Replayed")) == (200, None)


def test_a_route_is_one_in_every_case_of_its_path(customer: Client747) -> None:
    key = str(uuid.uuid4())
    first = send(customer, CUSTOM, key)
    for path in ("/api/v1/Message/custom", "/API/V1/message/CUSTOM", f"{CUSTOM}?x=1"):
        again = customer.post(BODIES[CUSTOM], path, [("Idempotency-Key", key)])
        assert (again.status, again.body, again.header("Idempotency-Replayed")) == (201, first.body, "true")
    assert customer.balance() == "49.00"


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        (b"{", 400),
        (json.dumps(order("+1555123")).encode(), 400),
        (json.dumps(order(sender="Bank")).encode(), 403),
        (json.dumps(order(message="a" * 1531)).encode(), 422),
    ],
)
def test_an_error_is_not_recorded_so_the_mended_request_may_have_the_key(
    customer: Client747, wrong: bytes, status: int
) -> None:
    key = str(uuid.uuid4())
    assert send(customer, CUSTOM, key, wrong).status == status
    assert send(customer, CUSTOM, key, wrong).status == status
    sent = send(customer, CUSTOM, key)
    assert (sent.status, sent.header("Idempotency-Replayed")) == (201, None)


def test_what_could_not_be_paid_may_be_repeated_with_its_key(accounts747: Accounts747) -> None:
    poor = accounts747.new(balance="0")
    key = str(uuid.uuid4())
    check_error(send(poor, CUSTOM, key), 422, "insufficient_funds")
    accounts747.topup(poor, "5.00")
    sent = send(poor, CUSTOM, key)
    assert (sent.status, sent.header("Idempotency-Replayed")) == (201, None)
    assert poor.balance() == "4.00"


def test_one_who_opted_out_is_refused_and_the_key_is_free(customer: Client747) -> None:
    customer.told("optout", "--add", phone())
    key = str(uuid.uuid4())
    check_error(send(customer, CUSTOM, key), 403, "permission_denied")
    customer.told("optout", "--remove", phone())
    sent = send(customer, CUSTOM, key)
    assert (sent.status, sent.header("Idempotency-Replayed")) == (201, None)


@pytest.mark.parametrize("path", PATHS)
def test_thirty_at_once_are_one(customer: Client747, path: str) -> None:
    key = str(uuid.uuid4())
    assert customer.token
    answers: list[Response] = []
    threads = [threading.Thread(target=lambda: answers.append(send(customer, path, key))) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} == {GOOD[path]}
    assert len({answer.body for answer in answers}) == 1
    assert sum(answer.header("Idempotency-Replayed") is None for answer in answers) == 1
    assert Decimal(customer.balance()) == 50 - COST[path]


def test_other_calls_ignore_the_header(customer: Client747) -> None:
    for target in (ACCOUNT, CUSTOM):
        for _ in range(2):
            response = customer.call("GET", target, [customer.bearer, ("Idempotency-Key", "a b")])
            assert (response.status, response.header("Idempotency-Replayed")) == (200, None)


@pytest.mark.parametrize(
    "messages",
    [[order("+1555123"), order(sender="Bank")], [order(message="a" * 200), order("x")]],
    ids=["wrong", "not covered"],
)
def test_a_batch_without_any_message_accepted_is_an_answer_too(
    accounts747: Accounts747, messages: list[dict[str, object]]
) -> None:
    poor = accounts747.new(balance="1.00")
    key, body = str(uuid.uuid4()), json.dumps({"messages": messages}).encode()
    first = send(poor, BATCH, key, body)
    assert (first.status, first.header("Idempotency-Replayed")) == (200, None)
    assert all(list(one) == ["error"] for one in first.json()["data"])
    accounts747.topup(poor, "5.00")
    again = send(poor, BATCH, key, body)
    assert (again.status, again.body, again.header("Idempotency-Replayed")) == (200, first.body, "true")
    assert poor.balance() == "6.00"

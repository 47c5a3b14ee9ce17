"""`Idempotency-Key`: a send that happens once, however often it is repeated."""

from __future__ import annotations

import json
import secrets
import threading
import uuid
from collections.abc import Iterator

import pytest
from tests.conftest import Accounts
from tests.harness.client import JSON, Client, message, phone
from tests.harness.wire import Headers, Response


@pytest.fixture(scope="module")
def customer(accounts: Accounts) -> Iterator[Client]:
    return accounts.new(balance="500.00")


def send(client: Client, key: str, body: bytes | None = None, more: Headers = ()) -> Response:
    raw = json.dumps(message([phone()])).encode() if body is None else body
    return client.call("POST", "/api/sms", [client.bearer, JSON, ("Idempotency-Key", key), *more], raw)


def problem(response: Response) -> tuple[int, str]:
    return response.status, response.json()["type"]


def test_a_repeat_gets_the_first_answer_and_is_not_sent_or_charged(customer: Client) -> None:
    key, before = str(uuid.uuid4()), float(customer.balance())
    body = json.dumps(message([phone(), phone("0001"), phone("0002", 7)])).encode()
    first = send(customer, key, body)
    assert first.status == 200
    assert first.header("Idempotency-Replayed") is None
    for _ in range(3):
        again = send(customer, key, body)
        assert (again.status, again.body) == (200, first.body)
        assert again.header("Idempotency-Replayed") == "true"
        assert again.header("Content-Type") == "application/json"
        assert again.header("X-Request-Id") != first.header("X-Request-Id")
    assert float(customer.balance()) == before - 3


def test_another_body_under_the_same_key_is_refused(customer: Client) -> None:
    key = str(uuid.uuid4())
    first = send(customer, key)
    before = customer.balance()
    other = json.dumps(message([phone()], "another text")).encode()
    for body in (other, json.dumps(message([phone()])).encode() + b" "):
        assert problem(send(customer, key, body)) == (400, "/errors/idempotency_key_reused")
    assert send(customer, key).body == first.body
    assert customer.balance() == before


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "clé", "a\tb"])
def test_a_key_that_is_none_is_refused(customer: Client, key: str) -> None:
    assert problem(send(customer, key)) == (400, "/errors/idempotency_key_malformed")


def test_two_keys_are_none(customer: Client) -> None:
    response = send(customer, "one", more=[("Idempotency-Key", "two")])
    assert problem(response) == (400, "/errors/idempotency_key_malformed")


def test_keys_may_have_every_visible_character_and_255_of_them(customer: Client) -> None:
    key = secrets.token_hex(20) + "".join(map(chr, range(0x21, 0x7F)))
    for whole in (key, (key * 2)[:255]):
        first = send(customer, whole)
        assert first.status == 200, first.body
        assert send(customer, whole).body == first.body


def test_a_key_is_the_accounts_own(customer: Client, accounts: Accounts) -> None:
    key = str(uuid.uuid4())
    neighbour = accounts.new(balance="5.00")
    first, second = send(customer, key), send(neighbour, key)
    assert second.header("Idempotency-Replayed") is None
    assert first.body != second.body
    assert neighbour.balance() == "4.00"


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        (b"{", 400),
        (json.dumps(message([phone()], sender="Nobody")).encode(), 406),
        (json.dumps(message(["+1555123"])).encode(), 400),
    ],
)
def test_an_error_is_not_recorded_so_the_mended_request_may_have_the_key(
    customer: Client, wrong: bytes, status: int
) -> None:
    key = str(uuid.uuid4())
    assert send(customer, key, wrong).status == status
    assert send(customer, key, wrong).status == status
    sent = send(customer, key)
    assert sent.status == 200
    assert sent.header("Idempotency-Replayed") is None


def test_an_answer_without_any_message_is_an_answer_too(accounts: Accounts) -> None:
    poor = accounts.new(balance="0.00")
    key = str(uuid.uuid4())
    first = send(poor, key)
    assert first.json() == {"submissions": [{"status": "account_no_balance"}]}
    accounts.topup(poor, "5.00")
    again = send(poor, key)
    assert (again.body, again.header("Idempotency-Replayed")) == (first.body, "true")
    assert poor.balance() == "5.00"
    assert send(poor, str(uuid.uuid4())).json()["submissions"][0]["status"] == "submitted"


def test_fifty_at_once_are_one_message(customer: Client) -> None:
    key, before = str(uuid.uuid4()), float(customer.balance())
    assert customer.token
    answers: list[Response] = []
    threads = [threading.Thread(target=lambda: answers.append(send(customer, key))) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert sum(answer.header("Idempotency-Replayed") is None for answer in answers) == 1
    assert float(customer.balance()) == before - 1


def test_other_calls_ignore_the_header(customer: Client) -> None:
    for _ in range(2):
        response = customer.call("GET", "/api/balance", [customer.bearer, ("Idempotency-Key", "a b")])
        assert response.status == 200
        assert response.header("Idempotency-Replayed") is None

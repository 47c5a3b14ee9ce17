"""Delivery reports: what the customer's own server receives."""

from __future__ import annotations

import datetime
import json
import re
import time
from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from tests.conftest import Accounts
from tests.harness.client import Client, phone
from tests.harness.receiver import Answer, Receiver


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture(scope="module")
def customer(accounts: Accounts, receiver: Receiver) -> Client:
    """An account whose reports go to the receiver, set while the server runs."""
    customer = accounts.new()
    urls = ["--dlr-url", f"{receiver.url}/dlr?key=a%20b", "--mo-url", f"{receiver.url}/mo"]
    customer.server.cli_here("account", "callbacks", customer.account, *urls)
    sent, deadline = [customer.submit()], time.monotonic() + 7
    while not any(receiver.about(id_) for id_ in sent):  # what is sent within two seconds may go unreported
        assert time.monotonic() < deadline, "no report"
        time.sleep(0.2)
        sent.append(customer.submit())
    return customer


@pytest.fixture(scope="module", autouse=True)
def doubtful(customer: Client) -> str:
    """A message that the carrier never answers; sent first, since it takes a few seconds to be given up."""
    return customer.submit(phone("0010"))


@pytest.mark.parametrize(("fate", "status"), [("0000", 1), ("0001", 3), ("0002", 2)])
def test_a_final_status_is_reported_to_the_letter(customer: Client, receiver: Receiver, fate: str, status: int) -> None:
    submission_id = customer.submit(phone(fate))
    call = receiver.wait_for(submission_id)
    done = customer.wait_final(submission_id)["timestamps"]["done"]
    date = datetime.datetime.fromtimestamp(done, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    expected = {"id": submission_id, "phone": phone(fate).lstrip("+"), "status": status, "date": date}
    assert call.json() == expected
    assert list(call.json()) == ["id", "phone", "status", "date"]
    assert type(call.json()["status"]) is int
    assert (call.method, call.target) == ("POST", "/dlr?key=a%20b")
    assert call.headers["content-type"] == "application/json"
    assert call.body.decode() == json.dumps(expected, separators=(",", ":"))


def test_the_phone_has_no_plus_however_the_recipient_was_written(customer: Client, receiver: Receiver) -> None:
    for number in ("+56912340000", "56912340000"):
        assert receiver.wait_for(customer.submit(number)).json()["phone"] == "56912340000"


def test_the_signature_satisfies_an_independent_verifier(customer: Client, receiver: Receiver) -> None:
    call = receiver.wait_for(customer.submit())
    assert Webhook(customer.credentials["webhook_secret"]).verify(call.body, call.headers)
    assert call.headers["webhook-id"]
    assert abs(int(call.headers["webhook-timestamp"]) - call.at) < 60
    assert re.fullmatch(r"v1,[A-Za-z0-9+/]{43}=", call.headers["webhook-signature"])


def test_another_accounts_secret_does_not_verify(customer: Client, receiver: Receiver, other: Client) -> None:
    call = receiver.wait_for(customer.submit())
    with pytest.raises(WebhookVerificationError):
        Webhook(other.credentials["webhook_secret"]).verify(call.body, call.headers)


def test_every_report_has_an_id_of_its_own(customer: Client, receiver: Receiver) -> None:
    ids = [entry["submissionId"] for entry in customer.send([phone(n=n) for n in range(5)]).json()["submissions"]]
    assert len({receiver.wait_for(id_).headers["webhook-id"] for id_ in ids}) == 5


def test_one_message_is_one_report_of_its_final_status(customer: Client, receiver: Receiver) -> None:
    first = customer.submit(phone("0000"), "я" * 140)
    receiver.wait_for(first)
    for _ in range(3):  # whatever else there was to say of the first has been said by then
        receiver.wait_for(customer.submit(phone("0000"), "я" * 140))
    assert [call.json()["status"] for call in receiver.about(first)] == [1]


def test_a_report_that_was_refused_does_not_hold_up_the_next(customer: Client, receiver: Receiver) -> None:
    receiver.script(204, 500, Answer(302, (("Location", f"{receiver.url}/elsewhere"),)), 201)
    refused = [customer.submit() for _ in range(4)]
    for submission_id in refused:
        receiver.wait_for(submission_id)
    receiver.wait_for(customer.submit())
    for submission_id in refused:  # the next attempt is due after five minutes, not now
        assert len(receiver.about(submission_id)) == 1
    assert {call.target for call in receiver.calls} == {"/dlr?key=a%20b"}


def test_an_account_without_a_url_is_not_called(customer: Client, receiver: Receiver, other: Client) -> None:
    silent = other.submit()
    other.wait_final(silent)
    receiver.wait_for(customer.submit())
    assert receiver.about(silent) == []


def test_an_outcome_that_stays_unknown_is_reported_as_such_and_paid(
    customer: Client, receiver: Receiver, doubtful: str
) -> None:
    assert receiver.wait_for(doubtful).json()["status"] == 0
    info = customer.info(doubtful)["info"]
    assert (info["status"], info["cost"]) == ({"code": "0", "status": "UNKNOWN"}, 1)
    assert len(receiver.about(doubtful)) == 1

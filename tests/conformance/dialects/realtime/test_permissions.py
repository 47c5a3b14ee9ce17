"""What an operator may forbid an account: 403 in each of its cases, reached by the commands."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.conftest import Accounts
from tests.harness.client import Client, message, phone
from tests.harness.wire import Response


@pytest.fixture
def customer(accounts: Accounts) -> Client:
    return accounts.new(balance="50.00")


def settle(client: Client, *words: str, until: Callable[[Response], bool]) -> Response:
    """An operator's command, and the first answer to a send that shows it: within two seconds."""
    client.server.cli_here("account", words[0], client.account, *words[1:], json=False)
    deadline = time.monotonic() + 5
    while not until(response := client.send([phone()])):
        assert time.monotonic() < deadline, (response.status, response.body)
        time.sleep(0.1)
    return response


def refused(response: Response) -> bool:
    return response.status == 403


def accepted(response: Response) -> bool:
    return response.status == 200


def code(response: Response) -> str:
    return str(response.json()["type"]).removeprefix("/errors/")


def new_token(client: Client) -> None:
    """Suspending ends the tokens; a new one is to be had all the same."""
    client._token = None
    assert client.authenticate().status == 200


def test_suspended_account_gets_a_token_and_reads_but_does_not_send(customer: Client) -> None:
    sent = customer.submit()
    customer.server.cli_here("account", "suspend", customer.account, json=False)
    deadline = time.monotonic() + 5
    while customer.get("/api/balance").status != 401:
        assert time.monotonic() < deadline, "its tokens have not ended"
        time.sleep(0.1)
    new_token(customer)
    response = customer.send([phone()])
    assert (response.status, code(response)) == (403, "account_suspended")
    assert customer.balance() == "49.00"
    assert customer.info(sent)["id"] == sent
    settle(customer, "resume", until=accepted)


def test_account_whose_sending_is_off_reads_but_does_not_send(customer: Client) -> None:
    response = settle(customer, "sending", "off", until=refused)
    assert code(response) == "sending_disabled"
    before = customer.balance()
    assert customer.call("POST", "/api/sms", [customer.bearer], b"{").status == 403, "403 of the account before 400"
    assert customer.balance() == before
    settle(customer, "sending", "on", until=accepted)


def test_account_is_used_from_its_addresses_alone(customer: Client) -> None:
    sent = customer.submit()
    response = settle(customer, "ips", "--add", "203.0.113.0/24", until=refused)
    assert code(response) == "address_not_allowed"
    assert "127.0.0.1" in response.json()["detail"]
    for target in ("/api/balance", f"/api/sms/{sent}"):
        assert (customer.get(target).status, code(customer.get(target))) == (403, "address_not_allowed")
    assert customer.authenticate().status == 200
    settle(customer, "ips", "--add", "127.0.0.1", until=accepted)
    assert customer.get("/api/balance").status == 200


def test_a_country_that_is_not_allowed_refuses_the_whole_request_and_names_the_recipient(customer: Client) -> None:
    response = settle(customer, "countries", "--only", "GB,IE", until=refused)
    assert code(response) == "country_not_allowed"
    before = customer.balance()
    mixed = customer.send(["+447945223343", "+353851234567", phone(), "+447945223344"])
    assert (mixed.status, code(mixed)) == (403, "country_not_allowed")
    assert [error["pointer"] for error in mixed.json()["errors"]] == ["/recipients/2"]
    assert "CL" in mixed.json()["detail"]
    assert customer.send(["+447945223343", "+353851234567"]).status == 200
    assert float(customer.balance()) == float(before) - 2
    settle(customer, "countries", "--all", until=accepted)


def test_the_sender_comes_before_the_destination(customer: Client) -> None:
    settle(customer, "countries", "--only", "GB", until=refused)
    assert customer.send([phone()], sender="Nobody").status == 406
    assert customer.send(["+1555123"], sender="Nobody").status == 400


def test_a_sender_that_was_taken_away_is_406_and_one_that_was_added_is_not(customer: Client) -> None:
    assert customer.send([phone()], sender="SHOP").status == 406
    customer.server.cli_here("account", "senders", customer.account, "--add", "SHOP", "--remove", "96000", json=False)
    deadline = time.monotonic() + 5
    while customer.send([phone()], sender="SHOP").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    response = customer.send([phone()], sender="96000")
    assert (response.status, code(response)) == (406, "sender_not_allowed")


def test_rotated_credentials_end_the_old_ones_and_their_tokens(customer: Client) -> None:
    old = customer.authenticate().json()["access_token"]
    issued = customer.server.cli_here("account", "rotate", customer.account).data
    fresh = Client(customer.server, issued).wait_effective()
    assert fresh.balance() == "50.00"
    assert customer.authenticate().status == 401
    assert customer.call("GET", "/api/balance", [("Authorization", f"Bearer {old}")]).status == 401


def test_credit_lets_a_balance_go_below_zero_and_shows_it(accounts: Accounts) -> None:
    customer = accounts.new(balance="1.00")
    customer.server.cli_here("account", "credit", customer.account, "1.50", json=False)
    statuses = [entry["status"] for entry in customer.send([phone(), phone(), phone(), phone()]).json()["submissions"]]
    assert statuses == ["submitted", "submitted", "account_no_balance", "account_no_balance"]
    assert customer.balance() == "-1.00"


def test_order_of_the_refusals(customer: Client) -> None:
    settle(customer, "sending", "off", until=refused)
    body = b"{"
    assert customer.call("POST", "/api/sms", [("Authorization", "Bearer a b")], body).status == 400
    assert customer.call("POST", "/api/sms", [("Authorization", "Bearer a.b.c")], body).status == 401
    assert customer.call("PUT", "/api/sms", [customer.bearer], body).status == 405
    assert code(customer.call("POST", "/api/sms", [customer.bearer], body)) == "sending_disabled"
    assert customer.post(message([phone()], sender="")).status == 403

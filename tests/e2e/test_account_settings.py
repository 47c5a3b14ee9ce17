"""An operator changes an account's settings while the server runs, and the customer notices."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError
from tests.conftest import Accounts
from tests.harness.client import Client, phone
from tests.harness.receiver import Call, Receiver
from tests.harness.server import Server
from tests.harness.wire import Response

WITHIN_SECONDS = 5.0  # the promise is two; the machine that tests may be busy


@pytest.fixture
def customer(accounts: Accounts) -> Client:
    return accounts.new()


def operator(customer: Client, command: str, *words: str) -> Any:
    """`heliograph account COMMAND` for this customer."""
    return customer.server.cli_here("account", command, customer.account, *words).data


def soon(ask: Callable[[], Response], status: int) -> Response:
    """The answer once it has this status."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while (response := ask()).status != status:
        assert time.monotonic() < deadline, (response.status, response.body)
        time.sleep(0.1)
    return response


def kind(response: Response) -> str:
    return str(response.json()["type"])


def fresh_number() -> str:
    return f"8{secrets.randbelow(10**7):07}"


def test_sending_is_switched_off_and_on_again_and_reading_goes_on(customer: Client) -> None:
    sent = customer.submit()
    operator(customer, "sending", "off")
    assert kind(soon(customer.send, 403)) == "/errors/sending_disabled"
    assert customer.get("/api/balance").status == 200
    assert customer.info(sent)["id"] == sent
    operator(customer, "sending", "on")
    soon(customer.send, 200)


def test_an_account_is_used_from_its_networks_alone(customer: Client) -> None:
    operator(customer, "ips", "--add", "203.0.113.0/24")
    assert kind(soon(customer.send, 403)) == "/errors/address_not_allowed"
    assert kind(customer.get("/api/balance")) == "/errors/address_not_allowed"
    operator(customer, "ips", "--add", "127.0.0.1")
    soon(customer.send, 200)
    operator(customer, "ips", "--remove", "127.0.0.1")
    soon(customer.send, 403)
    operator(customer, "ips", "--any")
    soon(customer.send, 200)


def test_a_country_that_is_not_allowed_is_refused_and_its_recipient_named(customer: Client) -> None:
    operator(customer, "countries", "--only", "GB,IE")
    refused = soon(lambda: customer.send(["+447400123456", phone()]), 403)
    assert kind(refused) == "/errors/country_not_allowed"
    assert [one["pointer"] for one in refused.json()["errors"]] == ["/recipients/1"]
    assert customer.send(["+447400123456", "+353851234567"]).status == 200
    operator(customer, "countries", "--all")
    soon(customer.send, 200)


def test_the_call_over_the_limit_is_refused_with_the_time_to_wait(customer: Client) -> None:
    operator(customer, "limit", "--per-minute", "3")
    deadline = time.monotonic() + WITHIN_SECONDS
    while (first := customer.get("/api/balance")).header("RateLimit-Limit") is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (first.header("RateLimit-Limit"), first.header("RateLimit-Remaining")) == ("3", "2")
    assert first.header("RateLimit-Policy") == '"default";q=3;w=60'
    assert [customer.send().status for _ in range(3)] == [200, 200, 429]
    refused = customer.send()
    assert kind(refused) == "/errors/rate_limited"
    assert refused.header("RateLimit-Remaining") == "0"
    assert 0 < int(refused.header("Retry-After") or 0) <= 61
    operator(customer, "limit", "--per-minute", "none")
    assert soon(customer.send, 200).header("RateLimit-Limit") is None


def test_a_sender_that_was_removed_is_refused_and_any_other_can_be_allowed(customer: Client) -> None:
    operator(customer, "senders", "--add", "SHOP", "--remove", "96000")
    assert kind(soon(customer.send, 406)) == "/errors/sender_not_allowed"
    assert customer.send(sender="SHOP").status == 200
    operator(customer, "senders", "--any")
    soon(customer.send, 200)


def test_credit_lets_the_balance_go_below_zero_and_no_further(accounts: Accounts) -> None:
    customer = accounts.new(balance="0")
    assert customer.send().json()["submissions"] == [{"status": "account_no_balance"}]
    assert operator(customer, "credit", "1.50")["credit"] == "1.5"
    customer.submit()
    assert customer.balance() == "-1.00"
    assert customer.send().json()["submissions"] == [{"status": "account_no_balance"}]
    assert operator(customer, "credit") == {"account_id": customer.account, "credit": "1.5", "balance": "-1.00"}


def test_a_renewed_secret_ends_the_old_one_and_all_tokens(customer: Client) -> None:
    assert customer.send().status == 200
    renewed = operator(customer, "rotate")
    assert renewed["realtime"]["client_id"] == customer.client_id
    assert soon(customer.authenticate, 401).status == 401
    assert customer.send().status == 401
    again = Client(customer.server, renewed)
    assert again.send().status == 200


def test_callbacks_are_signed_with_the_renewed_webhook_secret_and_the_one_before(accounts: Accounts) -> None:
    customer = accounts.new("--any-sender")
    with Receiver() as receiver:
        operator(customer, "callbacks", "--dlr-url", receiver.url)
        renewed = operator(customer, "rotate", "--webhook-secret")["webhook_secret"]
        call = reported(customer, receiver, renewed)
        assert signed(call, customer.credentials["webhook_secret"])
        twice = operator(customer, "rotate", "--webhook-secret")["webhook_secret"]
        call = reported(customer, receiver, twice)
        assert signed(call, renewed)
        assert not signed(call, customer.credentials["webhook_secret"])
    assert customer.send().status == 200, "tokens live on"


def reported(customer: Client, receiver: Receiver, secret: str) -> Call:
    """A report that is signed with a secret, once the server knows it."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while not (calls := [call for call in receiver.calls if signed(call, secret)]):
        assert time.monotonic() < deadline
        customer.wait_final(customer.submit())
        time.sleep(0.2)
    return calls[0]


def signed(call: Call, secret: str) -> bool:
    try:
        Webhook(secret).verify(call.body, call.headers)
    except WebhookVerificationError:
        return False
    return True


def test_the_policy_for_numbers_becomes_stricter_and_looser(customer: Client) -> None:
    possible = "+15555551234"  # of the right length, in no range that is in use
    assert customer.send([possible]).status == 200
    operator(customer, "numbers", "valid")
    assert kind(soon(lambda: customer.send([possible]), 400)) == "/errors/recipient_invalid"
    operator(customer, "numbers", "syntax")
    soon(lambda: customer.send(["+999123456789"]), 200)


def test_messages_wait_no_longer_than_the_validity_says(customer: Client) -> None:
    operator(customer, "validity", "30m")
    deadline = time.monotonic() + WITHIN_SECONDS
    while waits(customer, customer.submit()) != "30:00":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def waits(customer: Client, submission_id: str) -> str:
    """Minutes and seconds between a message's acceptance and its expiry, of the same hour."""
    shown = customer.server.cli_here("message", "show", submission_id).data
    minutes = [int(shown[key][14:16]) * 60 + int(shown[key][17:19]) for key in ("registered", "expires")]
    return "{:02}:{:02}".format(*divmod((minutes[1] - minutes[0]) % 3600, 60))


def test_a_recipient_that_opted_out_gets_nothing_and_costs_nothing(customer: Client) -> None:
    before = customer.balance()
    operator(customer, "optout", "--add", phone())
    refused = customer.submit(phone())
    info = customer.wait_final(refused)["info"]
    assert (info["status"]["status"], info["cost"]) == ("REJECTED", 0)
    assert customer.balance() == before
    operator(customer, "optout", "--remove", phone())
    assert customer.wait_final(customer.submit(phone()))["info"]["status"]["status"] == "DELIVERED"


def test_inbound_messages_are_the_accounts_while_it_owns_their_number(customer: Client) -> None:
    number = fresh_number()
    unowned = written(customer, number)
    assert unowned["account_id"] is None
    operator(customer, "inbound", "--add", number)
    owned_by(customer, number, customer.account)
    assert number in {one["to"] for one in listed(customer, "--account", customer.account)}
    operator(customer, "inbound", "--remove", number)
    owned_by(customer, number, None)
    assert number in {one["to"] for one in listed(customer, "--unowned")}


def owned_by(customer: Client, number: str, account: str | None) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while written(customer, number)["account_id"] != account:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def written(customer: Client, number: str) -> Any:
    """A message to a number, as it is stored."""
    text = secrets.token_hex(8)
    words = ("--from", "56912345678", "--to", number, "--text", text)
    customer.server.cli_here("simulator", "inbound", *words)
    return next(one for one in listed(customer) if one["text"] == text)


def listed(customer: Client, *words: str) -> Any:
    return customer.server.cli_here("inbound", "list", *words).data


# -- the demo's own account


def test_the_demo_owns_its_short_code(server: Server) -> None:
    assert server.cli_here("account", "show", "demo").data["inbound"] == ["96000"]


@pytest.mark.slow
def test_a_demo_that_is_older_than_inbound_messages_gets_its_short_code_unless_it_is_taken(data: Path) -> None:
    server = Server(data)
    with server:
        pass
    server.cli_here("account", "inbound", "demo", "--remove", "96000")
    with server:
        assert server.cli_here("account", "inbound", "demo").data["inbound"] == ["96000"]
    server.cli_here("account", "inbound", "demo", "--remove", "96000")
    words = ("--name", "Acme", "--email", "x@acme.example", "--id", "acme", "--inbound", "96000")
    server.cli_here("account", "create", *words)
    with server:
        assert server.cli_here("account", "inbound", "demo").data["inbound"] == []


@pytest.mark.slow
def test_a_demo_whose_secret_was_renewed_says_so_and_takes_the_new_one(data: Path) -> None:
    server = Server(data)
    with server:
        pass
    renewed = server.cli_here("account", "rotate", "demo").data
    server.spawn()
    assert server.died() == 3
    assert "heliograph account rotate" in server.printed()
    (data / "demo-credentials.json").write_text(json.dumps(renewed))
    with server:
        assert Client(server, server.credentials).send().status == 200

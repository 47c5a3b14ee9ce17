"""Inbound messages: what somebody writes to a number of the customer's is called back."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook
from tests.conftest import Accounts
from tests.harness.client import Client
from tests.harness.receiver import Answer, Call, Receiver


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


def fresh_number() -> str:
    return f"8{secrets.randbelow(10**7):07}"


def write(client: Client, to: str, text: str, from_: str = "+447945223343") -> None:
    client.server.cli_here("simulator", "inbound", "--from", from_, "--to", to, "--text", text, json=False)


def called(receiver: Receiver, text: str, calls: int = 1, within: float = 15.0) -> list[Call]:
    found: list[Call] = receiver.wait(
        lambda all_: len(about := [one for one in all_ if one.json().get("message") == text]) >= calls and about, within
    )
    return found


@pytest.fixture(scope="module")
def number() -> str:
    return fresh_number()


@pytest.fixture(scope="module")
def customer(accounts: Accounts, receiver: Receiver, number: str) -> Client:
    """An account that owns a number and is called back, as the server knows."""
    customer = accounts.new("--inbound", number)
    url = f"{receiver.url}/mo?key=a%20b"
    customer.server.cli_here("account", "callbacks", customer.account, "--mo-url", url, json=False)
    deadline, tries = time.monotonic() + 7, 0
    while not any(one.json()["message"].startswith("knock") for one in receiver.calls):
        assert time.monotonic() < deadline, "no callback"
        tries += 1
        write(customer, number, f"knock {tries}")
        time.sleep(0.3)
    return customer


def test_inbound_message_is_told_to_the_letter(customer: Client, receiver: Receiver, number: str) -> None:
    write(customer, number, "Test 1")
    (call,) = called(receiver, "Test 1")
    expected = {"phone": "447945223343", "originator": number, "message": "Test 1"}
    assert call.body.decode() == json.dumps(expected, separators=(",", ":"))
    assert (call.method, call.target) == ("POST", "/mo?key=a%20b")
    assert call.headers["content-type"] == "application/json"


@pytest.mark.parametrize("text", ["Ünïcødé 😀 \u2028", 'quotes " and \\ and / and \t', "x" * 3000, " "])
def test_texts_arrive_as_they_were_written(customer: Client, receiver: Receiver, number: str, text: str) -> None:
    unique = f"{secrets.token_hex(4)} {text}"
    write(customer, number, unique)
    (call,) = called(receiver, unique)
    assert call.json()["message"] == unique


def test_callback_is_signed_and_the_same_at_each_attempt(customer: Client, receiver: Receiver, number: str) -> None:
    write(customer, number, "signed")
    (call,) = called(receiver, "signed")
    Webhook(customer.credentials["webhook_secret"]).verify(call.body, call.headers)
    assert call.headers["webhook-id"].startswith("cb_")


def test_only_200_acknowledges(customer: Client, receiver: Receiver, number: str) -> None:
    receiver.script(Answer(204))
    write(customer, number, "not acknowledged")
    called(receiver, "not acknowledged")
    deadline = time.monotonic() + 10
    while True:
        found = customer.server.cli_here("callback", "list", "--account", customer.account, "--kind", "mo").data
        waiting = [one for one in found if one["state"] == "pending" and "204" in json.dumps(one)]
        if waiting:
            break
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_message_to_a_number_of_nobody_is_kept_and_told_to_nobody(customer: Client, receiver: Receiver) -> None:
    nobodys = fresh_number()
    write(customer, nobodys, "to nobody")
    listed = customer.server.cli_here("inbound", "list", "--unowned").data
    assert any(one["text"] == "to nobody" for one in listed)
    assert not any(one.json().get("message") == "to nobody" for one in receiver.calls)


def test_message_to_an_account_without_a_url_is_kept(accounts: Accounts) -> None:
    number = fresh_number()
    silent = accounts.new("--inbound", number)
    write(silent, number, "for later")
    listed = silent.server.cli_here("inbound", "list", "--account", silent.account).data
    assert [one["text"] for one in listed] == ["for later"]


def test_a_number_is_one_accounts_alone(customer: Client, accounts: Accounts, number: str) -> None:
    other = accounts.new()
    refused = other.server.cli_here("account", "inbound", other.account, "--add", number, json=False, check=False)
    assert refused.code == 1
    assert number in refused.err


def test_demo_account_owns_its_sender(server: object, client: Client) -> None:
    listed = client.server.cli_here("account", "show", client.account).data
    assert "96000" in listed["inbound"]

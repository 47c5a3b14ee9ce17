"""`GET /api/v1/account`."""

from __future__ import annotations

import datetime
import time

import pytest
from tests.harness.client import phone
from tests.harness.client747 import ACCOUNT, TIME, UNLIMITED, Accounts747, Client747, check_error


def test_the_account_is_told_in_every_field(accounts747: Accounts747) -> None:
    client = accounts747.new(balance="12.34")
    response = client.get(ACCOUNT)
    assert response.status == 200
    assert response.header("Content-Type") == "application/json"
    assert list(response.json()) == ["data"]
    found = response.json()["data"]
    assert list(found) == ["id", "name", "balance", "currency", "tier", "rate_limit"]
    assert found["id"] == client.account
    assert found["name"] == client.server.cli_here("account", "show", client.account).data["name"]
    assert (found["balance"], found["currency"], found["tier"]) == ("12.34", "USD", "standard")
    assert list(found["rate_limit"]) == ["limit", "remaining", "reset_at"]
    assert found["rate_limit"]["limit"] == UNLIMITED
    assert found["rate_limit"]["remaining"] == int(response.header("RateLimit-Remaining") or -1)
    assert TIME.fullmatch(found["rate_limit"]["reset_at"])


def test_the_rate_limit_is_the_tiers_unless_the_account_has_its_own(accounts747: Accounts747) -> None:
    client = accounts747.new(limited=True)
    response = client.get(ACCOUNT)
    limit = response.json()["data"]["rate_limit"]
    assert (limit["limit"], limit["remaining"]) == (100, int(response.header("RateLimit-Remaining") or -1))
    at = datetime.datetime.fromisoformat(limit["reset_at"])
    now = datetime.datetime.now(datetime.UTC)
    assert now - datetime.timedelta(seconds=2) <= at <= now + datetime.timedelta(seconds=62)


@pytest.mark.parametrize(("credit", "sends", "balance"), [("0", 1, "0.00"), ("2.50", 3, "-2.00")])
def test_the_balance_falls_by_what_is_sent(accounts747: Accounts747, credit: str, sends: int, balance: str) -> None:
    client = accounts747.new(balance="1.00")
    client.told("credit", credit)
    for _ in range(sends):
        client.sent(phone())
    check_error(client.send(), 422, "insufficient_funds")
    assert client.balance() == balance


def test_a_suspended_account_gets_a_token_and_reads_but_does_not_send(customer: Client747) -> None:
    sent = customer.sent()["id"]
    customer.told("suspend")
    deadline = time.monotonic() + 5
    while customer.get(ACCOUNT).status != 401:
        assert time.monotonic() < deadline, "its tokens have not ended"
        time.sleep(0.1)
    customer.forget_token()
    assert check_error(customer.send(), 403, "permission_denied")["hint"]
    assert customer.balance() == "49.00"
    assert customer.show(sent)["id"] == sent
    assert len(customer.page()["data"]) == 1

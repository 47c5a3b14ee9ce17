"""Rate limits: an account's, and of token requests that fail."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from tests.conftest import DOORS, Accounts
from tests.harness.client import FORM, Client, form, message, phone
from tests.harness.server import Server
from tests.harness.wire import Headers, Response

HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy")


@pytest.fixture
def limited(accounts: Accounts) -> Client:
    """An account with a limit that has not made a call yet, and whose limit the server knows."""
    customer = accounts.new(balance="100.00")
    customer.server.cli_here("account", "limit", customer.account, "--per-minute", "1000", json=False)
    deadline = time.monotonic() + 5
    while customer.get("/api/balance").header("RateLimit-Limit") != "1000":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return customer


def used(client: Client) -> int:
    """How many calls count now, this one not."""
    return 999 - int(client.get("/api/balance").header("RateLimit-Remaining") or -1)


def lower(client: Client, to: int) -> None:
    client.server.cli_here("account", "limit", client.account, "--per-minute", str(to), json=False)
    deadline = time.monotonic() + 5
    while client.get("/api/balance").header("RateLimit-Limit") != str(to):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_account_without_a_limit_hears_nothing_of_limits(client: Client) -> None:
    for response in (client.get("/api/balance"), client.send([phone()]), client.get("/api/sms/1"), client.post(b"{")):
        assert not any(response.header(name) for name in HEADERS)


def test_every_answer_of_a_limited_account_tells_where_it_stands(limited: Client) -> None:
    sent = limited.submit()
    start = used(limited)
    calls: list[Response] = [
        limited.get("/api/balance"),
        limited.get(f"/api/sms/{sent}"),
        limited.get("/api/sms/1"),
        limited.send([phone()]),
        limited.post(b"{"),
        limited.send([phone()], sender="Nobody"),
        limited.send(["+1555123"]),
    ]
    assert [one.status for one in calls] == [200, 200, 404, 200, 400, 406, 400]
    for n, response in enumerate(calls, 1):
        assert response.header("RateLimit-Limit") == "1000"
        assert response.header("RateLimit-Remaining") == str(1000 - start - 1 - n)
        assert response.header("RateLimit-Policy") == '"default";q=1000;w=60'
        assert re.fullmatch("[1-9]|[1-5][0-9]|6[01]", response.header("RateLimit-Reset") or "")
        assert response.header("Retry-After") is None


def test_over_the_limit_is_429_and_nothing_is_accepted(limited: Client) -> None:
    limited.submit()
    before = limited.balance()
    lower(limited, 3)  # which more calls than that have led to
    for response in (limited.send([phone()]), limited.post(b"{"), limited.get("/api/sms/1")):
        assert response.status == 429
        body = response.json()
        assert (body["type"], body["status"]) == ("/errors/rate_limited", 429)
        assert response.header("Content-Type") == "application/problem+json"
        assert response.header("RateLimit-Remaining") == "0"
        assert response.header("RateLimit-Limit") == "3"
        assert 1 <= int(response.header("Retry-After") or 0) <= 61
        assert response.header("Retry-After") == response.header("RateLimit-Reset")
    limited.server.cli_here("account", "limit", limited.account, "--per-minute", "none", json=False)
    deadline = time.monotonic() + 5
    while limited.get("/api/balance").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert limited.balance() == before


def test_what_is_refused_before_does_not_count(limited: Client) -> None:
    start = used(limited)
    for _ in range(5):
        assert limited.call("GET", "/api/balance", [("Authorization", "Bearer a.b.c")]).status == 401
        assert limited.call("PUT", "/api/balance", [limited.bearer]).status == 405
        assert limited.get("/api/nothing").status == 404
        assert limited.authenticate().status == 200
    assert used(limited) == start + 1


def test_one_accounts_limit_is_not_anothers(limited: Client, other: Client) -> None:
    lower(limited, 1)
    assert limited.get("/api/balance").status == 429
    assert other.get("/api/balance").status == 200


@pytest.fixture(scope="module", params=list(DOORS))
def strict(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server that lets an address fail three times a minute, behind a proxy that it trusts."""
    settings = {"limits.failed_tokens_per_minute": "3", "http.trusted_proxies": "127.0.0.1"}
    data = tmp_path_factory.mktemp(f"strict-{request.param}") / "data"
    with Server(data, settings={"http.lean_door": DOORS[request.param], **settings}) as started:
        yield Client(started, started.credentials)


def ask(client: Client, address: str, **fields: str) -> Response:
    right = {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": client.client_secret}
    return client.call("POST", "/api/auth", [FORM, ("X-Forwarded-For", address)], form(**{**right, **fields}))


def test_failing_token_requests_slow_down_their_address_alone(strict: Client) -> None:
    wrong = {"client_secret": "rts_" + "x" * 43}
    for _ in range(3):
        assert ask(strict, "203.0.113.1").status == 200, "what succeeds is not slowed down before"
        assert ask(strict, "203.0.113.1", **wrong).status == 401
    for fields in (wrong, {}):
        response = ask(strict, "203.0.113.1", **fields)
        assert response.status == 429
        assert response.json()["type"] == "/errors/auth_throttled"
        assert response.header("Content-Type") == "application/problem+json"
        assert 1 <= int(response.header("Retry-After") or 0) <= 61
    assert ask(strict, "203.0.113.1", client_id="x").status == 400, "malformed is malformed"
    assert ask(strict, "203.0.113.2").status == 200
    assert ask(strict, "2001:db8::1", **wrong).status == 401


def test_malformed_token_requests_do_not_count_as_failed(strict: Client) -> None:
    for _ in range(5):
        assert ask(strict, "203.0.113.5", client_id="x").status == 400
    assert ask(strict, "203.0.113.5").status == 200


def test_calls_with_a_token_go_on_from_an_address_that_is_slowed_down(strict: Client) -> None:
    for _ in range(4):
        ask(strict, "203.0.113.9", client_secret="rts_" + "x" * 43)
    headers: Headers = [strict.bearer, ("X-Forwarded-For", "203.0.113.9")]
    assert strict.call("GET", "/api/balance", headers).status == 200
    assert strict.post(message([phone()])).status == 200

"""Rate limits: the tiers', an account's own, and of token requests that fail."""

from __future__ import annotations

import datetime
import math
import re
import threading
import time
from collections.abc import Iterator

import pytest
from tests.conformance.dialects.sms747.clocked747 import Clocked747, clocked_demo
from tests.conftest import DOORS
from tests.harness.client import JSON, phone
from tests.harness.client747 import ACCOUNT, CUSTOM, TOKEN, Accounts747, Client747, check_error, order
from tests.harness.server import Server
from tests.harness.wire import Response

HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy")


@pytest.fixture
def standard(accounts747: Accounts747) -> Client747:
    return accounts747.new(limited=True)


def remaining(response: Response) -> int:
    return int(response.header("RateLimit-Remaining") or -1)


def limited(response: Response, limit: int) -> None:
    """A 429, to the letter."""
    details = check_error(response, 429, "rate_limit_exceeded")
    assert response.json()["error"]["message"] == "Rate limit exceeded. Please try again later."
    assert list(details) == ["rate_limit"]
    assert list(details["rate_limit"]) == ["limit", "remaining", "reset_at"]
    assert (details["rate_limit"]["limit"], details["rate_limit"]["remaining"]) == (limit, 0)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", details["rate_limit"]["reset_at"])
    wait = int(response.header("Retry-After") or 0)
    assert 1 <= wait <= 61
    assert response.header("RateLimit-Reset") == str(wait)
    assert response.header("RateLimit-Remaining") == "0"
    at = datetime.datetime.fromisoformat(details["rate_limit"]["reset_at"]).timestamp()
    assert abs(at - time.time() - wait) <= 3


def test_a_standard_account_makes_a_hundred_calls_a_minute_and_no_more(standard: Client747) -> None:
    answers = [standard.get(ACCOUNT) for _ in range(130)]
    assert [one.status for one in answers] == [200] * 100 + [429] * 30
    for n, one in enumerate(answers[:100], 1):
        assert one.header("RateLimit-Limit") == "100"
        assert remaining(one) == 100 - n
        assert one.header("RateLimit-Policy") == '"default";q=100;w=60'
        assert re.fullmatch("[1-9]|[1-5][0-9]|6[01]", one.header("RateLimit-Reset") or "")
        assert one.header("Retry-After") is None
    for one in answers[100:]:
        limited(one, 100)
    limited(standard.send(), 100)
    limited(standard.batch([order()]), 100)
    limited(standard.post(b"{"), 100)
    limited(standard.delete(f"{CUSTOM}/1"), 100)
    assert standard.authenticate().status == 200, "token calls do not count against the account"


def test_every_answer_of_a_limited_account_tells_where_it_stands(standard: Client747) -> None:
    standard.get(ACCOUNT)
    calls = [
        standard.send(),
        standard.get(CUSTOM),
        standard.get(f"{CUSTOM}/1"),
        standard.delete(f"{CUSTOM}/1"),
        standard.batch([order(), order("x")]),
        standard.post(b"{"),
        standard.send("+1555123"),
        standard.send(sender="Bank"),
        standard.send(message="a" * 1531),
        standard.post(order(), "/API/v1/Message/Custom"),
    ]
    assert [one.status for one in calls] == [201, 200, 404, 404, 200, 400, 400, 403, 422, 201]
    for n, one in enumerate(calls, 2):
        assert [one.header(name) is not None for name in HEADERS] == [True] * 4
        assert (one.header("RateLimit-Limit"), remaining(one)) == ("100", 100 - n)


def test_what_is_refused_before_does_not_count(standard: Client747) -> None:
    start = remaining(standard.get(ACCOUNT))
    for _ in range(5):
        assert standard.call("GET", ACCOUNT, [("Authorization", "Bearer a.b.c")]).status == 401
        assert standard.call("PUT", ACCOUNT, [standard.bearer]).status == 405
        assert standard.get("/api/v1/nothing").status == 404
        assert standard.authenticate().status == 200
    assert remaining(standard.get(ACCOUNT)) == start - 1


def test_token_answers_tell_nothing_of_limits(standard: Client747) -> None:
    response = standard.authenticate()
    assert not any(response.header(name) for name in HEADERS)


def test_the_other_api_does_not_use_up_the_tiers_limit(standard: Client747) -> None:
    start = remaining(standard.get(ACCOUNT))
    for _ in range(120):
        response = standard.realtime.get("/api/balance")
        assert response.status == 200
        assert not any(response.header(name) for name in HEADERS)
    assert remaining(standard.get(ACCOUNT)) == start - 1


def test_a_premium_account_makes_five_hundred(standard: Client747) -> None:
    standard.told("tier", "premium")
    standard.wait_limit(500)
    info = standard.info()
    assert (info["tier"], info["rate_limit"]["limit"]) == ("premium", 500)
    answers = [standard.get(ACCOUNT) for _ in range(520)]
    admitted = [one for one in answers if one.status == 200]
    assert 450 <= len(admitted) < 500
    assert remaining(admitted[-1]) == 0
    assert admitted[0].header("RateLimit-Policy") == '"default";q=500;w=60'
    limited(answers[-1], 500)


def test_an_accounts_own_number_goes_before_its_tiers_and_counts_both_apis(standard: Client747) -> None:
    standard.told("limit", "--per-minute", "1000")
    standard.wait_limit(1000)
    start = remaining(standard.get(ACCOUNT))
    there = standard.realtime.get("/api/balance")
    assert (there.header("RateLimit-Limit"), remaining(there)) == ("1000", start - 1)
    assert remaining(standard.get(ACCOUNT)) == start - 2
    standard.told("limit", "--per-minute", "2")
    deadline = time.monotonic() + 5
    while (response := standard.get(ACCOUNT)).status != 429:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    limited(response, 2)
    assert standard.realtime.get("/api/balance").status == 429


def test_refused_sends_cost_nothing(standard: Client747) -> None:
    answers = [standard.send() for _ in range(110)]
    assert [one.status for one in answers] == [201] * 100 + [429] * 10
    assert standard.realtime.balance() == "900.00"


def test_fifty_callers_at_once_are_admitted_a_hundred_times_together(standard: Client747) -> None:
    assert standard.token
    statuses: list[int] = []

    def calls() -> None:
        for _ in range(5):
            statuses.append(standard.get(ACCOUNT).status)

    threads = [threading.Thread(target=calls) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (statuses.count(200), statuses.count(429)) == (100, 150)


def test_one_accounts_limit_is_not_anothers(standard: Client747, accounts747: Accounts747) -> None:
    neighbour = accounts747.new(limited=True)
    for _ in range(101):
        standard.get(ACCOUNT)
    assert standard.get(ACCOUNT).status == 429
    assert remaining(neighbour.get(ACCOUNT)) == 99


# -- when the next is admitted


@pytest.fixture
def clocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocked747]:
    with clocked_demo(tmp_path_factory.mktemp("limits747") / "data", {}) as made:
        made.client.told("limit", "--per-minute", "none")
        made.client.wait_limit(100)
        made.wait(61)
        yield made


def test_reset_at_is_when_the_next_request_is_admitted(clocked: Clocked747) -> None:
    """The clock stands still but for what the test lets pass: the first hundred are at two instants."""
    for _ in range(40):
        assert clocked.client.get(ACCOUNT).status == 200
    clocked.wait(20)
    for _ in range(60):
        assert clocked.client.get(ACCOUNT).status == 200
    refused = clocked.client.get(ACCOUNT)
    details = check_error(refused, 429, "rate_limit_exceeded")
    at = datetime.datetime.fromisoformat(details["rate_limit"]["reset_at"])
    wait = int(refused.header("Retry-After") or 0)
    assert wait in (40, 41)
    assert math.isclose((at - clocked.now()).total_seconds(), wait, abs_tol=1)
    clocked.wait(39)
    assert clocked.client.get(ACCOUNT).status == 429
    clocked.wait(1.01)
    assert [clocked.client.get(ACCOUNT).status for _ in range(41)] == [200] * 40 + [429]
    clocked.wait(20)
    assert [clocked.client.get(ACCOUNT).status for _ in range(61)] == [200] * 60 + [429]


# -- token requests that fail


@pytest.fixture(scope="module", params=list(DOORS))
def strict(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client747]:
    """A server that lets an address fail three times a minute, behind a proxy that it trusts."""
    settings = {"limits.failed_tokens_per_minute": "3", "http.trusted_proxies": "127.0.0.1"}
    data = tmp_path_factory.mktemp(f"strict747-{request.param}") / "data"
    with Server(data, settings={"http.lean_door": DOORS[request.param], **settings}) as started:
        yield Client747(started, started.credentials)


def ask(client: Client747, address: str, secret: str | None = None) -> Response:
    body = f'{{"api_key":"{client.api_key}","api_secret":"{secret or client.api_secret}"}}'.encode()
    return client.call("POST", TOKEN, [JSON, ("X-Forwarded-For", address)], body)


def test_failing_token_requests_slow_down_their_address_alone(strict: Client747) -> None:
    wrong = strict.api_secret[:-1] + ("a" if strict.api_secret[-1] != "a" else "b")
    for _ in range(3):
        assert ask(strict, "203.0.113.1").status == 200
        check_error(ask(strict, "203.0.113.1", wrong), 401, "authentication_failed")
    for secret in (wrong, None):
        details = check_error(ask(strict, "203.0.113.1", secret), 429, "rate_limit_exceeded")
        assert details["rate_limit"]["remaining"] == 0
        assert set(details["rate_limit"]) == {"limit", "remaining", "reset_at"}
    check_error(ask(strict, "203.0.113.1", "x"), 400, "invalid_request")
    assert ask(strict, "203.0.113.2").status == 200
    headers = [strict.bearer, ("X-Forwarded-For", "203.0.113.1")]
    assert strict.call("GET", ACCOUNT, headers).status == 200


def test_the_paths_of_a_limit_are_all_below_api_v1(standard: Client747) -> None:
    for n, path in enumerate((CUSTOM, ACCOUNT, "/api/v1/MESSAGE/custom", CUSTOM), 1):
        assert remaining(standard.get(path)) == 100 - n
    assert remaining(standard.batch([order(phone())])) == 95

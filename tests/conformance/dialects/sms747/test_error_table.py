"""The two tables of the provider's error page, every row of both, and the rows that the contract adds.

Reached by a request, by an operator's setting, or by a fault. What each error looks like in full is tested beside the
feature that it belongs to; here is that each row is there, and that it reads as the registry says.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import DOORS, Accounts
from tests.harness.client import FORM, phone
from tests.harness.client747 import ACCOUNT, CUSTOM, UNLIMITED, Accounts747, Client747, check_error, order
from tests.harness.server import Server
from tests.harness.wire import Response, encode

HARNESS = Path(__file__).parents[3] / "harness"
BODY = json.dumps(order()).encode()

Provoke = Callable[[Client747, Accounts747], Response]


def told(client: Client747, *words: str) -> Response:
    """The first answer to a send that an operator's command changed."""
    client.told(*words)
    deadline = time.monotonic() + 5
    while (response := client.send()).status == 201:
        assert time.monotonic() < deadline, "the server has not heard of it"
        time.sleep(0.1)
    return response


def wrong(secret: str) -> str:
    return secret[:-1] + ("a" if secret[-1] != "a" else "b")


def big(client: Client747) -> Response:
    with client.server.wire() as wire:
        wire.send_until_refused(encode("POST", CUSTOM, [client.bearer], b" " * (1024 * 1024 + 1)))
        return wire.read()


def fat(client: Client747) -> Response:
    with client.server.wire() as wire:
        wire.send_until_refused(encode("GET", ACCOUNT, [client.bearer, ("X-Fat", "x" * 40_000)]))
        return wire.read()


def opted_out(client: Client747) -> Response:
    client.told("optout", "--add", phone(n=88))
    return client.send(phone(n=88))


def reused(client: Client747) -> Response:
    for text in ("one", "two"):
        response = client.post(order(message=text), CUSTOM, [("Idempotency-Key", "order-17")])
    return response


def cancelled_late(client: Client747) -> Response:
    return client.delete(f"{CUSTOM}/{client.wait_status(client.sent()['id'])['id']}")


def at_its_limit(client: Client747) -> Response:
    return [client.get(ACCOUNT) for _ in range(101)][-1]


# What our own pages say of it, the status, the provider's code, and how it comes about.
ROWS: list[tuple[str, int, str, Provoke]] = [
    ("body_not_json", 400, "invalid_request", lambda c, _: c.post(b"{")),
    ("field_invalid", 400, "invalid_request", lambda c, _: c.send(message=5)),
    ("text_empty", 400, "invalid_request", lambda c, _: c.send(message="")),
    ("text_invalid", 400, "invalid_request", lambda c, _: c.send(message="a\u0000b")),
    ("sender_malformed", 400, "invalid_request", lambda c, _: c.send(sender="My Company Ltd")),
    ("query_invalid", 400, "invalid_request", lambda c, _: c.get(f"{CUSTOM}?limit=0")),
    ("auth_malformed", 400, "invalid_request", lambda c, _: c.authenticate(api_key="demo")),
    ("auth_malformed", 400, "invalid_request", lambda c, _: c.call("POST", "/api/v1/auth/token", [FORM], b"api_key=x")),
    (
        "idempotency_key_malformed",
        400,
        "invalid_request",
        lambda c, _: c.post(order(), CUSTOM, [("Idempotency-Key", "a b")]),
    ),
    ("recipient_invalid", 400, "invalid_phone_number", lambda c, _: c.send("+1555123")),
    ("token_missing", 401, "authentication_failed", lambda c, _: c.call("GET", ACCOUNT)),
    (
        "token_invalid",
        401,
        "authentication_failed",
        lambda c, _: c.call("GET", ACCOUNT, [("Authorization", "Bearer a.b.c")]),
    ),
    (
        "token_malformed",
        401,
        "authentication_failed",
        lambda c, _: c.call("GET", ACCOUNT, [("Authorization", "Bearer nonsense")]),
    ),
    (
        "credentials_invalid",
        401,
        "authentication_failed",
        lambda c, _: c.authenticate(api_secret=wrong(c.api_secret)),
    ),
    ("sender_not_allowed", 403, "permission_denied", lambda c, _: c.send(sender="Bank")),
    ("recipient_opted_out", 403, "permission_denied", lambda _, a: opted_out(a.new())),
    ("sending_disabled", 403, "permission_denied", lambda _, a: told(a.new(), "sending", "off")),
    ("address_not_allowed", 403, "permission_denied", lambda _, a: told(a.new(), "ips", "--add", "203.0.113.0/24")),
    ("country_not_allowed", 403, "permission_denied", lambda _, a: told(a.new(), "countries", "--only", "GB")),
    ("submission_not_found", 404, "resource_not_found", lambda c, _: c.get(f"{CUSTOM}/1")),
    ("not_found", 404, "resource_not_found", lambda c, _: c.get("/api/v1/nothing")),
    ("method_not_allowed", 405, "method_not_allowed", lambda c, _: c.call("PUT", CUSTOM, [c.bearer], BODY)),
    ("request_too_large", 413, "request_too_large", lambda c, _: big(c)),
    ("headers_too_large", 431, "request_too_large", lambda c, _: fat(c)),
    ("schedule_impossible", 422, "invalid_request", lambda c, _: c.send(validity_seconds=0)),
    ("schedule_impossible", 422, "invalid_request", lambda c, _: c.send(send_at="2999-01-01T00:00:00Z")),
    ("idempotency_key_reused", 422, "invalid_request", lambda _, a: reused(a.new())),
    ("not_cancellable", 422, "invalid_request", lambda _, a: cancelled_late(a.new())),
    ("insufficient_funds", 422, "insufficient_funds", lambda _, a: a.new(balance="0").send()),
    ("text_too_long", 422, "message_too_long", lambda c, _: c.send(message="x" * 2000)),
    ("rate_limited", 429, "rate_limit_exceeded", lambda _, a: at_its_limit(a.new(limited=True))),
]


@pytest.mark.parametrize(
    ("page", "status", "code", "provoke"),
    ROWS,
    ids=[f"{status}-{page}-{n}" for n, (page, status, *_) in enumerate(ROWS)],
)
def test_row_is_reached_by_a_request_or_a_setting(
    client747: Client747, accounts747: Accounts747, page: str, status: int, code: str, provoke: Provoke
) -> None:
    check(provoke(client747, accounts747), page, status, code)


def check(response: Response, page: str, status: int, code: str) -> None:
    details = check_error(response, status, code)
    assert response.header("Link") == f'</errors/{page}>; rel="help"'
    if status == 503:
        assert str(details["retry_after"]) == response.header("Retry-After")
    if status == 500:
        assert details == {"request_id": response.header("X-Request-Id")}


@pytest.mark.parametrize("page", ["messages_empty", "messages_too_many"])
def test_batch_of_too_few_or_too_many_is_an_invalid_request(client747: Client747, page: str) -> None:
    response = client747.batch([order()] * (1001 if page == "messages_too_many" else 0))
    assert response.status in (400, 422)
    check(response, page, response.status, "invalid_request")


def test_suspended_account_is_403(accounts747: Accounts747) -> None:
    customer = accounts747.new()
    customer.told("suspend")
    deadline = time.monotonic() + 5
    while (response := customer.send()).status != 403:
        assert time.monotonic() < deadline, response
        customer.forget_token()
        time.sleep(0.1)
    check(response, "account_suspended", 403, "permission_denied")


# -- what takes a server of its own


@pytest.fixture(params=list(DOORS))
def door(request: pytest.FixtureRequest) -> dict[str, str]:
    return {"http.lean_door": DOORS[request.param]}


Serve = Callable[..., Client747]


@pytest.fixture
def serve(data: Path, door: dict[str, str]) -> Iterator[Serve]:
    started: list[Server] = []

    def start(settings: dict[str, str] | None = None, **how: object) -> Client747:
        server = Server(data, settings={**door, **(settings or {})}, **how)  # type: ignore[arg-type]
        started.append(server.start())
        return Client747(server, server.credentials)

    yield start
    for server in started:
        server.kill()


CONFIGS = {
    "no_price": '[prices.default]\n44 = "0.05"\n',
    "no_route": '[messages]\ndefault_carrier = ""\n',
}


@pytest.mark.parametrize("page", CONFIGS)
def test_destination_without_a_price_or_a_carrier_is_403(data: Path, door: dict[str, str], page: str) -> None:
    with Server(data, config=CONFIGS[page], settings=door) as server:
        client = Accounts747(Accounts(server)).new("--any-sender")
        check(client.send(), page, 403, "permission_denied")


def test_bug_is_500(serve: Serve) -> None:
    check(serve(launcher=[str(HARNESS / "broken.py")]).send(), "internal_error", 500, "internal_error")


def test_token_requests_that_keep_failing_are_429(serve: Serve) -> None:
    client = serve({"limits.failed_tokens_per_minute": "2"})
    for _ in range(2):
        assert client.authenticate(api_secret=wrong(client.api_secret)).status == 401
    check(client.authenticate(), "auth_throttled", 429, "rate_limit_exceeded")


def test_store_that_fails_is_503(serve: Serve) -> None:
    client = serve(launcher=[str(HARNESS / "killable.py")], variables={"TRAP": "refused", "TRAP_AT": "1"})
    check(client.send(), "store_unavailable", 503, "service_unavailable")
    assert client.balance() == "457.00"
    assert client.send().status == 201


def test_full_queue_of_the_carrier_is_503(serve: Serve) -> None:
    client = serve({"carriers.simulator.answer_ms": "3600000", "carriers.simulator.backlog": "1"})
    assert client.send().status == 201
    check(client.send(), "carrier_backlog_full", 503, "service_unavailable")
    response = client.batch([order(), order("x")])
    if response.status == 200:
        assert [one["error"]["code"] for one in response.json()["data"]] == [
            "service_unavailable",
            "invalid_phone_number",
        ]
    else:
        check(response, "carrier_backlog_full", 503, "service_unavailable")
    assert client.balance() == "456.00"


def test_full_queue_of_the_store_is_503(serve: Serve) -> None:
    client = serve({"limits.waiting_rows": "20"})
    check(client.batch([order()] * 30), "overloaded", 503, "service_unavailable")
    assert client.balance() == "457.00"


def test_draining_server_is_503(serve: Serve) -> None:
    client = serve({"http.drain_seconds": "20"})
    client.told("limit", "--per-minute", str(UNLIMITED))
    client.wait_limit(UNLIMITED)
    assert client.send().status == 201
    process = client.server.process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 10
    while (response := client.send()).status == 201:
        assert time.monotonic() < deadline, "it does not drain"
    check(response, "draining", 503, "service_unavailable")
    check(client.batch([order()]), "draining", 503, "service_unavailable")
    assert client.get(ACCOUNT).status == 200


def test_the_pages_of_all_errors_are_provoked_here_or_belong_to_the_other_api() -> None:
    """An error that is added to the registry is added here, or named as one that this API cannot have."""
    from heliograph.messaging import errors

    here = {page for page, *_ in ROWS} | set(CONFIGS)
    here |= {"messages_empty", "messages_too_many", "account_suspended", "internal_error", "auth_throttled"}
    here |= {"store_unavailable", "carrier_backlog_full", "overloaded", "draining"}
    elsewhere = {
        "charset_invalid",
        "text_not_encodable",
        "recipients_too_many",
        "recipients_empty",
        "grant_unsupported",
    }
    other_suites = {"http_malformed", "idempotency_in_progress"}
    assert set(errors.REGISTRY) == here | elsewhere | other_suites

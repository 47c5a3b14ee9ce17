"""The provider's error table, every row of it: reached by a request, by an operator's setting, or by a fault.

What each kind of an error looks like in full is tested beside the feature that it belongs to; here is that each row is
there, and that it reads as the registry says.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import DOORS, Accounts
from tests.harness.client import FORM, Client, form, message, phone
from tests.harness.server import Server
from tests.harness.wire import Response

HARNESS = Path(__file__).parents[3] / "harness"
BODY = json.dumps(message([phone()])).encode()


def post(client: Client, body: bytes = BODY) -> Response:
    return client.call("POST", "/api/sms", [client.bearer], body)


def token(client: Client, **fields: str) -> Response:
    return client.call("POST", "/api/auth", [FORM], form(grant_type="client_credentials", **fields))


def told(client: Client, *words: str) -> Client:
    """The account after an operator's command, once the server knows of it."""
    client.server.cli_here("account", words[0], client.account, *words[1:], json=False)
    deadline = time.monotonic() + 5
    while post(client).status == 200:
        assert time.monotonic() < deadline, "the server has not heard of it"
        time.sleep(0.1)
    return client


Provoke = Callable[[Client, Accounts], Response]

ROWS: list[tuple[int, str, Provoke]] = [
    (400, "body_not_json", lambda c, _: post(c, b"{")),
    (400, "field_invalid", lambda c, _: post(c, b'{"recipients":"56912345678","sender":"96000","message":{}}')),
    (400, "charset_invalid", lambda c, _: c.send([phone()], charset=2)),
    (400, "text_empty", lambda c, _: c.send([phone()], "")),
    (400, "text_invalid", lambda c, _: c.send([phone()], "00", charset=6)),
    (400, "text_not_encodable", lambda c, _: c.send([phone()], "ő", charset=1)),
    (400, "text_too_long", lambda c, _: c.send([phone()], "x" * 2000)),
    (400, "recipient_invalid", lambda c, _: c.send(["+1555123"])),
    (400, "recipients_empty", lambda c, _: c.send([])),
    (400, "recipients_too_many", lambda c, _: c.send([phone()] * 1001)),
    (400, "token_malformed", lambda c, _: c.call("GET", "/api/balance", [("Authorization", "Bearer nonsense")])),
    (400, "auth_malformed", lambda c, _: token(c, client_id="demo", client_secret="x")),
    (400, "grant_unsupported", lambda c, _: c.authenticate(grant_type="password")),
    (
        400,
        "idempotency_key_malformed",
        lambda c, _: c.call("POST", "/api/sms", [c.bearer, ("Idempotency-Key", "a b")], BODY),
    ),
    (401, "credentials_invalid", lambda c, _: token(c, client_id=c.client_id, client_secret="rts_" + "x" * 43)),
    (401, "token_missing", lambda c, _: c.call("GET", "/api/balance")),
    (401, "token_invalid", lambda c, _: c.call("GET", "/api/balance", [("Authorization", "Bearer a.b.c")])),
    (403, "sending_disabled", lambda _, a: post(told(a.new(), "sending", "off"))),
    (403, "address_not_allowed", lambda _, a: post(told(a.new(), "ips", "--add", "203.0.113.0/24"))),
    (403, "country_not_allowed", lambda _, a: post(told(a.new(), "countries", "--only", "GB"))),
    (404, "submission_not_found", lambda c, _: c.get("/api/sms/1")),
    (404, "not_found", lambda c, _: c.get("/api/nothing")),
    (405, "method_not_allowed", lambda c, _: c.call("PUT", "/api/sms", [c.bearer], BODY)),
    (406, "sender_malformed", lambda c, _: c.send([phone()], sender="My Company Ltd")),
    (406, "sender_not_allowed", lambda c, _: c.send([phone()], sender="Bank")),
    (429, "rate_limited", lambda _, a: post(told(a.new(), "limit", "--per-minute", "1"))),
]


@pytest.mark.parametrize(("status", "code", "provoke"), ROWS, ids=[f"{status}-{code}" for status, code, _ in ROWS])
def test_row_is_reached_by_a_request_or_a_setting(
    client: Client, accounts: Accounts, status: int, code: str, provoke: Provoke
) -> None:
    check(provoke(client, accounts), status, code)


def check(response: Response, status: int, code: str) -> None:
    assert response.status == status, (response.status, response.body)
    assert response.header("Link") == f'</errors/{code}>; rel="help"'
    if status == 401:
        return
    body = response.json()
    if "error" in body:  # RFC 6749
        assert body["error_uri"] == f"/errors/{code}"
    else:
        assert (body["type"], body["status"]) == (f"/errors/{code}", status)
    assert (response.header("Retry-After") is not None) == (status in (429, 503))


def test_suspended_account_is_403(accounts: Accounts) -> None:
    customer = accounts.new()
    customer.server.cli_here("account", "suspend", customer.account, json=False)
    deadline = time.monotonic() + 5
    while (response := post(customer)).status != 403:
        assert time.monotonic() < deadline, response
        customer._token = None
        time.sleep(0.1)
    check(response, 403, "account_suspended")


# -- what takes a server of its own


@pytest.fixture(params=list(DOORS))
def door(request: pytest.FixtureRequest) -> dict[str, str]:
    return {"http.lean_door": DOORS[request.param]}


@pytest.fixture
def serve(data: Path, door: dict[str, str]) -> Iterator[Callable[..., Client]]:
    started: list[Server] = []

    def start(settings: dict[str, str] | None = None, **how: object) -> Client:
        server = Server(data, settings={**door, **(settings or {})}, **how)  # type: ignore[arg-type]
        started.append(server.start())
        return Client(server, server.credentials)

    yield start
    for server in started:
        server.kill()


CONFIGS = {
    "no_price": '[prices.default]\n44 = "0.05"\n',
    "no_route": '[messages]\ndefault_carrier = ""\n',
}


@pytest.mark.parametrize("code", CONFIGS)
def test_destination_without_a_price_or_a_carrier_is_403(data: Path, door: dict[str, str], code: str) -> None:
    with Server(data, config=CONFIGS[code], settings=door) as server:
        check(Accounts(server).new("--any-sender").send([phone()]), 403, code)


def test_bug_is_500(serve: Callable[..., Client]) -> None:
    client = serve(launcher=[str(HARNESS / "broken.py")])
    check(client.send(), 500, "internal_error")


def test_store_that_fails_is_503(serve: Callable[..., Client]) -> None:
    client = serve(launcher=[str(HARNESS / "killable.py")], variables={"TRAP": "refused", "TRAP_AT": "1"})
    check(client.send(), 503, "store_unavailable")
    assert client.balance() == "457.00"
    assert client.send().status == 200


def test_full_queue_of_the_carrier_is_503(serve: Callable[..., Client]) -> None:
    client = serve({"carriers.simulator.answer_ms": "3600000", "carriers.simulator.backlog": "1"})
    assert client.send().status == 200
    check(client.send(), 503, "carrier_backlog_full")


def test_full_queue_of_the_store_is_503(serve: Callable[..., Client]) -> None:
    client = serve({"limits.waiting_rows": "20"})
    check(client.send([phone()] * 30), 503, "overloaded")
    assert client.balance() == "457.00"


def test_draining_server_is_503(serve: Callable[..., Client]) -> None:
    client = serve({"http.drain_seconds": "20"})
    assert client.send().status == 200
    process = client.server.process
    assert process is not None
    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 10
    while (response := client.send()).status == 200:
        assert time.monotonic() < deadline, "it does not drain"
    check(response, 503, "draining")

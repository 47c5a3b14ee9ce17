"""The provider's documented requests, as they are written there; of its JSON a trailing comma alone was removed."""

from __future__ import annotations

from tests.harness.client import JSON
from tests.harness.client747 import ACCOUNT, Accounts747, Client747, check_message

CUSTOM = b'{"recipient":"+15551234567","message":"Hello, this is a test message!"}'
PATHS = ("/api/v1/Message/custom", "/api/v1/message/custom")


def test_the_documented_send_gets_201(client747: Client747) -> None:
    for path in PATHS:
        response = client747.call("POST", path, [client747.bearer, JSON], CUSTOM)
        assert (response.status, response.reason) == (201, "Created")
        check_message(response.json()["data"])
        assert response.json()["data"]["message"] == "Hello, this is a test message!"


def test_the_documented_send_gets_201_spread_over_lines(client747: Client747) -> None:
    body = b'{\n  "recipient": "+15551234567",\n  "message": "Hello, this is a test message!"\n}\n'
    assert client747.call("POST", PATHS[0], [client747.bearer, JSON], body).status == 201


def test_with_the_providers_trailing_comma_it_is_no_json(client747: Client747) -> None:
    response = client747.call("POST", PATHS[0], [client747.bearer, JSON], CUSTOM[:-1] + b",}")
    assert (response.status, response.json()["error"]["code"]) == (400, "invalid_request")


def test_the_documented_send_without_a_token_gets_401(client747: Client747) -> None:
    for path in PATHS:
        assert client747.call("POST", path, [JSON], CUSTOM).status == 401


def test_the_documented_send_over_the_limit_gets_429(accounts747: Accounts747) -> None:
    limited = accounts747.new("--numbers", "syntax", limited=True)
    statuses = [limited.call("POST", PATHS[n % 2], [limited.bearer, JSON], CUSTOM).status for n in range(101)]
    assert statuses == [201] * 100 + [429]


def test_the_documented_token_list_and_account_calls(client747: Client747) -> None:
    assert client747.authenticate().status == 200
    page = client747.get("/api/v1/Message/custom")
    assert (page.status, set(page.json())) == (200, {"data", "pagination"})
    assert client747.get(ACCOUNT).json()["data"]["id"] == client747.account


def test_the_demo_prints_what_it_takes(client747: Client747) -> None:
    """The demo's own credentials file has the key and the secret."""
    demo = Client747(client747.server, client747.server.credentials)
    assert demo.authenticate().status == 200

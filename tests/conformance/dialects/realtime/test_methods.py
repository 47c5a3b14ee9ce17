"""URLs and methods: 404, 405 with `Allow`, HEAD, OPTIONS, trailing slashes."""

from __future__ import annotations

import json

import pytest
from tests.harness.client import JSON, Client, message, phone

ROUTES = {
    "/api/auth": {"POST"},
    "/api/balance": {"GET", "HEAD"},
    "/api/sms": {"POST"},
    "/api/sms/4193366853543393": {"GET", "HEAD"},
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")
BODY = json.dumps(message([phone()])).encode()


WRONG = [(method, path) for path, right in ROUTES.items() for method in METHODS if method not in right]


@pytest.mark.parametrize(("method", "path"), WRONG)
@pytest.mark.parametrize("token", ["with a token", "without"])
def test_a_wrong_method_is_405_and_told_the_right_ones(client: Client, method: str, path: str, token: str) -> None:
    headers = [client.bearer, JSON] if token == "with a token" else [JSON]
    response = client.call(method, path, headers, BODY if method in ("POST", "PUT", "PATCH") else None)
    assert (response.status, response.allow) == (405, ROUTES[path])
    if method != "HEAD":
        assert response.header("Content-Type") == "application/problem+json"
        assert response.json()["status"] == 405


def test_a_wrong_method_sends_nothing(client: Client) -> None:
    before = client.balance()
    for method in ("PUT", "PATCH", "DELETE"):
        assert client.call(method, "/api/sms", [client.bearer, JSON], BODY).status == 405
    assert client.balance() == before


NOWHERE = [
    "/api",
    "/api/",
    "/api/nothing",
    "/api/sms/1/2",
    "/api/balances",
    "/api/balance/x",
    "/api/SMS",
    "/API/sms",
    "/api/Balance",
    "//api/sms",
    "/api//sms",
    "/sms",
    "/api/auth/token",
    "/api/auth/",
    "/api/balance/",
    "/api/sms/",
    "/api/sms/4193366853543393/",
]


@pytest.mark.parametrize("path", NOWHERE)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
def test_an_unknown_url_or_a_trailing_slash_is_404_with_or_without_a_token(
    client: Client, path: str, method: str
) -> None:
    for headers in ([], [client.bearer], [("Authorization", "Bearer nonsense")]):
        response = client.call(method, path, headers, BODY if method in ("POST", "PUT") else None)
        assert response.status == 404, path
        assert response.header("Location") is None
        if path.startswith("/api/"):
            assert response.header("Content-Type") == "application/problem+json"


def test_head_is_get_without_the_body(client: Client) -> None:
    for path in ("/api/balance", f"/api/sms/{wait_final(client)}", "/api/sms/4193366853543393", "/api/nothing"):
        got, headed = client.get(path), client.call("HEAD", path, [client.bearer])
        assert headed.status == got.status
        assert headed.body == b""
        for name in ("Content-Type", "Content-Length", "Link"):
            assert headed.header(name) == got.header(name), name
    assert client.call("HEAD", "/api/balance").status == 401
    assert client.call("HEAD", "/api/balance", [("Authorization", "Bearer x")]).status == 400


def wait_final(client: Client) -> str:
    submission_id = client.submit()
    client.wait_final(submission_id)
    return submission_id


@pytest.mark.parametrize("body", [b"{", b"\x00\xff" * 500, BODY])
def test_a_body_on_get_is_ignored(client: Client, body: bytes) -> None:
    """And does not become the next request of the connection."""
    for more in ({"body": body}, {"chunks": [body[:1], body[1:]]}):
        for _ in range(2):
            response = client.call("GET", "/api/balance", [client.bearer, JSON], **more)
            assert (response.status, set(response.json())) == (200, {"balance"})
        assert client.call("GET", "/api/sms/1", [client.bearer], **more).status == 404


def test_the_query_is_no_part_of_the_path(client: Client) -> None:
    assert client.get("/api/balance?x=/api/sms").status == 200
    assert client.get("/api/balance?").status == 200


def test_health_is_told_without_a_token(client: Client) -> None:
    for path in ("/healthz", "/readyz"):
        response = client.call("GET", path)
        assert response.status == 200
        assert response.header("X-Request-Id")
        assert client.call("HEAD", path).status == 200

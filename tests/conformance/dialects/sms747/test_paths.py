"""URLs and methods: any case, 404, 405 with `Allow`, HEAD, OPTIONS, trailing slashes."""

from __future__ import annotations

import json

import pytest
from tests.harness.client import JSON
from tests.harness.client747 import ACCOUNT, BATCH, CUSTOM, TOKEN, Client747, check_error, check_message, order

ID = "4193366853543393"
ROUTES = {
    TOKEN: {"POST"},
    CUSTOM: {"GET", "HEAD", "POST"},
    f"{CUSTOM}/{ID}": {"GET", "HEAD", "DELETE"},
    BATCH: {"POST"},
    ACCOUNT: {"GET", "HEAD"},
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")
BODY = json.dumps(order()).encode()
WRONG = [(method, path) for path, right in ROUTES.items() for method in METHODS if method not in right]


@pytest.mark.parametrize(
    "path",
    [
        *("/api/v1/message/custom", "/api/v1/Message/custom", "/api/v1/Message/Custom", "/API/V1/MESSAGE/CUSTOM"),
        *("/Api/v1/message/custom", "/api/V1/mEsSaGe/cUsToM", "/api/v1/MESSAGE/custom"),
    ],
)
def test_a_send_is_taken_under_every_spelling_of_its_path(client747: Client747, path: str) -> None:
    response = client747.post(order(), path)
    assert response.status == 201, response.body
    check_message(response.json()["data"])
    assert client747.get(path).status == 200
    assert client747.get(f"{path}/{response.json()['data']['id']}").json()["data"]["id"]
    check_error(client747.post(b"{", path), 400, "invalid_request")
    check_error(client747.call("POST", path, [JSON], BODY), 401, "authentication_failed")
    assert client747.call("POST", path, [client747.bearer], chunks=[BODY[:9], BODY[9:]]).status == 201
    assert client747.post(order(), f"{path}?x=1").status == 201


@pytest.mark.parametrize("change", [str.upper, str.title, str.swapcase], ids=["upper", "title", "swapcase"])
def test_every_path_matches_in_any_case(client747: Client747, change: object) -> None:
    assert callable(change)
    key = {"api_key": client747.api_key, "api_secret": client747.api_secret}
    assert client747.post(key, change(TOKEN)).status == 200
    assert client747.get(change(ACCOUNT)).status == 200
    assert client747.post({"messages": [order()]}, change(BATCH)).status == 200
    sent = client747.sent()["id"]
    assert client747.get(change(f"{CUSTOM}/{sent}")).json()["data"]["id"] == sent
    check_error(client747.delete(change(f"{CUSTOM}/{ID}")), 404, "resource_not_found")


@pytest.mark.parametrize(("method", "path"), WRONG)
@pytest.mark.parametrize("token", ["with a token", "without"])
def test_a_wrong_method_is_405_and_told_the_right_ones(
    client747: Client747, method: str, path: str, token: str
) -> None:
    headers = [client747.bearer, JSON] if token == "with a token" else [JSON]
    for target in (path, path.upper()):
        response = client747.call(method, target, headers, BODY if method in ("POST", "PUT", "PATCH") else None)
        assert (response.status, response.allow) == (405, ROUTES[path])
        if method != "HEAD":
            details = check_error(response, 405, "method_not_allowed")
            assert set(details["allowed"]) == ROUTES[path]


def test_a_wrong_method_sends_nothing(client747: Client747) -> None:
    before = client747.balance()
    for method in ("PUT", "PATCH", "DELETE"):
        assert client747.call(method, CUSTOM, [client747.bearer, JSON], BODY).status == 405
    assert client747.balance() == before


NOWHERE = [
    *("/api/v1/", "/api/v1/nothing", "/api/v1/message", "/api/v1/message/", "/api/v1/messages/custom"),
    *("/api/v1/auth", "/api/v1/auth/token/", "/api/v1/account/", "/api/v1/account/1", "/api/v1/message/custom/"),
    *(f"/api/v1/message/custom/{ID}/", f"/api/v1/message/custom/{ID}/x", "/api/v1/message/batch/"),
    *("/api/v1//message/custom", "/api/v1/Message/Custom/", "/API/V1/NOTHING", "/api/v1/balance", "/api/v1/sms"),
]


@pytest.mark.parametrize("path", NOWHERE)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
def test_an_unknown_url_or_a_trailing_slash_is_404_with_or_without_a_token(
    client747: Client747, path: str, method: str
) -> None:
    for headers in ([], [client747.bearer], [("Authorization", "Bearer nonsense")]):
        response = client747.call(method, path, headers, BODY if method in ("POST", "PUT") else None)
        check_error(response, 404, "resource_not_found")
        assert response.header("Location") is None


@pytest.mark.parametrize("path", ["/api/v1x/message/custom", "/api/v2/message/custom", "/v1/message/custom", "/api"])
def test_what_is_not_below_api_v1_is_not_this_apis(client747: Client747, path: str) -> None:
    response = client747.call("POST", path, [client747.bearer, JSON], BODY)
    assert response.status == 404
    assert b'"resource_not_found"' not in response.body


def test_head_is_get_without_the_body(client747: Client747) -> None:
    sent = client747.wait_status(client747.sent()["id"])["id"]
    for path in (f"{CUSTOM}/{sent}", f"{CUSTOM}/{ID}", "/api/v1/nothing", f"{CUSTOM}?limit=1"):
        got, headed = client747.get(path), client747.call("HEAD", path, [client747.bearer])
        assert (headed.status, headed.body) == (got.status, b"")
        for name in ("Content-Type", "Content-Length", "Link"):
            assert headed.header(name) == got.header(name), name
    assert client747.call("HEAD", ACCOUNT, [client747.bearer]).status == 200
    assert client747.call("HEAD", ACCOUNT).status == 401


@pytest.mark.parametrize("body", [b"{", b"\x00\xff" * 500, BODY])
def test_a_body_on_get_is_ignored(client747: Client747, body: bytes) -> None:
    """And does not become the next request of the connection."""
    for more in ({"body": body}, {"chunks": [body[:1], body[1:]]}):
        for target in (ACCOUNT, CUSTOM):
            assert client747.call("GET", target, [client747.bearer, JSON], **more).status == 200


@pytest.mark.parametrize("id_", ["1", "0", "abc", "9" * 16, "9" * 17, "-5", "04193366853543393", "%D9%A4", "%20", ID])
def test_an_unknown_or_malformed_id_is_404(client747: Client747, id_: str) -> None:
    target = f"{CUSTOM}/{id_}"
    for response in (client747.get(target), client747.delete(target)):
        details = check_error(response, 404, "resource_not_found")
        if "%" not in id_:
            assert details == {"resource": "message", "id": id_}


def test_anothers_message_is_as_unknown_as_one_that_does_not_exist(client747: Client747, other747: Client747) -> None:
    theirs = client747.sent()["id"]
    for response in (other747.get(f"{CUSTOM}/{theirs}"), other747.delete(f"{CUSTOM}/{theirs}")):
        check_error(response, 404, "resource_not_found")
        unknown = other747.get(f"{CUSTOM}/{ID}").json()["error"]
        assert response.json()["error"]["message"].replace(theirs, ID) == unknown["message"]
    assert client747.wait_status(theirs)["status"] == "delivered"

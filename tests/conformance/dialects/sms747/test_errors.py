"""The seed's page on errors: its format, its two tables, its three examples; and what every error carries besides."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from tests.harness.client import JSON, phone
from tests.harness.client747 import (
    ACCOUNT,
    BATCH,
    CUSTOM,
    TOKEN,
    Accounts747,
    Client747,
    check_error,
    order,
)
from tests.harness.wire import Headers, Response, encode

BODY = json.dumps(order()).encode()
FORGED = ("Authorization", "Bearer a.b.c")
TOO_BIG = b" " * (1024 * 1024 + 1)
FAT = [(f"X-Fat-{n}", "x" * 4000) for n in range(10)]
ID = "4193366853543393"


def on_its_own(client: Client747, method: str, target: str, headers: Headers, body: bytes | None = None) -> Response:
    """A request that the server may refuse before it has read all of it."""
    with client.server.wire() as wire:
        wire.send_until_refused(encode(method, target, headers, body))
        return wire.read(to_head=method == "HEAD")


def post(client: Client747, headers: Headers, **fields: object) -> Response:
    return client.post(order(**fields), CUSTOM, headers)


def token(client: Client747, headers: Headers, **fields: object) -> Response:
    body = json.dumps({"api_key": client.api_key, "api_secret": client.api_secret, **fields}).encode()
    return client.call("POST", TOKEN, [JSON, *headers], body)


def wrong(secret: str) -> str:
    return secret[:-1] + ("a" if secret[-1] != "a" else "b")


Provoke = Callable[[Client747, Headers], Response]
ERRORS: dict[str, tuple[int, str, Provoke]] = {
    "a body that is no JSON": (
        400,
        "invalid_request",
        lambda c, h: c.post(b"{", CUSTOM, h),
    ),
    "a missing field": (400, "invalid_request", lambda c, h: post(c, h, message=...)),
    "a malformed sender": (400, "invalid_request", lambda c, h: post(c, h, sender="My Company Ltd")),
    "a malformed key": (400, "invalid_request", lambda c, h: token(c, h, api_key="x")),
    "a bad filter": (400, "invalid_request", lambda c, h: c.call("GET", f"{CUSTOM}?limit=0", [c.bearer, *h])),
    "a key of idempotency that is none": (
        400,
        "invalid_request",
        lambda c, h: post(c, [("Idempotency-Key", "a b"), *h]),
    ),
    "an impossible validity": (422, "invalid_request", lambda c, h: post(c, h, validity_seconds=0)),
    "a bad number": (400, "invalid_phone_number", lambda c, h: post(c, h, recipient="+1555123")),
    "no token": (401, "authentication_failed", lambda c, h: c.call("GET", ACCOUNT, h)),
    "a forged token": (401, "authentication_failed", lambda c, h: c.call("POST", CUSTOM, [FORGED, *h], BODY)),
    "a wrong secret": (401, "authentication_failed", lambda c, h: token(c, h, api_secret=wrong(c.api_secret))),
    "a sender not allowed": (403, "permission_denied", lambda c, h: post(c, h, sender="Bank")),
    "an unknown message": (404, "resource_not_found", lambda c, h: c.call("GET", f"{CUSTOM}/1", [c.bearer, *h])),
    "an unknown URL": (404, "resource_not_found", lambda c, h: c.call("GET", "/api/v1/nothing", h)),
    "a wrong method": (405, "method_not_allowed", lambda c, h: c.call("PUT", CUSTOM, [c.bearer, *h], BODY)),
    "a wrong method for tokens": (405, "method_not_allowed", lambda c, h: c.call("GET", TOKEN, h)),
    "a body over 1 MiB": (
        413,
        "request_too_large",
        lambda c, h: on_its_own(c, "POST", CUSTOM, [c.bearer, *h], TOO_BIG),
    ),
    "a text that is too long": (422, "message_too_long", lambda c, h: post(c, h, message="a" * 1531)),
    "headers over 32 KiB": (
        431,
        "request_too_large",
        lambda c, h: on_its_own(c, "POST", CUSTOM, [c.bearer, *FAT, *h], BODY),
    ),
}
RIGHTS: dict[str, tuple[int, Provoke]] = {
    "a token": (200, token),
    "an account": (200, lambda c, h: c.call("GET", ACCOUNT, [c.bearer, *h])),
    "a list": (200, lambda c, h: c.call("GET", CUSTOM, [c.bearer, *h])),
    "a message": (200, lambda c, h: c.call("GET", f"{CUSTOM}/{c.sent()['id']}", [c.bearer, *h])),
    "a send": (201, lambda c, h: post(c, h)),
    "a batch": (200, lambda c, h: c.post({"messages": [order()]}, BATCH, h)),
}


@pytest.mark.parametrize("which", ERRORS)
def test_every_error_has_the_one_shape(client747: Client747, which: str) -> None:
    status, code, provoke = ERRORS[which]
    check_error(provoke(client747, []), status, code)


@pytest.mark.parametrize("which", ERRORS)
def test_every_error_links_to_a_page_that_explains_it(client747: Client747, which: str) -> None:
    response = ERRORS[which][2](client747, [])
    found = re.fullmatch(r'<(/errors/[\w-]+)>; rel="help"', response.header("Link") or "", re.ASCII)
    assert found, response.header("Link")
    page = client747.call("GET", found[1])
    assert page.status == 200
    assert (page.header("Content-Type") or "").startswith("text/html")
    assert found[1].rpartition("/")[2] in client747.call("GET", "/errors.json").body.decode()


@pytest.mark.parametrize("which", [*ERRORS, *RIGHTS])
def test_every_answer_has_a_request_id_of_ours_whatever_the_caller_says(client747: Client747, which: str) -> None:
    provoke = ERRORS[which][2] if which in ERRORS else RIGHTS[which][1]
    seen = set()
    for headers in ([], [], [("X-Request-Id", "mine-1234")]):
        response = provoke(client747, headers)
        seen.add(response.header("X-Request-Id"))
        assert b"mine-1234" not in response.body
    assert len(seen) == 3
    assert not seen & {None, "", "mine-1234"}


@pytest.mark.parametrize("which", RIGHTS)
def test_what_went_well_links_to_no_error_and_is_json(client747: Client747, which: str) -> None:
    status, provoke = RIGHTS[which]
    response = provoke(client747, [("Accept", "text/html")])
    assert response.status == status
    assert response.header("Link") is None
    assert response.header("Content-Type") == "application/json"
    assert response.json()


def test_an_error_never_shows_how_the_server_is_made(client747: Client747) -> None:
    for _, _, provoke in ERRORS.values():
        body = provoke(client747, []).body.decode()
        assert not re.search(r"Traceback|File \"|\.py\b|heliograph\.|msgspec|starlette|apsw", body), body


# -- the three documented examples, equal as JSON


def test_invalid_phone_number_is_the_documented_answer(client747: Client747) -> None:
    response = client747.post({"to": "+1555123", "message": "Hello"})
    assert response.status == 400
    assert response.json() == {
        "error": {
            "code": "invalid_phone_number",
            "message": "The phone number '+1555123' is invalid. Phone numbers must be in E.164 format.",
            "details": {"parameter": "to"},
        }
    }


def test_authentication_failed_is_the_documented_answer(client747: Client747) -> None:
    documented = {
        "error": {
            "code": "authentication_failed",
            "message": "Invalid or expired access token",
            "details": {"hint": "Generate a new access token"},
        }
    }
    for response in (
        client747.call("POST", CUSTOM, [JSON], BODY),
        client747.call("POST", CUSTOM, [FORGED, JSON], BODY),
        client747.call("GET", ACCOUNT, [("Authorization", "Bearer")]),
        client747.authenticate(api_secret=wrong(client747.api_secret)),
        client747.authenticate(api_key=wrong(client747.api_key)),
    ):
        assert (response.status, response.json()) == (401, documented)


def test_rate_limit_exceeded_is_the_documented_answer(accounts747: Accounts747) -> None:
    limited = accounts747.new(limited=True)
    response = [limited.get(ACCOUNT) for _ in range(101)][-1]
    body = response.json()
    assert response.status == 429
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["error"]["details"]["rate_limit"].pop("reset_at"))
    assert body == {
        "error": {
            "code": "rate_limit_exceeded",
            "message": "Rate limit exceeded. Please try again later.",
            "details": {"rate_limit": {"limit": 100, "remaining": 0}},
        }
    }


# -- the seed's table of codes


def test_invalid_request_names_the_parameter_and_all_when_several(client747: Client747) -> None:
    assert check_error(client747.send(message=...), 400, "invalid_request")["parameter"] == "message"
    details = check_error(client747.send(5, 5), 400, "invalid_request")
    assert {one["parameter"] for one in details["errors"]} == {"recipient", "message"}
    assert details["parameter"] in {"recipient", "message"}
    assert len(check_error(client747.post({}), 400, "invalid_request")["errors"]) == 2


def test_resource_not_found_names_what_and_which(client747: Client747) -> None:
    details = check_error(client747.get(f"{CUSTOM}/{ID}"), 404, "resource_not_found")
    assert details == {"resource": "message", "id": ID}


def test_request_too_large_tells_how_much_is_taken(client747: Client747) -> None:
    response = on_its_own(client747, "POST", CUSTOM, [client747.bearer], TOO_BIG)
    assert check_error(response, 413, "request_too_large") == {"max_bytes": 1024 * 1024}


def test_insufficient_funds_tells_what_there_is_and_what_it_takes(accounts747: Accounts747) -> None:
    poor = accounts747.new(balance="0.50")
    details = check_error(poor.send(), 422, "insufficient_funds")
    assert set(details) == {"balance", "required", "currency"}
    assert details["balance"].startswith("0.50")
    assert details["required"].startswith("1.00")
    assert details["currency"] == "USD"


def test_message_too_long_tells_the_measures(client747: Client747) -> None:
    details = check_error(client747.send(message="a" * 1531), 422, "message_too_long")
    assert details == {"length": 1531, "max_length": 1530, "segments": 11, "max_segments": 10, "encoding": "gsm7"}


def test_method_not_allowed_lists_the_methods(client747: Client747) -> None:
    details = check_error(client747.call("PUT", CUSTOM, [client747.bearer], BODY), 405, "method_not_allowed")
    assert sorted(details["allowed"]) == ["GET", "HEAD", "POST"]


def test_permission_denied_gives_a_hint(customer: Client747) -> None:
    assert check_error(customer.send(sender="Bank"), 403, "permission_denied")["hint"]
    customer.told("optout", "--add", phone(n=77))
    response = customer.send(phone(n=77))
    assert check_error(response, 403, "permission_denied")["hint"]
    assert customer.balance() == "50.00"
    assert customer.page()["data"] == []


# -- which comes first

ORDER: list[tuple[str, int, str, str, list[tuple[str, str]], bytes | None]] = [
    ("404 of the URL before 405", 404, "PUT", "/api/v1/nothing", [], b"{"),
    ("404 of the URL before 413", 404, "POST", "/api/v1/nothing", [], TOO_BIG),
    ("404 of the URL before the token", 404, "POST", f"{CUSTOM}/", [FORGED], b"{"),
    ("405 before 413", 405, "PUT", CUSTOM, [], TOO_BIG),
    ("405 before the token", 405, "PATCH", CUSTOM, [FORGED], None),
    ("413 before no token", 413, "POST", CUSTOM, [], TOO_BIG),
    ("413 before a forged token", 413, "POST", CUSTOM, [FORGED], TOO_BIG),
    ("431 before no token", 431, "POST", CUSTOM, FAT, b"{"),
    ("401 before the body", 401, "POST", CUSTOM, [], b"{"),
    ("401 of a forged token before the body", 401, "POST", CUSTOM, [FORGED], b"{"),
    ("401 before an unknown message", 401, "GET", f"{CUSTOM}/1", [FORGED], None),
]


@pytest.mark.parametrize("case", ORDER, ids=[case[0] for case in ORDER])
def test_of_several_errors_the_first_is_told(
    client747: Client747, case: tuple[str, int, str, str, Headers, bytes]
) -> None:
    _, status, method, target, headers, body = case
    assert on_its_own(client747, method, target, [*headers, JSON], body).status == status


def test_400_of_the_body_comes_before_403_of_the_sender(client747: Client747) -> None:
    assert client747.send("+1555123", sender="Bank").status == 400
    assert client747.send(sender="Bank", reference="x" * 65).status == 400

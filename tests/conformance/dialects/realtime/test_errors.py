"""What every error has in common, and which comes first when several apply."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from tests.harness.client import FORM, JSON, Client, form, message, phone
from tests.harness.wire import Headers, Response, encode

BODY = json.dumps(message([phone()])).encode()
NO_TOKEN = ("Authorization", "Bearer nonsense")
FORGED = ("Authorization", "Bearer a.b.c")
TOO_BIG = b" " * (1024 * 1024 + 1)
FAT = [(f"X-Fat-{n}", "x" * 4000) for n in range(10)]


def on_its_own(
    client: Client, method: str, target: str, headers: Headers, body: bytes | None = None, **more: object
) -> Response:
    """A request that the server may refuse before it has read all of it."""
    with client.server.wire() as wire:
        wire.send_until_refused(encode(method, target, headers, body, **more))  # type: ignore[arg-type]
        return wire.read(to_head=method == "HEAD")


PROBLEMS: dict[str, tuple[int, Callable[[Client, Headers], Response]]] = {
    "a body that is no JSON": (400, lambda c, h: c.call("POST", "/api/sms", [c.bearer, *h], b"{")),
    "a wrong field": (400, lambda c, h: c.call("POST", "/api/sms", [c.bearer, *h], b'{"recipients":1}')),
    "a value that is no token": (400, lambda c, h: c.call("GET", "/api/balance", [NO_TOKEN, *h])),
    "an unknown URL": (404, lambda c, h: c.call("GET", "/api/nothing", h)),
    "an unknown submission": (404, lambda c, h: c.call("GET", "/api/sms/1", [c.bearer, *h])),
    "a wrong method": (405, lambda c, h: c.call("PUT", "/api/sms", [c.bearer, *h], BODY)),
    "a wrong method for tokens": (405, lambda c, h: c.call("GET", "/api/auth", h)),
    "a wrong sender": (
        406,
        lambda c, h: c.call("POST", "/api/sms", [c.bearer, *h], json.dumps(message([phone()], sender="")).encode()),
    ),
    "a body over 1 MiB": (413, lambda c, h: on_its_own(c, "POST", "/api/sms", [c.bearer, *h], TOO_BIG)),
    "headers over 32 KiB": (431, lambda c, h: on_its_own(c, "POST", "/api/sms", [c.bearer, *FAT, *h], BODY)),
}
OTHERS: dict[str, tuple[int, Callable[[Client, Headers], Response]]] = {
    "no token": (401, lambda c, h: c.call("GET", "/api/balance", h)),
    "a forged token": (401, lambda c, h: c.call("POST", "/api/sms", [FORGED, *h], BODY)),
    "malformed credentials": (400, lambda c, h: c.call("POST", "/api/auth", [FORM, *h], form(client_id="x"))),
    "wrong credentials": (401, lambda c, h: c.call("POST", "/api/auth", [FORM, *h], wrong_credentials(c))),
}
RIGHTS: dict[str, tuple[int, Callable[[Client, Headers], Response]]] = {
    "a token": (
        200,
        lambda c, h: c.call(
            "POST",
            "/api/auth",
            [FORM, *h],
            form(grant_type="client_credentials", client_id=c.client_id, client_secret=c.client_secret),
        ),
    ),
    "a balance": (200, lambda c, h: c.call("GET", "/api/balance", [c.bearer, *h])),
    "a send": (200, lambda c, h: c.call("POST", "/api/sms", [c.bearer, *h], BODY)),
    "an info": (200, lambda c, h: c.call("GET", f"/api/sms/{c.submit()}", [c.bearer, *h])),
}
ERRORS = {**PROBLEMS, **OTHERS}
ALL = {**ERRORS, **RIGHTS}


def wrong_credentials(client: Client) -> bytes:
    secret = client.client_secret[:-1] + ("a" if client.client_secret[-1] != "a" else "b")
    return form(grant_type="client_credentials", client_id=client.client_id, client_secret=secret)


@pytest.mark.parametrize("which", PROBLEMS)
def test_an_error_is_a_problem_as_rfc_9457_has_it(client: Client, which: str) -> None:
    status, provoke = PROBLEMS[which]
    response = provoke(client, [])
    assert response.status == status
    assert response.header("Content-Type") == "application/problem+json"
    body = response.json()
    assert set(body) - {"errors"} == {"type", "title", "status", "detail", "instance"}
    assert body["status"] == status
    assert body["instance"] == response.header("X-Request-Id")
    assert re.fullmatch(r"/errors/[\w-]+", body["type"], re.ASCII)
    assert all(isinstance(body[name], str) and body[name] for name in ("title", "detail"))
    for error in body.get("errors", []):
        assert set(error) == {"pointer", "message"}
        assert error["message"]
    assert response.header("Link") == f'<{body["type"]}>; rel="help"'


@pytest.mark.parametrize("which", ERRORS)
def test_every_error_links_to_a_page_that_explains_it(client: Client, which: str) -> None:
    status, provoke = ERRORS[which]
    response = provoke(client, [])
    assert response.status == status
    found = re.fullmatch(r'<(/errors/[\w-]+)>; rel="help"', response.header("Link") or "", re.ASCII)
    assert found, response.header("Link")
    page = client.call("GET", found[1])
    assert page.status == 200
    assert (page.header("Content-Type") or "").startswith("text/html")
    assert found[1].rpartition("/")[2] in client.call("GET", "/errors.json").body.decode()


def test_an_error_code_that_does_not_exist_has_no_page(client: Client) -> None:
    response = client.call("GET", "/errors/no-such-code")
    assert response.status == 404
    assert response.header("X-Request-Id")


@pytest.mark.parametrize("which", ALL)
def test_every_answer_has_a_request_id_of_ours_whatever_the_caller_says(client: Client, which: str) -> None:
    status, provoke = ALL[which]
    seen = set()
    for headers in ([], [], [("X-Request-Id", "mine-1234")], [("x-request-id", "mine-1234")]):
        response = provoke(client, headers)
        assert response.status == status
        seen.add(response.header("X-Request-Id"))
        assert b"mine-1234" not in response.body
    assert len(seen) == 4
    assert not seen & {None, "", "mine-1234"}


@pytest.mark.parametrize("which", RIGHTS)
def test_what_went_well_links_to_no_error(client: Client, which: str) -> None:
    assert RIGHTS[which][1](client, []).header("Link") is None


def test_an_error_never_shows_how_the_server_is_made(client: Client) -> None:
    for _, provoke in ERRORS.values():
        body = provoke(client, []).body.decode()
        assert not re.search(r"Traceback|File \"|\.py\b|heliograph\.|msgspec|starlette|apsw", body), body


def send(sender: object = "96000", recipient: str = "+56910000000", text: object = "x", **more: object) -> bytes:
    return json.dumps(message([recipient], text, sender, **more)).encode()


ORDER: list[tuple[str, int, str, str, list[tuple[str, str]], bytes | None]] = [
    ("404 of the URL before 405", 404, "PUT", "/api/nothing", [], b"{"),
    ("404 of the URL before 413", 404, "POST", "/api/nothing", [], TOO_BIG),
    ("404 of the URL before 431", 404, "POST", "/api/nothing", FAT, b"{"),
    ("404 of the URL before the token", 404, "POST", "/api/sms/", [NO_TOKEN], b"{"),
    ("405 before 413", 405, "PUT", "/api/sms", [], TOO_BIG),
    ("405 before 431", 405, "PUT", "/api/sms", FAT, b"{"),
    ("405 before the token", 405, "DELETE", "/api/sms", [NO_TOKEN], None),
    ("413 before no token", 413, "POST", "/api/sms", [], TOO_BIG),
    ("413 before a malformed token", 413, "POST", "/api/sms", [NO_TOKEN], TOO_BIG),
    ("413 before a forged token", 413, "POST", "/api/sms", [FORGED], TOO_BIG),
    ("431 before no token", 431, "POST", "/api/sms", FAT, b"{"),
    ("431 before a malformed token", 431, "GET", "/api/balance", [NO_TOKEN, *FAT], None),
    ("401 before the body", 401, "POST", "/api/sms", [], b"{"),
    ("401 of a forged token before the body", 401, "POST", "/api/sms", [FORGED], b"{"),
    ("401 before the sender", 401, "POST", "/api/sms", [FORGED], send(sender="")),
    ("401 before an unknown submission", 401, "GET", "/api/sms/1", [FORGED], None),
    ("400 of the token before an unknown submission", 400, "GET", "/api/sms/1", [NO_TOKEN], None),
]


@pytest.mark.parametrize("case", ORDER, ids=[case[0] for case in ORDER])
def test_of_several_errors_the_first_is_told(client: Client, case: tuple[str, int, str, str, Headers, bytes]) -> None:
    _, status, method, target, headers, body = case
    assert on_its_own(client, method, target, [*headers, JSON], body).status == status


BODY_FIRST = {
    "a wrong type": send(sender="", text=1),
    "a wrong number": send(sender="Nobody", recipient="12"),
    "a wrong charset": send(sender="", charset=3),
    "a character that does not fit": send(sender="Nobody", text="ç", charset=1),
    "too many segments": send(sender="Nobody", text="a" * 1531),
    "an empty text": send(sender="", text=""),
    "too many recipients": json.dumps(message([phone()] * 1001, sender="")).encode(),
}


@pytest.mark.parametrize("what", BODY_FIRST)
def test_400_of_the_body_comes_before_406_of_the_sender(client: Client, what: str) -> None:
    response = client.post(BODY_FIRST[what])
    assert response.status == 400, response.body
    assert "/sender" not in [error["pointer"] for error in response.json()["errors"]]

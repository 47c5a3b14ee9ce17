"""The calls of RealTime over HTTP, at the lean door: what the doors do not decide is the same at both."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from urllib.parse import quote_plus

import pytest
from tests.harness.wire import Response, encode
from tests.unit.api.conftest import CLIENT_ID, CLIENT_SECRET, Running

BEARER = ("Authorization", "Bearer good.token.one")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
GRANT = "grant_type=client_credentials"


@pytest.fixture(scope="module")
def api() -> Iterator[Running]:
    running = Running(True)
    yield running
    running.stop()


def token(api: Running, body: str, *headers: tuple[str, str]) -> Response:
    return api.send(encode("POST", "/api/auth", headers or [FORM], body.encode()))[0]


def basic(text: str) -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(text.encode()).decode()


CREDENTIALS = f"client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (f"{GRANT}&{CREDENTIALS}", [FORM]),
        (f"{CREDENTIALS}&{GRANT}&scope=a&scope=b&x", [FORM]),
        (f"{GRANT}&{CREDENTIALS}&client_id=&client_secret=", [FORM]),
        (f"{GRANT}&{CREDENTIALS}", [("Content-Type", "Application/x-www-form-urlencoded ;charset=utf-8")]),
        (f"{GRANT}&{CREDENTIALS}", [("X", "no content type")]),
        (f"{GRANT}&{CREDENTIALS}", [FORM, ("Authorization", "Bearer of.old.times")]),
        (GRANT, [FORM, basic(f"{CLIENT_ID}:{CLIENT_SECRET}")]),
        (GRANT, [FORM, basic(f"{quote_plus(CLIENT_ID)}:{CLIENT_SECRET.replace('_', '%5F')}")]),
        (f"{GRANT}&client_id={CLIENT_ID}", [FORM, basic(f"{CLIENT_ID}:{CLIENT_SECRET}")]),
    ],
)
def test_a_right_request_gets_a_token(api: Running, body: str, headers: list[tuple[str, str]]) -> None:
    answer = token(api, body, *headers)
    assert answer.status == 200, answer.body
    assert answer.json()["access_token"] == "good.token.one"
    assert answer.header("cache-control") == "no-store"


@pytest.mark.parametrize(
    ("body", "headers", "status", "error"),
    [
        ("", [FORM], 400, "invalid_request"),
        (CREDENTIALS, [FORM], 400, "invalid_request"),
        (f"{GRANT}&client_id={CLIENT_ID}", [FORM], 400, "invalid_request"),
        (f"{GRANT}&client_secret={CLIENT_SECRET}", [FORM], 400, "invalid_request"),
        (f"{GRANT}&{CREDENTIALS}&{GRANT}", [FORM], 400, "invalid_request"),
        (f"{GRANT}&{CREDENTIALS}&client_id={CLIENT_ID}", [FORM], 400, "invalid_request"),
        (f"{GRANT}&{CREDENTIALS}", [FORM, basic(f"{CLIENT_ID}:{CLIENT_SECRET}")], 400, "invalid_request"),
        (f"{GRANT}&client_id=x", [FORM, basic(f"{CLIENT_ID}:{CLIENT_SECRET}")], 400, "invalid_request"),
        (f"{GRANT}&{CREDENTIALS}", [("Content-Type", "application/json")], 400, "invalid_request"),
        (f"{GRANT}&{CREDENTIALS}", [("Content-Type", "multipart/form-data; boundary=x")], 400, "invalid_request"),
        (f"{GRANT}&{CREDENTIALS}" + "&x" * 60, [FORM], 400, "invalid_request"),
        (f"{GRANT}&{CREDENTIALS}&x=" + "x" * 20_000, [FORM], 400, "invalid_request"),
        (f"{GRANT}&client_id=%FF&client_secret=%00", [FORM], 400, "invalid_request"),
        (GRANT, [FORM, ("Authorization", "Basic")], 400, "invalid_request"),
        (GRANT, [FORM, ("Authorization", "basic ?")], 400, "invalid_request"),
        (GRANT, [FORM, basic("nocolon")], 400, "invalid_request"),
        (GRANT, [FORM, basic(":")], 400, "invalid_request"),
        (GRANT, [FORM, *[basic(f"{CLIENT_ID}:{CLIENT_SECRET}")] * 2], 400, "invalid_request"),
        (f"grant_type=password&{CREDENTIALS}", [FORM], 400, "unsupported_grant_type"),
        (f"grant_type=%22%C3%A9&{CREDENTIALS}", [FORM], 400, "unsupported_grant_type"),
        (f"{GRANT}&{CREDENTIALS[:-1]}c", [FORM], 401, "invalid_client"),
        (GRANT, [FORM, basic(f"{CLIENT_ID}:{CLIENT_SECRET[:-1]}c")], 401, "invalid_client"),
    ],
)
def test_a_wrong_request_gets_none(
    api: Running, body: str, headers: list[tuple[str, str]], status: int, error: str
) -> None:
    answer = token(api, body, *headers)
    assert (answer.status, answer.json()["error"]) == (status, error)
    assert CLIENT_SECRET not in answer.body.decode()
    assert answer.header("cache-control") == "no-store"
    by_basic = any(value.startswith("Basic ") for _, value in headers)
    challenge = 'Basic realm="RealTime SMS"' if status == 401 and by_basic else None
    assert answer.header("www-authenticate") == challenge


@pytest.mark.parametrize("what", ["balance", "sms/1"])
def test_no_token_is_an_empty_401(api: Running, what: str) -> None:
    for value, challenge in ((None, ""), ("Bearer a.b.c", ', error="invalid_token"')):
        headers = [("Authorization", value)] if value else []
        (answer,) = api.send(encode("GET", f"/api/{what}", headers))
        assert (answer.status, answer.body, answer.header("content-length")) == (401, b"", "0")
        assert answer.header("www-authenticate") == f'Bearer realm="RealTime SMS"{challenge}'
        assert answer.header("content-type") is None


def send(text: str = "hello", account: str = "good.token.one", **more: object) -> bytes:
    body = {"recipients": ["56912340000", "56912340001"], "sender": "96000", "message": {"text": text}, **more}
    return encode("POST", "/api/sms", [("Authorization", f"Bearer {account}")], json.dumps(body).encode())


def test_what_is_temporary_says_when_to_come_back(api: Running) -> None:
    for text, status, retry in (("full", 503, "30"), ("lost", 503, "1"), ("boom", 500, None), ("broken", 500, None)):
        (answer,) = api.send(send(text))
        assert (answer.status, answer.header("retry-after")) == (status, retry)
        assert answer.json()["instance"] == answer.header("x-request-id")


def test_a_fault_is_logged_with_its_request_and_trace(api: Running, caplog: pytest.LogCaptureFixture) -> None:
    for raw in (send("boom"), encode("GET", "/api/sms/666", [BEARER])):
        caplog.clear()
        (answer,) = api.send(raw)
        assert answer.status == 500
        (record,) = caplog.records
        assert answer.header("x-request-id") in record.getMessage()
        assert record.exc_info is not None


def test_a_suspended_account_reads_and_does_not_send(api: Running) -> None:
    gone = ("Authorization", "Bearer gone.token.two")
    assert api.send(encode("GET", "/api/balance", [gone]))[0].status == 200
    (answer,) = api.send(send(account="gone.token.two", recipients=1))
    assert (answer.status, answer.json()["type"]) == (403, "/errors/account_suspended")


def test_info(api: Running) -> None:
    (answer,) = api.send(encode("GET", "/api/sms/4193366853543393", [BEARER]))
    assert answer.json()["info"]["cost"] == 0.035
    assert answer.json()["timestamps"] == {"registered": 1600351683, "sent": 1600351694, "done": 1600355610}


def test_tokens_that_were_seen_are_verified_again_every_time(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.unit.api import conftest

    assert api.send(send())[0].status == 200
    monkeypatch.delitem(conftest.ACCOUNTS, "good.token.one")
    assert api.send(send())[0].status == 401


def test_readiness_is_what_the_server_says(api: Running) -> None:
    assert api.send(encode("GET", "/readyz"))[0].status == 200
    api.problems.append("the store is full")
    health, ready = api.send(encode("GET", "/healthz"), encode("GET", "/readyz"))
    api.problems.clear()
    assert health.status == 200
    assert (ready.status, ready.json()["problems"]) == (503, ["the store is full"])
    assert ready.header("retry-after")


def test_the_sending_function_answers_once_and_raises_nothing(open_door: Callable[..., Running]) -> None:
    door = open_door(True)
    for raw in (send(), send("boom"), send("full"), send("lost"), send("broken"), send("poor")):
        door.send(raw)
    assert len(door.submit.orders) == 6

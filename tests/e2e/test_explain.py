"""`heliograph explain REQUEST_ID` over a running server: what happened to that very request."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conftest import DOORS, Accounts
from tests.harness.client import Client, message
from tests.harness.server import Ran, Server
from tests.harness.wire import Response

TEXT = "the eagle has landed ’"


@pytest.fixture(scope="module", params=list(DOORS))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(f"explain-{request.param}") / "data"
    with Server(folder, settings={"http.lean_door": DOORS[request.param]}) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Server) -> Client:
    return Client(server, server.credentials)


def id_of(response: Response) -> str:
    return response.header("X-Request-Id") or ""


def explained(server: Server, response: Response, *, refused: bool = True) -> dict[str, Any]:
    """What the command knows of a request, once what was `refused` of it is written behind the hot path."""
    deadline = time.monotonic() + 10
    while True:
        ran = server.cli_here("explain", id_of(response), check=False)
        if ran.code == 0 and ("error" in ran.data or not refused):
            found: dict[str, Any] = ran.data
            return found
        assert time.monotonic() < deadline, ran
        time.sleep(0.1)


def text_of(server: Server, response: Response) -> str:
    ran: Ran = server.cli_here("explain", id_of(response), json=False)
    return " ".join(ran.out.split())


def test_accepted_request_tells_its_messages_and_what_was_decided(client: Client) -> None:
    response = client.send(["+56912340000", "+56912341111"], TEXT)
    ids = [one["submissionId"] for one in response.json()["submissions"]]
    for submission in ids:
        client.wait_final(submission)
    story = explained(client.server, response, refused=False)
    assert (story["outcome"], story["account_id"], story["api"]) == ("accepted", client.account, "RealTime SMS v.2")
    assert [one["id"] for one in story["messages"]] == ids
    first = story["messages"][0]
    assert (first["recipient"], first["sender"], first["carrier"]) == ("+56912340000", "96000", "simulator")
    assert (first["price"], first["status"]) == ("1", "DELIVERED")
    assert (first["encoding"], first["segments"]) == ("UCS2", 1)
    assert "(U+2019) is not in the GSM 7-bit alphabet" in first["why"]
    assert first["operator"]["source"] in ("prefix", "none")
    shown = text_of(client.server, response)
    for part in (ids[0], ids[1], "accepted", "simulator", "U+2019", "DELIVERED"):
        assert part in shown
    assert TEXT not in shown


REFUSED = [
    (400, "body_not_json", "POST /api/sms"),
    (400, "recipient_invalid", "POST /api/sms"),
    (401, "token_invalid", "POST /api/sms"),
    (401, "credentials_invalid", "POST /api/auth"),
    (403, "country_not_allowed", "POST /api/sms"),
    (404, "submission_not_found", "GET /api/sms/{id}"),
    (404, "not_found", "GET -"),
    (405, "method_not_allowed", "PUT /api/sms"),
    (406, "sender_malformed", "POST /api/sms"),
    (413, "request_too_large", "POST /api/sms"),
    (429, "rate_limited", "POST /api/sms"),
]


def provoked(client: Client, accounts: Accounts, code: str) -> tuple[Response, str]:
    """A refused request, and the account that it is known by."""
    me = client.account
    match code:
        case "body_not_json":
            return client.post(b'{"message":'), me
        case "recipient_invalid":
            return client.send(["+1555123"]), me
        case "token_invalid":
            return client.call("POST", "/api/sms", [("Authorization", "Bearer a.b.c")], b"{}"), "-"
        case "credentials_invalid":
            return client.authenticate(client_secret="rts_" + "x" * 43), "-"
        case "submission_not_found":
            return client.get("/api/sms/1"), me
        case "not_found":
            return client.get("/api/nothing"), "-"
        case "method_not_allowed":
            return client.call("PUT", "/api/sms", [client.bearer], b"{}"), "-"
        case "sender_malformed":
            return client.send(sender="My Company Ltd"), me
        case "request_too_large":
            return client.send(text="x" * 2_000_000), "-"
    words = {"country_not_allowed": ("countries", "--only", "GB"), "rate_limited": ("limit", "--per-minute", "1")}
    limited = accounts.new()
    name, *more = words[code]
    client.server.cli_here("account", name, limited.account, *more, json=False)
    deadline = time.monotonic() + 10
    while (response := limited.send()).status == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return response, limited.account


@pytest.mark.parametrize(("status", "code", "call"), REFUSED, ids=[code for _, code, _ in REFUSED])
def test_refused_request_tells_who_what_and_what_to_do(client: Client, status: int, code: str, call: str) -> None:
    response, account = provoked(client, Accounts(client.server), code)
    assert response.status == status
    story = explained(client.server, response)
    assert (story["outcome"], story["status"], story["call"]) == ("refused", status, call)
    assert story["api"] == ("" if call == "GET -" else "RealTime SMS v.2")
    assert story["account_id"] == account
    error = story["error"]
    assert error["code"] == code
    if status not in (401,) and "detail" in response.json():
        assert error["detail"] == re.sub("'[^']*'", "…", response.json()["detail"])
    shown = text_of(client.server, response)
    assert " ".join(error["remedy"].split()[:5]) in shown
    assert f"heliograph explain {code}" in shown


def test_request_of_which_some_recipients_were_not_paid_for_tells_both(client: Client) -> None:
    poor = Accounts(client.server).new("--any-sender", balance="1.00")
    response = poor.send(["+56912340000", "+56912340000"], "hello")
    assert response.json()["submissions"][1] == {"status": "account_no_balance"}
    story = explained(client.server, response)
    assert (story["outcome"], len(story["messages"])) == ("partly accepted", 1)
    assert story["error"]["code"] == "insufficient_funds"
    of_all = "1 of the 2 recipients were refused, the others accepted: insufficient_funds at 1"
    assert of_all in story["error"]["detail"]
    assert story["error"]["charged"].startswith("1 message was accepted and charged, 1 in all")


def test_request_that_only_read_is_unknown_and_the_command_says_why(client: Client) -> None:
    response = client.get("/api/balance")
    ran = client.server.cli_here("explain", id_of(response), check=False)
    assert ran.code == 1
    assert "those that read" in ran.err


def test_journal_holds_no_text_no_token_and_no_secret(client: Client) -> None:
    wrong = {"recipients": ["+56912340000"], "sender": "96000", "message": TEXT}
    told = [client.post(wrong), client.authenticate(grant_type=client.client_secret)]
    told += [client.send([TEXT]), client.send(sender=client.client_secret), client.send(sender=TEXT)]
    for response in told:
        assert explained(client.server, response)["outcome"] == "refused"
    sent = client.call("POST", "/api/sms", [client.bearer], json.dumps(message(["+1"], TEXT)).encode())
    shown = json.dumps([explained(client.server, one) for one in (*told, sent)])
    assert "eagle" not in shown
    assert client.client_secret[:20] not in shown
    assert client.token[-20:] not in shown

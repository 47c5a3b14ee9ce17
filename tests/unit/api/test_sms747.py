"""The calls of 747 SMS over HTTP at both doors, over doubles."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.harness.wire import Response, encode
from tests.unit.api import conftest
from tests.unit.api.conftest import FakeQuery, FakeView, Running, bare

from heliograph.api.asgi import Api
from heliograph.api.replies import Reply, note_of_parts

BEARER = ("Authorization", "Bearer busy.token.three")
CUSTOM = "/api/v1/message/custom"
BATCH = "/api/v1/message/batch"
TOKEN = "/api/v1/auth/token"
ID = FakeView.public_id
HELLO = {"recipient": "+56912340000", "message": "hello"}


def post(body: object, *headers: tuple[str, str], path: str = CUSTOM) -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return encode("POST", path, [BEARER, *headers], raw)


def text(message: str, **more: object) -> bytes:
    return post({**HELLO, "message": message, **more})


def get(path: str, token: str = "busy.token.three", method: str = "GET") -> bytes:
    return encode(method, path, [("Authorization", f"Bearer {token}")])


def key(value: str) -> tuple[str, str]:
    return "Idempotency-Key", value


API_KEY, API_SECRET = conftest.CREDENTIALS[conftest.KINDS["sms747"].dialect]
CREDENTIALS = json.dumps({"api_key": API_KEY, "api_secret": API_SECRET}).encode()
REQUESTS: dict[str, tuple[bytes, int]] = {
    "send": (post(HELLO), 201),
    "send as the provider writes it": (post(HELLO, path="/api/v1/Message/custom"), 201),
    "send in another case": (post(HELLO, path="/API/V1/mEssage/CUSTOM"), 201),
    "send with a query": (post(HELLO, path=f"{CUSTOM}?x"), 201),
    "send in chunks": (encode("POST", CUSTOM, [BEARER], chunks=[b'{"to":"+1",', b'"message":"x"}']), 201),
    "send with a key": (post(HELLO, key("a")), 201),
    "send with a malformed key": (post(HELLO, key("a b")), 400),
    "send of no JSON": (post(b"{"), 400),
    "send of wrong fields": (post({"to": 5}), 400),
    "send to no number": (text("wrong"), 400),
    "send to who wants none": (text("stopped"), 403),
    "send to a full carrier": (text("crowded"), 503),
    "send without money": (text("poor"), 422),
    "send without money, with a key": (post({**HELLO, "message": "poor"}, key("b")), 422),
    "send that is refused": (text("full"), 503),
    "send that is lost": (text("lost"), 503),
    "send that breaks the server": (text("boom"), 500),
    "send whose answer breaks": (text("broken"), 500),
    "send to a wild callback": (text("hello", callback_url="http://"), 400),
    "send without a token": (encode("POST", CUSTOM, [], b"{"), 401),
    "send with nonsense for a token": (encode("POST", CUSTOM, [("Authorization", "Bearer x")], b"{"), 401),
    "send with a forged token": (encode("POST", CUSTOM, [("Authorization", "Bearer a.b.c")], b"{"), 401),
    "send of a suspended account": (encode("POST", CUSTOM, [("Authorization", "Bearer gone.token.two")], b"{"), 403),
    "put": (encode("PUT", CUSTOM, [BEARER], b"{}"), 405),
    "post to a message": (post(HELLO, path=f"{CUSTOM}/{ID}"), 405),
    "trailing slash": (post(HELLO, path=f"{CUSTOM}/"), 404),
    "a K that is none": (encode("GET", "/api/v1/account%E2%84%AA"), 404),
    "a long s": (encode("POST", "/api/v1/me%C5%BFsage/custom", [BEARER], b"{}"), 404),
    "batch": (post({"messages": [HELLO, HELLO]}, path=BATCH), 200),
    "batch in another case": (post({"messages": [HELLO]}, path=BATCH.upper()), 200),
    "batch with a key": (post({"messages": [HELLO]}, key("a"), path=BATCH), 200),
    "batch that is none": (post({}, path=BATCH), 400),
    "batch of too many": (post({"messages": [HELLO] * 4}, path=BATCH), 400),
    "batch of a suspended account": (
        encode("POST", BATCH, [("Authorization", "Bearer gone.token.two")], b'{"messages":[]}'),
        403,
    ),
    "list": (get(CUSTOM), 200),
    "list of a suspended account": (get(CUSTOM, "gone.token.two"), 200),
    "list in another case": (get(CUSTOM.title()), 200),
    "list with a filter": (get(f"{CUSTOM}?limit=1&status=scheduled"), 200),
    "list with a bad filter": (get(f"{CUSTOM}?limit=0"), 400),
    "list that breaks the server": (get(f"{CUSTOM}?cursor=broken"), 500),
    "head of a list": (get(CUSTOM, method="HEAD"), 200),
    "one message": (get(f"{CUSTOM}/{ID}"), 200),
    "no message": (get(f"{CUSTOM}/1"), 404),
    "cancelling too late": (get(f"{CUSTOM}/2", method="DELETE"), 422),
    "cancelling nothing": (get(f"{CUSTOM}/1", method="DELETE"), 404),
    "account": (get("/api/v1/account"), 200),
    "account without a token": (encode("GET", "/api/v1/account"), 401),
    "token": (encode("POST", TOKEN, [], CREDENTIALS), 200),
    "token in another case": (encode("POST", TOKEN.upper(), [], CREDENTIALS), 200),
    "token with a wrong secret": (encode("POST", TOKEN, [], CREDENTIALS.replace(b"bb", b"cc")), 401),
    "token of nonsense": (encode("POST", TOKEN, [], b"nonsense"), 400),
}


def without_limit(response: Response) -> tuple[object, ...]:
    status, interim, headers, body = bare(response)
    return status, interim, [one for one in headers if not one[0].startswith("ratelimit-")], body


@pytest.mark.parametrize("what", REQUESTS)
def test_both_doors_give_the_same_answer(both: tuple[Running, Running], what: str) -> None:
    raw, status = REQUESTS[what]
    lean, plain = (door.send(raw)[0] for door in both)
    if "account" not in what:
        assert without_limit(lean) == without_limit(plain)
    assert (lean.status, plain.status) == (status, status), lean.body
    if status >= 400:
        assert lean.header("content-type") == "application/json"
        assert list(lean.json()) == ["error"]
        assert lean.header("link")
        assert (lean.header("www-authenticate") or "").startswith("Bearer" if status == 401 else "")


def test_the_account_sends_under_its_own_name_unless_another_is_given(door: Running) -> None:
    door.send(post(HELLO), post({**HELLO, "sender": "SHOP"}))
    assert [order.sender for order in door.submit.orders] == ["96000", "SHOP"]


def test_an_account_without_a_name_is_told_so(door: Running) -> None:
    nameless = conftest.msgspec.structs.replace(conftest.BUSY, default_sender="")
    conftest.ACCOUNTS["nameless.token.four"] = nameless
    try:
        headers = [("Authorization", "Bearer nameless.token.four")]
        body = json.dumps({"messages": [HELLO, {**HELLO, "sender": "X"}]}).encode()
        sent, batch = door.send(
            encode("POST", CUSTOM, headers, json.dumps(HELLO).encode()), encode("POST", BATCH, headers, body)
        )
    finally:
        del conftest.ACCOUNTS["nameless.token.four"]
    assert (sent.status, sent.json()["error"]["details"]) == (400, {"parameter": "sender"})
    assert [next(iter(one)) for one in batch.json()["data"]] == ["error", "id"]


def test_errors_name_the_spelling_of_the_caller(door: Running) -> None:
    for name in ("recipient", "to"):
        wrong = {name: "+56912340000", "message": "wrong"}
        single, batch = door.send(post(wrong), post({"messages": [wrong]}, path=BATCH))
        assert single.json()["error"]["details"] == {"parameter": name}
        assert batch.json()["data"] == [single.json()]


def test_who_has_no_money_is_told_the_balance(door: Running) -> None:
    (answer,) = door.send(text("poor"))
    assert answer.json()["error"]["details"] == {"balance": "457.00", "required": "0.0350", "currency": "USD"}


def test_a_balance_that_cannot_be_read_does_not_leave_the_caller_waiting(
    door: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: FakeQuery, account_id: int) -> int:
        raise RuntimeError("a secret trace")

    monkeypatch.setattr(FakeQuery, "balance_micros", broken)
    (answer,) = door.send(text("poor"))
    assert answer.status == 500
    assert answer.json()["error"]["details"] == {"request_id": answer.header("x-request-id")}


def test_in_a_batch_every_message_has_its_own_end(door: Running) -> None:
    poor = {**HELLO, "message": "poor"}
    (answer,) = door.send(post({"messages": [HELLO, poor, 5]}, path=BATCH))
    sent, unpaid, wrong = answer.json()["data"]
    assert (sent["id"], sent["recipient"]) == ("56912340000", "+56912340000")
    assert unpaid["error"]["details"] == {"balance": "456.96", "required": "0.0350", "currency": "USD"}
    assert wrong["error"]["details"] == {"parameter": "messages[2]"}


def test_the_journal_names_every_error_of_a_batch_and_where_it_is(
    door: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[tuple[int, str, str]] = []
    note = Api.note

    def noting(self: Api, request_id: str, method: str, route: str, reply: Reply, account: str) -> None:
        noted.append((reply.status, reply.code, reply.detail))
        note(self, request_id, method, route, reply, account)

    monkeypatch.setattr(Api, "note", noting)
    door.send(post({"messages": [5, HELLO, {**HELLO, "message": "poor"}]}, path=BATCH))
    door.send(post({"messages": [5, 5]}, path=BATCH))
    mixed, none = noted
    assert mixed == (
        200,
        "field_invalid,insufficient_funds",
        "2 of the 3 messages were refused, the others accepted: field_invalid at 0; insufficient_funds at 2"
        " (counted from 0).",
    )
    assert "2 of the 2 messages were refused, none accepted" in none[2]


def test_the_note_of_a_batch_stays_short() -> None:
    _, detail = note_of_parts([(index, "text_empty") for index in range(1000)], 1001, "messages")
    assert "text_empty at 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 990 more" in detail


def test_a_limit_is_the_tiers_unless_the_account_has_its_own(door: Running) -> None:
    tier, own = door.send(get("/api/v1/account", "good.token.one"), get("/api/v1/account"))
    assert (tier.header("ratelimit-limit"), own.header("ratelimit-limit")) == ("100", "1000000")
    assert tier.json()["data"]["rate_limit"]["remaining"] == 99
    (balance,) = door.send(get("/api/balance", "good.token.one"))
    assert balance.header("ratelimit-limit") is None


def test_what_is_over_the_limit_is_told_when_to_come_back(door: Running) -> None:
    answers = door.send(*[get("/api/v1/account", "good.token.one")] * 101, encode("POST", CUSTOM, [
        ("Authorization", "Bearer good.token.one")
    ], b"{"))  # fmt: skip
    assert [one.status for one in answers] == [200] * 100 + [429] * 2
    for answer in answers[-2:]:
        limit = answer.json()["error"]["details"]["rate_limit"]
        assert (limit["limit"], limit["remaining"]) == (100, 0)
        assert answer.header("ratelimit-remaining") == "0"
        assert int(answer.header("retry-after") or 0) in range(1, 62)


def test_failed_token_requests_are_throttled_by_address(open_door: Callable[..., Running]) -> None:
    door = open_door(True)
    wrong = encode("POST", TOKEN, [], CREDENTIALS.replace(b"bb", b"cc"))
    answers = door.send(*[wrong] * 1001, encode("POST", TOKEN, [], CREDENTIALS))
    assert {one.status for one in answers[:1000]} == {401}
    assert [one.status for one in answers[1000:]] == [429, 429]
    assert answers[-1].json()["error"]["details"]["rate_limit"]["limit"] == 1000


def test_a_token_is_not_for_caches(door: Running) -> None:
    (answer,) = door.send(encode("POST", TOKEN, [], CREDENTIALS))
    assert answer.json() == {"access_token": "good.token.one", "token_type": "Bearer", "expires_in": 3600}
    assert answer.header("cache-control") == "no-store"


def test_what_is_wrong_with_a_token_is_challenged(door: Running) -> None:
    missing, forged = door.send(encode("GET", "/api/v1/account"), get("/api/v1/account", "a.b.c"))
    assert missing.header("www-authenticate") == 'Bearer realm="747 SMS"'
    assert forged.header("www-authenticate") == 'Bearer realm="747 SMS", error="invalid_token"'


def test_the_part_of_the_url_space_that_is_not_v1_speaks_realtime(door: Running) -> None:
    v1, below = door.send(encode("GET", "/API/V1/nothing"), encode("GET", "/api/v1"))
    assert (v1.status, v1.json()["error"]["details"]) == (404, {"resource": "url", "id": "/API/V1/nothing"})
    assert (below.status, below.header("content-type")) == (404, "application/problem+json")


def test_limits_of_http_are_told_in_the_apis_shape(door: Running) -> None:
    large = encode("POST", CUSTOM, [BEARER, ("Content-Length", str(2**30))], b"").replace(b"Content-Length: 0\r\n", b"")
    (body,) = door.send(large)
    (head,) = door.send(encode("GET", "/api/v1/account", [BEARER, ("X", "x" * 33_000)]))
    assert (body.status, body.json()["error"]["details"]) == (413, {"max_bytes": 1024 * 1024})
    assert (head.status, head.json()["error"]["details"]) == (431, {"max_bytes": 32 * 1024})
    assert body.json()["error"]["code"] == head.json()["error"]["code"] == "request_too_large"


def test_a_fault_is_logged_with_its_request(door: Running, caplog: pytest.LogCaptureFixture) -> None:
    for raw in (text("boom"), get(f"{CUSTOM}?cursor=broken")):
        caplog.clear()
        (answer,) = door.send(raw)
        assert answer.status == 500
        assert "secret" not in answer.body.decode()
        (record,) = caplog.records
        assert answer.header("x-request-id") in record.getMessage()
        assert record.exc_info is not None

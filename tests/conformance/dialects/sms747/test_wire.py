"""HTTP/1.1 and JSON as clients speak them: chunks, pipelines, kept connections, odd JSON, too much of it."""

from __future__ import annotations

import json
import random

import pytest
from tests.harness.client import JSON, phone
from tests.harness.client747 import ACCOUNT, BATCH, CUSTOM, TOKEN, Client747, check_error, order
from tests.harness.wire import Response, encode

MIB = 1024 * 1024
BODY = json.dumps(order()).encode()


def send(client: Client747, body: bytes = BODY, path: str = CUSTOM) -> bytes:
    return encode("POST", path, [client.bearer, JSON], body)


def pour(client: Client747, raw: bytes) -> Response:
    with client.server.wire() as wire:
        wire.send_until_refused(raw)
        return wire.read()


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("path", [CUSTOM, "/api/v1/Message/custom", "/API/v1/message/custom", BATCH, TOKEN])
def test_a_chunked_body_is_as_good(client747: Client747, path: str, size: int) -> None:
    credentials = {"api_key": client747.api_key, "api_secret": client747.api_secret}
    what = {BATCH: {"messages": [order()] * 50}, TOKEN: credentials}.get(path, order(message="ä" * 100))
    body = json.dumps(what).encode()
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    response = client747.call("POST", path, [client747.bearer, JSON], chunks=chunks)
    assert response.status == (200 if path in (BATCH, TOKEN) else 201)


def test_a_connection_is_kept_for_the_next_request(client747: Client747) -> None:
    with client747.server.wire() as wire:
        for _ in range(10):
            for raw, status in (
                (send(client747), 201),
                (encode("GET", ACCOUNT, [client747.bearer]), 200),
                (send(client747, b"{"), 400),
                (encode("POST", CUSTOM, [], BODY), 401),
                (encode("PUT", CUSTOM, [client747.bearer], BODY), 405),
                (send(client747, path="/api/v1/MESSAGE/CUSTOM"), 201),
                (encode("POST", f"{CUSTOM}/", [], BODY), 404),
            ):
                wire.send(raw)
                response = wire.read()
                assert response.status == status
                assert (response.header("Connection") or "keep-alive").lower() != "close"


def mixed(client: Client747, seed: int, count: int = 30) -> tuple[bytes, list[object]]:
    """Requests of both APIs in one string of bytes, and the mark by which each answer is known."""
    pick = random.Random(seed)
    raw, expected = b"", []
    for n in range(count):
        kind = pick.randrange(7)
        if kind <= 2:
            path = pick.choice([CUSTOM, "/api/v1/Message/custom", "/API/V1/message/custom"])
            raw += send(client, json.dumps(order(reference=str(n))).encode(), path)
            expected.append((201, str(n)))
        elif kind == 3:
            raw += encode("GET", ACCOUNT, [client.bearer])
            expected.append((200, client.account))
        elif kind == 4:
            raw += encode("GET", "/api/balance", [client.realtime.bearer])
            expected.append((200, "balance"))
        elif kind == 5:
            raw += encode("POST", CUSTOM, [client.bearer], chunks=[b'{"to":"+5691000', b'0000","message":"x"}'])
            expected.append((201, None))
        else:
            raw += send(client, b"{")
            expected.append((400, "invalid_request"))
    return raw, expected


def mark(response: Response) -> object:
    body = response.json()
    if "error" in body:
        return response.status, body["error"]["code"]
    if "balance" in body:
        return response.status, "balance"
    return response.status, body["data"]["reference"] if response.status == 201 else body["data"]["id"]


@pytest.mark.parametrize("seed", range(3))
def test_a_pipeline_is_answered_in_order_however_it_is_cut(client747: Client747, seed: int) -> None:
    raw, expected = mixed(client747, seed)
    cuts = sorted(random.Random(seed).randrange(1, len(raw)) for _ in range(30 * seed))
    with client747.server.wire() as wire:
        for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
            wire.send(raw[start:end])
        assert [mark(wire.read()) for _ in expected] == expected


def test_a_balance_asked_for_behind_a_send_is_the_balance_after_it(client747: Client747) -> None:
    before = float(client747.balance())
    with client747.server.wire() as wire:
        wire.send((send(client747) + encode("GET", ACCOUNT, [client747.bearer])) * 3)
        for n in range(1, 4):
            assert wire.read().status == 201
            assert float(wire.read().json()["data"]["balance"]) == before - n


def test_connection_close_is_answered_and_then_done(client747: Client747) -> None:
    with client747.server.wire() as wire:
        wire.send(encode("POST", CUSTOM, [client747.bearer, ("Connection", "close")], BODY))
        response = wire.read()
        assert (response.status, (response.header("Connection") or "").lower()) == (201, "close")
        assert wire.rest(5) == b""


def test_http_1_0_is_answered_with_a_length_and_closed(client747: Client747) -> None:
    with client747.server.wire() as wire:
        wire.send(encode("POST", CUSTOM, [client747.bearer], BODY, version="1.0"))
        response = wire.read()
        assert response.status == 201
        assert response.header("Transfer-Encoding") is None
        assert wire.rest(5) == b""


def test_expect_100_continue_is_answered_before_the_body_comes(client747: Client747) -> None:
    headers = [client747.bearer, JSON, ("Content-Length", str(len(BODY))), ("Expect", "100-continue")]
    with client747.server.wire() as wire:
        wire.send(encode("POST", CUSTOM, headers))
        assert wire.read_interim() == 100
        wire.send(BODY)
        assert wire.read().status == 201


# -- JSON


@pytest.mark.parametrize("path", [CUSTOM, BATCH, TOKEN])
@pytest.mark.parametrize("body", [b"\xef\xbb\xbf" + BODY, BODY.decode().encode("utf-16"), b'{"message":"\xe9"}'])
def test_json_is_utf_8_without_a_byte_order_mark(client747: Client747, path: str, body: bytes) -> None:
    check_error(client747.post(body, path), 400, "invalid_request")


def test_of_duplicate_keys_the_last_wins(client747: Client747) -> None:
    body = b'{"recipient":"x","message":"first","recipient":"+56910000000","message":"last"}'
    assert client747.post(body).json()["data"]["message"] == "last"
    body = b'{"recipient":"+56910000000","message":"x","recipient":"nobody"}'
    check_error(client747.post(body), 400, "invalid_phone_number")


@pytest.mark.parametrize(("written", "status"), [(b"600", 201), (b"600.0", 201), (b"6e2", 201), (b"600.5", 400)])
def test_a_whole_number_may_be_written_as_a_decimal(client747: Client747, written: bytes, status: int) -> None:
    body = b'{"recipient":"+56910000000","message":"x","validity_seconds":' + written + b"}"
    assert client747.post(body).status == status


@pytest.mark.parametrize("name", ["message", "reference", "recipient", "sender"])
@pytest.mark.parametrize("value", ["a\u0000b", "\ud83d"], ids=["NUL", "half a pair"])
def test_a_nul_or_half_a_surrogate_pair_is_400(client747: Client747, name: str, value: str) -> None:
    response = client747.send(**{name: value})
    assert response.status == 400
    assert response.json()["error"]["code"] in ("invalid_request", "invalid_phone_number")


def test_deeply_nested_json_is_refused_or_ignored(client747: Client747) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    response = client747.post(b'{"recipient":"+56910000000","message":"x","extra":' + deep + b"}")
    assert response.status in (201, 400)


def test_the_content_type_of_a_send_is_not_checked(client747: Client747) -> None:
    for headers in ([], [("Content-Type", "text/plain")], [("Content-Type", "application/x-www-form-urlencoded")]):
        assert client747.call("POST", CUSTOM, [client747.bearer, *headers], BODY).status == 201


# -- how much


def padded(size: int) -> bytes:
    return BODY[:-1] + b" " * (size - len(BODY)) + BODY[-1:]


@pytest.mark.parametrize("path", [CUSTOM, "/api/v1/MESSAGE/custom"])
def test_a_body_of_exactly_1_mib_is_taken(client747: Client747, path: str) -> None:
    assert client747.post(padded(MIB), path).status == 201
    assert client747.call("POST", path, [client747.bearer, JSON], chunks=[padded(MIB)]).status == 201


@pytest.mark.parametrize("how", ["with a length", "chunked", "announced"])
@pytest.mark.parametrize("path", [CUSTOM, "/api/v1/MESSAGE/custom", BATCH, TOKEN])
def test_a_body_over_1_mib_is_413(client747: Client747, path: str, how: str) -> None:
    headers = [client747.bearer, JSON]
    if how == "announced":
        raw = encode("POST", path, [*headers, ("Content-Length", str(10**12))])
    elif how == "chunked":
        raw = encode("POST", path, headers, chunks=[padded(MIB + 1)])
    else:
        raw = encode("POST", path, headers, padded(MIB + 1))
    before = client747.balance()
    assert check_error(pour(client747, raw), 413, "request_too_large") == {"max_bytes": MIB}
    assert client747.balance() == before


@pytest.mark.parametrize("path", [CUSTOM, "/api/v1/MESSAGE/custom", ACCOUNT, TOKEN])
def test_headers_over_32_kib_are_431(client747: Client747, path: str) -> None:
    fat = [(f"X-{n}", "x" * 3000) for n in range(12)]
    method = "GET" if path == ACCOUNT else "POST"
    response = pour(client747, encode(method, path, [client747.bearer, *fat], BODY if method == "POST" else None))
    check_error(response, 431, "request_too_large")


def test_a_request_target_in_absolute_form_is_the_same_target(client747: Client747) -> None:
    target = f"{client747.server.base_url}{CUSTOM}"
    assert client747.call("POST", target, [client747.bearer], BODY).status == 201
    assert client747.sent(phone(n=1))["status"] == "queued"

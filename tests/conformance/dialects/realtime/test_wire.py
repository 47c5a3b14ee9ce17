"""HTTP/1.1 as clients speak it: pipelines, chunks, single bytes, `Expect`, `Connection`, HTTP/1.0."""

from __future__ import annotations

import json
import random

import pytest
from tests.harness.client import FORM, JSON, Client, form, message, phone
from tests.harness.wire import Response, encode

BODY = json.dumps(message([phone()])).encode()


def send(client: Client, body: bytes = BODY, **more: object) -> bytes:
    return encode("POST", "/api/sms", [client.bearer, JSON], body, **more)  # type: ignore[arg-type]


def submitted(response: Response) -> int:
    assert response.status == 200, (response.status, response.body)
    assert {entry["status"] for entry in response.json()["submissions"]} == {"submitted"}
    return len(response.json()["submissions"])


def mixed(client: Client, seed: int, count: int = 40) -> tuple[bytes, list[object]]:
    """Requests of every kind in one string of bytes, and the mark by which each answer is known."""
    pick = random.Random(seed)
    submission_id = client.submit()
    raw, expected = b"", []
    for _ in range(count):
        kind = pick.randrange(8)
        if kind <= 2:
            size = pick.randrange(1, 6)
            raw += send(client, json.dumps(message([phone(n=n) for n in range(size)])).encode())
            expected.append(("submissions", size))
        elif kind == 3:
            raw += encode("GET", "/api/balance", [client.bearer])
            expected.append(("balance",))
        elif kind == 4:
            raw += encode("GET", f"/api/sms/{submission_id}", [client.bearer])
            expected.append(("info", submission_id))
        elif kind == 5:
            raw += encode("POST", "/api/sms", [client.bearer, JSON], chunks=[BODY[:10], BODY[10:11], BODY[11:]])
            expected.append(("submissions", 1))
        elif kind == 6:
            raw += encode("POST", "/api/sms", [JSON], BODY)
            expected.append((401,))
        else:
            raw += encode("POST", "/api/sms", [client.bearer], b'{"recipients":[]}')
            expected.append((400,))
    return raw, expected


def mark(response: Response) -> object:
    if response.status != 200:
        return (response.status,)
    body = response.json()
    if "submissions" in body:
        return ("submissions", submitted(response))
    return ("balance",) if "balance" in body else ("info", body["id"])


def test_sends_in_one_segment_are_each_answered_and_in_order(client: Client) -> None:
    sizes = [3, 1, 4, 1, 5, 9, 2, 6]
    with client.server.wire() as wire:
        wire.send(b"".join(send(client, json.dumps(message([phone()] * size)).encode()) for size in sizes))
        assert [submitted(wire.read()) for _ in sizes] == sizes


@pytest.mark.parametrize("seed", range(3))
def test_sends_and_other_calls_in_one_segment_are_answered_in_order(client: Client, seed: int) -> None:
    raw, expected = mixed(client, seed)
    with client.server.wire() as wire:
        wire.send(raw)
        assert [mark(wire.read()) for _ in expected] == expected


@pytest.mark.parametrize("seed", range(3))
def test_a_pipeline_cut_anywhere_is_the_same_pipeline(client: Client, seed: int) -> None:
    raw, expected = mixed(client, seed, 25)
    cuts = sorted(random.Random(seed).randrange(1, len(raw)) for _ in range(60))
    with client.server.wire() as wire:
        for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
            wire.send(raw[start:end])
        assert [mark(wire.read()) for _ in expected] == expected


def test_a_balance_asked_for_behind_a_send_is_the_balance_after_it(client: Client) -> None:
    """In one segment too: an answer is true at the time it is given."""
    before = int(float(client.balance()))
    with client.server.wire() as wire:
        wire.send((send(client) + encode("GET", "/api/balance", [client.bearer])) * 5)
        for n in range(1, 6):
            submitted(wire.read())
            assert wire.read().json() == {"balance": f"{before - n}.00"}


def test_requests_split_byte_by_byte_are_understood(client: Client) -> None:
    raw = send(client) + encode("GET", "/api/balance", [client.bearer])
    raw += encode("POST", "/api/sms", [client.bearer], chunks=[BODY[:3], BODY[3:]])
    with client.server.wire() as wire:
        for at in range(len(raw)):
            wire.send(raw[at : at + 1])
        submitted(wire.read())
        assert wire.read().status == 200
        submitted(wire.read())


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_chunked_send_is_as_good(client: Client, size: int) -> None:
    body = json.dumps(message([phone(n=n) for n in range(100)], "ä" * 100)).encode()
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    response = client.call("POST", "/api/sms", [client.bearer, JSON], chunks=chunks)
    assert submitted(response) == 100


def test_chunk_extensions_and_trailers_are_skipped(client: Client) -> None:
    head = encode("POST", "/api/sms", [client.bearer, JSON, ("Transfer-Encoding", "chunked"), ("Trailer", "X-T")])
    raw = head + b"%X;name=value\r\n%s\r\n0;last\r\nX-T: 1\r\n\r\n" % (len(BODY), BODY)
    with client.server.wire() as wire:
        wire.send(raw + encode("GET", "/api/balance", [client.bearer]))
        submitted(wire.read())
        assert wire.read().status == 200


@pytest.mark.parametrize("path", ["/api/sms", "/api/auth"])
def test_expect_100_continue_is_answered_before_the_body_comes(client: Client, path: str) -> None:
    body, kind = BODY, JSON
    if path == "/api/auth":
        fields = {"client_id": client.client_id, "client_secret": client.client_secret}
        body, kind = form(grant_type="client_credentials", **fields), FORM
    length = ("Content-Length", str(len(body)))
    with client.server.wire() as wire:
        wire.send(
            encode("POST", path, [client.bearer, kind, length, ("Expect", "100-continue")][path == "/api/auth" :])
        )
        assert wire.read_interim() == 100
        wire.send(body)
        assert wire.read().status == 200
        wire.send(encode("GET", "/api/balance", [client.bearer]))
        assert wire.read().status == 200


def test_a_client_that_expects_100_and_does_not_wait_is_answered(client: Client) -> None:
    with client.server.wire() as wire:
        wire.send(encode("POST", "/api/sms", [client.bearer, JSON, ("Expect", "100-continue")], BODY))
        submitted(wire.read())


@pytest.mark.parametrize("target", ["/api/sms", "/api/balance", "/api/nothing"])
def test_connection_close_is_answered_and_then_done(client: Client, target: str) -> None:
    method, body = ("POST", BODY) if target == "/api/sms" else ("GET", None)
    with client.server.wire() as wire:
        wire.send(encode(method, target, [client.bearer, ("Connection", "close")], body))
        response = wire.read()
        assert response.status == {"/api/sms": 200, "/api/balance": 200, "/api/nothing": 404}[target]
        assert (response.header("Connection") or "").lower() == "close"
        assert wire.rest(5) == b""


@pytest.mark.parametrize("target", ["/api/sms", "/api/balance"])
def test_http_1_0_is_answered_with_a_length_and_closed(client: Client, target: str) -> None:
    method, body = ("POST", BODY) if target == "/api/sms" else ("GET", None)
    with client.server.wire() as wire:
        wire.send(encode(method, target, [client.bearer], body, version="1.0"))
        response = wire.read()
        assert response.status == 200
        assert response.json()
        assert response.header("Transfer-Encoding") is None
        assert wire.rest(5) == b""


def test_a_connection_is_kept_for_the_next_request(client: Client) -> None:
    with client.server.wire() as wire:
        for _ in range(20):
            for raw in (send(client), encode("GET", "/api/balance", [client.bearer])):
                wire.send(raw)
                response = wire.read()
                assert response.status == 200
                assert (response.header("Connection") or "keep-alive").lower() != "close"


def test_an_error_does_not_end_the_connection(client: Client) -> None:
    with client.server.wire() as wire:
        for _ in range(5):
            wire.send(encode("POST", "/api/sms", [client.bearer], b"{") + encode("POST", "/api/sms", [], BODY))
            assert [wire.read().status, wire.read().status] == [400, 401]
            wire.send(encode("PUT", "/api/sms", [client.bearer], BODY) + encode("POST", "/api/sms/", [], BODY))
            assert [wire.read().status, wire.read().status] == [405, 404]


@pytest.mark.parametrize("target", ["/api/sms", "/api/balance"])
def test_header_names_are_case_free(client: Client, target: str) -> None:
    method, body = ("POST", BODY) if target == "/api/sms" else ("GET", None)
    raw = encode(method, target, [client.bearer, JSON], body)
    head, _, rest = raw.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    for change in (bytes.upper, bytes.lower):
        changed = [change(name) + b":" + value for name, _, value in (header.partition(b":") for header in headers)]
        with client.server.wire() as wire:
            wire.send(b"\r\n".join([line, *changed]) + b"\r\n\r\n" + rest)
            assert wire.read().status == 200


@pytest.mark.parametrize("target", ["/api/sms", "/api/balance"])
def test_a_target_in_absolute_form_is_the_same_target(client: Client, target: str) -> None:
    """RFC 9112 §3.2.2: a server accepts the absolute form."""
    method, body = ("POST", BODY) if target == "/api/sms" else ("GET", None)
    assert client.call(method, f"{client.server.base_url}{target}", [client.bearer], body).status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"NONSENSE\r\n\r\n",
        b"POST /api/sms HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        b"POST /api/sms HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /api/sms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /api/sms HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/sms HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50,
    ],
    ids=["no request", "length is no number", "negative length", "bad chunk", "both framings", "two lengths", "TLS"],
)
def test_what_is_no_http_is_400_or_hung_up_on_and_harms_nobody(client: Client, raw: bytes) -> None:
    with client.server.wire() as wire:
        wire.send(raw)
        said = wire.rest(5)
        assert said is not None, "the connection is left open"
        assert said == b"" or said.split(b" ")[1].startswith(b"4"), said
    assert client.get("/api/balance").status == 200


def test_a_request_smuggled_behind_two_framings_is_never_run(client: Client) -> None:
    before = client.balance()
    inner = send(client)
    head = encode("POST", "/api/sms", [client.bearer, JSON, ("Transfer-Encoding", "chunked")], None)
    head = head.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n")
    with client.server.wire() as wire:
        wire.send(head + b"0\r\n\r\n" + inner)
        wire.rest(3)
    assert client.balance() == before


def test_a_customer_who_hangs_up_half_way_costs_nothing(client: Client) -> None:
    before = client.balance()
    for cut in (20, len(send(client)) - len(BODY), len(send(client)) - 1):
        with client.server.wire() as wire:
            wire.send(send(client)[:cut])
    assert client.balance() == before

"""How much, how long, how many: bodies, headers, slow requests, connections."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import pytest
from tests.harness.client import FORM, JSON, Client, message, phone
from tests.harness.server import Server
from tests.harness.wire import ConnectionEndedError, Response, encode

MIB = 1024 * 1024
BODY = json.dumps(message([phone()])).encode()


def padded(size: int) -> bytes:
    """A good send of exactly that many bytes."""
    return BODY[:-1] + b" " * (size - len(BODY)) + BODY[-1:]


def pour(client: Client, raw: bytes) -> Response:
    with client.server.wire() as wire:
        wire.send_until_refused(raw)
        return wire.read()


def test_a_body_of_exactly_1_mib_is_taken(client: Client) -> None:
    assert client.call("POST", "/api/sms", [client.bearer, JSON], padded(MIB)).status == 200
    assert client.call("POST", "/api/sms", [client.bearer, JSON], chunks=[padded(MIB)]).status == 200


@pytest.mark.parametrize("size", [MIB + 1, 3 * MIB])
@pytest.mark.parametrize("how", ["with a length", "chunked", "in many chunks"])
@pytest.mark.parametrize("path", ["/api/sms", "/api/auth"])
def test_a_body_over_1_mib_is_413(client: Client, path: str, how: str, size: int) -> None:
    body = padded(size)
    headers = [client.bearer, JSON] if path == "/api/sms" else [FORM]
    if how == "with a length":
        raw = encode("POST", path, headers, body)
    elif how == "chunked":
        raw = encode("POST", path, headers, chunks=[body])
    else:
        raw = encode("POST", path, headers, chunks=[body[at : at + 1000] for at in range(0, size, 1000)])
    before = client.balance()
    response = pour(client, raw)
    assert response.status == 413
    assert response.header("Content-Type") == "application/problem+json"
    assert client.balance() == before


def test_an_announced_body_over_1_mib_is_refused_before_it_is_sent(client: Client) -> None:
    for length in (MIB + 1, 10**12):
        raw = encode("POST", "/api/sms", [client.bearer, JSON, ("Content-Length", str(length))])
        assert pour(client, raw).status == 413
        assert pour(client, raw.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")).status == 413


def fat(total: int, each: int) -> list[tuple[str, str]]:
    """Headers of about that many bytes together."""
    return [(f"X-{n:05d}", "x" * (each - 11)) for n in range(total // each)]


@pytest.mark.parametrize("target", ["/api/sms", "/api/balance"])
@pytest.mark.parametrize("each", [100, 3000, 29_000])
def test_headers_under_32_kib_are_taken(client: Client, target: str, each: int) -> None:
    method, body = ("POST", BODY) if target == "/api/sms" else ("GET", None)
    headers = [client.bearer, *fat(29_500, each)]
    assert client.call(method, target, headers, body).status == 200
    assert client.call(method, target, headers, body).status == 200


@pytest.mark.parametrize("target", ["/api/sms", "/api/balance", "/api/auth", "/healthz"])
@pytest.mark.parametrize("each", [100, 3000, 33_000, 300_000])
def test_headers_over_32_kib_are_431(client: Client, target: str, each: int) -> None:
    method = "POST" if target in ("/api/sms", "/api/auth") else "GET"
    headers = [client.bearer, *fat(max(33_500, each), each)]
    response = pour(client, encode(method, target, headers, BODY if method == "POST" else None))
    assert response.status == 431
    assert response.header("X-Request-Id")
    assert response.header("Link")


def test_a_request_line_without_end_is_refused(client: Client) -> None:
    response = pour(client, b"GET /api/sms/" + b"1" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert response.status in (400, 404, 414, 431)
    assert client.get("/api/balance").status == 200


def partial(client: Client) -> dict[str, bytes]:
    send = encode("POST", "/api/sms", [client.bearer, JSON], BODY)
    chunked = encode("POST", "/api/sms", [client.bearer, JSON], chunks=[BODY])
    get = encode("GET", "/api/balance", [client.bearer])
    return {
        "half a request line": send[:9],
        "half the headers": send[:60],
        "headers without the blank line": get[:-2],
        "half a body": send[:-20],
        "no body": send[: -len(BODY)],
        "half a chunk": chunked[:-40],
        "chunks without their end": chunked[:-5],
        "half a token call": encode("POST", "/api/auth", [FORM], BODY)[:-3],
    }


def test_a_request_that_does_not_come_whole_in_time_is_hung_up_on(cramped: Client) -> None:
    """As the first of its connection, behind a send, and behind another call: all at once, for each takes a while."""
    before = {
        "first": b"",
        "after a send": encode("POST", "/api/sms", [cramped.bearer, JSON], BODY),
        "after a balance": encode("GET", "/api/balance", [cramped.bearer]),
    }
    waiting = {}
    for (position, first), (how, half) in itertools.product(before.items(), partial(cramped).items()):
        wire = waiting[f"{how}, {position}"] = cramped.server.wire()
        if first:
            wire.send(first)
            assert wire.read().status == 200
        wire.send(half)
    said = {name: wire.rest(8) for name, wire in waiting.items()}
    for wire in waiting.values():
        wire.close()
    assert [name for name, rest in said.items() if rest is None] == [], "still open long after the time-out"
    assert [name for name, rest in said.items() if rest and rest.startswith(b"HTTP/1.1 2")] == []


def test_a_byte_now_and_then_does_not_keep_a_request_alive(cramped: Client) -> None:
    raw = encode("POST", "/api/sms", [cramped.bearer, JSON], BODY)
    deadline = time.monotonic() + 10
    with cramped.server.wire() as wire:
        at = 0
        while time.monotonic() < deadline:
            try:
                wire.send(raw[at : at + 1])
            except (BrokenPipeError, ConnectionResetError):
                return
            at = min(at + 1, len(raw) - 2)
            if wire.ended(0.1):
                return
    raise AssertionError("a slow client holds its connection for ever")


def test_a_request_that_comes_slowly_but_in_time_is_answered(cramped: Client) -> None:
    raw = encode("POST", "/api/sms", [cramped.bearer, JSON], BODY)
    with cramped.server.wire() as wire:
        for at in (0, len(raw) // 2):
            wire.send(raw[at : at + len(raw) // 2 + 1] if at == 0 else raw[len(raw) // 2 + 1 :])
            if at == 0:
                assert not wire.ended(0.15)
        assert wire.read().status == 200


def test_the_time_begins_anew_with_each_request(cramped: Client) -> None:
    """A connection older than the time-out serves on; what is timed is a request."""
    raw = encode("POST", "/api/sms", [cramped.bearer, JSON], BODY)
    with cramped.server.wire() as wire:
        for _ in range(4):
            wire.send(raw)
            assert wire.read().status == 200
            assert not wire.ended(0.25)


def test_connections_are_capped_and_those_there_are_go_on(tmp_path: Path) -> None:
    with Server(tmp_path / "data", settings={"http.max_connections": "20"}) as server:
        client = Client(server, server.credentials)
        client.submit()
        wires = [server.wire(timeout=5) for _ in range(60)]
        answers: list[int | str] = []
        try:
            for wire in wires:
                try:
                    wire.send(encode("GET", "/api/balance", [client.bearer]))
                    answers.append(wire.read().status)
                except (ConnectionEndedError, ConnectionResetError, BrokenPipeError):
                    answers.append("closed")
            assert 10 <= answers.count(200) <= 20, answers
            assert set(answers) <= {200, 503, "closed"}
            wires[0].send(encode("GET", "/api/balance", [client.bearer]))
            assert wires[0].read().status == 200
        finally:
            for wire in wires:
                wire.close()
        assert client.wait_effective().balance()

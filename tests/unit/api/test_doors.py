"""Both doors, whatever the bytes: the same answers, in order, and nothing lost or said twice."""

from __future__ import annotations

import json
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.harness.wire import ConnectionEndedError, Response, encode
from tests.unit.api.conftest import CLIENT_ID, CLIENT_SECRET, Running, bare, wait_until

BEARER = ("Authorization", "Bearer good.token.one")
MIB = 1024 * 1024


def message(recipients: list[str] | None = None, text: object = "hello", **more: object) -> bytes:
    return json.dumps(
        {"recipients": recipients or ["56912340000"], "sender": "96000", "message": {"text": text}, **more}
    ).encode()


def sms(body: bytes | None = None, *headers: tuple[str, str], path: str = "/api/sms", **more: object) -> bytes:
    return encode("POST", path, [BEARER, *headers], message() if body is None else body, **more)  # type: ignore[arg-type]


def chunked(body: bytes, size: int = 7) -> bytes:
    return encode("POST", "/api/sms", [BEARER], chunks=[body[at : at + size] for at in range(0, len(body), size)])


def form(**fields: str) -> bytes:
    return "&".join(f"{name}={value}" for name, value in fields.items()).encode()


FORM = ("Content-Type", "application/x-www-form-urlencoded")
CREDENTIALS = form(grant_type="client_credentials", client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
BALANCE = encode("GET", "/api/balance", [BEARER])

REQUESTS: dict[str, bytes] = {
    "send": sms(),
    "send to three": sms(message(["1", "22", "333"])),
    "send with a query": sms(path="/api/sms?x=1&y"),
    "send with an empty query": sms(path="/api/sms?"),
    "send in absolute form": sms(path="http://heliograph.test/api/sms"),
    "send with a fragment": sms(path="/api/sms#x"),
    "send percent-encoded": sms(path="/api/%73ms"),
    "send with blanks around its headers": sms(None).replace(b"Bearer good.token.one", b"\t Bearer good.token.one \t"),
    "send in chunks": chunked(message()),
    "send in large chunks": chunked(message(["1"] * 900), 3000),
    "send without a body": sms(b""),
    "send without a length": encode("POST", "/api/sms", [BEARER]),
    "send to one who has no money": sms(message(text="poor")),
    "send that is refused": sms(message(text="full")),
    "send that is lost": sms(message(text="lost")),
    "send that breaks the server": sms(message(text="boom")),
    "send whose answer breaks": sms(message(text="broken")),
    "send without a token": encode("POST", "/api/sms", [], message()),
    "send with nonsense for a token": encode("POST", "/api/sms", [("Authorization", "Bearer x")], message()),
    "send with a forged token": encode("POST", "/api/sms", [("Authorization", "Bearer a.b.c")], message()),
    "send with two tokens": encode("POST", "/api/sms", [BEARER, BEARER], message()),
    "send of a suspended account": encode("POST", "/api/sms", [("Authorization", "bearer gone.token.two")], b"{"),
    "send of no JSON": sms(b"{"),
    "send of wrong fields": sms(b'{"recipients":[1,null],"message":{"charset":true}}'),
    "send with an upgrade": sms(
        None, ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "x")
    ),
    "get on send": encode("GET", "/api/sms", [BEARER]),
    "put on send": encode("PUT", "/api/sms", [BEARER], message()),
    "head on send": encode("HEAD", "/api/sms", [BEARER]),
    "options": encode("OPTIONS", "/api/sms", [BEARER]),
    "options of the server": encode("OPTIONS", "*", [BEARER]),
    "trailing slash": sms(path="/api/sms/"),
    "capitals": sms(path="/api/SMS"),
    "a line feed behind the path": sms(path="/api/sms%0A"),
    "an encoded slash": encode("GET", "/api%2Fbalance", [BEARER]),
    "an encoded slash in an id": encode("GET", "/api/sms/1%2f2", [BEARER]),
    "balance": BALANCE,
    "balance with a body": encode("GET", "/api/balance", [BEARER], b"{}"),
    "balance with a chunked body": encode("GET", "/api/balance", [BEARER], chunks=[b"{", b"}"]),
    "head of balance": encode("HEAD", "/api/balance", [BEARER]),
    "balance with an upgrade": encode(
        "GET", "/api/balance", [BEARER, ("Connection", "upgrade"), ("Upgrade", "websocket")]
    ),
    "info": encode("GET", "/api/sms/4193366853543393", [BEARER]),
    "info of nothing": encode("GET", "/api/sms/1", [BEARER]),
    "info that breaks the server": encode("GET", "/api/sms/666", [BEARER]),
    "token": encode("POST", "/api/auth", [FORM], CREDENTIALS),
    "token with a wrong secret": encode("POST", "/api/auth", [FORM], CREDENTIALS[:-1] + b"x"),
    "token without fields": encode("POST", "/api/auth", [FORM], b"x"),
    "an error page": encode("GET", "/errors/not_found"),
    "a page that is not there": encode("GET", "/errors/nothing"),
    "landing": encode("GET", "/"),
    "health": encode("GET", "/healthz"),
    "expectation": sms(None, ("Expect", "100-continue ")),
    "another expectation": sms(None, ("Expect", "the best")),
    "expectation of a balance": encode("GET", "/api/balance", [BEARER, ("Expect", "100-continue")]),
}
ENDING: dict[str, bytes] = {
    "HTTP/1.0 send": sms(version="1.0"),
    "HTTP/1.0 send kept alive": sms(None, ("Connection", "keep-alive"), version="1.0"),
    "HTTP/1.0 balance": encode("GET", "/api/balance", [BEARER], version="1.0"),
    "send and close": sms(None, ("Connection", "close")),
    "balance and close": encode("GET", "/api/balance", [BEARER, ("Connection", "close")]),
    "send with an upgrade and close": sms(None, ("Connection", "upgrade, close"), ("Upgrade", "h2c")),
    "body announced too large": sms(b"", ("Content-Length", str(MIB + 1))).replace(b"Content-Length: 0\r\n", b""),
    "body announced far too large": sms(b"", ("Content-Length", str(10**15))).replace(b"Content-Length: 0\r\n", b""),
    "body too large": sms(b" " * (MIB + 1)),
    "chunked body too large": chunked(b" " * (MIB + 1), 50_000),
    "body too large for nobody": encode("POST", "/api/nothing", [], b" " * (MIB + 1)),
    "body too large for a get": encode("GET", "/api/balance", [BEARER], b" " * (MIB + 1)),
    "body too large for a wrong method": encode("PUT", "/api/balance", [BEARER], b" " * (MIB + 1)),
    "headers too large": encode("GET", "/api/balance", [BEARER, ("X", "x" * 33_000)]),
    "headers too many": encode("POST", "/api/sms", [BEARER, *((f"X-{n}", "x" * 50) for n in range(700))], message()),
    "headers far too large": encode("POST", "/api/sms", [BEARER, ("X", "x" * 300_000)], message()),
    "headers too large for nobody": encode("GET", "/nothing", [("X", "x" * 300_000)]),
    "headers too large for a head": encode("HEAD", "/api/balance", [("X", "x" * 33_000)]),
    "target too large": encode("GET", "/api/" + "x" * 200_000),
    "trailer too large": encode("POST", "/api/sms", [BEARER, ("Transfer-Encoding", "chunked")])
    + b"0\r\nX: "
    + b"x" * 300_000,
    "chunk extension too large": encode("POST", "/api/sms", [BEARER, ("Transfer-Encoding", "chunked")])
    + b"1;"
    + b"x" * 300_000,
    "no HTTP": b"NONSENSE\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "connect": b"CONNECT example.net:80 HTTP/1.1\r\nHost: example.net\r\n\r\n",
    "bad length": b"POST /api/sms HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    "two lengths": b"POST /api/sms HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "both framings": encode("POST", "/api/sms", [BEARER, ("Transfer-Encoding", "chunked")], b"0\r\n\r\n"),
    "bad chunk": b"POST /api/sms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "bad target": b"GET foo HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": BALANCE.replace(b"Host:", b"X-Host:"),
    "two hosts": encode("GET", "/api/balance", [BEARER, ("Host", "elsewhere")]),
    "gzip under chunked": encode("POST", "/api/sms", [BEARER, ("Transfer-Encoding", "gzip, chunked")]) + b"0\r\n\r\n",
    "gzip beside chunked": encode(
        "POST", "/api/sms", [BEARER, ("Transfer-Encoding", "gzip"), ("Transfer-Encoding", "chunked")]
    )
    + b"0\r\n\r\n",
}
EXPECTED = {
    "send": 200,
    "send in absolute form": 200,
    "send with blanks around its headers": 200,
    "send percent-encoded": 200,
    "send with an upgrade": 200,
    "send that is refused": 503,
    "send that is lost": 503,
    "send that breaks the server": 500,
    "send whose answer breaks": 500,
    "send with two tokens": 400,
    "send of a suspended account": 403,
    "a line feed behind the path": 404,
    "an encoded slash": 404,
    "an encoded slash in an id": 404,
    "options": 405,
    "options of the server": 404,
    "info that breaks the server": 500,
    "balance with an upgrade": 200,
    "HTTP/1.0 send": 200,
    "send with an upgrade and close": 200,
    "body announced far too large": 413,
    "chunked body too large": 413,
    "body too large for nobody": 404,
    "body too large for a wrong method": 405,
    "headers far too large": 431,
    "headers too large for nobody": 404,
    "target too large": 431,
    "trailer too large": 431,
    "chunk extension too large": 431,
    "no HTTP": 400,
    "TLS": 400,
    "connect": 400,
    "bad target": 400,
    "no host": 400,
    "two hosts": 400,
    "gzip under chunked": 400,
    "gzip beside chunked": 400,
}


def pour(door: Running, raw: bytes) -> tuple[Response, bytes | None]:
    """An answer, and what comes after it until the connection ends (None when it does not)."""
    with door.wire() as wire:
        wire.send_until_refused(raw)
        answer = wire.read(to_head=raw.startswith(b"HEAD"))
        return answer, wire.rest(0.5 if raw in REQUESTS.values() else 5)


@pytest.mark.parametrize("what", REQUESTS)
def test_both_doors_give_the_same_answer_and_go_on(both: tuple[Running, Running], what: str) -> None:
    answers = [door.send(REQUESTS[what], BALANCE) for door in both]
    assert [bare(one) for one in answers[0]] == [bare(one) for one in answers[1]]
    assert answers[0][0].status == EXPECTED.get(what, answers[0][0].status)
    assert answers[0][1].json() == {"balance": "457.00"}
    assert answers[0][0].header("connection") is None


@pytest.mark.parametrize("what", ENDING)
def test_both_doors_give_the_same_last_answer_and_close(both: tuple[Running, Running], what: str) -> None:
    (lean, after_lean), (plain, after_plain) = (pour(door, ENDING[what]) for door in both)
    assert bare(lean) == bare(plain)
    assert lean.status == EXPECTED.get(what, lean.status)
    assert lean.header("connection") == "close"
    assert after_lean == after_plain == b""


def test_no_answer_names_the_software_or_a_trace(both: tuple[Running, Running]) -> None:
    for door in both:
        for raw in REQUESTS.values():
            (answer,) = door.send(raw)
            assert answer.header("server") is None
            assert b"secret" not in answer.body
            assert b"Traceback" not in answer.body


def test_a_request_cut_anywhere_is_the_same_request(both: tuple[Running, Running]) -> None:
    """Every place at which a send, a chunked send and a balance in one string can be cut in two."""
    raw = sms(message(["1"])) + chunked(message(["22"]), 40) + BALANCE + sms(message(["333"]))
    for door in both:
        with door.wire() as wire:
            for at in range(1, len(raw)):
                wire.send(raw[:at])
                if at % 7 == 0:
                    time.sleep(0.0005)
                wire.send(raw[at:])
                ids = [json.loads(wire.read().body) for _ in range(4)]
                assert ids[2] == {"balance": "457.00"}
                assert [one["submissions"][0]["submissionId"] for one in ids if "submissions" in one] == [
                    "1",
                    "22",
                    "333",
                ]


def test_a_request_byte_by_byte_is_the_same_request(door: Running) -> None:
    raw = sms(message(["1"])) + chunked(message(["22"])) + BALANCE
    with door.wire() as wire:
        for at in range(len(raw)):
            wire.send(raw[at : at + 1])
            time.sleep(0.0002)
        assert [wire.read().status for _ in range(3)] == [200, 200, 200]


def submitted(response: Response) -> list[str]:
    return [one["submissionId"] for one in response.json()["submissions"]]


@pytest.mark.parametrize("seed", range(4))
def test_pipelines_are_answered_in_order_by_both_doors(both: tuple[Running, Running], seed: int) -> None:
    pick = random.Random(seed)
    names = [pick.choice(list(REQUESTS)) for _ in range(150)]
    names = [name for name in names if not name.startswith(("head", "HEAD")) and "xpect" not in name]
    raw = b"".join(REQUESTS[name] for name in names)
    cuts = sorted(pick.randrange(1, len(raw)) for _ in range(seed * 20))
    answers = []
    for door in both:
        door.submit.delay = 0.001 if seed % 2 else 0
        with door.wire() as wire:
            for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
                wire.send(raw[start:end])
            answers.append([bare(wire.read()) for _ in names])
        door.submit.delay = 0
    assert answers[0] == answers[1]
    alone = {name: bare(both[0].send(REQUESTS[name])[0]) for name in set(names)}
    assert answers[0] == [alone[name] for name in names]


def test_thousands_of_requests_in_one_go_are_all_answered(door: Running) -> None:
    count = 3000
    with door.wire(timeout=20) as wire:
        wire.send(b"".join((sms(message([str(n + 1)])) if n % 3 else BALANCE) for n in range(count)))
        for n in range(count):
            answer = wire.read()
            assert answer.status == 200
            if n % 3:
                assert submitted(answer) == [str(n + 1)]


def test_thousands_of_refusals_in_one_go_are_all_answered(door: Running) -> None:
    with door.wire(timeout=20) as wire:
        wire.send(sms(b"{") * 3000)
        assert {wire.read().status for _ in range(3000)} == {400}


def test_what_comes_before_an_answer_has_left_waits_its_turn(door: Running) -> None:
    with door.wire() as wire:
        wire.send(sms(message(["1"], text="hold")) + BALANCE + sms(message(["2"])))
        door.submit.wait_held()
        wire.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            wire.read()
        assert len(door.submit.orders) == 1
        wire.socket.settimeout(5)
        door.submit.held.pop()()
        assert submitted(wire.read()) == ["1"]
        assert wire.read().json() == {"balance": "457.00"}
        assert submitted(wire.read()) == ["2"]


def test_nothing_is_read_behind_close(door: Running) -> None:
    with door.wire() as wire:
        wire.send(sms(None, ("Connection", "close")) + sms(message(["2"])))
        assert wire.read().header("connection") == "close"
        assert wire.rest(5) == b""
    assert len(door.submit.orders) == 1


def test_nothing_is_read_behind_a_refusal(door: Running) -> None:
    with door.wire() as wire:
        wire.send(sms(message(["1"])) + b"NONSENSE\r\n\r\n" + sms(message(["2"])))
        assert submitted(wire.read()) == ["1"]
        assert wire.read().status == 400
        assert wire.rest(5) == b""
    assert len(door.submit.orders) == 1


def test_a_refusal_waits_for_the_answers_before_it(door: Running) -> None:
    with door.wire() as wire:
        wire.send(sms(message(["1"], text="hold")) + BALANCE + b"NONSENSE\r\n\r\n")
        door.submit.wait_held()
        door.submit.held.pop()()
        assert [wire.read().status for _ in range(3)] == [200, 200, 400]


def test_continue_is_said_before_the_body_and_only_then(door: Running) -> None:
    body = message(["1"])
    head = encode("POST", "/api/sms", [BEARER, ("Content-Length", str(len(body))), ("Expect", "100-Continue")])
    with door.wire() as wire:
        for _ in range(2):
            wire.send(head)
            assert wire.read_interim() == 100
            wire.send(body)
            answer = wire.read()
            assert (answer.interim, submitted(answer)) == ([], ["1"])
        wire.send(head + body)
        assert wire.read().interim == []
        wire.send(BALANCE + head)
        assert wire.read().status == 200
        assert wire.read_interim() == 100
        wire.send(body)
        assert wire.read().status == 200


def test_continue_is_not_said_while_an_answer_is_owed(door: Running) -> None:
    body = message(["2"])
    head = encode("POST", "/api/sms", [BEARER, ("Content-Length", str(len(body))), ("Expect", "100-continue")])
    with door.wire() as wire:
        wire.send(sms(message(["1"], text="hold")) + head)
        door.submit.wait_held()
        time.sleep(0.05)
        door.submit.held.pop()()
        answer = wire.read()
        assert (answer.interim, submitted(answer)) == ([], ["1"])
        assert wire.read_interim() == 100
        wire.send(body)
        assert submitted(wire.read()) == ["2"]


def test_continue_is_not_said_to_http_1_0(door: Running) -> None:
    head = encode("POST", "/api/sms", [BEARER, ("Content-Length", "5"), ("Expect", "100-continue")], version="1.0")
    with door.wire() as wire:
        wire.send(head)
        assert wire.rest(0.2) is None
        wire.send(b"hello")
        assert wire.read().status == 400


def test_a_body_with_an_upgrade_is_read_whether_with_a_length_or_chunked(door: Running) -> None:
    headers = [BEARER, ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMA")]
    body = message(["1"])
    for raw in (
        encode("POST", "/api/sms", headers, body),
        encode("POST", "/api/sms", headers, chunks=[body[:9], body[9:]]),
    ):
        with door.wire() as wire:
            for cut in range(len(raw) - len(body) - 30, len(raw), 11):
                wire.send(raw[:cut])
                time.sleep(0.001)
                wire.send(raw[cut:] + BALANCE)
                assert submitted(wire.read()) == ["1"]
                assert wire.read().status == 200


def test_trailers_are_no_headers(door: Running) -> None:
    """An Authorization behind the body is nobody's."""
    head = encode("POST", "/api/sms", [("Transfer-Encoding", "chunked")])
    body = message()
    raw = head + b"%x\r\n%s\r\n0\r\nAuthorization: Bearer good.token.one\r\n\r\n" % (len(body), body)
    assert [one.status for one in door.send(raw, BALANCE)] == [401, 200]


def test_a_client_that_ends_its_half_is_answered_still(door: Running) -> None:
    for raw, count in ((sms(message(text="hold")), 1), (sms(message(text="hold")) + BALANCE + sms(), 3), (BALANCE, 1)):
        with door.wire() as wire:
            wire.send(raw)
            wire.socket.shutdown(socket.SHUT_WR)
            if b"hold" in raw:
                door.submit.wait_held()
                time.sleep(0.05)
                door.submit.held.pop()()
            assert [wire.read().status for _ in range(count)] == [200] * count
            assert wire.rest(5) == b""


def test_a_client_that_ends_in_mid_request_is_let_go(door: Running) -> None:
    for raw in (b"", b"POST", sms()[:-1], encode("POST", "/api/sms", [BEARER, ("Content-Length", "5")])):
        with door.wire() as wire:
            wire.send(raw)
            wire.socket.shutdown(socket.SHUT_WR)
            assert wire.rest(5) == b""
    assert door.submit.orders == []
    wait_until(lambda: door.connections == 0)


@pytest.mark.parametrize("how", ["reset", "closed"])
@pytest.mark.parametrize("behind", [b"", BALANCE, sms(message(["2"]))], ids=["alone", "balance behind", "send behind"])
def test_a_client_that_is_gone_harms_nobody(door: Running, how: str, behind: bytes) -> None:
    with door.wire() as other:
        for _ in range(5):
            wire = door.wire()
            wire.send(sms(message(["1"], text="hold")) + behind)
            door.submit.wait_held()
            if how == "reset":
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            wire.close()
            time.sleep(0.02)
            door.submit.held.pop()()
            other.send(sms(message(["7"])))
            assert submitted(other.read()) == ["7"]
    wait_until(lambda: door.connections == 0)
    wait_until(lambda: sum(line["account"] == "acc_demo" for line in door.logged) >= 10)


def test_a_client_that_does_not_read_gets_no_more_until_it_does(door: Running) -> None:
    """Its requests wait in its own socket, not here."""
    count = 400
    raw = sms(message([str(10**15 + n) for n in range(1000)])) * count
    with door.wire(timeout=20) as wire:
        sending = threading.Thread(target=lambda: wire.socket.sendall(raw))
        sending.start()
        accepted = -1
        while accepted < len(door.submit.orders):
            accepted = len(door.submit.orders)
            time.sleep(0.5)
        assert 0 < accepted < count, "everything was answered into the void"
        for _ in range(count):
            assert len(submitted(wire.read())) == 1000
        sending.join()
    assert len(door.submit.orders) == count


@pytest.mark.parametrize("lean", [True, False])
def test_a_client_that_never_reads_is_dropped(open_door: Callable[..., Running], lean: bool) -> None:
    door = open_door(lean, request_timeout_seconds=0.5)
    big = sms(message([str(10**15 + n) for n in range(1000)]))
    with door.wire(timeout=3) as wire:
        with pytest.raises((TimeoutError, ConnectionResetError, BrokenPipeError)):
            wire.send(big * 3000)
        wait_until(lambda: door.connections == 0)


@pytest.mark.parametrize("lean", [True, False])
def test_a_request_that_does_not_come_whole_in_time_is_hung_up_on(
    open_door: Callable[..., Running], lean: bool
) -> None:
    door = open_door(lean, request_timeout_seconds=0.4)
    raw = sms()
    parts = [b"", b"PO", raw[:40], raw[:-1], chunked(message())[:-2]]
    wires = [door.wire() for _ in parts * 2]
    for wire, part in zip(wires, parts * 2, strict=True):
        if wire in wires[len(parts) :]:
            wire.send(raw)
            assert wire.read().status == 200
        wire.send(part)
    began = time.monotonic()
    for number, wire in enumerate(wires):
        if number != len(parts):  # idle behind an answer: that is kept alive
            assert wire.rest(3) == b"", number
    assert 0.2 < time.monotonic() - began < 2
    wires[len(parts)].send(BALANCE)
    assert wires[len(parts)].read().status == 200
    for wire in wires:
        wire.close()


@pytest.mark.parametrize("lean", [True, False])
def test_a_byte_now_and_then_keeps_nothing_alive(open_door: Callable[..., Running], lean: bool) -> None:
    door = open_door(lean, request_timeout_seconds=0.4, keep_alive_seconds=0.4)
    for drip in (sms()[:-1], b"\r\n" * 100):
        with door.wire() as wire:
            began = time.monotonic()
            for byte in drip * 10:
                try:
                    wire.send(bytes([byte]))
                except (BrokenPipeError, ConnectionResetError):
                    break
                if wire.ended(0.05):
                    break
            assert time.monotonic() - began < 2


@pytest.mark.parametrize("lean", [True, False])
def test_the_one_being_answered_is_not_hung_up_on_for_the_one_behind(
    open_door: Callable[..., Running], lean: bool
) -> None:
    door = open_door(lean, request_timeout_seconds=0.3)
    with door.wire() as wire:
        wire.send(sms(message(["1"], text="hold")) + b"POST /api/sms")
        door.submit.wait_held()
        time.sleep(0.8)
        door.submit.held.pop()()
        assert submitted(wire.read()) == ["1"]
        assert wire.rest(2) == b""


@pytest.mark.parametrize("lean", [True, False])
def test_an_answer_may_take_longer_than_a_request(open_door: Callable[..., Running], lean: bool) -> None:
    door = open_door(lean, request_timeout_seconds=0.2, keep_alive_seconds=0.2)
    with door.wire() as wire:
        wire.send(sms(message(["1"], text="hold")))
        door.submit.wait_held()
        time.sleep(0.6)
        door.submit.held.pop()()
        assert submitted(wire.read()) == ["1"]


@pytest.mark.parametrize("lean", [True, False])
def test_an_idle_connection_ends(open_door: Callable[..., Running], lean: bool) -> None:
    door = open_door(lean, keep_alive_seconds=0.3)
    with door.wire() as wire:
        for _ in range(4):
            wire.send(sms())
            assert wire.read().status == 200
            assert not wire.ended(0.15)
        assert wire.rest(2) == b""


@pytest.mark.parametrize("lean", [True, False])
def test_connections_are_capped_and_those_there_are_go_on(open_door: Callable[..., Running], lean: bool) -> None:
    door = open_door(lean, max_connections=3)
    inside = [door.wire() for _ in range(3)]
    for wire in inside:
        wire.send(sms())
        assert wire.read().status == 200
    for _ in range(3):
        with door.wire() as outside:
            outside.send(sms())
            answer = outside.read()
            assert (answer.status, answer.header("connection"), answer.header("retry-after")) == (503, "close", "1")
            assert outside.rest(3) == b""
    for wire in inside:
        wire.send(BALANCE)
        assert wire.read().status == 200
        wire.close()
    wait_until(lambda: door.connections == 0)
    assert door.send(sms())[0].status == 200


def test_a_flood_of_connections_is_dropped_and_those_there_go_on(open_door: Callable[..., Running]) -> None:
    door = open_door(True, max_connections=2, linger_seconds=0.2)
    with door.wire() as inside:
        inside.send(sms())
        assert inside.read().status == 200
        flood = [door.wire() for _ in range(300)]
        inside.send(sms())
        assert inside.read().status == 200
        assert door.connections <= 2 + 128 + 1
        for wire in flood:
            wire.close()
        wait_until(lambda: door.connections == 1)


@pytest.mark.parametrize("lean", [True, False])
def test_large_bodies_share_a_bound(open_door: Callable[..., Running], lean: bool) -> None:
    door = open_door(lean, max_bodies_bytes=1_500_000)
    big = sms(message()[:-1] + b" " * 900_000 + b"}")
    with door.wire() as first, door.wire() as second:
        first.send(big[:-1])
        wait_until(lambda: door.connections == 2)
        time.sleep(0.1)
        second.send_until_refused(big[:-1])
        assert second.read().status == 503
        first.send(big[-1:])
        assert first.read().status == 200
    for _ in range(5):  # what was taken is given back
        assert door.send(big)[0].status == 200


def test_a_body_of_exactly_the_limit_is_taken(door: Running) -> None:
    body = message()
    body = body[:-1] + b" " * (MIB - len(body)) + b"}"
    assert [one.status for one in door.send(sms(body), chunked(body, 8192), BALANCE)] == [200] * 3


def test_what_is_still_being_sent_does_not_drown_the_refusal(door: Running) -> None:
    """The client sends 20 MiB without a look; the answer is there when it looks."""
    with door.wire(timeout=10) as wire:
        wire.send_until_refused(sms(b" " * (20 * MIB)))
        assert wire.read().status == 413


def test_the_server_stops_when_all_are_answered(open_door: Callable[..., Running]) -> None:
    for lean in (True, False):
        door = Running(lean)
        idle, held, half, queued = (door.wire() for _ in range(4))
        idle.send(BALANCE)
        assert idle.read().status == 200
        held.send(sms(message(["1"], text="hold")))
        queued.send(sms(message(["2"], text="hold")) + BALANCE)
        half.send(sms(message(["3"]))[:-1])
        door.submit.wait_held(2)
        door.server.should_exit = True
        assert idle.rest(2) == b""
        half.send(sms(message(["3"]))[-1:])
        answer = half.read()
        assert (submitted(answer), answer.header("connection")) == (["3"], "close")
        for release in door.submit.held:
            release()
        answer = held.read()
        assert (submitted(answer), answer.header("connection")) == (["1"], "close")
        assert (held.rest(2), half.rest(2)) == (b"", b"")
        assert submitted(queued.read()) == ["2"]
        answer = queued.read()
        assert (answer.status, answer.header("connection")) == (200, "close")
        began = time.monotonic()
        door.stop()
        assert time.monotonic() - began < 2
        for wire in (idle, held, half, queued):
            wire.close()


@pytest.mark.parametrize("lean", [True, False])
def test_tls(open_door: Callable[..., Running], certificate: tuple[Path, Path], lean: bool) -> None:
    door = open_door(lean, tls=(str(certificate[0]), str(certificate[1])))
    context = ssl.create_default_context(cafile=str(certificate[0]))
    body = message([str(n + 1) for n in range(500)])
    with door.wire(tls=context) as wire:
        wire.send((sms(body) + BALANCE + chunked(body, 500)) * 3)
        for _ in range(3):
            assert len(submitted(wire.read())) == 500
            assert wire.read().status == 200
            assert len(submitted(wire.read())) == 500
        wire.send(sms(None, ("Connection", "close")))
        assert wire.read().header("connection") == "close"
    for raw, status in ((sms(b" " * (3 * MIB)), 413), (encode("GET", "/", [("X", "x" * 100_000)]), 431)):
        with door.wire(tls=context) as wire:
            wire.send_until_refused(raw)
            assert wire.read().status == status
    with door.wire() as wire:  # HTTP to the HTTPS port
        wire.send(BALANCE)
        with pytest.raises((ConnectionEndedError, AssertionError)):
            wire.read()


def test_every_request_is_logged_with_its_route_and_account_and_without_its_content(door: Running) -> None:
    answers = door.send(
        sms(message(text="top secret")),
        BALANCE,
        encode("GET", "/api/sms/4193366853543393?q=secret", [BEARER]),
        encode("GET", "/nothing/secret"),
        encode("POST", "/api/sms", [], message()),
        encode("GET", "/api/balance", [BEARER, ("X", "x" * 40_000)]),
    )
    wait_until(lambda: len(door.logged) == len(answers))
    told = [(one["account"], one["method"], one["route"], one["status"], one["client"]) for one in door.logged]
    assert told == [
        ("acc_demo", "POST", "/api/sms", 200, "127.0.0.1"),
        ("acc_demo", "GET", "/api/balance", 200, "127.0.0.1"),
        ("acc_demo", "GET", "/api/sms/{id}", 200, "127.0.0.1"),
        ("-", "GET", "-", 404, "127.0.0.1"),
        ("-", "POST", "/api/sms", 401, "127.0.0.1"),
        ("-", "GET", "/api/balance", 431, "127.0.0.1"),
    ]
    assert [one["request"] for one in door.logged] == [one.header("x-request-id") for one in answers]
    assert all(0 <= one["ms"] < 1000 for one in door.logged)
    assert "secret" not in json.dumps(door.logged)
    assert "token" not in json.dumps(door.logged)


@pytest.mark.parametrize("lean", [True, False])
def test_the_callers_address_is_a_trusted_proxys_word(open_door: Callable[..., Running], lean: bool) -> None:
    forwarded = ("X-Forwarded-For", "6.6.6.6, 203.0.113.9")
    for networks, client in (((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.9")):
        door = open_door(lean, trusted_proxies=networks)
        door.send(sms(None, forwarded), encode("GET", "/api/balance", [BEARER, forwarded]))
        wait_until(lambda door=door: len(door.logged) == 2)
        assert [line["client"] for line in door.logged] == [client] * 2


@pytest.mark.parametrize("target", [b"/api/balance", b"/api/sms", b"/", b"/healthz", b"x:1", b"example.net"])
def test_connect_is_refused_and_the_server_goes_on(door: Running, target: bytes) -> None:
    with door.wire() as wire:
        wire.send(b"CONNECT %b HTTP/1.1\r\nHost: x\r\n\r\nwhatever the tunnel would carry" % target)
        answer = wire.read()
    assert answer.status in (400, 405)
    assert answer.header("link")
    assert re.fullmatch("req_[0-9a-f]{20}", answer.header("x-request-id") or "")
    assert [one.status for one in door.send(sms(), sms())] == [200, 200]

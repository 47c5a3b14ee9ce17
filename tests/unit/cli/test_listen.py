"""`heliograph listen` and the receiver in it: what it verifies, answers and prints."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

import aiohttp
import pytest
from tests.harness.server import environment

from heliograph.cli import listen as module
from heliograph.cli.listen import Received, Receiver, line, parse_answers
from heliograph.webhooks import signature
from heliograph.webhooks.sender import Call, Sender

KEY = bytes(32)
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = b'{"id":"543521789981","phone":"447945223343","status":1,"date":"2020-11-11 11:11:11"}'


def receive(
    *, secret: str = SECRET, answers: Sequence[int] = (200,), sign_with: bytes = KEY, times: int = 1, age: int = 0
) -> tuple[list[Received], list[str]]:
    """Sends callbacks with the real sender; what the receiver saw, and the results of the attempts."""
    seen: list[Received] = []

    async def run() -> list[str]:
        receiver = Receiver(seen.append, secret=secret, answers=answers)
        url = await receiver.start()
        sender = Sender(allow_networks=["127.0.0.1"])
        results = []
        for number in range(times):
            at = int(time.time()) - age
            signed = signature.sign([sign_with], f"cb_{number}", at, BODY) if sign_with else ""
            results.append((await sender.post(Call(f"{url}/dlr?a=b", f"cb_{number}", at, signed, BODY))).result)
        await sender.close()
        await receiver.stop()
        return results

    return seen, asyncio.run(run())


def test_a_signed_callback_is_verified() -> None:
    (seen,), results = receive()
    assert (seen.method, seen.path, seen.id, seen.body) == ("POST", "/dlr?a=b", "cb_0", BODY.decode())
    assert (seen.verified, seen.why_not, seen.answer) == (True, "", 200)
    assert results == ["200"]


def test_another_secret_a_late_call_and_no_signature_are_told_apart() -> None:
    assert receive(sign_with=bytes(31) + b"x")[0][0].verified is False
    assert "no signature matches" in receive(sign_with=bytes(31) + b"x")[0][0].why_not
    assert "more than 300 s" in receive(age=400)[0][0].why_not
    unsigned = receive(sign_with=b"")[0][0]
    assert (unsigned.verified, unsigned.why_not) == (None, "unsigned")
    unknown = receive(secret="")[0][0]
    assert (unknown.verified, unknown.why_not) == (None, "not verified")


def test_answers_are_given_in_turn_and_the_last_repeats() -> None:
    assert receive(answers=[500, 204, 200], times=5)[1] == ["500", "204", "200", "200", "200"]


def test_a_line_says_it_all_and_cannot_play_with_the_terminal() -> None:
    callback = Received(1_767_225_600_000, "POST", "/dlr", "cb_1", '{"id": "1",\n "x": "y"}', 200, True)
    shown = line(callback)
    assert "✓ verified" in shown
    assert "cb_1" in shown
    assert "answered 200" in shown
    assert '{"id":"1","x":"y"}' in shown
    assert shown.isprintable()
    assert "✗ a reason" in line(Received(0, "POST", "/", "", "\x1b]0;x\x07", 200, False, "a reason"))
    assert line(Received(0, "POST", "/", "\x1b[2J", "", 200, None, "unsigned")).isprintable()


@pytest.mark.parametrize("text", ["", "ok", "200,", "99", "600", "200;500", "-200"])
def test_answers_that_are_no_statuses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 200,500,200"):
        parse_answers(text)


def test_answers_are_parsed() -> None:
    assert parse_answers("500, 204,200") == [500, 204, 200]


# -- the command


@contextmanager
def listening(*words: str, **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`heliograph listen` on a free port; the process and its URL."""
    command = [sys.executable, "-m", "heliograph", "listen", "--port", "0", *words]
    process = subprocess.Popen(
        command, env=environment() | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert "Listening for callbacks on http://127.0.0.1:" in first, first + process.stderr.read()
        yield process, first.split(" on ")[1].split()[0]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def call(url: str) -> int:
    at = int(time.time())
    headers = {
        "webhook-id": "cb_7",
        "webhook-timestamp": str(at),
        "webhook-signature": signature.sign([KEY], "cb_7", at, BODY),
    }
    try:
        with urllib.request.urlopen(urllib.request.Request(url, BODY, headers), timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_command_prints_callbacks_for_programs_and_stops_quietly() -> None:
    with listening("--answer", "500,200", "--json", HELIOGRAPH_WEBHOOK_SECRET=SECRET) as (process, url):
        assert [call(url + "dlr"), call(url + "dlr")] == [500, 200]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert err == ""
    lines = [json.loads(text) for text in out.splitlines()]
    assert [(one["id"], one["path"], one["answer"], one["verified"]) for one in lines] == [
        ("cb_7", "/dlr", 500, True),
        ("cb_7", "/dlr", 200, True),
    ]
    assert lines[0]["body"] == BODY.decode()


def test_the_command_prints_lines_for_people() -> None:
    with listening("--secret", SECRET) as (process, url):
        call(url)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=10)
    assert "✓ verified  cb_7" in out
    assert BODY.decode() in out


@pytest.mark.parametrize(
    "wrong",
    [
        b"garbage\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_what_is_not_http_is_a_line_and_the_next_call_is_received(wrong: bytes) -> None:
    with listening("--secret", SECRET) as (process, url):
        address = url.split("//")[1].strip("/").split(":")
        with socket.create_connection((address[0], int(address[1])), timeout=5) as caller:
            caller.sendall(wrong)
            assert b" 400 " in caller.recv(100)
        assert call(url) == 200
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    (said,) = err.splitlines()
    assert said.startswith("a request could not be read: ")
    assert len(out.splitlines()) == 1


def test_when_nobody_reads_any_more_it_ends_in_silence() -> None:
    with listening("--secret", SECRET) as (process, url):
        assert process.stdout is not None
        process.stdout.close()
        call(url)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stdout = None


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--answer", "ok"], 2, "'ok' is not an HTTP status"),
        (["--secret", "mine"], 2, "does not begin with whsec_"),
        (["--host", "192.0.2.1"], 3, "cannot listen on 192.0.2.1"),
        (["--host", "no..name"], 2, "'no..name' is neither"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(words: list[str], code: int, says: str) -> None:
    done = run_command("--port", "0", *words)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_command("--port", str(port))
    assert done.returncode == 3
    assert f"port {port}" in done.stderr
    assert "choose another with --port" in done.stderr
    assert "Traceback" not in done.stderr


def run_command(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "heliograph", "listen", *words]
    env = environment() | {"COLUMNS": os.environ.get("COLUMNS", "200")}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=20, check=False)


def test_a_listener_at_ease_lets_a_flood_wait_and_begins_each_second_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waited = [5.0], []

    async def sleep(seconds: float) -> None:
        waited.append((now[0], seconds))

    async def call_at(*moments: float) -> None:
        receiver = Receiver(lambda received: None, at_ease=2)
        url = await receiver.start()
        async with aiohttp.ClientSession() as client:
            for now[0] in moments:
                async with client.post(url, data=b"{}") as answer:
                    assert answer.status == 200
        await receiver.stop()

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0], time_ns=time.time_ns))
    asyncio.run(call_at(5.0, 5.1, 5.2, 5.9, 6.0))
    assert waited == [(5.2, 0.25), (5.9, 0.25)]

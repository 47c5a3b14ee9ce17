"""One attempt against a real server on the loopback: every way it can end, and what is never done."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.harness.tls import self_signed

from heliograph import __version__
from heliograph.webhooks.sender import Attempted, Call, Sender

BODY = b'{"id":"1","status":1}'
LOOPBACK = ("127.0.0.0/8", "::1/128")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server that reads requests and answers each with the bytes of a script, the last for ever."""

    def __init__(self, *answers: bytes, after: float = 0.0, trickle: bytes = b"", keep: bool = True) -> None:
        self.answers = list(answers)
        self.after = after
        self.trickle = trickle
        self.keep = keep
        self.requests: list[bytes] = []
        self.connections = 0
        self.broken = 0

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                await asyncio.sleep(self.after)
                writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
                while self.trickle:
                    await writer.drain()
                    writer.write(self.trickle)
                    await asyncio.sleep(0.001)
                if not self.keep:
                    return
        except (OSError, asyncio.IncompleteReadError):
            self.broken += 1
        finally:
            writer.close()


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Something", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


OK = answer(200)


def call(url: str, body: bytes = BODY) -> Call:
    return Call(url, "cb_1", 1_767_225_600, "v1,AAAA", body)


@contextlib.asynccontextmanager
async def sending(
    *, timeout: float = 5.0, allow: tuple[str, ...] = LOOPBACK, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Sender]:
    sender = Sender(timeout_seconds=timeout, allow_networks=allow, tls=tls)
    try:
        yield sender
    finally:
        await sender.close()


def post(server: Server, *, path: str = "/dlr", timeout: float = 5.0, times: int = 1) -> list[Attempted]:
    async def run() -> list[Attempted]:
        async with server.running() as url, sending(timeout=timeout) as sender:
            return [await sender.post(call(url + path)) for _ in range(times)]

    return asyncio.run(run())


def post_to(url: str, allow: tuple[str, ...] = LOOPBACK) -> Attempted:
    async def run() -> Attempted:
        async with sending(allow=allow) as sender:
            return await sender.post(call(url))

    return asyncio.run(run())


def test_200_acknowledges() -> None:
    assert post(Server(OK)) == [Attempted(True, "200")]


@pytest.mark.parametrize("status", [201, 202, 204, 206, 300, 304, 400, 401, 404, 410, 429, 500, 502, 503])
def test_no_other_status_acknowledges(status: int) -> None:
    assert post(Server(answer(status))) == [Attempted(False, str(status))]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(status: int) -> None:
    server = Server(answer(status, "Location: /elsewhere"), OK)
    assert post(server) == [Attempted(False, str(status))]
    assert len(server.requests) == 1


def test_the_request_on_the_wire() -> None:
    server = Server(OK)
    post(server, path="/dlr?key=a%20b&sig=x%2Fy%7E+z")
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    assert line == "POST /dlr?key=a%20b&sig=x%2Fy%7E+z HTTP/1.1"  # to the letter
    assert body == BODY
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"] == f"heliograph/{__version__}"
    assert headers["webhook-id"] == "cb_1"
    assert headers["webhook-timestamp"] == "1767225600"
    assert headers["webhook-signature"] == "v1,AAAA"
    assert not {"Cookie", "Authorization", "Accept-Encoding"} & headers.keys()


def test_cookies_are_not_kept() -> None:
    server = Server(answer(200, "Set-Cookie: a=b; Path=/"))
    post(server, times=2)
    assert b"cookie" not in server.requests[1].lower()


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert post(Server(OK)) == [Attempted(True, "200")]


def test_connections_are_used_again() -> None:
    server = Server(answer(200, body=b"thanks"), answer(500, body=b"no"), OK)
    assert [one.result for one in post(server, times=4)] == ["200", "500", "200", "200"]
    assert server.connections == 1


def test_a_short_answer_that_comes_in_pieces_keeps_the_connection() -> None:
    server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(BODY)
                writer.write(server.answers[0])
                await asyncio.sleep(0.02)
                writer.write(b"thanks")
        writer.close()

    server._serve = late  # type: ignore[method-assign]
    assert post(server, times=3) == [Attempted(True, "200")] * 3
    assert server.connections == 1


def test_a_server_that_says_nothing_is_a_timeout() -> None:
    started = time.monotonic()
    assert post(Server(OK, after=3), timeout=0.3) == [Attempted(False, "timeout after 0.3 s")]
    assert time.monotonic() - started < 1.5


def test_slow_headers_are_a_timeout_in_all() -> None:
    started = time.monotonic()
    server = Server(b"HTTP/1.1 200 OK\r\n", trickle=b"X: y\r\n")
    server.trickle = b""

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(OSError):
            for number in range(100):
                writer.write(f"X-{number}: y\r\n".encode())
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()

    server._serve = slowly  # type: ignore[method-assign]
    assert post(server, timeout=0.4) == [Attempted(False, "timeout after 0.4 s")]
    assert time.monotonic() - started < 2


def test_interim_answers_without_end_are_a_timeout() -> None:
    server = Server(b"", trickle=b"HTTP/1.1 100 Continue\r\n\r\n")
    assert post(server, timeout=0.4) == [Attempted(False, "timeout after 0.4 s")]


def test_of_an_endless_body_no_more_than_a_little_is_read() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = Server(head, trickle=b"400\r\n" + b"x" * 1024 + b"\r\n")

    async def run() -> Attempted:
        async with server.running() as url, sending() as sender:
            attempted = await asyncio.wait_for(sender.post(call(url)), 0.5)
            await asyncio.sleep(0.1)
            assert server.broken == 1  # the connection was closed at once
            return attempted

    assert asyncio.run(run()) == Attempted(True, "200")


def test_a_body_that_never_comes_holds_nothing_up() -> None:
    server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
    started = time.monotonic()
    assert post(server) == [Attempted(True, "200")]
    assert time.monotonic() - started < 2


def test_a_compressed_bomb_stays_compressed() -> None:
    server = Server(answer(200, "Content-Encoding: gzip", body=b"not gzip at all"))
    assert post(server, times=2) == [Attempted(True, "200")] * 2
    assert server.connections == 1  # inflating it would have failed and cost the connection


def test_a_server_that_hangs_up_is_called_once() -> None:
    server = Server(b"", keep=False)
    assert post(server) == [Attempted(False, "connection closed without an answer")]
    assert len(server.requests) == 1


def test_a_connection_that_was_closed_meanwhile_is_not_used_again() -> None:
    server = Server(OK, keep=False)

    async def run() -> list[str]:
        async with server.running() as url, sending() as sender:
            first = await sender.post(call(url))
            await asyncio.sleep(0.05)
            return [first.result, (await sender.post(call(url))).result]

    assert asyncio.run(run()) == ["200", "200"]
    assert server.connections == 2


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
    ],
)
def test_what_is_not_http_is_said_to_be_so(garbage: bytes) -> None:
    (attempted,) = post(Server(garbage, keep=False))
    assert not attempted.acknowledged
    assert attempted.result.startswith(("not an HTTP answer", "connection closed"))
    assert len(attempted.result) <= 200
    assert attempted.result.isprintable()


def test_a_port_where_nothing_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert post_to(f"http://127.0.0.1:{port}/") == Attempted(False, "connection refused")


def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(host: str, *arguments: object, **more: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert post_to("http://nothing.invalid/") == Attempted(False, "DNS: no address for nothing.invalid")


def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate.cert, certificate.key)
    trusting = ssl.create_default_context(cafile=str(certificate.cert))
    server = Server(OK)

    async def run() -> list[Attempted]:
        async with server.running(serving) as url, sending() as strange, sending(tls=trusting) as friend:
            return [await strange.post(call(url)), await friend.post(call(url))]

    refused, trusted = asyncio.run(run())
    assert not refused.acknowledged
    assert refused.result.startswith("TLS: ")
    assert "certificate" in refused.result
    assert trusted == Attempted(True, "200")
    assert len(server.requests) == 1


def test_https_to_a_plain_port_is_a_tls_error() -> None:
    async def run() -> Attempted:
        async with Server(b"HTTP/1.1 400 Bad\r\n\r\n", keep=False).running() as url, sending(timeout=1) as sender:
            return await sender.post(call(url.replace("http:", "https:")))

    attempted = asyncio.run(run())
    assert not attempted.acknowledged
    assert attempted.result.startswith(("TLS: ", "timeout", "connection"))


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("localhost", "loopback"),
        ("LocalHost", "loopback"),
        ("[::1]", "loopback"),
        ("[::ffff:127.0.0.1]", "IPv4-mapped"),
        ("0.0.0.0", "unspecified"),
        ("10.0.0.1", "private network"),
        ("169.254.169.254", "cloud metadata"),
        ("[64:ff9b::7f00:1]", "NAT64"),
    ],
)
def test_addresses_inside_are_refused_however_they_are_spelled(host: str, reason: str) -> None:
    server = Server(OK)

    async def run() -> Attempted:
        async with server.running() as url, sending(allow=()) as sender:
            return await sender.post(call(url.replace("127.0.0.1", host)))

    attempted = asyncio.run(run())
    assert not attempted.acknowledged
    assert attempted.result.startswith("refused address ")
    assert reason in attempted.result
    assert "[callbacks] allow_networks" in attempted.result
    assert server.connections == 0


def test_a_name_that_leads_inside_works_once_the_operator_allows_it() -> None:
    async def run() -> Attempted:
        async with Server(OK).running() as url, sending() as sender:
            return await sender.post(call(url.replace("127.0.0.1", "localhost")))

    assert asyncio.run(run()) == Attempted(True, "200")


@pytest.mark.parametrize("url", ["", "ftp://x/", "http://user:word@127.0.0.1/", "http://127.0.0.1/a b", "http://[::1/"])
def test_a_url_that_was_stored_unchecked_is_a_result_and_not_an_error(url: str) -> None:
    attempted = post_to(url)
    assert not attempted.acknowledged
    assert attempted.result.startswith(("the callback URL", "'http://[::1/' is not a URL"))
    assert "word@" not in attempted.result


def test_after_closing_nothing_is_sent() -> None:
    async def run() -> Attempted:
        async with Server(OK).running() as url, sending() as sender:
            await sender.close()
            return await sender.post(call(url))

    assert asyncio.run(run()) == Attempted(False, "the server is stopping")


def test_a_lookup_that_hangs_does_not_hold_up_another(monkeypatch: pytest.MonkeyPatch) -> None:
    found = socket.getaddrinfo

    def slow(host: str, *arguments: object, **more: object) -> object:
        if host.endswith(".hanging.example"):
            time.sleep(0.6)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return found(host, *arguments, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def run() -> float:
        async with Server(OK).running() as url, sending() as sender:
            hanging = [asyncio.ensure_future(sender.post(call(f"http://{n}.hanging.example/"))) for n in range(20)]
            await asyncio.sleep(0.05)
            started = time.monotonic()
            assert (await sender.post(call(url.replace("127.0.0.1", "localhost")))).acknowledged
            took = time.monotonic() - started
            await asyncio.gather(*hanging)
            return took

    assert asyncio.run(run()) < 0.4


@pytest.mark.parametrize("seconds", [0, -1, 61, 3600])
def test_a_timeout_outside_its_bounds_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="choose more than 0 and at most 60"):
        Sender(timeout_seconds=seconds)

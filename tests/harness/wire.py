"""HTTP at the level of bytes: what a test wrote is what the server reads, and the answer is kept as it came."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Headers = Iterable[tuple[str, str]]


class ConnectionEndedError(Exception):
    """The server closed the connection before a whole answer."""


@dataclass
class Response:
    status: int
    reason: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    interim: list[int] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The one value of a header; a header that came twice is an error in itself."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def allow(self) -> set[str]:
        return {method.strip() for method in (self.header("Allow") or "").split(",") if method.strip()}


def encode(
    method: str,
    target: str,
    headers: Headers = (),
    body: bytes | None = None,
    *,
    version: str = "1.1",
    chunks: Iterable[bytes] | None = None,
    host: str = "heliograph.test",
) -> bytes:
    """One request. `chunks` sends the body chunked; `body` sends it with its length."""
    lines = [f"{method} {target} HTTP/{version}", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if chunks is not None:
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"
    elif body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class Wire:
    """One connection. Reads answers one at a time, in the order they come."""

    def __init__(self, address: tuple[str, int], *, timeout: float = 20.0, tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(address, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname=address[0])
        self._buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_until_refused(self, data: bytes, step: int = 65536) -> None:
        """Sends a body that the server may stop reading: an early answer is read by `read`, not lost here."""
        for start in range(0, len(data), step):
            try:
                self.socket.sendall(data[start : start + step])
            except (BrokenPipeError, ConnectionResetError):
                return

    def read(self, *, to_head: bool = False) -> Response:
        """The next final answer; 1xx answers before it are listed in `interim`. `to_head`: it answers a HEAD."""
        interim: list[int] = []
        while True:
            response = self._read_head()
            if response.status >= 200:
                break
            interim.append(response.status)
        response.interim = interim
        if not to_head and response.status not in (204, 304):
            response.body = self._read_body(response)
        return response

    def read_interim(self) -> int:
        """The status of an interim answer (100 Continue)."""
        return self._read_head().status

    def ended(self, within: float) -> bool:
        """True when the server closes the connection within that many seconds."""
        return self.rest(within) is not None

    def rest(self, within: float) -> bytes | None:
        """Everything up to the end of the connection; None when it does not end in time."""
        deadline = time.monotonic() + within
        while True:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return None
            except ConnectionResetError:
                return self._buffer
            if not data:
                return self._buffer
            self._buffer += data

    def _more(self) -> None:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError as error:
            raise ConnectionEndedError("reset") from error
        if not data:
            raise ConnectionEndedError(f"closed with {len(self._buffer)} bytes of an answer: {self._buffer[:200]!r}")
        self._buffer += data

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _read_head(self) -> Response:
        version, _, rest = self._line().decode("latin-1").partition(" ")
        assert version in ("HTTP/1.1", "HTTP/1.0"), f"not an answer: {version!r} {rest!r}"
        status, _, reason = rest.partition(" ")
        headers: list[tuple[str, str]] = []
        while line := self._line():
            name, colon, value = line.decode("latin-1").partition(":")
            assert colon, f"not a header: {line!r}"
            headers.append((name, value.strip()))
        return Response(int(status), reason, version, headers)

    def _read_body(self, response: Response) -> bytes:
        if (response.header("Transfer-Encoding") or "").lower() == "chunked":
            body = b""
            while size := int(self._line().split(b";")[0], 16):
                body += self._take(size)
                assert self._line() == b""
            while self._line():
                pass
            return body
        length = response.header("Content-Length")
        if length is not None:
            return self._take(int(length))
        try:
            while True:
                self._more()
        except ConnectionEndedError:
            body, self._buffer = self._buffer, b""
            return body

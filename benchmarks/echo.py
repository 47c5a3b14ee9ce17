"""The reference of a run: a bare HTTP server that reads `POST /api/sms` and answers a constant, stores nothing.

    python -m benchmarks.echo --port 8700

It says what this machine gives at this moment to one Python process behind the same load generator: the ceiling that
the figures are compared with, and the measure of the noise between two runs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import sys
from collections.abc import Sequence

import httptools
import uvloop


class Echo(asyncio.Protocol):
    """Parses a request to its end and answers it."""

    def __init__(self, response: bytes) -> None:
        self._response = response
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._transport.write(self._response)


def response(recipients: int) -> bytes:
    """The answer to a request for so many recipients."""
    one = '{"status":"submitted","submissionId":"4193366853543393"}'
    body = f'{{"submissions":[{",".join([one] * recipients)}]}}'.encode()
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nx-request-id: 0123456789abcdef\r\n\r\n"
    )
    return head.encode() + body


async def serve(port: int, recipients: int) -> None:
    """Answer until SIGTERM."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    constant = response(recipients)
    server = await loop.create_server(lambda: Echo(constant), "127.0.0.1", port, backlog=1024)
    gc.freeze()
    async with server:
        await ended.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.echo", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--recipients", type=int, default=1)
    options = parser.parse_args(arguments)
    uvloop.run(serve(options.port, options.recipients))
    return 0


if __name__ == "__main__":
    sys.exit(main())

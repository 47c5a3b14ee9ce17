"""A lean receiver of callbacks: it answers every POST with 200 at once and counts them, and looks nothing up.

    python -m benchmarks.receiver --port 8701

`GET /counts` tells what it has received: how many, how many different ones by their `webhook-id`, when the last came,
and the first few whole, so that their signatures can be checked.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import sys
import time
from collections.abc import Sequence

import msgspec
import uvloop

SAMPLES = 20
_END = b"\r\n\r\n"
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Sample(msgspec.Struct, frozen=True):
    """A callback as it came."""

    headers: dict[str, str]
    body: bytes


class Received(msgspec.Struct):
    """What came. `last_utc` is in seconds since the epoch, 0 when nothing came."""

    count: int = 0
    different: int = 0
    last_utc: float = 0.0
    samples: list[Sample] = []


class Tally:
    """What all connections count into."""

    def __init__(self) -> None:
        self.count = 0
        self.last_utc = 0.0
        self.ids: set[bytes] = set()
        self.samples: list[Sample] = []

    def answer(self) -> bytes:
        """All of it, as an HTTP response."""
        body = msgspec.json.encode(Received(self.count, len(self.ids), self.last_utc, self.samples))
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


class Receiver(asyncio.Protocol):
    """A connection, which may be kept and may bring several requests at a time."""

    __slots__ = ("_rest", "_tally", "_transport")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        start, size = 0, len(data)
        while start < size:
            head = data.find(_END, start) + len(_END)
            if head < len(_END):
                break
            names = data[start:head].lower()
            end = head + int(_value(names, names, b"content-length") or b"0")
            if end > size:
                break
            self._take(data[start:head], names, data[head:end])
            start = end
        if start < size:
            self._rest = data[start:]

    def _take(self, head: bytes, names: bytes, body: bytes) -> None:
        if head.startswith(b"GET "):
            self._transport.write(self._tally.answer())
            return
        tally = self._tally
        tally.count += 1
        tally.last_utc = time.time()
        tally.ids.add(_value(head, names, b"webhook-id"))
        if len(tally.samples) < SAMPLES:
            headers = (line.partition(": ") for line in head.decode().split("\r\n")[1:-2])
            tally.samples.append(Sample({name.lower(): value for name, _, value in headers}, body))
        self._transport.write(_OK)


def _value(head: bytes, names: bytes, name: bytes) -> bytes:
    """The value of a header, from `head`, of which `names` is the same in lower case; empty without one."""
    at = names.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    at += len(name) + 3
    return head[at : head.index(b"\r\n", at)].strip()


async def serve(port: int) -> None:
    """Answer until SIGTERM."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    tally = Tally()
    server = await loop.create_server(lambda: Receiver(tally), "127.0.0.1", port, backlog=1024)
    gc.freeze()
    gc.disable()
    async with server:
        await ended.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.receiver", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    uvloop.run(serve(options.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())

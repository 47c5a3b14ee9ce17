"""Where people at this machine play those who write to our numbers: a unix socket.

A line of JSON goes in, `{"from":"56912345678","to":"96000","text":"Hello"}`, and one comes out, once it is known:
`{"stored":true}`, or `{"stored":false,"problem":"…"}`. A connection may carry several, one after another.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from pathlib import Path

import msgspec

from heliograph.carriers.interface import CarrierEvents, Inbound, inbound_of
from heliograph.kit.sockets import address_of

MAX_LINE_BYTES = 16_384
MAX_CLIENTS = 16
_IDLE_SECONDS = 30.0
_STORING_SECONDS = 30.0
_CLOSING_SECONDS = 2.0
_log = logging.getLogger(__name__)


class _Line(msgspec.Struct, frozen=True):
    from_: str = msgspec.field(name="from")
    to: str
    text: str


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a line is answered; `problem` says what is wrong, and what to do."""

    stored: bool
    problem: str = ""


class Door:
    """The socket at `path`, its owner's alone, while it is open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._storing: set[asyncio.Task[None]] = set()

    async def open(self, events: CarrierEvents) -> None:
        """Listen. A simulator without its door still sends: why it could not be opened is logged."""
        self._events = events
        try:
            self._server = await asyncio.start_unix_server(self._serve, sock=_bound(self._path), limit=MAX_LINE_BYTES)
        except OSError as error:
            _log.warning("%s: no inbound messages can be given to the simulator: %s", self._path, error.strerror)

    async def close(self) -> None:
        """Let those that wait for an answer have it, and close."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self._path.unlink(missing_ok=True)
        if self._storing:
            await asyncio.wait(self._storing, timeout=_CLOSING_SECONDS)
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.current_task()
        assert client is not None
        self._clients.add(client)
        try:
            with contextlib.suppress(ConnectionError, TimeoutError):
                await self._converse(client, reader, writer)
        finally:
            self._clients.discard(client)
            self._storing.discard(client)
            writer.close()

    async def _converse(
        self, client: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if len(self._clients) > MAX_CLIENTS:
            await _say(writer, Answer(False, f"{MAX_CLIENTS} others are connected; try again when one has gone"))
            return
        while True:
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    line = await reader.readline()
            except ValueError:
                await _say(writer, Answer(False, f"the line is longer than {MAX_LINE_BYTES} bytes; shorten its text"))
                return
            if not line.endswith(b"\n"):
                return
            self._storing.add(client)
            await _say(writer, await self._deliver(line))
            self._storing.discard(client)

    async def _deliver(self, line: bytes) -> Answer:
        try:
            message = _read(line)
        except ValueError as error:
            return Answer(False, str(error))
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def acknowledged(is_stored: bool) -> None:
            if not stored.done():  # else nobody waits any more
                stored.set_result(is_stored)

        self._events.inbound([message], acknowledged)
        try:
            async with asyncio.timeout(_STORING_SECONDS):
                if await stored:
                    return Answer(True)
            return Answer(False, "the server cannot store it now; look at its log and try again")
        except TimeoutError:
            problem = (
                f"the server has not said within {_STORING_SECONDS:g} seconds whether it is stored; look at its log"
            )
            return Answer(False, problem)


def _read(line: bytes) -> Inbound:
    """Raises `ValueError` that names the field."""
    try:
        told = msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        example = '{"from":"56912345678","to":"96000","text":"Hello"}'
        raise ValueError(f"the line is not like {example}: {error}") from None
    return inbound_of(told.from_, told.to, told.text)


def _bound(path: Path) -> socket.socket:
    """A socket bound to `path`, instead of one that a killed server left."""
    if path.is_socket():
        path.unlink()
    elif os.path.lexists(path):
        raise OSError(errno.EEXIST, "there is a file of that name; move it away", str(path))
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with address_of(path) as address:
            bound.bind(address)
        path.chmod(0o600)  # nobody can connect before it listens
    except BaseException:
        bound.close()
        raise
    return bound


async def _say(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(msgspec.json.encode(answer) + b"\n")
    async with asyncio.timeout(_IDLE_SECONDS):
        await writer.drain()

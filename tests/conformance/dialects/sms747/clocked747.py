"""A demo whose time passes only when a test lets it, and its 747 customer."""

from __future__ import annotations

import contextlib
import datetime
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jwt
from tests.e2e.test_callbacks_clock import CLOCKED
from tests.harness.client747 import UNLIMITED, Client747
from tests.harness.receiver import Receiver
from tests.harness.server import Server, free_port


class Clocked747:
    def __init__(self, server: Server, control: socket.socket, receiver: Receiver) -> None:
        self.server = server
        self.receiver = receiver
        self.client = Client747(server, server.credentials)
        self._control = control.makefile("rwb")

    def wait(self, seconds: float) -> None:
        """Lets so much of the server's time pass, and takes a new token: the old one may have had its time."""
        self._control.write(f"{seconds}\n".encode())
        self._control.flush()
        assert self._control.readline() == b"ok\n"
        self.client.forget_token()

    def until(self, done: Callable[[], object], step: float = 1.0, within: float = 30.0) -> None:
        """Lets a few seconds of the server pass until something is so."""
        deadline = time.monotonic() + within
        while not done():
            assert time.monotonic() < deadline
            self.wait(step)

    def now(self) -> datetime.datetime:
        """The server's time, to the second: by the end of a token issued now."""
        token = self.client.authenticate().json()["access_token"]
        expires = jwt.decode(token, options={"verify_signature": False})["exp"]
        return datetime.datetime.fromtimestamp(expires - 3600, datetime.UTC)

    def status(self, id_: str) -> str:
        return str(self.client.show(id_)["status"])

    def carried(self) -> set[str]:
        """The ids of all messages that reached the carrier."""
        log = self.server.data / "simulator.log"
        return {line.split()[0] for line in log.read_text().splitlines()} if log.exists() else set()


@contextlib.contextmanager
def clocked_demo(data: Path, settings: Mapping[str, str]) -> Iterator[Clocked747]:
    port = free_port()
    with (
        Receiver() as receiver,
        Server(data, settings=settings, launcher=[str(CLOCKED)], variables={"CLOCK_PORT": str(port)}) as server,
        socket.create_connection(("127.0.0.1", port), timeout=60) as control,
    ):
        made = Clocked747(server, control, receiver)
        made.client.told("limit", "--per-minute", str(UNLIMITED))
        made.client.wait_limit(UNLIMITED)
        yield made


def rfc3339(at: datetime.datetime) -> str:
    return at.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""Connections that want nothing, and connections that never end what they say, beside a caller who means it."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.client import Client
from tests.harness.server import Server

IDLE = 5_000
SLOW = 50
TIMEOUT_SECONDS = 2.0  # of the server, for a request to arrive
MARGIN_SECONDS = 20.0
# What a login shell gives many services: the server must raise it by itself.
FEW_FILES = (
    "import resource; _, hard = resource.getrlimit(resource.RLIMIT_NOFILE);"
    "resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard));"
    "from heliograph.cli.main import main; main()"
)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Lets this process open as many connections as the test needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < IDLE + 1000:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"this process may open {hard} files only; raise the hard limit (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE + 1000) if soft >= 0 else soft, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def closed(one: socket.socket) -> bool:
    """Whether the server has ended this connection."""
    one.setblocking(False)
    try:
        return one.recv(65536) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def drip(one: socket.socket, byte: bytes) -> None:
    with contextlib.suppress(OSError):  # it is closed
        one.send(byte)


@pytest.mark.usefixtures("many_files")
def test_an_honest_call_is_answered_beside_thousands_of_idle_connections(data: Path) -> None:
    with Server(data, launcher=["-c", FEW_FILES]) as server, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(server.address, 20)) for _ in range(IDLE)]
        client = Client(server, server.credentials)
        for _ in range(20):
            assert client.wait_final(client.submit())["info"]["status"]["status"] == "DELIVERED"
        assert sum(map(closed, idle)) == 0, "the server took fewer than its settings say"


@pytest.mark.parametrize("first", [b"", b"POST /api/sms HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"])
def test_who_never_ends_a_request_is_hung_up_on_and_who_does_is_served(data: Path, first: bytes) -> None:
    settings = {"http.request_timeout_seconds": str(TIMEOUT_SECONDS)}
    with Server(data, settings=settings) as server, contextlib.ExitStack() as stack:
        client = Client(server, server.credentials)
        slow = [stack.enter_context(socket.create_connection(server.address, 20)) for _ in range(SLOW)]
        for one in slow:
            drip(one, first)
        deadline = time.monotonic() + TIMEOUT_SECONDS + MARGIN_SECONDS
        while slow:
            assert client.submit()
            for one in slow:
                drip(one, b"a")
            slow = [one for one in slow if not closed(one)]
            assert time.monotonic() < deadline, f"{len(slow)} of {SLOW} may drip for ever"
            time.sleep(0.1)

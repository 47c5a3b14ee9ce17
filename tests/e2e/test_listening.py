"""Where the server listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.wire import Wire, encode


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no sockets for both families")
def test_all_addresses_are_those_of_both_families(data: Path) -> None:
    with Server(data, settings={"http.host": "::"}) as server:
        assert Client(server, server.credentials).balance() == "457.00"
        with Wire(("::1", server.port), timeout=5) as wire:
            wire.send(encode("GET", "/healthz", []))
            assert wire.read().status == 200

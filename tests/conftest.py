"""Servers and customers shared by the black-box suites."""

from __future__ import annotations

import importlib.util
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.client import Client
from tests.harness.server import SOURCE, Server

if importlib.util.find_spec("heliograph") is None:
    sys.path.insert(0, str(SOURCE))

DOORS = {"lean": "true", "plain": "false"}


class Accounts:
    """Makes accounts on a running server by the command line, as an operator would."""

    STOCK = 8

    def __init__(self, server: Server) -> None:
        self.server = server
        self._stock: list[Client] = []

    def new(self, *options: str, balance: str = "1000.00") -> Client:
        """An account of its own. One without options is from a stock: a server takes half a second to see a new one."""
        if options:
            return self._create(*options, "--balance", balance).wait_effective()
        if not self._stock:
            self._stock = [self._create() for _ in range(self.STOCK)]
            for client in self._stock:
                client.wait_effective()
        client = self._stock.pop()
        if float(balance):
            self.topup(client, balance)
        return client

    def topup(self, client: Client, amount: str) -> None:
        self.server.cli_here("account", "topup", client.account, amount)

    def _create(self, *options: str) -> Client:
        words = [
            "account",
            "create",
            "--name",
            f"Customer {secrets.token_hex(4)}",
            "--email",
            "customer@example.net",
            *options,
        ]
        return Client(self.server, self.server.cli_here(*words).data)


@pytest.fixture(scope="session", params=list(DOORS))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One running server a door: whatever is asked of one is asked of the other."""
    data = tmp_path_factory.mktemp(f"door-{request.param}") / "data"
    settings = {"http.lean_door": DOORS[request.param], "carriers.simulator.receipt_ms": "60"}
    with Server(data, settings=settings) as started:
        started.cli_here("account", "topup", started.credentials["account_id"], "1000000.00")
        yield started


@pytest.fixture(scope="session")
def accounts(server: Server) -> Accounts:
    return Accounts(server)


@pytest.fixture(scope="session")
def client(server: Server) -> Client:
    """The demo's own account: number policy `syntax`, sender 96000, 1.00 a segment, and plenty of money."""
    return Client(server, server.credentials)


@pytest.fixture(scope="session")
def other(accounts: Accounts) -> Client:
    """An account as `account create` makes it: number policy `possible`."""
    return accounts.new()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder that does not exist yet."""
    return tmp_path / "data"

"""Servers and customers shared by the black-box suites."""

from __future__ import annotations

import importlib.util
import itertools
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

    def __init__(self, server: Server) -> None:
        self.server = server
        self._numbers = itertools.count(1)

    def new(self, *, balance: str = "1000.00", senders: tuple[str, ...] = ()) -> Client:
        n = next(self._numbers)
        words = ["account", "create", "--name", f"Customer {n}", "--email", f"customer{n}@example.net"]
        words += ["--balance", balance]
        for sender in senders:
            words += ["--sender", sender]
        return Client(self.server, self.server.cli(*words).data).wait_effective()


@pytest.fixture(scope="session", params=list(DOORS))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One running server a door: whatever is asked of one is asked of the other."""
    data = tmp_path_factory.mktemp(f"door-{request.param}") / "data"
    with Server(data, settings={"http.lean_door": DOORS[request.param]}) as started:
        started.cli("account", "topup", started.credentials["account_id"], "1000000.00")
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

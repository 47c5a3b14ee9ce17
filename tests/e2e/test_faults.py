"""Our own bugs, as a customer meets them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import DOORS
from tests.harness.client import Client
from tests.harness.server import Server

BROKEN = Path(__file__).parents[1] / "harness" / "broken.py"


@pytest.fixture(scope="module", params=list(DOORS))
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    data = tmp_path_factory.mktemp(f"broken-{request.param}") / "data"
    settings = {"http.lean_door": DOORS[request.param]}
    with Server(data, settings=settings, launcher=[str(BROKEN)]) as started:
        yield Client(started, started.credentials)


@pytest.mark.parametrize("which", ["send", "balance", "info"])
def test_a_bug_is_500_without_a_trace_and_logged_with_the_request_id(client: Client, which: str) -> None:
    response = {
        "send": client.send,
        "balance": lambda: client.get("/api/balance"),
        "info": lambda: client.get("/api/sms/4193366853543393"),
    }[which]()
    assert response.status == 500
    assert response.header("Content-Type") == "application/problem+json"
    assert response.json()["status"] == 500
    assert response.json()["instance"] == response.header("X-Request-Id")
    assert response.header("Link") == f'<{response.json()["type"]}>; rel="help"'
    for inside in (b"ZeroDivision", b"secret detail", b"Traceback", b".py"):
        assert inside not in response.body
    request_id, deadline = response.header("X-Request-Id") or "", time.monotonic() + 5
    while not [line for line in client.server.printed().splitlines() if request_id in line and "ZeroDivision" in line]:
        assert time.monotonic() < deadline, "the fault is not in the log under its request id"
        time.sleep(0.05)


def test_the_connection_and_the_server_outlive_a_bug(client: Client) -> None:
    for _ in range(3):
        assert client.send().status == 500
    assert client.authenticate().status == 200
    assert client.call("GET", "/readyz").status == 200

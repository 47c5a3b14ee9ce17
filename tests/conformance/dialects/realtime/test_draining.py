"""A server that was told to stop, as a customer and a load balancer meet it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import DOORS
from tests.harness.client import JSON, Client, phone
from tests.harness.server import Server
from tests.harness.wire import Response, encode

BODY = b'{"recipients":["+56910000000"],"sender":"96000","message":{"text":"hello"}}'
LONG = "300"  # seconds: longer than any test takes

Start = Callable[..., Client]


@pytest.fixture(params=list(DOORS))
def start(request: pytest.FixtureRequest, data: Path) -> Iterator[Start]:
    """Starts a server with settings; one that still runs is killed in the end."""
    servers: list[Server] = []

    def starter(**settings: str) -> Client:
        named = {name.replace("__", "."): value for name, value in settings.items()}
        servers.append(Server(data, settings={"http.lean_door": DOORS[request.param], **named}).start())
        client = Client(servers[-1], servers[-1].credentials)
        assert client.token
        return client

    yield starter
    for server in servers:
        server.kill()


def tell_to_stop(client: Client) -> None:
    """One SIGTERM, and wait until the server says that it is not ready."""
    assert client.server.process is not None
    client.server.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 10
    while client.server.ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def send(client: Client) -> bytes:
    return encode("POST", "/api/sms", [client.bearer, JSON], BODY)


def assert_told_to_come_back(response: Response) -> None:
    assert response.status == 503
    assert response.json()["type"].endswith("/errors/draining")
    assert int(response.header("Retry-After") or 0) > 0


def test_a_send_on_a_kept_connection_is_told_to_come_back_and_hung_up_on(start: Start) -> None:
    client = start(http__drain_seconds=LONG)
    with client.server.wire() as wire:
        wire.send(send(client))
        assert wire.read().status == 200
        before = client.balance()
        tell_to_stop(client)
        wire.send(send(client))
        answer = wire.read()
        assert_told_to_come_back(answer)
        assert answer.header("Connection") == "close"
        assert wire.ended(5)
    assert client.balance() == before


def test_of_requests_sent_in_one_go_each_is_answered_and_only_the_last_one_hangs_up(start: Start) -> None:
    client = start(http__drain_seconds=LONG)
    with client.server.wire() as wire:
        tell_to_stop(client)
        wire.send(send(client) * 3)
        answers = [wire.read() for _ in range(3)]
        for answer in answers:
            assert_told_to_come_back(answer)
        assert [answer.header("Connection") for answer in answers] == [None, None, "close"]
        assert wire.ended(5)


def test_while_draining_new_connections_are_served_and_the_load_balancer_is_told(start: Start) -> None:
    client = start(http__drain_seconds=LONG)
    sent = client.submit()
    tell_to_stop(client)
    assert_told_to_come_back(client.send())
    ready = client.call("GET", "/readyz")
    assert (ready.status, ready.header("Connection")) == (503, "close")
    assert ready.json()["problems"] == ["the server is stopping"]
    assert client.call("GET", "/healthz").status == 200
    assert client.info(sent)["info"]["status"]
    assert client.authenticate().status == 200


def test_what_is_wrong_with_a_send_is_told_before_that_the_server_stops(start: Start) -> None:
    client = start(http__drain_seconds=LONG)
    tell_to_stop(client)
    assert client.post(b"{").status == 400
    assert client.call("POST", "/api/sms", [JSON], BODY).status == 401


def test_receipts_that_come_while_draining_are_stored(start: Start) -> None:
    client = start(http__drain_seconds=LONG, carriers__simulator__receipt_ms="1500")
    sent = client.submit(phone("0001"))
    tell_to_stop(client)
    assert client.wait_final(sent)["info"]["status"]["status"] == "UNDELIVERED"


def test_a_request_that_has_begun_to_arrive_is_answered_before_the_port_closes(start: Start) -> None:
    client = start()
    with client.server.wire() as wire:
        raw = send(client)
        wire.send(raw[:-5])
        time.sleep(0.1)  # for the server to read it
        assert client.server.process is not None
        client.server.process.send_signal(signal.SIGTERM)
        wait_until_refused(client.server)
        wire.send(raw[-5:])
        answer = wire.read()
        assert_told_to_come_back(answer)
        assert answer.header("Connection") == "close"
        assert wire.ended(5)
    assert client.server.died() == 0


def wait_until_refused(server: Server, within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while True:
        try:
            server.wire().close()
        except ConnectionRefusedError:
            return
        assert time.monotonic() < deadline, "the port is still open"
        time.sleep(0.02)


def test_the_answers_of_a_slow_carrier_are_waited_for(start: Start) -> None:
    client = start(carriers__simulator__answer_ms="1500", carriers__simulator__receipt_ms="0")
    sent = client.submit()
    wait_on_wire(client, 1)
    assert client.server.stop() == 0
    assert len(log(client)) == 1
    again = start(carriers__simulator__answer_ms="5", carriers__simulator__receipt_ms="0")
    assert again.wait_final(sent)["info"]["status"]["status"] == "DELIVERED"
    assert len(log(client)) == 1


@pytest.mark.parametrize("phase", ["draining", "waiting for the carrier"])
def test_a_second_signal_stops_at_once_and_keeps_the_books(start: Start, phase: str) -> None:
    drain = LONG if phase == "draining" else "0"
    slow: dict[str, Any] = {"carriers__simulator__answer_ms": "60000", "messages__stop_seconds": LONG}
    client = start(http__drain_seconds=drain, **slow)
    ids = [entry["submissionId"] for entry in client.send([phone(n=n) for n in range(20)]).json()["submissions"]]
    wait_on_wire(client, 20)
    tell_to_stop(client)
    if phase != "draining":
        wait_until_refused(client.server)
    time.sleep(0.5)
    assert client.server.alive, "it did not wait"
    assert client.server.stop() == 0  # the second signal
    again = start(carriers__simulator__answer_ms="5")
    for id_ in ids:
        again.wait_final(id_)
    assert again.server.cli_here("audit", json=False).code == 0


def log(client: Client) -> list[str]:
    path = client.server.data / "simulator.log"
    return path.read_text().splitlines() if path.exists() else []


def wait_on_wire(client: Client, count: int, within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while len(log(client)) < count:
        assert time.monotonic() < deadline, "the carrier was handed nothing"
        time.sleep(0.01)

"""Callbacks and their limits: where they may go, and how many at once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.harness.client import Client, phone
from tests.harness.receiver import Answer, Receiver
from tests.harness.server import Server

pytestmark = pytest.mark.slow

CREATE = ("account", "create", "--name", "Acme", "--email", "sms@acme.example", "--balance", "500.00")


def customer(server: Server, url: str) -> Client:
    made = server.cli_here(*CREATE).data
    server.cli_here("account", "callbacks", made["account_id"], "--dlr-url", url)
    return Client(server, made).wait_effective()


def test_a_server_does_not_call_into_its_own_network_unless_told_to(data: Path) -> None:
    """`demo` allows the loopback; `serve` does not. Neither by name, nor by number, however it is written."""
    with Receiver() as receiver, Server(data, config="") as server:
        port = receiver.url.rpartition(":")[2]
        hosts = ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433", "[::1]")
        sent = []
        for host in hosts:
            made = server.cli_here(*CREATE).data
            url = f"http://{host}:{port}/{host}"
            if server.cli_here("account", "callbacks", made["account_id"], "--dlr-url", url, check=False).code == 0:
                sent.append(Client(server, made).wait_effective().submit())
        assert sent, "at least a name cannot be refused before it is looked up"
        for submission_id in sent:
            deadline = time.monotonic() + 15
            while not attempted(server, submission_id):
                assert time.monotonic() < deadline, server.cli_here("message", "timeline", submission_id).out
                time.sleep(0.1)
        assert receiver.calls == []


def attempted(server: Server, submission_id: str) -> bool:
    """Whether an attempt of the callback has ended, by the message's timeline."""
    story = json.dumps(server.cli_here("message", "timeline", submission_id).data)
    return "callback" in story and ("refused" in story or "not allowed" in story or "not public" in story)


def test_a_slow_endpoint_is_called_by_no_more_at_once_than_allowed_and_holds_up_nobody(data: Path) -> None:
    settings = {"callbacks.in_flight_per_endpoint": "3"}
    with Receiver([Answer(delay=0.2)] * 30) as slow, Receiver() as quick, Server(data, settings=settings) as server:
        patient, other = customer(server, f"{slow.url}/slow"), customer(server, f"{quick.url}/quick")
        ids = [e["submissionId"] for e in patient.send([phone(n=n) for n in range(30)]).json()["submissions"]]
        quick.wait_for(other.submit())
        assert len(slow.calls) < 30, "the other customer's report did not wait for all of these"
        slow.wait(lambda calls: {call.json()["id"] for call in calls} >= set(ids))
        assert slow.most_at_once <= 3

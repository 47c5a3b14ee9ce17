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


EFFECTIVE_SECONDS = 2  # after a command, on a running server; of URLs, nothing that a customer sees tells earlier


def customer(server: Server, url: str) -> Client | None:
    """A new account with this URL, or None if the URL is refused at once; not effective yet."""
    made = server.cli_here(*CREATE).data
    ran = server.cli_here("account", "callbacks", made["account_id"], "--dlr-url", url, check=False)
    return Client(server, made) if ran.code == 0 else None


def test_a_server_does_not_call_into_its_own_network_unless_told_to(data: Path) -> None:
    """`demo` allows the loopback; `serve` does not. Neither by name, nor by number, however it is written."""
    with Receiver() as receiver, Server(data, config="") as server:
        port = receiver.url.rpartition(":")[2]
        hosts = ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433", "[::1]")
        customers = [customer(server, f"http://{host}:{port}/{host}") for host in hosts]
        time.sleep(EFFECTIVE_SECONDS)
        sent = [one.submit() for one in customers if one is not None]
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
        assert patient is not None
        assert other is not None
        time.sleep(EFFECTIVE_SECONDS)
        ids = [e["submissionId"] for e in patient.send([phone(n=n) for n in range(30)]).json()["submissions"]]
        quick.wait_for(other.submit())
        assert len(slow.calls) < 30, "the other customer's report did not wait for all of these"
        slow.wait(lambda calls: {call.json()["id"] for call in calls} >= set(ids))
        assert slow.most_at_once <= 3

"""What a customer sees of each fate of the simulated carrier: the status, the price, the reports."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.test_callbacks_clock import CLOCKED, Clocked
from tests.harness.client import Client, phone
from tests.harness.receiver import Receiver
from tests.harness.server import Server, free_port

HOUR = 3600
ENDS = {
    "0000": ("DELIVERED", 1),
    "0001": ("UNDELIVERED", 3),
    "0002": ("REJECTED", 2),
    "0003": ("EXPIRED", 5),
    "0004": ("UNKNOWN", 0),
    "0006": ("DELIVERED", 1),
    "0007": ("DELIVERED", 1),
    "0008": ("DELIVERED", 1),
    "0009": ("DELIVERED", 1),
    "0010": ("UNKNOWN", 0),
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocked]:
    data, port = tmp_path_factory.mktemp("fates") / "data", free_port()
    with (
        Receiver() as receiver,
        Server(data, launcher=[str(CLOCKED)], variables={"CLOCK_PORT": str(port)}) as server,
        socket.create_connection(("127.0.0.1", port), timeout=60) as control,
    ):
        made = Clocked(server, control, receiver)
        made.report_to(f"{receiver.url}/dlr")
        yield made


@pytest.fixture
def clocked(demo: Clocked) -> Clocked:
    """The same demo for each test, with a new token: the old one may have had its time."""
    demo.client = Client(demo.server, demo.server.credentials)
    return demo


def text_of(parts: int) -> str:
    return "hello" if parts == 1 else "x" * 153 * parts


def status_of(info: dict[str, Any]) -> tuple[str, str]:
    return info["info"]["status"]["status"], info["info"]["status"]["code"]


def after(clocked: Clocked, submission_id: str, seconds: float, status: str) -> dict[str, Any]:
    """The message's info once it has this status, which it must have after so many seconds and some real ones."""
    clocked.wait(seconds)
    deadline = time.monotonic() + 20
    while status_of(info := clocked.client.info(submission_id))[0] != status:
        assert time.monotonic() < deadline, info
        clocked.wait(0.01)
    return info


def ended(clocked: Clocked, submission_id: str) -> dict[str, Any]:
    """The message's info once it is final and reported."""
    deadline = time.monotonic() + 30
    while not clocked.receiver.about(submission_id):
        assert time.monotonic() < deadline, clocked.client.info(submission_id)
        clocked.wait(1)
    return clocked.client.info(submission_id)


def reported(clocked: Clocked, submission_id: str) -> list[int]:
    return [call.json()["status"] for call in clocked.receiver.about(submission_id)]


def sent(clocked: Clocked, submission_id: str) -> Counter[int]:
    """How often the carrier got each part."""
    lines = (clocked.server.data / "simulator.log").read_text().splitlines()
    return Counter(int(line.split()[1]) for line in lines if line.split()[0] == submission_id)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("fate", ENDS)
def test_a_message_ends_as_its_number_says_and_is_reported_once_and_paid(
    clocked: Clocked, fate: str, parts: int
) -> None:
    name, code = ENDS[fate]
    submission_id = clocked.client.submit(phone(fate), text_of(parts))
    info = ended(clocked, submission_id)
    assert status_of(info) == (name, str(code))
    assert info["info"]["cost"] == parts
    assert info["timestamps"]["registered"] <= info["timestamps"]["done"]
    clocked.wait(120)
    assert reported(clocked, submission_id) == [code]
    assert clocked.client.info(submission_id) == info
    assert sent(clocked, submission_id) == dict.fromkeys(range(1, parts + 1), 3 if fate == "0010" else 1)


def test_a_message_that_is_reported_late_is_sent_until_then(clocked: Clocked) -> None:
    submission_id = clocked.client.submit(phone("0006"))
    info = after(clocked, submission_id, 1, "SENT")
    assert (info["timestamps"]["done"], info["info"]["status"]["code"]) == (0, "4")
    clocked.wait(28)
    assert status_of(clocked.client.info(submission_id)) == ("SENT", "4")
    assert reported(clocked, submission_id) == []
    late = after(clocked, submission_id, 5, "DELIVERED")
    assert 30 <= late["timestamps"]["done"] - late["timestamps"]["sent"] <= 35


def test_a_message_to_a_throttled_number_waits_and_is_then_taken(clocked: Clocked) -> None:
    submission_id = clocked.client.submit(phone("0009"))
    clocked.wait(0.5)
    assert status_of(clocked.client.info(submission_id)) == ("PENDING", "4")
    assert sent(clocked, submission_id) == {}
    info = after(clocked, submission_id, 5, "DELIVERED")
    assert info["timestamps"]["sent"] > 0


def test_a_message_that_is_never_reported_is_unknown_a_day_after_its_validity(clocked: Clocked) -> None:
    client = clocked.client
    before = client.balance()
    submission_id = client.submit(phone("0005"), text_of(3))
    after(clocked, submission_id, 1, "SENT")
    clocked.wait(72 * HOUR - 60)
    clocked.client = Client(clocked.server, clocked.server.credentials)
    assert status_of(clocked.client.info(submission_id)) == ("SENT", "4")
    assert reported(clocked, submission_id) == []
    clocked.wait(120)
    info = after(clocked, submission_id, 60, "UNKNOWN")
    assert (status_of(info), info["info"]["cost"]) == (("UNKNOWN", "0"), 3)
    ended(clocked, submission_id)
    clocked.wait(600)
    assert reported(clocked, submission_id) == [0]
    assert float(before) - float(clocked.client.balance()) == 3
    assert sent(clocked, submission_id) == {1: 1, 2: 1, 3: 1}

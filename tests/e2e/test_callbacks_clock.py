"""The seven attempts of a callback, lived through under a clock of the test's own."""

from __future__ import annotations

import datetime
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from tests.harness.client import Client, phone
from tests.harness.receiver import HANG, Answer, Call, Receiver
from tests.harness.server import Server, free_port

CLOCKED = Path(__file__).parents[1] / "harness" / "clocked.py"
MINUTES = 60
SCHEDULE = [0, 5 * MINUTES, 15 * MINUTES, 30 * MINUTES, 60 * MINUTES, 300 * MINUTES, 1440 * MINUTES]


class Clocked:
    """A demo whose time passes only by `wait`, and the customer's server that it reports to."""

    def __init__(self, server: Server, control: socket.socket, receiver: Receiver) -> None:
        self.server = server
        self.receiver = receiver
        self.client = Client(server, server.credentials)
        self._control = control.makefile("rwb")

    def wait(self, seconds: float) -> None:
        self._control.write(f"{seconds}\n".encode())
        self._control.flush()
        assert self._control.readline() == b"ok\n"

    def report_to(self, url: str) -> None:
        self.server.cli_here("account", "callbacks", self.client.account, "--dlr-url", url)
        time.sleep(1.5)  # the promise is two seconds; nothing the customer sees tells that it is done

    def first_call(self, fate: str, *script: int | Answer) -> str:
        """Sends a message, and lets the carrier deliver it and the first attempt be made; the message's id."""
        self.receiver.calls.clear()
        self.receiver.script(*script)
        submission_id = self.client.submit(phone(fate))
        deadline = time.monotonic() + 20
        while not self.receiver.about(submission_id):
            assert time.monotonic() < deadline, "no callback"
            self.wait(0.5)
        return submission_id

    def settled(self, submission_id: str, attempt: int, result: str) -> None:
        """Waits, in real time, until the end of an attempt is stored."""
        told, deadline = "", time.monotonic() + 20
        while f"attempt {attempt} of 7: {result}" not in told:
            assert time.monotonic() < deadline, told
            told = self.server.cli_here("message", "timeline", submission_id).out

    def next_call(self, delay: float) -> None:
        """Lets the delay pass; not before its end there is another attempt."""
        made = len(self.receiver.calls)
        self.wait(delay - 30)
        assert len(self.receiver.calls) == made, "an attempt before its time"
        self.wait(31)
        self.receiver.wait(lambda calls: len(calls) > made)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocked]:
    data = tmp_path_factory.mktemp("clocked") / "data"
    port = free_port()
    settings = {"callbacks.timeout_seconds": "0.3"}
    with (
        Receiver() as receiver,
        Server(data, settings=settings, launcher=[str(CLOCKED)], variables={"CLOCK_PORT": str(port)}) as server,
        socket.create_connection(("127.0.0.1", port), timeout=60) as control,
    ):
        made = Clocked(server, control, receiver)
        made.report_to(f"{receiver.url}/dlr")
        yield made


@pytest.fixture
def clocked(shared: Clocked) -> Clocked:
    """The same demo for each test, with a new token: the old one has had its time."""
    shared.client = Client(shared.server, shared.server.credentials)
    return shared


def offsets(calls: list[Call]) -> list[int]:
    """When each attempt began, in seconds after the first, by the time it is signed with."""
    stamps = [int(call.headers["webhook-timestamp"]) for call in calls]
    return [stamp - stamps[0] for stamp in stamps]


def about(times: list[int]) -> list[object]:
    """A second or two late is in time: the clock moves in steps."""
    return [pytest.approx(seconds, abs=3 + 2 * n) for n, seconds in enumerate(times)]


def test_only_200_acknowledges_and_the_attempts_keep_to_the_schedule(clocked: Clocked) -> None:
    elsewhere = Answer(302, (("Location", f"{clocked.receiver.url}/elsewhere"),))
    submission_id = clocked.first_call("0000", 500, 204, elsewhere, HANG, 200)
    for attempt, result in enumerate(("500", "204", "302", "timeout"), 1):
        clocked.settled(submission_id, attempt, result)
        clocked.next_call(SCHEDULE[attempt])
    clocked.wait(48 * 60 * MINUTES)  # and no sixth
    calls = clocked.receiver.calls
    assert offsets(calls) == about([0, 5 * MINUTES, 20 * MINUTES, 50 * MINUTES, 110 * MINUTES])
    assert {call.target for call in calls} == {"/dlr"}


def test_each_attempt_has_the_same_body_and_id_and_a_signature_of_its_own(clocked: Clocked) -> None:
    submission_id = clocked.first_call("0001", 500, 201, 200)
    clocked.settled(submission_id, 1, "500")
    clocked.next_call(SCHEDULE[1])
    clocked.settled(submission_id, 2, "201")
    clocked.next_call(SCHEDULE[2])
    calls = clocked.receiver.calls
    assert [call.json()["id"] for call in calls] == [submission_id] * 3
    assert len({call.body for call in calls}) == 1
    assert len({call.headers["webhook-id"] for call in calls}) == 1
    assert len({call.headers["webhook-signature"] for call in calls}) == 3
    webhook = Webhook(clocked.client.credentials["webhook_secret"])
    for call in calls:
        at = datetime.datetime.fromtimestamp(int(call.headers["webhook-timestamp"]), datetime.UTC)
        signature = webhook.sign(call.headers["webhook-id"], at, call.body.decode())
        assert call.headers["webhook-signature"].split(" ")[0] == signature


def test_after_seven_refusals_a_callback_is_kept_as_failed(clocked: Clocked) -> None:
    refusals = (503, 500, 429, 404, 403, 204, 400)
    submission_id = clocked.first_call("0000", *refusals, *[503] * 10)
    for attempt, refusal in enumerate(refusals, 1):
        clocked.settled(submission_id, attempt, str(refusal))
        if attempt < 7:
            clocked.next_call(SCHEDULE[attempt])
    clocked.wait(72 * 60 * MINUTES)
    assert len(clocked.receiver.calls) == 7
    assert offsets(clocked.receiver.calls) == about([sum(SCHEDULE[: n + 1]) for n in range(7)])
    assert "failed" in clocked.server.cli_here("message", "timeline", submission_id).out


def test_a_corrected_url_saves_what_is_pending(clocked: Clocked) -> None:
    submission_id = clocked.first_call("0000", *[500] * 10)
    (first,) = clocked.receiver.calls
    clocked.settled(submission_id, 1, "500")
    with Receiver() as right:
        clocked.report_to(f"{right.url}/new")
        clocked.wait(SCHEDULE[1] + 1)
        second = right.wait_for(submission_id)
        assert (second.body, second.headers["webhook-id"]) == (first.body, first.headers["webhook-id"])
        assert len(clocked.receiver.calls) == 1


def test_a_token_is_good_for_an_hour_and_then_401(clocked: Clocked) -> None:
    client = clocked.client
    assert client.get("/api/balance").status == 200
    clocked.wait(3590)
    assert client.get("/api/balance").status == 200
    clocked.wait(20)
    for response in (client.get("/api/balance"), client.send()):
        assert (response.status, response.body) == (401, b"")
    assert client.authenticate().status == 200

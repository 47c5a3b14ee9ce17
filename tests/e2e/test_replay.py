"""Callbacks that failed are called back once more, with a server running, under a clock of the test's own."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.test_callbacks_clock import CLOCKED, MINUTES, SCHEDULE, Clocked, about, offsets
from tests.harness.client import Client
from tests.harness.receiver import Call, Receiver
from tests.harness.server import Server, free_port

pytestmark = pytest.mark.slow
REFUSALS = (503, 500, 429, 404, 403, 204, 400)
STEP_SECONDS = 10  # well within what `next_call` allows for


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocked]:
    port = free_port()
    with (
        Receiver() as receiver,
        Server(
            tmp_path_factory.mktemp("replayed") / "data",
            settings={"callbacks.timeout_seconds": "0.3"},
            launcher=[str(CLOCKED)],
            variables={"CLOCK_PORT": str(port)},
        ) as server,
        socket.create_connection(("127.0.0.1", port), timeout=60) as control,
    ):
        yield Clocked(server, control, receiver)


@pytest.fixture
def clocked(shared: Clocked) -> Clocked:
    """The same demo for each test, reporting to its receiver, with a new token: the old one has had its time."""
    shared.client = Client(shared.server, shared.server.credentials)
    shared.report_to(f"{shared.receiver.url}/dlr")
    return shared


def fail(clocked: Clocked, submission_id: str) -> None:
    """Lives through the seven attempts, the first of which is made."""
    for attempt, refusal in enumerate(REFUSALS, 1):
        clocked.settled(submission_id, attempt, str(refusal))
        if attempt < len(REFUSALS):
            clocked.next_call(SCHEDULE[attempt])


def failed(clocked: Clocked, submission_id: str) -> str:
    """The `webhook-id` of the message's callback, as `heliograph callback list` has it."""
    found = clocked.server.cli_here("callback", "list", "--state", "failed", "--account", "demo").data
    (only,) = [one["id"] for one in found if one["message_id"] == submission_id]
    return str(only)


def shown(clocked: Clocked, webhook_id: str) -> Any:
    return clocked.server.cli_here("callback", "show", webhook_id).data


def begin_again(clocked: Clocked, receiver: Receiver) -> Call:
    """The first call of a replay. The server's clock is ahead of the command's, so that for the server the replay has
    long been due; it looks back that far every five minutes.
    """
    made, deadline = len(receiver.calls), time.monotonic() + 20
    while len(receiver.calls) == made:
        assert time.monotonic() < deadline, "no call after the replay"
        clocked.wait(STEP_SECONDS)
    return receiver.calls[made]


def in_state(clocked: Clocked, webhook_id: str, state: str) -> Any:
    deadline = time.monotonic() + 20
    while (found := shown(clocked, webhook_id))["state"] != state:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def test_after_the_url_is_corrected_a_failed_callback_is_replayed_and_acknowledged(clocked: Clocked) -> None:
    submission_id = clocked.first_call("0000", *REFUSALS)
    fail(clocked, submission_id)
    webhook_id = failed(clocked, submission_id)
    refused = clocked.receiver.calls[-1]
    assert refused.headers["webhook-id"] == webhook_id
    with Receiver() as right:
        clocked.report_to(f"{right.url}/new")
        assert clocked.server.cli_here("callback", "replay", webhook_id).data == {"replayed": 1}
        call = begin_again(clocked, right)
        assert (call.target, call.body) == ("/new", refused.body)
        assert call.headers["webhook-id"] == webhook_id
        found = in_state(clocked, webhook_id, "acknowledged")
        assert (found["attempt"], found["url"], found["last_result"]) == (1, f"{right.url}/new", "200")
    assert len(clocked.receiver.calls) == 7
    story = clocked.server.cli_here("message", "timeline", submission_id).data
    assert [one["detail"] for one in story if one["event"] == "called back"][-1] == "attempt 1 of 7: 200, acknowledged"


def test_a_replay_has_seven_attempts_on_the_same_schedule_and_then_failed_again(clocked: Clocked) -> None:
    submission_id = clocked.first_call("0000", *REFUSALS, *REFUSALS)
    fail(clocked, submission_id)
    webhook_id = failed(clocked, submission_id)
    assert clocked.server.cli_here("callback", "replay", "--failed", "--kind", "dlr").data == {"replayed": 1}
    begin_again(clocked, clocked.receiver)
    for attempt in range(1, 7):
        last_result(clocked, webhook_id, attempt)
        clocked.next_call(SCHEDULE[attempt])
    found = in_state(clocked, webhook_id, "failed")
    assert (found["attempt"], found["last_result"]) == (7, "400")
    assert len([one for one in found["attempts"] if one["event"] == "called back"]) == 14
    clocked.wait(72 * 60 * MINUTES)
    replays = clocked.receiver.calls[7:]
    assert offsets(replays) == about([sum(SCHEDULE[: n + 1]) for n in range(7)])
    assert {call.headers["webhook-id"] for call in clocked.receiver.calls} == {webhook_id}
    assert len({call.body for call in clocked.receiver.calls}) == 1


def last_result(clocked: Clocked, webhook_id: str, attempt: int) -> None:
    """Waits until the end of an attempt of the replay is stored."""
    deadline = time.monotonic() + 20
    ended = f"attempt {attempt} of 7"
    while sum(one["detail"].startswith(ended) for one in shown(clocked, webhook_id)["attempts"]) < 2:
        assert time.monotonic() < deadline, shown(clocked, webhook_id)
        time.sleep(0.1)


def test_a_server_on_its_own_clock_calls_again_at_once(data: Path) -> None:
    """Its clock and the command's are the same, as they are outside of tests."""
    with Receiver() as receiver, Server(data) as server:
        server.cli_here("account", "callbacks", "demo", "--dlr-url", receiver.url)
        time.sleep(1.5)  # the promise is two seconds; nothing the customer sees tells that it is done
        first = receiver.wait_for(Client(server, server.credentials).submit())
        webhook_id = first.headers["webhook-id"]
        deadline = time.monotonic() + 10
        while server.cli_here("callback", "show", webhook_id).data["state"] != "acknowledged":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        server.cli_here("callback", "replay", webhook_id)
        again = receiver.wait(lambda calls: len(calls) > 1 and calls[1])
        assert (again.headers["webhook-id"], again.body) == (webhook_id, first.body)

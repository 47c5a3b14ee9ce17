"""The life of a message, as its sender sees it: how long it may wait, what is given up when, and what comes back."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from tests.conftest import Accounts
from tests.e2e.test_callbacks_clock import CLOCKED, Clocked
from tests.harness.client import Client, phone
from tests.harness.receiver import Receiver
from tests.harness.server import Server, free_port

HOUR = 3600
LATE_HOURS = 80  # after UNKNOWN, which is at 72 h
QUEUE = 10_000  # messages that a carrier's queue holds; the rest waits in the store
STUCK = {
    "limits.segments": "3",
    "messages.stop_seconds": "0",
    "carriers.simulator.window": "3",
    "carriers.simulator.answer_ms": str(HOUR * 1000),
}
FULL = "x" * 400  # fills the carrier's window


@contextlib.contextmanager
def demo(data: Path, settings: Mapping[str, str]) -> Iterator[Clocked]:
    port = free_port()
    variables = {"CLOCK_PORT": str(port), "LATE_HOURS": str(LATE_HOURS)}
    with (
        Receiver() as receiver,
        Server(
            data,
            settings=settings,
            launcher=[str(CLOCKED)],
            variables=variables,
        ) as server,
        socket.create_connection(("127.0.0.1", port), timeout=60) as control,
    ):
        made = Clocked(server, control, receiver)
        made.report_to(f"{receiver.url}/dlr")
        yield made


@pytest.fixture(scope="module")
def shared_quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocked]:
    with demo(tmp_path_factory.mktemp("quick") / "data", {}) as made:
        yield made


@pytest.fixture(scope="module")
def shared_stuck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocked]:
    with demo(tmp_path_factory.mktemp("stuck") / "data", STUCK) as made:
        yield made


@pytest.fixture
def quick(shared_quick: Clocked) -> Clocked:
    """A demo whose carrier answers, with a new token."""
    return renewed(shared_quick)


@pytest.fixture
def stuck(shared_stuck: Clocked) -> Clocked:
    """A demo whose carrier takes three parts at once and answers them after an hour."""
    return renewed(shared_stuck)


def renewed(clocked: Clocked) -> Clocked:
    """The same with a new token: the old one has had its time."""
    clocked.receiver.script()
    clocked.client = Client(clocked.server, clocked.server.credentials)
    return clocked


def until(clocked: Clocked, done: Callable[[], object], step: float = 1.0) -> None:
    """Lets a few seconds of the server pass until something is so."""
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        clocked.wait(step)


def status(clocked: Clocked, submission_id: str) -> str:
    return str(clocked.client.info(submission_id)["info"]["status"]["status"])


def reported(clocked: Clocked, submission_id: str) -> list[int]:
    return [call.json()["status"] for call in clocked.receiver.about(submission_id)]


def balance(client: Client) -> Decimal:
    return Decimal(client.balance())


def live_for(clocked: Clocked, validity: str) -> None:
    clocked.server.cli_here("account", "validity", clocked.client.account, validity)
    time.sleep(1.5)  # the promise is two seconds; nothing the customer sees tells that it is done


def carried(clocked: Clocked) -> set[str]:
    """The ids of all messages that reached the carrier."""
    return {line.split()[0] for line in (clocked.server.data / "simulator.log").read_text().splitlines()}


def test_message_unsent_after_its_validity_is_expired_reported_and_refunded(stuck: Clocked) -> None:
    before = balance(stuck.client)
    patient = [stuck.client.submit(phone(n=n), FULL) for n in (1, 2)]  # one is on the wire, the other may wait
    live_for(stuck, "5m")
    short = [stuck.client.submit(phone(n=n), text) for n, text in ((3, "hello"), (4, FULL), (5, "hello"))]
    assert balance(stuck.client) == before - 6 - 5
    stuck.wait(290)
    assert [status(stuck, id_) for id_ in short] == ["PENDING"] * 3
    until(stuck, lambda: all(status(stuck, id_) == "EXPIRED" for id_ in short))
    for id_ in short:
        info = stuck.client.info(id_)
        assert (info["info"]["status"]["code"], info["info"]["cost"]) == ("5", 0)
        lived = info["timestamps"]["done"] - info["timestamps"]["registered"]
        assert 300 <= lived <= 320
        assert info["timestamps"]["sent"] == 0
        until(stuck, lambda id_=id_: reported(stuck, id_))  # type: ignore[misc]
    assert balance(stuck.client) == before - 6
    stuck.wait(2 * HOUR)
    renewed(stuck)
    for id_ in patient:
        until(stuck, lambda id_=id_: status(stuck, id_) == "DELIVERED", 600)  # type: ignore[misc]
    assert [reported(stuck, id_) for id_ in short] == [[5]] * 3
    assert carried(stuck) & {*patient, *short} == set(patient)
    assert balance(stuck.client) == before - 6
    live_for(stuck, "48h")


def test_message_lives_for_two_days_unless_the_account_says_otherwise(stuck: Clocked) -> None:
    for n in range(40):
        stuck.client.submit(phone(n=n), FULL)
    in_time, too_late = stuck.client.submit(phone(n=50)), [stuck.client.submit(phone(n=n), FULL) for n in range(40)][-1]
    for _ in range(45):
        stuck.wait(HOUR)
    renewed(stuck)
    until(stuck, lambda: status(stuck, in_time) == "DELIVERED")
    assert status(stuck, too_late) == "PENDING"
    stuck.wait(3 * HOUR)
    renewed(stuck)
    until(stuck, lambda: status(stuck, too_late) == "EXPIRED", 60)


def test_messages_behind_a_full_queue_expire_whether_it_moves_or_not(stuck: Clocked) -> None:
    client = Accounts(stuck.server).new("--numbers", "syntax", balance="20000.00")
    before = balance(client)

    def send_a_thousand() -> str:
        answer = client.send([phone(n=n) for n in range(1000)])
        assert answer.status == 200
        return str(answer.json()["submissions"][-1]["submissionId"])

    patient = [send_a_thousand() for _ in range(QUEUE // 1000 + 1)][-1]
    stuck.server.cli_here("account", "validity", client.account, "5m")
    time.sleep(1.5)
    short = send_a_thousand()
    assert before - balance(client) == QUEUE + 2000
    stuck.wait(300)
    until(stuck, lambda: before - balance(client) == QUEUE + 1000)
    assert client.info(short)["info"]["status"]["status"] == "EXPIRED"
    assert client.info(patient)["info"]["status"]["status"] == "PENDING"
    stuck.wait(48 * HOUR)
    client = Client(stuck.server, client.credentials)
    until(stuck, lambda: before - balance(client) <= 60)  # those that the carrier had
    assert client.info(patient)["info"]["status"]["status"] == "EXPIRED"
    assert client.info(patient)["info"]["cost"] == 0
    assert stuck.server.cli_here("audit").data["differences"] == []


def test_sent_message_without_a_receipt_is_unknown_and_a_late_receipt_replaces_that(quick: Clocked) -> None:
    quick.receiver.script(*[503] * 30)
    before = balance(quick.client)
    id_ = quick.client.submit(phone("0006"))
    until(quick, lambda: status(quick, id_) == "SENT")
    quick.wait(72 * HOUR - 30)
    quick.client = Client(quick.server, quick.server.credentials)
    assert (status(quick, id_), reported(quick, id_)) == ("SENT", [])
    quick.wait(35)
    until(quick, lambda: reported(quick, id_) == [0])
    info = quick.client.info(id_)
    assert (info["info"]["status"]["status"], info["info"]["cost"]) == ("UNKNOWN", 1)
    assert balance(quick.client) == before - 1
    quick.wait(10 * 60)
    until(quick, lambda: reported(quick, id_) == [0, 0], 30)
    for _ in range(2):
        quick.wait(4 * HOUR)
    quick.client = Client(quick.server, quick.server.credentials)
    until(quick, lambda: 1 in reported(quick, id_))
    info = quick.client.info(id_)
    assert (info["info"]["status"]["status"], info["info"]["cost"]) == ("DELIVERED", 1)
    quick.wait(8 * HOUR)
    quick.client = Client(quick.server, quick.server.credentials)
    told = quick.receiver.about(id_)
    codes = [call.json()["status"] for call in told]
    assert codes == sorted(codes), "UNKNOWN was told after it had been replaced"
    assert len({(call.json()["status"], call.headers["webhook-id"]) for call in told}) == 2
    assert len({call.headers["webhook-id"] for call in told}) == 2
    assert balance(quick.client) == before - 1


def test_account_that_asks_for_it_is_told_of_sent_besides_the_end(quick: Clocked) -> None:
    account = quick.client.account
    quick.server.cli_here("account", "callbacks", account, "--intermediate")
    time.sleep(1.5)
    id_ = quick.client.submit(phone(), FULL)
    until(quick, lambda: len(reported(quick, id_)) == 2, step=0.25)
    done, sent = sorted(quick.receiver.about(id_), key=lambda call: int(call.json()["status"]))
    assert [call.json()["status"] for call in (sent, done)] == [4, 1]
    assert sent.headers["webhook-id"] != done.headers["webhook-id"]
    times = quick.client.info(id_)["timestamps"]
    for call, at in ((sent, times["sent"]), (done, times["done"])):
        told = dt.datetime.strptime(call.json()["date"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=dt.UTC)
        assert abs(told.timestamp() - at) <= 1
    quick.server.cli_here("account", "callbacks", account, "--no-intermediate")
    time.sleep(1.5)
    id_ = quick.client.submit(phone())
    until(quick, lambda: 1 in reported(quick, id_))
    assert reported(quick, id_) == [1]


def test_message_to_who_opted_out_is_accepted_and_at_once_rejected_and_refunded(quick: Clocked) -> None:
    refusing, other = phone(n=7), phone(n=8)
    quick.server.cli_here("account", "optout", quick.client.account, "--add", refusing)
    before = balance(quick.client)
    answer = quick.client.send([refusing, other], FULL)
    assert [one["status"] for one in answer.json()["submissions"]] == ["submitted"] * 2
    rejected, delivered = (one["submissionId"] for one in answer.json()["submissions"])
    info = quick.client.info(rejected)
    assert (info["info"]["status"]["status"], info["info"]["cost"]) == ("REJECTED", 0)
    until(quick, lambda: reported(quick, rejected) == [2] and reported(quick, delivered) == [1])
    assert carried(quick) & {rejected, delivered} == {delivered}
    assert balance(quick.client) == before - 3
    quick.server.cli_here("account", "optout", quick.client.account, "--remove", refusing)
    again = quick.client.submit(refusing)
    until(quick, lambda: reported(quick, again) == [1])

"""What the customer's own server is told: of messages sent here, of messages sent there, and of inbound ones."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook
from tests.conformance.dialects.sms747.clocked747 import Clocked747, clocked_demo
from tests.e2e.test_callbacks_clock import SCHEDULE
from tests.harness.client import phone
from tests.harness.client747 import Accounts747, Client747, check_message
from tests.harness.receiver import Call, Receiver


def about(call: Call) -> str:
    body = call.json()
    return str(body.get("data", body).get("id"))


def wait_for(receiver: Receiver, id_: str, within: float = 15.0) -> Call:
    call: Call = receiver.wait(lambda calls: next((one for one in calls if about(one) == id_), None), within)
    return call


def told(receiver: Receiver, id_: str) -> list[Call]:
    return [call for call in list(receiver.calls) if about(call) == id_]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as listening:
        yield listening


@pytest.fixture(scope="module")
def reporting(accounts747: Accounts747, receiver: Receiver) -> Client747:
    """An account with a DLR URL of its own, that the server knows of."""
    client = accounts747.new("--numbers", "syntax")
    client.told("callbacks", "--dlr-url", f"{receiver.url}/dlr")
    sent, deadline = [client.sent()["id"]], time.monotonic() + 7
    while not any(told(receiver, id_) for id_ in sent):
        assert time.monotonic() < deadline, "no report"
        time.sleep(0.2)
        sent.append(client.sent()["id"])
    return client


@pytest.mark.parametrize(
    ("fate", "status"), [("0000", "delivered"), ("0001", "undelivered"), ("0002", "rejected"), ("0003", "expired")]
)
def test_a_final_status_is_told_to_the_messages_own_url_with_the_whole_message(
    other747: Client747, client747: Client747, receiver: Receiver, fate: str, status: str
) -> None:
    """Of an account without a DLR URL."""
    url = f"{receiver.url}/hooks/{secrets.token_hex(4)}?key=a%20b"
    made = client747.sent(phone(fate), callback_url=url, reference="order-17")
    call = wait_for(receiver, made["id"])
    assert (call.method, call.target) == ("POST", url.removeprefix(receiver.url))
    assert call.headers["content-type"] == "application/json"
    body = call.json()
    assert list(body) == ["type", "data"]
    assert body["type"] == "message.status"
    check_message(body["data"])
    assert body["data"]["status"] == status
    assert body["data"]["reference"] == "order-17"
    assert body["data"] == client747.show(made["id"])
    assert other747.page(recipient=phone("0001"))["data"] == []


def test_it_is_signed_with_the_accounts_secret(client747: Client747, receiver: Receiver) -> None:
    call = wait_for(receiver, client747.sent(callback_url=f"{receiver.url}/signed")["id"])
    assert Webhook(client747.credentials["webhook_secret"]).verify(call.body, call.headers)
    assert call.headers["webhook-id"]
    assert abs(int(call.headers["webhook-timestamp"]) - call.at) < 60
    assert re.fullmatch(r"v1,[A-Za-z0-9+/]{43}=", call.headers["webhook-signature"])


def test_without_a_url_of_its_own_it_is_told_to_the_accounts(reporting: Client747, receiver: Receiver) -> None:
    made = reporting.sent()
    call = wait_for(receiver, made["id"])
    assert call.target == "/dlr"
    assert call.json() == {"type": "message.status", "data": reporting.show(made["id"])}


def test_its_own_url_goes_before_the_accounts(reporting: Client747, receiver: Receiver) -> None:
    made = reporting.sent(callback_url=f"{receiver.url}/own")
    assert wait_for(receiver, made["id"]).target == "/own"
    wait_for(receiver, reporting.sent()["id"])
    assert [call.target for call in told(receiver, made["id"])] == ["/own"]


def test_the_account_is_told_in_the_dialect_of_the_call_that_sent(reporting: Client747, receiver: Receiver) -> None:
    there = reporting.realtime.submit(phone())
    here = reporting.sent(phone())["id"]
    call = wait_for(receiver, there)
    assert list(call.json()) == ["id", "phone", "status", "date"]
    assert (call.target, call.json()["status"]) == ("/dlr", 1)
    assert wait_for(receiver, here).json()["type"] == "message.status"


def test_every_message_of_a_batch_is_told_to_its_own_url(client747: Client747, receiver: Receiver) -> None:
    messages = [{"to": phone(n=n), "message": "x", "callback_url": f"{receiver.url}/batch/{n}"} for n in range(5)]
    for n, made in enumerate(client747.batch(messages).json()["data"]):
        assert wait_for(receiver, made["id"]).target == f"/batch/{n}"


def test_without_any_url_nobody_is_called(client747: Client747, receiver: Receiver) -> None:
    silent = client747.sent()["id"]
    client747.wait_status(silent)
    wait_for(receiver, client747.sent(callback_url=f"{receiver.url}/loud")["id"])
    assert told(receiver, silent) == []


def test_one_message_is_told_once(client747: Client747, receiver: Receiver) -> None:
    url = f"{receiver.url}/once"
    first = client747.sent(phone("0007"), callback_url=url)["id"]  # whose receipt comes twice
    wait_for(receiver, first)
    for _ in range(3):
        wait_for(receiver, client747.sent(phone("0007"), callback_url=url)["id"])
    assert len(told(receiver, first)) == 1


def test_inbound_messages_keep_the_shape_of_the_other_api(reporting: Client747, receiver: Receiver) -> None:
    number = f"8{secrets.randbelow(10**7):07}"
    reporting.told("inbound", "--add", number)
    reporting.told("callbacks", "--mo-url", f"{receiver.url}/mo")

    def heard() -> Call | None:
        return next((call for call in list(receiver.calls) if call.target == "/mo"), None)

    deadline = time.monotonic() + 10
    while heard() is None:
        assert time.monotonic() < deadline, "no callback"
        words = ("--from", "+447945223343", "--to", number, "--text", "Test 1")
        reporting.server.cli_here("simulator", "inbound", *words, json=False)
        time.sleep(0.3)
    call = heard()
    assert call is not None
    expected = {"phone": "447945223343", "originator": number, "message": "Test 1"}
    assert call.body.decode() == json.dumps(expected, separators=(",", ":"))


# -- the seven attempts


@pytest.fixture(scope="module")
def clocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocked747]:
    with clocked_demo(tmp_path_factory.mktemp("attempts") / "data", {"callbacks.timeout_seconds": "0.5"}) as made:
        yield made


def test_a_url_that_never_answers_200_is_tried_seven_times_with_the_same_body(clocked: Clocked747) -> None:
    receiver = clocked.receiver
    receiver.script(201, 204, 302, 500, 503, 404, 410, 418)
    id_ = clocked.client.sent(callback_url=f"{receiver.url}/own")["id"]
    clocked.until(lambda: told(receiver, id_), 0.5)
    for attempt, delay in enumerate(SCHEDULE[1:], 1):
        settled(clocked, id_, attempt)
        clocked.wait(delay - 30)
        assert len(told(receiver, id_)) == attempt, "an attempt before its time"
        clocked.wait(31)
        receiver.wait(lambda _, attempt=attempt: len(told(receiver, id_)) > attempt)
    settled(clocked, id_, 7)
    clocked.wait(5 * 24 * 3600)
    calls = told(receiver, id_)
    assert len(calls) == 7
    assert len({call.body for call in calls}) == 1
    assert len({call.headers["webhook-id"] for call in calls}) == 1
    assert {call.target for call in calls} == {"/own"}


def settled(clocked: Clocked747, id_: str, attempt: int) -> None:
    """Waits, in real time, until the end of an attempt is stored."""
    shown, deadline = "", time.monotonic() + 20
    while not re.search(rf"attempt {attempt} of 7: [1-9]\d\d\b", shown):
        assert time.monotonic() < deadline, shown
        shown = clocked.server.cli("message", "timeline", id_, json=False).out

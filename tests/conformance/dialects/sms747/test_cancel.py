"""`DELETE /api/v1/message/custom/{id}`: while it waits, and not later."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
from tests.conftest import DOORS, Accounts
from tests.harness.client import phone
from tests.harness.client747 import CUSTOM, Accounts747, Client747, check_error, check_message
from tests.harness.receiver import Receiver
from tests.harness.server import Server

SLOW = {
    "limits.segments": "3",
    "messages.stop_seconds": "0",
    "carriers.simulator.window": "3",
    "carriers.simulator.answer_ms": "3600000",
}


def later(hours: float = 1.0) -> str:
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module", params=list(DOORS))
def slow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client747]:
    """An account whose carrier has all that it takes at once, and answers it after an hour."""
    data = tmp_path_factory.mktemp(f"slow-{request.param}") / "data"
    with Server(data, settings={"http.lean_door": DOORS[request.param], **SLOW}) as started:
        client = Accounts747(Accounts(started)).new("--numbers", "syntax")
        for _ in range(2):
            client.sent(message="x" * 400)
        yield client


def test_a_scheduled_message_is_cancelled_and_refunded(customer: Client747) -> None:
    before = customer.balance()
    made = customer.sent(message="x" * 200, send_at=later())
    assert Decimal(customer.balance()) == Decimal(before) - 2
    response = customer.delete(f"{CUSTOM}/{made['id']}")
    assert response.status == 200
    assert list(response.json()) == ["data"]
    found = response.json()["data"]
    check_message(found)
    assert (found["status"], found["cost"], found["sent_at"]) == ("cancelled", "0.0000", None)
    assert (found["id"], found["scheduled_at"]) == (made["id"], made["scheduled_at"])
    assert customer.show(made["id"]) == found
    assert customer.balance() == before


def test_a_queued_message_is_cancelled_and_refunded_and_never_sent(slow: Client747) -> None:
    before = slow.balance()
    made = slow.sent(phone(n=5))
    assert made["status"] == "queued"
    found = slow.delete(f"{CUSTOM}/{made['id']}").json()["data"]
    assert (found["status"], found["cost"]) == ("cancelled", "0.0000")
    assert slow.balance() == before
    assert slow.show(made["id"])["status"] == "cancelled"
    assert made["id"] not in (slow.server.data / "simulator.log").read_text()


def test_a_message_behind_a_cancelled_one_goes_on(slow: Client747) -> None:
    first, second, third = (slow.sent(phone(n=n))["id"] for n in range(3))
    assert slow.delete(f"{CUSTOM}/{second}").status == 200
    assert [slow.show(one)["status"] for one in (first, second, third)] == ["queued", "cancelled", "queued"]


def test_what_is_on_its_way_can_no_longer_be_cancelled(slow: Client747) -> None:
    oldest = [one["id"] for one in slow.pages(limit=100)][-1]
    before = slow.balance()
    check_error(slow.delete(f"{CUSTOM}/{oldest}"), 422, "invalid_request")
    assert slow.balance() == before
    assert slow.show(oldest)["status"] != "cancelled"


@pytest.mark.parametrize("fate", ["0000", "0001", "0002", "0005"])
def test_what_was_sent_can_no_longer_be_cancelled(customer: Client747, fate: str) -> None:
    id_ = customer.sent(phone(fate))["id"]
    customer.wait_status(id_, *(("sent",) if fate == "0005" else ()))
    before, found = customer.balance(), customer.show(id_)
    check_error(customer.delete(f"{CUSTOM}/{id_}"), 422, "invalid_request")
    assert (customer.balance(), customer.show(id_)) == (before, found)


def test_cancelling_twice_refunds_once(customer: Client747) -> None:
    id_ = customer.sent(send_at=later())["id"]
    before = Decimal(customer.balance())
    assert customer.delete(f"{CUSTOM}/{id_}").status == 200
    check_error(customer.delete(f"{CUSTOM}/{id_}"), 422, "invalid_request")
    assert Decimal(customer.balance()) == before + 1


def test_of_twenty_who_cancel_at_once_one_succeeds(customer: Client747) -> None:
    before = customer.balance()
    id_ = customer.sent(send_at=later())["id"]
    statuses: list[int] = []
    work = [
        threading.Thread(target=lambda: statuses.append(customer.delete(f"{CUSTOM}/{id_}").status)) for _ in range(20)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert sorted(statuses) == [200] + [422] * 19
    assert customer.balance() == before


def test_a_message_is_cancelled_or_sent_and_never_both(accounts747: Accounts747) -> None:
    """However the cancelling and the sending meet, the money agrees with what is told of the message."""
    client = accounts747.new(balance="200.00")
    answers = {}
    for n in range(100):
        id_ = client.sent(phone(n=n))["id"]
        answers[id_] = client.delete(f"{CUSTOM}/{id_}").status
    assert set(answers.values()) <= {200, 422}
    for id_, status in answers.items():
        assert client.wait_status(id_)["status"] == ("cancelled" if status == 200 else "delivered")
    cancelled = list(answers.values()).count(200)
    assert Decimal(client.balance()) == 100 + cancelled
    log = (client.server.data / "simulator.log").read_text()
    assert not [id_ for id_, status in answers.items() if status == 200 and id_ in log]


def test_cancelling_is_told_to_the_callback(customer: Client747, receiver747: Receiver) -> None:
    made = customer.sent(send_at=later(), callback_url=f"{receiver747.url}/cancelled/{customer.account}")
    customer.delete(f"{CUSTOM}/{made['id']}")
    call = receiver747.wait(
        lambda calls: next((one for one in calls if one.target == f"/cancelled/{customer.account}"), None)
    )
    assert call.json() == {"type": "message.status", "data": customer.show(made["id"])}
    assert call.json()["data"]["status"] == "cancelled"


def test_a_cancelled_message_is_listed_and_is_not_sent_when_it_would_be_due(customer: Client747) -> None:
    id_ = customer.sent(send_at=later(1 / 1200))["id"]  # three seconds
    assert customer.delete(f"{CUSTOM}/{id_}").status == 200
    assert [one["id"] for one in customer.page(status="cancelled")["data"]] == [id_]
    time.sleep(4)
    assert customer.show(id_)["status"] == "cancelled"
    assert id_ not in (customer.server.data / "simulator.log").read_text()

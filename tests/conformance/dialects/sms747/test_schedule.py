"""Messages that are sent later: `send_at`, `scheduled_at`, `validity_seconds`, under a clock of the test's own."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal

import pytest
from tests.conformance.dialects.sms747.clocked747 import Clocked747, clocked_demo, rfc3339
from tests.conftest import DOORS
from tests.harness.client import phone
from tests.harness.client747 import Client747, check_error, check_message

HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
STUCK = {
    "limits.segments": "3",
    "messages.stop_seconds": "0",
    "carriers.simulator.window": "3",
    "carriers.simulator.answer_ms": "3600000",
}


@pytest.fixture(scope="module", params=list(DOORS))
def clocked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocked747]:
    data = tmp_path_factory.mktemp(f"schedule-{request.param}") / "data"
    with clocked_demo(data, {"http.lean_door": DOORS[request.param]}) as made:
        yield made


@pytest.fixture(scope="module")
def stuck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clocked747]:
    """A demo whose carrier takes three parts at once and answers them after an hour."""
    with clocked_demo(tmp_path_factory.mktemp("stuck747") / "data", STUCK) as made:
        yield made


def test_a_scheduled_message_is_charged_at_once_and_sent_when_due_and_not_before(clocked: Clocked747) -> None:
    before = Decimal(clocked.client.balance())
    at = clocked.now() + HOUR
    made = clocked.client.sent(send_at=rfc3339(at))
    check_message(made)
    assert (made["status"], made["scheduled_at"], made["sent_at"]) == ("scheduled", rfc3339(at), None)
    assert made["cost"] == "1.0000"
    assert Decimal(clocked.client.balance()) == before - 1
    clocked.wait(3600 - 30)
    assert clocked.status(made["id"]) == "scheduled"
    assert made["id"] not in clocked.carried()
    clocked.wait(32)
    clocked.until(lambda: clocked.status(made["id"]) == "delivered")
    found = clocked.client.show(made["id"])
    assert at <= datetime.datetime.fromisoformat(found["sent_at"]) <= at + datetime.timedelta(seconds=30)
    assert found["scheduled_at"] == rfc3339(at)
    assert found["created_at"] == made["created_at"]
    assert Decimal(clocked.client.balance()) == before - 1


def test_the_earlier_of_two_goes_first_and_what_has_no_time_goes_at_once(clocked: Clocked747) -> None:
    now = clocked.now()
    late = clocked.client.sent(send_at=rfc3339(now + 2 * HOUR))["id"]
    early = clocked.client.sent(send_at=rfc3339(now + HOUR))["id"]
    at_once = clocked.client.sent()["id"]
    clocked.until(lambda: clocked.status(at_once) == "delivered")
    assert [clocked.status(late), clocked.status(early)] == ["scheduled", "scheduled"]
    clocked.wait(3600)
    clocked.until(lambda: clocked.status(early) == "delivered")
    assert clocked.status(late) == "scheduled"
    clocked.wait(3600)
    clocked.until(lambda: clocked.status(late) == "delivered")


@pytest.mark.parametrize("hours", [0, 2, -5])
def test_the_time_may_be_of_any_zone(clocked: Clocked747, hours: int) -> None:
    at = clocked.now() + HOUR
    local = at.astimezone(datetime.timezone(datetime.timedelta(hours=hours)))
    for written in (local.isoformat(), local.isoformat().replace("T", "t"), f"{local.isoformat()[:19]}.250"):
        text = written if "." not in written else written + local.isoformat()[19:]
        response = clocked.client.send(send_at=text)
        assert response.status == 201, (text, response.body)
        assert response.json()["data"]["scheduled_at"] in (rfc3339(at), rfc3339(at + datetime.timedelta(seconds=1)))


@pytest.mark.parametrize("days", [29, 31, 365, 3000])
def test_thirty_days_ahead_is_the_most(clocked: Clocked747, days: int) -> None:
    response = clocked.client.send(send_at=rfc3339(clocked.now() + days * DAY))
    if days > 30:
        assert check_error(response, 422, "invalid_request")["parameter"] == "send_at"
    else:
        assert response.json()["data"]["status"] == "scheduled"


@pytest.mark.parametrize(
    "written",
    [
        *("tomorrow", "", "2026-01-02", "2026-01-02T03:04:05", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z"),
        *(5, 1767323045, True, ["2026-01-02T03:04:05Z"], {}, "2026-01-02T25:00:00Z", "2026-01-02T03:04:05+99:00"),
    ],
)
def test_what_is_no_time_is_400(client747: Client747, written: object) -> None:
    assert check_error(client747.send(send_at=written), 400, "invalid_request")["parameter"] == "send_at"


def test_a_time_that_has_passed_is_told_apart_from_one_to_come(clocked: Clocked747) -> None:
    """The contract leaves open whether it is sent at once or impossible; it is not kept waiting."""
    response = clocked.client.send(send_at=rfc3339(clocked.now() - HOUR))
    if response.status != 201:
        assert check_error(response, 422, "invalid_request")["parameter"] == "send_at"
        return
    sent = response.json()["data"]["id"]
    clocked.until(lambda: clocked.status(sent) == "delivered")


@pytest.mark.parametrize("seconds", [0, -1, 10**12, 604_801])
def test_an_impossible_validity_is_422(client747: Client747, seconds: int) -> None:
    assert check_error(client747.send(validity_seconds=seconds), 422, "invalid_request")["parameter"] == (
        "validity_seconds"
    )


@pytest.mark.parametrize("seconds", ["3600", 3600.5, True, [3600], {}])
def test_a_validity_that_is_no_whole_number_is_400(client747: Client747, seconds: object) -> None:
    assert check_error(client747.send(validity_seconds=seconds), 400, "invalid_request")["parameter"] == (
        "validity_seconds"
    )


def test_six_point_nought_is_six(client747: Client747) -> None:
    raw = b'{"recipient":"+56910000000","message":"x","validity_seconds":3600.0}'
    assert client747.post(raw).status == 201


def test_an_unsent_message_expires_at_the_end_of_its_own_validity_and_is_refunded(stuck: Clocked747) -> None:
    for n in range(2):
        stuck.client.sent(phone(n=n), "x" * 400)  # fill the carrier's window
    before = Decimal(stuck.client.balance())
    short = stuck.client.sent(phone(n=3), validity_seconds=120)["id"]
    longer = stuck.client.sent(phone(n=4), validity_seconds=1800)["id"]
    assert Decimal(stuck.client.balance()) == before - 2
    stuck.wait(110)
    assert (stuck.status(short), stuck.status(longer)) == ("queued", "queued")
    stuck.until(lambda: stuck.status(short) == "expired", 5)
    found = stuck.client.show(short)
    check_message(found)
    assert (found["cost"], found["sent_at"], found["delivered_at"]) == ("0.0000", None, None)
    assert stuck.status(longer) == "queued"
    assert Decimal(stuck.client.balance()) == before - 1


def test_the_validity_of_a_scheduled_message_begins_when_it_is_due(clocked: Clocked747) -> None:
    made = clocked.client.sent(send_at=rfc3339(clocked.now() + 5 * HOUR), validity_seconds=600)
    clocked.wait(4 * 3600)
    assert clocked.status(made["id"]) == "scheduled"
    clocked.wait(3600)
    clocked.until(lambda: clocked.status(made["id"]) == "delivered")


def test_what_is_scheduled_survives_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    data = tmp_path_factory.mktemp("restart747") / "data"
    with clocked_demo(data, {}) as first:
        made = first.client.sent(send_at=rfc3339(first.now() + HOUR))
        first.server.kill()
    with clocked_demo(data, {}) as second:
        assert second.status(made["id"]) == "scheduled"
        second.wait(3000)
        assert second.status(made["id"]) == "scheduled"
        second.wait(700)
        second.until(lambda: second.status(made["id"]) == "delivered")
        assert second.client.balance() == "456.00"


def test_a_batch_may_hold_messages_for_later(clocked: Clocked747) -> None:
    at = rfc3339(clocked.now() + HOUR)
    response = clocked.client.batch(
        [{"recipient": phone(), "message": "now"}, {"recipient": phone(), "message": "then", "send_at": at}]
    )
    now, then = response.json()["data"]
    assert then["scheduled_at"] == at
    clocked.until(lambda: clocked.status(now["id"]) == "delivered")
    assert clocked.status(then["id"]) == "scheduled"


def test_scheduled_messages_are_listed_as_such(clocked: Clocked747) -> None:
    made = clocked.client.sent(send_at=rfc3339(clocked.now() + 3 * HOUR))
    page = clocked.client.page(status="scheduled", limit=1)
    assert [one["id"] for one in page["data"]] == [made["id"]]
    assert all(one["id"] != made["id"] for one in clocked.client.page(status="queued", limit=100)["data"])

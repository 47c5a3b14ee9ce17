"""`GET /api/v1/message/custom`: order, pages, filters."""

from __future__ import annotations

import datetime
import time

import pytest
from tests.harness.client import phone
from tests.harness.client747 import CUSTOM, Accounts747, Client747, check_error, check_message, order


@pytest.fixture(scope="module")
def listed(accounts747: Accounts747) -> tuple[Client747, list[str]]:
    """An account with 47 messages, and their ids, oldest first. Nobody may add to them."""
    client = accounts747.new()
    ids = [entry["id"] for entry in client.batch([order(phone(n=n)) for n in range(40)]).json()["data"]]
    ids += [client.sent(phone(fate))["id"] for fate in ("0001", "0002", "0003", "0000", "0000", "0000", "0000")]
    for id_ in ids:
        client.wait_status(id_)
    return client, ids


def ids_of(page: dict[str, list[dict[str, str]]]) -> list[str]:
    return [one["id"] for one in page["data"]]


def test_an_account_without_messages_has_an_empty_page(accounts747: Accounts747) -> None:
    page = accounts747.new().page()
    assert page == {"data": [], "pagination": {"limit": 20, "next_cursor": None, "has_more": False}}


def test_the_newest_come_first_twenty_at_a_time(listed: tuple[Client747, list[str]]) -> None:
    client, ids = listed
    page = client.page()
    assert list(page) == ["data", "pagination"]
    assert set(page["pagination"]) == {"limit", "next_cursor", "has_more"}
    assert ids_of(page) == ids[::-1][:20]
    assert page["pagination"]["limit"] == 20
    assert page["pagination"]["has_more"] is True
    assert isinstance(page["pagination"]["next_cursor"], str)
    for one in page["data"]:
        check_message(one)
        assert one == client.show(one["id"])


@pytest.mark.parametrize("limit", [1, 7, 20, 46, 47, 48, 100])
def test_the_pages_together_are_everything_once_and_in_order(listed: tuple[Client747, list[str]], limit: int) -> None:
    client, ids = listed
    assert [one["id"] for one in client.pages(limit=limit)] == ids[::-1]


def test_the_last_page_says_so(listed: tuple[Client747, list[str]]) -> None:
    client, _ = listed
    page = client.page(limit=47)
    assert page["pagination"] == {"limit": 47, "next_cursor": None, "has_more": False}


def test_messages_that_come_meanwhile_are_neither_repeated_nor_do_they_hide_others(accounts747: Accounts747) -> None:
    client = accounts747.new()
    ids = [client.sent(phone(n=n))["id"] for n in range(12)]
    seen: list[str] = []
    query: dict[str, object] = {"limit": 4}
    while True:
        page = client.page(**query)
        seen += ids_of(page)
        client.batch([order()] * 3)
        if not page["pagination"]["has_more"]:
            break
        query["cursor"] = page["pagination"]["next_cursor"]
    assert seen == ids[::-1]


def test_a_cursor_is_good_more_than_once(listed: tuple[Client747, list[str]]) -> None:
    client, ids = listed
    cursor = client.page(limit=5)["pagination"]["next_cursor"]
    for _ in range(2):
        assert ids_of(client.page(limit=5, cursor=cursor)) == ids[::-1][5:10]
    assert ids_of(client.page(limit=2, cursor=cursor)) == ids[::-1][5:7]


@pytest.mark.parametrize("cursor", ["x", "-1", "0", "9" * 40, "a b", "1.5", "é"])
def test_a_cursor_that_is_none_is_400(listed: tuple[Client747, list[str]], cursor: str) -> None:
    assert check_error(listed[0].get(CUSTOM, cursor=cursor), 400, "invalid_request")["parameter"] == "cursor"


def test_a_cursor_of_another_or_cut_off_is_400(listed: tuple[Client747, list[str]], accounts747: Accounts747) -> None:
    client, _ = listed
    other = accounts747.new()
    for n in range(2):
        other.sent(phone(n=n))
    theirs = other.page(limit=1)["pagination"]["next_cursor"]
    own = client.page(limit=1)["pagination"]["next_cursor"]
    for cursor in (theirs, own[:-1], own + "0", own[::-1]):
        assert check_error(client.get(CUSTOM, cursor=cursor), 400, "invalid_request")["parameter"] == "cursor"
    assert client.get(CUSTOM, cursor=own).status == 200


@pytest.mark.parametrize("status", ["delivered", "undelivered", "rejected", "expired"])
def test_by_status(listed: tuple[Client747, list[str]], status: str) -> None:
    client, ids = listed
    wanted = {"undelivered": ids[40:41], "rejected": ids[41:42], "expired": ids[42:43]}
    expected = wanted.get(status, [*ids[:40], *ids[43:]])
    assert [one["id"] for one in client.pages(status=status, limit=9)] == expected[::-1]


@pytest.mark.parametrize("status", ["queued", "scheduled", "sent", "unknown", "cancelled"])
def test_a_status_that_no_message_has_finds_none(listed: tuple[Client747, list[str]], status: str) -> None:
    assert listed[0].page(status=status)["data"] == []


def test_by_recipient(listed: tuple[Client747, list[str]]) -> None:
    client, ids = listed
    found = client.page(recipient=phone(n=7), limit=100)
    assert ids_of(found) == [ids[7]]
    assert ids_of(client.page(recipient=phone(n=0), limit=100)) == [*ids[43:][::-1], ids[0]]
    assert client.page(recipient="+56999999999")["data"] == []


def rfc3339(at: datetime.datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def test_by_time(accounts747: Accounts747) -> None:
    client = accounts747.new()
    first = client.sent()
    time.sleep(2.1)  # so that a whole second lies between the two
    second = client.sent()
    begun, then = (datetime.datetime.fromisoformat(one["created_at"]) for one in (first, second))
    between = rfc3339(begun + datetime.timedelta(seconds=1))
    assert begun + datetime.timedelta(seconds=1) <= then
    assert ids_of(client.page(created_after=between)) == [second["id"]]
    assert ids_of(client.page(created_before=between)) == [first["id"]]
    hour = datetime.timedelta(hours=1)
    everything = [second["id"], first["id"]]
    assert ids_of(client.page(created_after=rfc3339(begun - hour), created_before=rfc3339(then + hour))) == everything
    assert ids_of(client.page(created_after=rfc3339(then + hour))) == []
    assert ids_of(client.page(created_before=rfc3339(begun - hour))) == []
    zone = datetime.timezone(datetime.timedelta(hours=3))
    local = datetime.datetime.fromisoformat(between).astimezone(zone).isoformat()
    assert ids_of(client.page(created_after=local)) == [second["id"]]


def test_filters_add_up_and_hold_over_pages(listed: tuple[Client747, list[str]]) -> None:
    client, ids = listed
    query = {"status": "delivered", "recipient": phone(n=0), "created_after": "2020-01-01T00:00:00Z"}
    assert [one["id"] for one in client.pages(limit=2, **query)] == [*ids[43:][::-1], ids[0]]
    assert client.page(status="undelivered", recipient=phone(n=0))["data"] == []


BAD = [
    *(("limit", value) for value in ("0", "101", "-1", "x", "", "1.5", "٤", "1e1", "99999999999999999999")),
    *(("status", value) for value in ("done", "", "DELIVERED", "queued,sent", "PENDING")),
    *(("recipient", value) for value in ("56910000000", "x", "", "+1555123", "+56 910000000")),
    *((name, value) for name in ("created_after", "created_before") for value in ("x", "", "2026-01-02", "1700000000")),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_400_and_named(listed: tuple[Client747, list[str]], name: str, value: str) -> None:
    details = check_error(listed[0].get(CUSTOM, **{name: value}), 400, "invalid_request")
    assert details["parameter"] == name


def test_a_recipient_filter_that_is_no_number_is_400(listed: tuple[Client747, list[str]]) -> None:
    assert listed[0].get(CUSTOM, recipient="nobody").status == 400


@pytest.mark.parametrize("query", ["limit=1&limit=2", "status=sent&status=queued"])
def test_a_filter_that_comes_twice_is_400(listed: tuple[Client747, list[str]], query: str) -> None:
    check_error(listed[0].get(f"{CUSTOM}?{query}"), 400, "invalid_request")


def test_an_unknown_parameter_is_ignored(listed: tuple[Client747, list[str]]) -> None:
    assert len(listed[0].page(page=3, sort="asc")["data"]) == 20


def test_one_sees_ones_own_messages_alone(client747: Client747, other747: Client747) -> None:
    mine, theirs = client747.sent()["id"], other747.sent()["id"]
    assert mine in ids_of(client747.page(limit=100))
    assert mine not in ids_of(other747.page(limit=100))
    assert theirs not in ids_of(client747.page(limit=100))


def test_what_was_just_accepted_is_listed_at_once(customer: Client747) -> None:
    for n in range(20):
        made = customer.sent(phone(n=n))
        assert ids_of(customer.page(limit=1)) == [made["id"]]

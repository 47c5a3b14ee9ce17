"""One account through both APIs: one balance, the same messages under the same ids, one set of permissions."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from tests.harness.client import phone
from tests.harness.client747 import ACCOUNT, CUSTOM, Client747, check_error, check_message


def test_they_share_one_balance(customer: Client747) -> None:
    customer.sent(message="a" * 200)
    assert customer.realtime.balance() == customer.balance() == "48.00"
    customer.realtime.submit(text="a" * 200)
    assert customer.realtime.balance() == customer.balance() == "46.00"


def test_a_message_sent_here_is_seen_there(customer: Client747) -> None:
    made = customer.sent(phone("0001"))
    found = customer.wait_status(made["id"])
    info = customer.realtime.wait_final(made["id"])
    assert info["id"] == made["id"]
    assert info["info"]["status"] == {"code": "3", "status": "UNDELIVERED"}
    assert info["info"]["cost"] == 1
    assert found["status"] == "undelivered"


def test_a_message_sent_there_is_seen_here(customer: Client747) -> None:
    id_ = customer.realtime.submit(phone(n=3), "00e90041", charset=6)
    found = customer.wait_status(id_)
    check_message(found)
    assert (found["id"], found["recipient"], found["message"]) == (id_, phone(n=3), "éA")
    assert (found["encoding"], found["segments"], found["cost"]) == ("ucs2", 1, "1.0000")
    assert (found["reference"], found["scheduled_at"], found["status"]) == (None, None, "delivered")
    assert [one["id"] for one in customer.page()["data"]] == [id_]


def test_recipients_of_one_request_there_are_messages_of_their_own_here(customer: Client747) -> None:
    answer = customer.realtime.send([phone(n=n) for n in range(4)]).json()
    ids = [one["submissionId"] for one in answer["submissions"]]
    assert [one["id"] for one in customer.page()["data"]] == ids[::-1]
    assert [one["recipient"] for one in customer.page()["data"]] == [phone(n=n) for n in range(4)][::-1]
    assert all(one["cost"] == "1.0000" for one in customer.page()["data"])


@pytest.mark.parametrize("recipient", ["56910000000", "+56910000000"])
def test_a_recipient_written_without_plus_there_has_one_here(customer: Client747, recipient: str) -> None:
    id_ = customer.realtime.submit(recipient)
    assert customer.show(id_)["recipient"] == "+56910000000"
    assert [one["id"] for one in customer.page(recipient="+56910000000")["data"]] == [id_]


def test_what_is_cancelled_here_is_rejected_and_free_there(customer: Client747) -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    id_ = customer.sent(send_at=at)["id"]
    assert customer.realtime.info(id_)["info"]["status"] == {"code": "4", "status": "PENDING"}
    assert customer.delete(f"{CUSTOM}/{id_}").status == 200
    info = customer.realtime.info(id_)["info"]
    assert (info["status"], info["cost"]) == ({"code": "2", "status": "REJECTED"}, 0)
    assert customer.realtime.balance() == "50.00"


def test_tokens_are_not_interchangeable(customer: Client747) -> None:
    for which in (ACCOUNT, CUSTOM):
        response = customer.call("GET", which, [customer.realtime.bearer])
        check_error(response, 401, "authentication_failed")
    check_error(
        customer.call("POST", CUSTOM, [customer.realtime.bearer], b'{"to":"+56910000000","message":"x"}'),
        401,
        "authentication_failed",
    )
    for target in ("/api/balance", "/api/sms/1"):
        response = customer.call("GET", target, [customer.bearer])
        assert (response.status, response.body) == (401, b"")
    assert customer.call("POST", "/api/sms", [customer.bearer], b"{}").status == 401


def test_what_is_wrong_below_api_v1_is_told_in_this_dialect_and_elsewhere_in_the_other(customer: Client747) -> None:
    here, there = customer.get("/api/v1/nothing"), customer.get("/api/nothing")
    assert here.header("Content-Type") == "application/json"
    assert there.header("Content-Type") == "application/problem+json"
    assert list(here.json()) == ["error"]
    assert "type" in there.json()


def settle(client: Client747, *words: str, status: int) -> None:
    client.told(*words)
    deadline = time.monotonic() + 5
    while client.send().status != status:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("forbid", "allow"),
    [
        (("sending", "off"), ("sending", "on")),
        (("countries", "--only", "GB"), ("countries", "--all")),
        (("ips", "--add", "203.0.113.0/24"), ("ips", "--any")),
    ],
    ids=["sending", "countries", "addresses"],
)
def test_what_an_operator_forbids_is_forbidden_in_both(
    customer: Client747, forbid: tuple[str, ...], allow: tuple[str, ...]
) -> None:
    settle(customer, *forbid, status=403)
    assert check_error(customer.send(), 403, "permission_denied")["hint"]
    assert customer.realtime.send().status == 403
    before = customer.server.cli_here("account", "show", customer.account).data["balance"]
    assert customer.send().status == 403
    assert customer.server.cli_here("account", "show", customer.account).data["balance"] == before
    settle(customer, *allow, status=201)
    assert customer.realtime.send().status == 200


def test_an_address_not_allowed_may_not_read_either(customer: Client747) -> None:
    settle(customer, "ips", "--add", "203.0.113.0/24", status=403)
    for target in (ACCOUNT, CUSTOM, f"{CUSTOM}/1"):
        check_error(customer.get(target), 403, "permission_denied")


def test_a_suspended_account_sends_in_neither(customer: Client747) -> None:
    customer.told("suspend")
    deadline = time.monotonic() + 5
    while customer.get(ACCOUNT).status != 401:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    customer.forget_token()
    customer.realtime._token = None
    check_error(customer.send(), 403, "permission_denied")
    check_error(customer.batch([{"to": phone(), "message": "x"}]), 403, "permission_denied")
    assert customer.realtime.send().status == 403
    assert customer.balance() == customer.realtime.balance()


def test_the_403_of_the_account_comes_before_the_body(customer: Client747) -> None:
    settle(customer, "sending", "off", status=403)
    check_error(customer.post(b"{"), 403, "permission_denied")


def test_opting_out_is_told_in_each_apis_own_way(customer: Client747) -> None:
    customer.told("optout", "--add", phone(n=9))
    assert check_error(customer.send(phone(n=9)), 403, "permission_denied")["hint"]
    id_ = customer.realtime.submit(phone(n=9))
    found = customer.show(id_)
    assert (found["status"], found["cost"]) == ("rejected", "0.0000")
    assert Decimal(customer.balance()) == 50
    assert [one["id"] for one in customer.page()["data"]] == [id_]

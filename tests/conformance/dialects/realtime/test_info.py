"""`GET /api/sms/{submissionId}`: its shape, its times, its codes, and ids that are not yours."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.harness.client import Client, phone
from tests.harness.wire import Response

CODES = {
    "PENDING": "4",
    "SENT": "4",
    "DELIVERED": "1",
    "REJECTED": "2",
    "UNDELIVERED": "3",
    "EXPIRED": "5",
    "UNKNOWN": "0",
}
NO_OPERATOR = {"id": "0", "name": "", "mcc": "", "mnc": ""}


def well_formed(info: dict[str, Any], submission_id: str) -> None:
    assert set(info) == {"id", "timestamps", "info"}
    assert info["id"] == submission_id
    assert set(info["timestamps"]) == {"registered", "sent", "done"}
    assert all(type(value) is int for value in info["timestamps"].values())
    assert set(info["info"]) == {"status", "cost", "operator"}
    assert set(info["info"]["status"]) == {"code", "status"}
    assert info["info"]["status"]["code"] == CODES[info["info"]["status"]["status"]]
    assert type(info["info"]["cost"]) in (int, float)
    assert set(info["info"]["operator"]) == {"id", "name", "mcc", "mnc"}
    assert all(type(value) is str for value in info["info"]["operator"].values())


def test_a_message_can_be_asked_for_at_once_and_its_times_happen_in_order(client: Client) -> None:
    before = int(time.time())
    submission_id = client.submit(phone("0000"))
    deadline = time.monotonic() + 20
    seen: list[str] = []
    while True:
        info = client.info(submission_id)
        well_formed(info, submission_id)
        status, times = info["info"]["status"]["status"], info["timestamps"]
        seen += [status] if status not in seen[-1:] else []
        assert before <= times["registered"] <= time.time()
        assert (times["sent"] == 0) == (status == "PENDING")
        assert (times["done"] == 0) == (status in ("PENDING", "SENT"))
        if status == "DELIVERED":
            break
        assert status in ("PENDING", "SENT")
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert times["registered"] <= times["sent"] <= times["done"] <= time.time()
    assert seen == [status for status in ("PENDING", "SENT", "DELIVERED") if status in seen]
    assert seen[0] != "DELIVERED", "the simulated carrier takes a moment"


@pytest.mark.parametrize(
    ("fate", "status"),
    [
        ("0000", "DELIVERED"),
        ("1234", "DELIVERED"),
        ("9999", "DELIVERED"),
        ("0001", "UNDELIVERED"),
        ("0002", "REJECTED"),
    ],
)
def test_the_last_four_digits_choose_the_fate(client: Client, fate: str, status: str) -> None:
    submission_id = client.submit(phone(fate))
    info = client.wait_final(submission_id)
    well_formed(info, submission_id)
    assert info["info"]["status"] == {"code": CODES[status], "status": status}
    assert info["timestamps"]["sent"] > 0
    assert info["timestamps"]["done"] >= info["timestamps"]["sent"]


@pytest.mark.parametrize(("fate", "status"), [("0000", "DELIVERED"), ("0001", "UNDELIVERED"), ("0002", "REJECTED")])
def test_a_long_message_has_one_fate(client: Client, fate: str, status: str) -> None:
    assert client.wait_final(client.submit(phone(fate), "я" * 140))["info"]["status"]["status"] == status


def test_an_unknown_outcome_stays_with_its_own_message(client: Client) -> None:
    ids = [e["submissionId"] for e in client.send([phone(f) for f in ("0000", "0010", "0000")]).json()["submissions"]]
    assert client.wait_final(ids[0])["info"]["status"]["status"] == "DELIVERED"
    assert client.wait_final(ids[2])["info"]["status"]["status"] == "DELIVERED"
    doubtful = client.info(ids[1])
    well_formed(doubtful, ids[1])
    assert doubtful["info"]["status"]["status"] in ("PENDING", "SENT", "UNKNOWN")


def test_the_operator_of_a_chilean_mobile_is_named(client: Client) -> None:
    first, second = (client.info(client.submit(phone(n=n)))["info"]["operator"] for n in (1, 2))
    assert first == second
    assert first["mcc"] == "730"
    assert first["mnc"].isdigit()
    assert first["name"]
    assert first["id"].isdigit()
    assert first["id"] != "0"


def test_an_unknown_operator_is_four_empty_values(client: Client) -> None:
    for number in ("+99999999999", "+12345678"):
        assert client.info(client.submit(number))["info"]["operator"] == NO_OPERATOR


def same_but_for_the_request(one: Response, two: Response) -> None:
    """Equal to the last byte, with each answer's request id and date put aside."""

    def bare(response: Response) -> tuple[object, ...]:
        request_id = response.header("X-Request-Id")
        assert request_id
        headers = [(name, value) for name, value in response.headers if name.lower() not in ("x-request-id", "date")]
        return response.status, response.reason, headers, response.body.replace(request_id.encode(), b"?")

    assert bare(one) == bare(two)


def test_ids_unknown_malformed_or_anothers_are_one_and_the_same_404(client: Client, other: Client) -> None:
    mine, theirs = client.submit(), other.submit()
    unknown = client.get("/api/sms/4193366853543393")
    assert unknown.status == 404
    assert unknown.header("Content-Type") == "application/problem+json"
    for id_ in (theirs, "1", "0", str(2**53 - 1), str(2**53), str(2**63), str(2**64), "9" * 17, "9" * 400):
        same_but_for_the_request(client.get(f"/api/sms/{id_}"), unknown)
    for id_ in ("abc", "-1", "1.5", "1e3", "%00", "%20", "%FF", "%D9%A1", "null", "x" * 2000, "..", "%2e%2e"):
        same_but_for_the_request(client.get(f"/api/sms/{id_}"), unknown)
    for id_ in (f"0{mine}", f"+{mine}", f"-{mine}", f"{mine}.0", f"%20{mine}", f"{mine}%20", f"{mine}%0A", f"{mine}_"):
        same_but_for_the_request(client.get(f"/api/sms/{id_}"), unknown)
    same_but_for_the_request(other.get(f"/api/sms/{mine}"), unknown)
    assert client.get(f"/api/sms/{mine}").status == 200
    assert other.get(f"/api/sms/{theirs}").status == 200


def test_the_query_is_ignored(client: Client) -> None:
    submission_id = client.submit()
    assert client.get(f"/api/sms/{submission_id}?id=1&x").json()["id"] == submission_id

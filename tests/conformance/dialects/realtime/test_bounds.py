"""Past a bound: 503 with `Retry-After` when nothing of a request is accepted, `unknown_error` for a part of one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conftest import DOORS
from tests.harness.client import Client, phone
from tests.harness.server import Server
from tests.harness.wire import Response


def unavailable(response: Response) -> None:
    assert response.status == 503, (response.status, response.body)
    assert response.header("Content-Type") == "application/problem+json"
    assert int(response.header("Retry-After") or 0) >= 1
    assert response.header("Link") == f'<{response.json()["type"]}>; rel="help"'
    assert response.json()["instance"] == response.header("X-Request-Id")


@pytest.fixture(scope="module", params=list(DOORS))
def stuck(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server whose carrier answers nothing for a long time and lets three messages wait."""
    data = tmp_path_factory.mktemp(f"stuck-{request.param}") / "data"
    settings = {"http.lean_door": DOORS[request.param], "carriers.simulator.answer_ms": "3600000"}
    with Server(data, settings={**settings, "carriers.simulator.backlog": "3"}) as started:
        yield Client(started, started.credentials)


def test_at_the_carriers_bound_a_request_is_taken_in_part_and_then_not_at_all(stuck: Client) -> None:
    response = stuck.send([phone(n=n) for n in range(5)])
    assert response.status == 200
    submissions = response.json()["submissions"]
    assert [entry["status"] for entry in submissions] == ["submitted"] * 3 + ["unknown_error"] * 2
    assert [set(entry) for entry in submissions[3:]] == [{"status"}] * 2
    assert stuck.balance() == "454.00"
    for recipients in ([phone()], [phone()] * 5):
        unavailable(stuck.send(recipients))
    assert stuck.balance() == "454.00"
    for entry in submissions[:3]:
        assert stuck.info(entry["submissionId"])["info"]["status"]["status"] in ("PENDING", "SENT")


def test_errors_of_the_request_are_told_at_the_bound_too(stuck: Client) -> None:
    while stuck.send([phone()]).status == 200:
        pass
    unavailable(stuck.send([phone()]))
    assert stuck.send(["12"]).status == 400
    assert stuck.send([phone()], sender="Nobody").status == 406
    assert stuck.get("/api/balance").status == 200


def test_more_than_may_wait_to_be_stored_is_503_and_costs_nothing(cramped: Client) -> None:
    before = int(float(cramped.balance()))
    unavailable(cramped.send([phone()] * 100))
    assert cramped.balance() == f"{before}.00"
    assert cramped.send([phone()] * 5).status == 200
    assert cramped.balance() == f"{before - 5}.00"

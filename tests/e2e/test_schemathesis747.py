"""Schemathesis reads the contract of 747 SMS; see `test_schemathesis`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.e2e import test_schemathesis as whole
from tests.e2e.test_schemathesis import accepts, check_every_answer, check_over_the_limits, door
from tests.harness.client import Client
from tests.harness.client747 import Client747

__all__ = ["door"]  # the fixture
pytestmark = pytest.mark.slow


def prepare_747(document: dict[str, Any], client: Client) -> None:
    """Times and URLs that are right: that a day is in the calendar and a host has a name, a pattern cannot say."""
    for content in document["paths"]["/api/v1/auth/token"]["post"]["requestBody"]["content"].values():
        for example in content["examples"].values():
            example["value"] |= client.credentials["sms747"]
    schemas = document["components"]["schemas"]
    schemas["Time"] = {"enum": ["2026-01-02T03:04:05Z", "2020-02-29t23:59:60.125+13:45", "0001-01-02T00:00:00-00:00"]}
    schemas["Send"]["properties"]["callback_url"] = {"enum": ["http://127.0.0.1:9/", None]}


EXPECTED: dict[str, Any] = {
    "checks": {
        "positive_data_acceptance": {"expected-statuses": ["200", "201", "401", "404", "429"]},
        "negative_data_rejection": {"expected-statuses": ["400", "401", "404", "413", "422", "429", "431"]},
    },
    "operations": [
        # How many segments a text has, a schema cannot say, nor that a sender's € counts twice.
        accepts("POST /api/v1/message/custom", "201", "400", "422"),
        accepts("GET /api/v1/message/custom", "200", "400"),  # which cursors were given out
        accepts("DELETE /api/v1/message/custom/{id}", "200", "404", "422"),
        {  # a message of a batch that is malformed stops no other
            "include-name": "POST /api/v1/message/batch",
            "checks": {"negative_data_rejection": {"enabled": False}},
        },
    ],
}
ANSWERED = {
    "POST /api/v1/auth/token": {200, 400, 405},
    "POST /api/v1/message/custom": {201, 400, 401, 405},
    "GET /api/v1/message/custom": {200, 400, 401},
    "GET /api/v1/message/custom/{id}": {401, 404, 405},
    "DELETE /api/v1/message/custom/{id}": {401, 404},
    "POST /api/v1/message/batch": {200, 400, 401, 405},
    "GET /api/v1/account": {200, 401, 405},
}


@pytest.fixture(autouse=True)
def sms747(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables of the other file, with 747 SMS in them."""
    monkeypatch.setitem(whole.REQUESTS, "sms747", {"TokenRequest", "Send", "Batch"})
    monkeypatch.setitem(whole.PREPARE, "sms747", prepare_747)
    monkeypatch.setitem(whole.TOKEN, "sms747", lambda client: Client747(client.server, client.credentials).token)
    monkeypatch.setitem(whole.EXPECTED, "sms747", EXPECTED)
    monkeypatch.setitem(whole.ANSWERED, "sms747", ANSWERED)
    monkeypatch.setitem(whole.EXAMPLES, "sms747", 24)


def test_no_answer_is_a_fault_or_undeclared(tmp_path: Path, door: str) -> None:
    check_every_answer(tmp_path, door, "sms747")


def test_no_answer_to_a_caller_over_its_limits_is_undeclared(tmp_path: Path, door: str) -> None:
    check_over_the_limits(tmp_path, door, "sms747")

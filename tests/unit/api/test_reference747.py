"""The contract of 747 SMS as a file: true to the code."""

from __future__ import annotations

from tests.unit.api.test_pages import TELLINGS
from tests.unit.api.test_reference import ANSWERS, GOOD, ROOTS

from heliograph.dialects import sms747
from heliograph.dialects.sms747.answers import NAMES as STATUS_NAMES
from heliograph.dialects.sms747.answers import Message
from heliograph.messaging import errors


def test_codes_and_statuses_of_747_are_those_of_the_code() -> None:
    schemas = ROOTS["sms747"]["components"]["schemas"]
    error = schemas["Error"]["properties"]["error"]["properties"]
    assert set(error["code"]["enum"]) == set(sms747.CODES.values())
    assert all(f"| `{code}` |" in error["details"]["description"] for code in error["code"]["enum"])
    message = schemas["Message"]
    assert message["required"] == list(message["properties"]) == list(Message.__struct_fields__)
    (wanted,) = [
        one
        for one in ROOTS["sms747"]["paths"]["/api/v1/message/custom"]["get"]["parameters"]
        if one["name"] == "status"
    ]
    statuses = {*STATUS_NAMES.values(), "scheduled"}
    assert set(message["properties"]["status"]["enum"]) == set(wanted["schema"]["enum"]) == statuses


def test_an_error_answer_shows_the_code_of_its_error() -> None:
    examples = [
        (code, example["value"]["error"]["code"])
        for name, _, status, answer in ANSWERS
        if name == "sms747" and status not in GOOD
        for content in answer["content"].values()
        for code, example in content["examples"].items()
    ]
    assert examples
    assert [(code, told) for code, told in examples if told != sms747.CODES[code]] == []


def test_every_error_is_in_some_api() -> None:
    assert {code for telling in TELLINGS for code in telling.examples} == set(errors.REGISTRY)

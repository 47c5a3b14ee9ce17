"""Recipients: the contract's "Numbers", under the policies `syntax` (the demo's) and `possible` (the default)."""

from __future__ import annotations

import json

import pytest
from tests.harness.client import Client

TAKEN_BY_SYNTAX = [
    "+123456789",  # the three that the providers' documents call good
    "+15551234567",
    "+56900000000",
    "15551234567",
    "12345678",
    "+12345678",
    "123456789012345",
    "+123456789012345",
    "+99999999",
]
REFUSED = [
    "+1555123",  # the one that they call bad
    "",
    "+",
    "1234567",
    "+1234567",
    "1234567890123456",
    "+1234567890123456",
    "0123456789",
    "+0123456789",
    "0056912345678",
    "++56912345678",
    "+56 912345678",
    "+56-912345678",
    "+56.912345678",
    "(56)912345678",
    "+56(9)12345678",
    " +56912345678",
    "+56912345678 ",
    "+56912345678\n",
    "+56912345678\t",
    "+5691234567a",
    "tel:+56912345678",
    "+56912345678;ext=1",
    "56912345678+",
    "+٥٦٩١٢٣٤٥٦٧٨",
    "５６９１２３４５６７８",
    "+5691234567८",
    "\uff0b56912345678",  # a plus of another script
    "Acme",
    "1e12345678",
]


@pytest.mark.parametrize("number", TAKEN_BY_SYNTAX)
def test_a_number_of_good_syntax_is_submitted(client: Client, number: str) -> None:
    client.submit(number)


@pytest.mark.parametrize("number", REFUSED)
@pytest.mark.parametrize("policy", ["syntax", "possible"])
def test_a_number_of_bad_syntax_is_400_naming_index_and_value(
    client: Client, other: Client, policy: str, number: str
) -> None:
    response = {"syntax": client, "possible": other}[policy].send(["+56910000000", number, "+56910000000"])
    assert response.status == 400, response.body
    errors = response.json()["errors"]
    assert [error["pointer"] for error in errors] == ["/recipients/1"]
    told = response.json()["detail"] + errors[0]["message"]
    assert number.strip() in told or json.dumps(number)[1:-1] in told
    assert "1" in told


def test_every_wrong_recipient_of_a_request_can_be_found_from_its_errors(client: Client) -> None:
    response = client.send(["12", "+56910000000", "34"])
    assert response.status == 400
    assert response.json()["errors"][0]["pointer"] == "/recipients/0"


@pytest.mark.parametrize("number", ["+15551234567", "15551234567", "+56900000000", "+56912345678", "+447945223343"])
def test_a_possible_number_is_submitted_by_default(other: Client, number: str) -> None:
    other.submit(number)


@pytest.mark.parametrize(
    "number",
    [
        "+123456789",  # too short for its country
        "+12345678",  # right only within a city
        "12345678",
        "+5691234",
        "+569123456789012",
        "+155512345678",
        "+99999999",  # no such country code
    ],
)
def test_an_impossible_number_is_400_by_default(other: Client, number: str) -> None:
    before = other.balance()
    response = other.send([number])
    assert response.status == 400, response.body
    assert [error["pointer"] for error in response.json()["errors"]] == ["/recipients/0"]
    assert other.balance() == before


def test_a_national_number_is_never_completed(other: Client) -> None:
    """912345678 is a Chilean mobile as dialled in Chile; read as international it is +91 2345678, no whole number."""
    assert other.send(["912345678"]).status == 400

"""Recipients' numbers: E.164 with its `+`, as the provider's examples have it."""

from __future__ import annotations

import pytest
from tests.harness.client747 import Client747, check_error


@pytest.mark.parametrize("number", ["+123456789", "+15551234567", "+56900000000", "+12345678", "+123456789012345"])
def test_documented_numbers_and_the_shortest_and_longest_pass(client747: Client747, number: str) -> None:
    assert client747.sent(number)["recipient"] == number


@pytest.mark.parametrize(
    "number",
    [
        *("+1555123", "15551234567", "0015551234567", "+1234567", "+1234567890123456", "+0123456789", "", "+", "x"),
        *("+1 555 123 4567", "+1-555-123-4567", "+1(555)1234567", " +15551234567", "+15551234567 ", "++15551234567"),
        *("+1555123456x", "tel:+15551234567", "+١٥٥٥١٢٣٤٥٦٧", "＋15551234567", "+15551234567\n", "5" * 100_000),
    ],
)
@pytest.mark.parametrize("name", ["recipient", "to"])
def test_what_is_no_e164_number_is_400(client747: Client747, name: str, number: str) -> None:
    response = client747.post({name: number, "message": "hello"})
    assert check_error(response, 400, "invalid_phone_number") == {"parameter": name}
    assert "E.164" in response.json()["error"]["message"]
    assert len(response.body) < 2000


@pytest.mark.parametrize("number", [15551234567, None, True, ["+15551234567"], {"phone": "+15551234567"}, 1.5])
def test_a_number_that_is_no_string_is_400(client747: Client747, number: object) -> None:
    assert check_error(client747.send(number), 400, "invalid_request")["parameter"] in ("recipient", "to")


def test_a_missing_number_is_400(client747: Client747) -> None:
    assert check_error(client747.send(...), 400, "invalid_request")["parameter"] in ("recipient", "to")


@pytest.mark.parametrize(
    ("number", "status"),
    [
        ("+447945223343", 201),
        ("+56912345678", 201),
        ("+123456789", 400),
        ("+4479452233431", 400),
        ("+99912345678", 400),
    ],
)
def test_an_account_may_ask_for_possible_numbers(other747: Client747, number: str, status: int) -> None:
    response = other747.send(number)
    assert response.status == status, response.body
    if status == 400:
        check_error(response, 400, "invalid_phone_number")


def test_an_invalid_number_costs_nothing(client747: Client747) -> None:
    before = client747.balance()
    check_error(client747.send("+1555123"), 400, "invalid_phone_number")
    assert client747.balance() == before

"""The sender: 406 is for it alone."""

from __future__ import annotations

import pytest
from tests.conftest import Accounts
from tests.harness.client import Client
from tests.harness.wire import Response

ACME = ("Acme", "Ünit 7", "123", "123456789012345", "ElevenChars", "+4478901")


@pytest.fixture(scope="module")
def acme(accounts: Accounts) -> Client:
    """An account that may send as these and as nothing else."""
    return accounts.new(*(word for sender in ACME for word in ("--sender", sender)))


@pytest.fixture(scope="module")
def anyone(accounts: Accounts) -> Client:
    """An account that may send as anything well-formed."""
    return accounts.new("--any-sender")


def not_acceptable(response: Response) -> None:
    assert response.status == 406, (response.status, response.body)
    assert response.header("Content-Type") == "application/problem+json"
    assert [error["pointer"] for error in response.json()["errors"]] == ["/sender"]


MALFORMED = [
    "",
    " ",
    "TwelveCharsX",
    "!!!",
    "12",
    "1",
    "1234567890123456",
    "+",
    "+12",
    "+1234567890123456",
    "12-34",
    "١٢٣٤",
    "Açme",
    "Ac`me",
    "Ac\tme",
    "Acme✓",
    "Акме",
    "Acme😀",
]


@pytest.mark.parametrize("sender", MALFORMED)
def test_a_malformed_sender_is_406(anyone: Client, client: Client, sender: str) -> None:
    not_acceptable(anyone.send(sender=sender))
    not_acceptable(client.send(sender=sender))


@pytest.mark.parametrize(
    "sender",
    [
        "Acme",
        "a",
        "A1",
        "ElevenChars",
        "Ab Cd-1!",
        "Ünit 7",
        "Ñandú".replace("ú", "ù"),
        "123",
        "96000",
        "123456789012345",
    ],
)
def test_an_account_given_any_may_send_as_whatever_is_well_formed(anyone: Client, sender: str) -> None:
    assert anyone.send(sender=sender).status == 200


@pytest.mark.parametrize("sender", ["+123", "+123456789012345"])
def test_a_numeric_sender_may_begin_with_a_plus(anyone: Client, sender: str) -> None:
    assert anyone.send(sender=sender).status == 200


@pytest.mark.parametrize("sender", ACME)
def test_a_sender_on_the_list_is_taken(acme: Client, sender: str) -> None:
    assert acme.send(sender=sender).status == 200


@pytest.mark.parametrize("sender", ["acme", "ACME", "Acme ", " Acme", "Acm", "Acmee", "96000", "1234", "any"])
def test_a_sender_not_on_the_list_is_406(acme: Client, sender: str) -> None:
    not_acceptable(acme.send(sender=sender))


def test_the_demo_and_a_new_account_may_send_as_96000(client: Client, other: Client) -> None:
    for customer in (client, other):
        assert customer.send(sender="96000").status == 200
        not_acceptable(customer.send(sender="Acme"))


def test_a_refused_sender_costs_nothing(acme: Client) -> None:
    before = acme.balance()
    not_acceptable(acme.send(["+56910000000"] * 3, sender="nobody"))
    assert acme.balance() == before

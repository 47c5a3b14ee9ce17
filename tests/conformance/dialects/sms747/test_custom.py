"""`POST /api/v1/message/custom`: the 201, every field of it and every field of the request."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator
from decimal import Decimal

import pytest
from tests.conftest import DOORS, Accounts
from tests.harness.client import phone
from tests.harness.client747 import (
    CUSTOM,
    Accounts747,
    Client747,
    check_error,
    check_message,
)
from tests.harness.server import Server
from tests.harness.wire import Response


def instant(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def test_a_message_is_created_and_told_in_every_field(client747: Client747) -> None:
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    response = client747.send("+15551234567", "Hello, this is a test message!")
    assert (response.status, response.reason) == (201, "Created")
    assert response.header("Content-Type") == "application/json"
    assert response.header("X-Request-Id")
    assert response.header("Link") is None
    assert list(response.json()) == ["data"]
    made = response.json()["data"]
    check_message(made)
    assert before <= instant(made.pop("created_at")) <= datetime.datetime.now(datetime.UTC)
    assert made.pop("id")
    assert made == {
        "recipient": "+15551234567",
        "sender": "96000",
        "message": "Hello, this is a test message!",
        "status": "queued",
        "segments": 1,
        "encoding": "gsm7",
        "cost": "1.0000",
        "currency": "USD",
        "reference": None,
        "scheduled_at": None,
        "sent_at": None,
        "delivered_at": None,
        "error": None,
    }


def test_a_delivered_message_tells_when_it_was_sent_and_delivered(client747: Client747) -> None:
    made = client747.sent()
    found = client747.wait_status(made["id"])
    check_message(found)
    assert found["status"] == "delivered"
    assert instant(found["created_at"]) <= instant(found["sent_at"]) <= instant(found["delivered_at"])
    changed = {"status", "sent_at", "delivered_at"}
    assert {k: v for k, v in found.items() if k not in changed} == {k: v for k, v in made.items() if k not in changed}


@pytest.mark.parametrize(
    ("fate", "status"), [("0000", "delivered"), ("0001", "undelivered"), ("0002", "rejected"), ("0003", "expired")]
)
def test_every_fate_has_its_status(client747: Client747, fate: str, status: str) -> None:
    found = client747.wait_status(client747.sent(phone(fate))["id"])
    check_message(found)
    assert found["status"] == status
    assert (found["delivered_at"] is not None) == (status == "delivered")
    assert found["cost"] == "1.0000", "a part was taken: no refund"


def test_sent_is_a_status(client747: Client747) -> None:
    found = client747.wait_status(client747.sent(phone("0005"))["id"], "sent")
    check_message(found)
    assert found["sent_at"]
    assert found["delivered_at"] is None


@pytest.mark.parametrize("name", ["recipient", "to"])
def test_to_is_accepted_for_recipient(client747: Client747, name: str) -> None:
    response = client747.post({name: "+56910000000", "message": "hello"})
    assert response.status == 201
    assert response.json()["data"]["recipient"] == "+56910000000"
    assert "to" not in response.json()["data"]


@pytest.mark.parametrize("name", ["recipient", "to"])
def test_errors_name_the_spelling_that_the_client_used(client747: Client747, name: str) -> None:
    response = client747.post({name: "+1555123", "message": "hello"})
    assert check_error(response, 400, "invalid_phone_number") == {"parameter": name}
    response = client747.post({name: 5, "message": "hello"})
    assert check_error(response, 400, "invalid_request")["parameter"] == name


def test_both_spellings_must_not_differ(client747: Client747) -> None:
    assert client747.send(phone(), to=phone()).status == 201
    check_error(client747.send(phone(), to=phone(n=1)), 400, "invalid_request")


def test_unknown_fields_are_ignored(client747: Client747) -> None:
    assert client747.send(priority=1, id="5", status="delivered", channelID=None).status == 201


# -- sender


def test_the_accounts_sender_is_the_default_and_another_of_its_may_be_named(accounts747: Accounts747) -> None:
    shop = accounts747.new("--sender", "SHOP", "--sender", "Shop 24")
    assert shop.sent()["sender"] in ("SHOP", "Shop 24")
    for sender in ("SHOP", "Shop 24"):
        assert shop.sent(sender=sender)["sender"] == sender
    assert "hint" in check_error(shop.send(sender="shop"), 403, "permission_denied")
    assert "hint" in check_error(shop.send(sender="96000"), 403, "permission_denied")


def test_null_is_as_if_an_optional_field_were_absent(client747: Client747) -> None:
    names = ("sender", "reference", "callback_url", "send_at", "validity_seconds")
    assert client747.sent(**dict.fromkeys(names))["sender"] == "96000"


@pytest.mark.parametrize("sender", ["", "My Company Ltd", "12", "1" * 16, "+", "naïve ș", "+1 555", " ", "a\nb" * 6])
def test_a_malformed_sender_is_400(client747: Client747, sender: str) -> None:
    assert check_error(client747.send(sender=sender), 400, "invalid_request")["parameter"] == "sender"


@pytest.mark.parametrize("sender", [5, True, ["96000"], {}, 1.5])
def test_a_sender_that_is_no_string_is_400(client747: Client747, sender: object) -> None:
    assert check_error(client747.send(sender=sender), 400, "invalid_request")["parameter"] == "sender"


@pytest.mark.parametrize("sender", ["Acme", "A", "ABCDEFGHIJK", "747", "123456789012345", "+56223334444"])
def test_an_account_with_any_sender_uses_any_well_formed_one(any_sender: Client747, sender: str) -> None:
    assert any_sender.sent(sender=sender)["sender"] == sender


@pytest.fixture(scope="module")
def any_sender(accounts747: Accounts747) -> Client747:
    return accounts747.new("--any-sender")


# -- reference


@pytest.mark.parametrize("reference", ["order-17", "x" * 64, "Ünïcødé 😀", " ", '"\\'])
def test_a_reference_is_echoed(client747: Client747, reference: str) -> None:
    made = client747.sent(reference=reference)
    assert made["reference"] == reference
    assert client747.show(made["id"])["reference"] == reference


@pytest.mark.parametrize("reference", ["x" * 65, 5, ["a"], {}, False, "a\u0000b"])
def test_a_reference_that_is_too_long_or_no_string_is_400(client747: Client747, reference: object) -> None:
    assert check_error(client747.send(reference=reference), 400, "invalid_request")["parameter"] == "reference"


# -- callback_url, its form alone


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x?y=1", "https://example.net/hook"])
def test_a_callback_url_is_taken(client747: Client747, url: str) -> None:
    assert client747.send(callback_url=url).status == 201


@pytest.mark.parametrize("url", ["nonsense", "ftp://example.net/", "//example.net", "http://", 5, ["http://x.net"]])
def test_a_callback_url_that_is_none_is_400(client747: Client747, url: object) -> None:
    assert check_error(client747.send(callback_url=url), 400, "invalid_request")["parameter"] == "callback_url"


# -- text

EURO_SPLIT = "a" * 152 + "€" + "a" * 152  # 306 septets, but the escape is not split from its character


@pytest.mark.parametrize(
    ("text", "segments", "encoding"),
    [
        ("a", 1, "gsm7"),
        ("a" * 160, 1, "gsm7"),
        ("a" * 161, 2, "gsm7"),
        ("a" * 306, 2, "gsm7"),
        ("a" * 307, 3, "gsm7"),
        ("€" * 80, 1, "gsm7"),
        ("€" * 81, 2, "gsm7"),
        (EURO_SPLIT, 3, "gsm7"),
        ("a" * 1530, 10, "gsm7"),
        ("é" * 160, 1, "gsm7"),
        ("@£$¥\n\r{}[]~\\|^\f", 1, "gsm7"),
        ("ç", 1, "ucs2"),
        ("я" * 70, 1, "ucs2"),
        ("я" * 71, 2, "ucs2"),
        ("я" * 134, 2, "ucs2"),
        ("я" * 135, 3, "ucs2"),
        ("😀" * 35, 1, "ucs2"),
        ("😀" * 36, 2, "ucs2"),
        ("a" * 71 + "ő", 2, "ucs2"),
        ("я" * 670, 10, "ucs2"),
        ("%41 is %41, and 00e9 is 00e9", 1, "gsm7"),
    ],
    ids=lambda value: f"{len(value)}-{value[:4]!a}" if isinstance(value, str) else str(value),
)
def test_the_encoding_is_chosen_and_its_segments_are_paid(
    client747: Client747, text: str, segments: int, encoding: str
) -> None:
    before = Decimal(client747.balance())
    made = client747.sent(message=text)
    assert (made["segments"], made["encoding"], made["message"]) == (segments, encoding, text)
    assert made["cost"] == f"{segments}.0000"
    assert Decimal(client747.balance()) == before - segments
    assert client747.show(made["id"])["message"] == text


@pytest.mark.parametrize(
    ("text", "details"),
    [
        (
            "a" * 1531,
            {"length": 1531, "max_length": 1530, "segments": 11, "max_segments": 10, "encoding": "gsm7"},
        ),
        ("я" * 671, {"length": 671, "max_length": 670, "segments": 11, "max_segments": 10, "encoding": "ucs2"}),
    ],
    ids=["gsm7", "ucs2"],
)
def test_a_text_over_ten_segments_is_422_with_its_measures(
    client747: Client747, text: str, details: dict[str, object]
) -> None:
    before = client747.balance()
    found = check_error(client747.send(message=text), 422, "message_too_long")
    assert {name: found[name] for name in details} == details
    assert client747.balance() == before


def test_a_very_long_text_is_too_long_as_well(client747: Client747) -> None:
    check_error(client747.send(message="a" * 200_000), 422, "message_too_long")


@pytest.mark.parametrize("text", ["", ..., None, 5, 1.5, True, ["x"], {"text": "x"}])
def test_a_text_that_is_missing_empty_or_no_string_is_400(client747: Client747, text: object) -> None:
    assert check_error(client747.send(message=text), 400, "invalid_request")["parameter"] == "message"


@pytest.mark.parametrize("text", [b'"a\\u0000b"', b'"\\ud83d"', b'"\\ude00\\ud83d"', b'"x\\ud83dx"'])
def test_a_nul_or_half_a_surrogate_pair_is_400(client747: Client747, text: bytes) -> None:
    response = client747.post(b'{"recipient":"+56910000000","message":' + text + b"}")
    check_error(response, 400, "invalid_request")


def test_several_wrong_fields_are_all_named(client747: Client747) -> None:
    response = client747.send(message=5, reference=7, sender=8)
    details = check_error(response, 400, "invalid_request")
    assert {one["parameter"] for one in details["errors"]} == {"message", "reference", "sender"}
    assert details["parameter"] in {"message", "reference", "sender"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"5", b'"x"', b"{'recipient':'+56910000000'}", b"\xff"])
def test_what_is_no_json_object_is_400(client747: Client747, body: bytes) -> None:
    check_error(client747.post(body), 400, "invalid_request")


def test_ids_are_the_decimal_kind_and_unique(client747: Client747) -> None:
    ids = [client747.sent()["id"] for _ in range(50)]
    assert len(set(ids)) == 50
    assert all(re.fullmatch(r"[1-9][0-9]{0,15}", id_) and int(id_) < 2**53 for id_ in ids)
    assert ids != sorted(ids, key=int)


# -- money


def test_a_balance_that_does_not_cover_is_422_with_what_is_missing(accounts747: Accounts747) -> None:
    poor = accounts747.new(balance="2.50")
    details = check_error(poor.send(message="a" * 400), 422, "insufficient_funds")
    assert (Decimal(details["balance"]), Decimal(details["required"])) == (Decimal("2.5"), 3)
    assert details["currency"] == "USD"
    assert isinstance(details["balance"], str)
    assert isinstance(details["required"], str)
    assert poor.sent()["cost"] == "1.0000"
    assert poor.balance() == "1.50"
    assert len(poor.page()["data"]) == 1


PRICES = """
[messages]
currency = "EUR"

[prices.default]
56 = "1.00"
569129 = "0.50"
44 = "0.035"
34 = "0.000001"
33 = "0.00125"
"""


@pytest.fixture(scope="module", params=list(DOORS))
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client747]:
    data = tmp_path_factory.mktemp(f"prices747-{request.param}") / "data"
    with Server(data, config=PRICES, settings={"http.lean_door": DOORS[request.param]}) as started:
        yield Accounts747(Accounts(started)).new(balance="1000.00")


@pytest.mark.parametrize(
    ("recipient", "text", "cost"),
    [
        (phone(), "x", "1.0000"),
        (phone(), "a" * 307, "3.0000"),
        ("+447945223343", "x", "0.0350"),
        ("+447945223343", "a" * 161, "0.0700"),
        ("+56912900000", "x", "0.5000"),
        ("+34612345678", "x", "0.000001"),
        ("+33612345678", "x", "0.00125"),
        ("+33612345678", "a" * 161, "0.0025"),
    ],
)
def test_the_cost_has_four_to_six_decimals(shop: Client747, recipient: str, text: str, cost: str) -> None:
    made = shop.sent(recipient, text)
    assert (made["cost"], made["currency"]) == (cost, "EUR")
    assert shop.show(made["id"])["cost"] == cost


def test_a_destination_without_a_price_is_403(shop: Client747) -> None:
    assert check_error(shop.send("+15551234567"), 403, "permission_denied")["hint"]


def test_funds_are_told_in_the_installations_currency(shop: Client747) -> None:
    poor = Accounts747(Accounts(shop.server)).new(balance="0.01")
    details = check_error(poor.send("+447945223343"), 422, "insufficient_funds")
    assert details["currency"] == "EUR"
    assert Decimal(details["required"]) == Decimal("0.035")
    assert poor.info()["currency"] == "EUR"


# -- what is answered is what was accepted


def test_texts_come_back_as_they_were_written(client747: Client747) -> None:
    response: Response = client747.send(message="Grüße \u2028 😀 </script>", reference="a/b")
    assert json.loads(response.body)["data"]["message"] == "Grüße \u2028 😀 </script>"
    assert client747.get(f"{CUSTOM}/{response.json()['data']['id']}").json()["data"]["reference"] == "a/b"

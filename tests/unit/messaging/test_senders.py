"""Which senders an account may use, and how they go on the wire."""

from __future__ import annotations

import pytest

from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError
from heliograph.messaging.senders import SenderKind, check, kind

GOOD = ["Acme", "A", "My Shop 24", "ABCDEFGHIJK", "Café", "Ωmega", "123", "+123", "123456789012345", "+447700900123"]


@pytest.mark.parametrize("sender", GOOD)
def test_well_formed_sender_passes_where_any_is_allowed(sender: str) -> None:
    check(sender, None, pointer="/sender")


@pytest.mark.parametrize(
    "sender",
    [
        "",
        " ",
        "12",
        "+12",
        "1234567890123456",
        "+",
        "12-34",
        "+1 23",
        "ABCDEFGHIJKL",
        "My Company Ltd",
        "!!!",
        "Açme",
        "Acme`",
        "Ac\nme",
        "Ac\rme",
        "Ac\fme",
        "Ac\x1bme",
        "Acme\0",
        "Acme\ud800",
        "Акме",
        "١٢٣",
        "[Acme] Ltd.",  # 11 characters, but brackets take two of the 11 septets each
    ],
)
def test_malformed_sender_is_refused_even_where_any_is_allowed(sender: str) -> None:
    for allowed in (None, frozenset({sender})):
        with pytest.raises(CallerError) as caught:
            check(sender, allowed, pointer="/sender")
        assert caught.value.kind is errors.SENDER_MALFORMED
        assert caught.value.pointer == "/sender"


def test_extension_characters_are_allowed_while_they_fit() -> None:
    check("[Acme]Ltd", None, pointer="/sender")  # 11 septets


@pytest.mark.parametrize("sender", ["acme", "ACME", "Acme ", "+96000"])
def test_sender_that_is_not_on_the_list_as_written_is_refused(sender: str) -> None:
    allowed = frozenset({"Acme", "96000"})
    for owned in allowed:
        check(owned, allowed, pointer="/sender")
    with pytest.raises(CallerError) as caught:
        check(sender, allowed, pointer="/sender")
    assert caught.value.kind is errors.SENDER_NOT_ALLOWED
    assert sender in caught.value.detail


def test_account_without_senders_may_use_none() -> None:
    with pytest.raises(CallerError) as caught:
        check("Acme", frozenset(), pointer="/sender")
    assert caught.value.kind is errors.SENDER_NOT_ALLOWED


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("Acme", SenderKind.ALPHANUMERIC),
        ("4Acme", SenderKind.ALPHANUMERIC),
        ("96000", SenderKind.SHORT_CODE),
        ("1234567", SenderKind.SHORT_CODE),
        ("08001234567", SenderKind.SHORT_CODE),
        ("12345678", SenderKind.INTERNATIONAL),
        ("447700900123", SenderKind.INTERNATIONAL),
        ("+447700900123", SenderKind.INTERNATIONAL),
        ("+123", SenderKind.INTERNATIONAL),
    ],
)
def test_kind_of_sender_is_told_by_its_look(sender: str, expected: SenderKind) -> None:
    assert kind(sender) is expected


def test_kinds_are_the_types_of_number_of_smpp() -> None:
    assert (SenderKind.INTERNATIONAL, SenderKind.SHORT_CODE, SenderKind.ALPHANUMERIC) == (1, 3, 5)

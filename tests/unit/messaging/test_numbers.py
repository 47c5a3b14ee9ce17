"""Which recipients are accepted, and what a customer is told about the others."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.harness.server import SOURCE

from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError
from heliograph.messaging.numbers import NumberPolicy, PrefixMap, normalise


def read(value: str, policy: NumberPolicy = NumberPolicy.SYNTAX, *, plus_required: bool = False) -> str:
    return normalise(value, policy, plus_required=plus_required, pointer="/recipients/3")


def refusal(value: str, policy: NumberPolicy = NumberPolicy.SYNTAX, *, plus_required: bool = False) -> str:
    with pytest.raises(CallerError) as caught:
        read(value, policy, plus_required=plus_required)
    assert caught.value.kind is errors.RECIPIENT_INVALID
    assert caught.value.pointer == "/recipients/3"
    return caught.value.detail


@pytest.mark.parametrize("number", ["+123456789", "+15551234567", "+56900000000"])
def test_documented_good_numbers_pass_in_both_apis(number: str) -> None:
    assert read(number) == number[1:]
    assert read(number[1:]) == number[1:]
    assert read(number, plus_required=True) == number[1:]


@pytest.mark.parametrize("plus_required", [False, True])
def test_documented_bad_number_is_refused_by_name(plus_required: bool) -> None:
    assert "'+1555123'" in refusal("+1555123", plus_required=plus_required)


def test_number_without_plus_is_refused_where_plus_is_required() -> None:
    assert "+56912345678" in refusal("56900000000", plus_required=True)


@pytest.mark.parametrize("digits", ["12345678", "123456789012345"])
def test_8_to_15_digits_pass(digits: str) -> None:
    assert read(digits) == digits


@pytest.mark.parametrize(
    "value",
    [
        "",
        "+",
        "1234567",
        "1234567890123456",
        "0123456789",
        "+0123456789",
        "0056912345678",
        "++56912345678",
        "+56 912345678",
        "+56-912345678",
        "+(56)912345678",
        " +56912345678",
        "+56912345678\n",
        "+569١٢٣٤٥٦٧٨",
        "５６９１２３４５６７８",
        "²56912345678",
        "tel:+56912345678",
        "\ud80056912345678",
    ],
)
def test_anything_but_digits_is_refused(value: str) -> None:
    refusal(value)


def test_endless_recipient_is_not_repeated_in_full() -> None:
    assert len(refusal("9" * 1_000_000)) < 200


# -- possible


@pytest.mark.parametrize("value", ["+56912345678", "+447400123456", "+12025550123", "+390612345678", "+4921112345678"])
def test_possible_number_passes(value: str) -> None:
    assert read(value, NumberPolicy.POSSIBLE) == value[1:]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("+569123456789012", "too many digits for country code 56"),
        ("+123456789", "too few digits for country code 1"),
        ("+12345678", "length of a local number"),
        ("+99912345678", "no country code"),
        ("+4407400123456", "too many digits for country code 44"),  # the national 0 was left in
    ],
)
def test_impossible_number_is_refused_saying_why(value: str, told: str) -> None:
    detail = refusal(value, NumberPolicy.POSSIBLE)
    assert value in detail
    assert told in detail


# -- valid


def test_valid_policy_refuses_a_possible_number_in_no_range() -> None:
    assert read("+447400123456", NumberPolicy.VALID) == "447400123456"
    assert read("+390612345678", NumberPolicy.VALID) == "390612345678"  # the 0 of Italy belongs to the number
    assert read("+12005550123", NumberPolicy.POSSIBLE)
    assert "+12005550123" in refusal("+12005550123", NumberPolicy.VALID)


def test_valid_policy_refuses_what_is_not_even_possible() -> None:
    assert "no country code" in refusal("+99912345678", NumberPolicy.VALID)


# -- cost


@pytest.mark.parametrize(
    ("policy", "loaded"),
    [("syntax", "phonenumbers"), ("possible", "phonenumbers.geocoder"), ("valid", "phonenumbers.geocoder")],
)
def test_policy_does_not_load_tables_that_it_has_no_use_for(policy: str, loaded: str) -> None:
    program = (
        "import sys; from heliograph.messaging.numbers import NumberPolicy, normalise;"
        f" normalise('+447400123456', NumberPolicy('{policy}'), plus_required=False, pointer='');"
        f" sys.exit('{loaded}' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(SOURCE)}, check=False)
    assert done.returncode == 0


# -- prefixes


def test_longest_prefix_rules_and_the_empty_one_catches_the_rest() -> None:
    table = PrefixMap({"": "world", "56": "Chile", "569": "mobile"})
    assert [table.get(n) for n in ("56912345678", "56212345678", "44740012345", "5")] == [
        "mobile",
        "Chile",
        "world",
        "world",
    ]


def test_number_without_a_prefix_in_the_table_is_not_found() -> None:
    assert PrefixMap({"569": 1}).get("56212345678") is None
    assert PrefixMap[int]({}).get("56212345678") is None


def test_value_that_is_false_is_found_all_the_same() -> None:
    assert PrefixMap({"": 1, "56": 0}).get("56212345678") == 0


@pytest.mark.parametrize("prefix", ["+56", "5 6", "٥٦", "CL"])
def test_prefix_that_is_not_digits_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="is not a prefix"):
        PrefixMap({prefix: 1})

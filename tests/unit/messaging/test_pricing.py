"""What a segment costs, and how money is read and shown."""

from __future__ import annotations

import pytest

from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError
from heliograph.messaging.pricing import MICROS, PriceList, exact, parse_money, show_balance


def test_longest_prefix_sets_the_price() -> None:
    prices = PriceList({"": MICROS, "56": 40_000, "569": 35_000, "1": 0})
    assert prices.price("56912345678") == 35_000
    assert prices.price("56212345678") == 40_000
    assert prices.price("447400123456") == MICROS
    assert prices.price("12025550123") == 0  # free is a price


def test_destination_without_a_price_is_refused_by_name() -> None:
    prices = PriceList({"56": 40_000})
    for _ in range(2):
        with pytest.raises(CallerError) as caught:
            prices.price("447400123456", pointer="/recipients/1")
        assert caught.value.kind is errors.NO_PRICE
        assert caught.value.pointer == "/recipients/1"
        assert "447400123456" in caught.value.detail


@pytest.mark.parametrize("prices", [{"56": -1}, {"+56": 1}, {"Chile": 1}])
def test_price_list_that_makes_no_sense_is_refused(prices: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="prefix"):
        PriceList(prices)


@pytest.mark.parametrize(
    ("text", "micros"),
    [("1", 1_000_000), ("0.035", 35_000), ("0.000001", 1), ("-12.50", -12_500_000), ("007", 7_000_000), ("-0", 0)],
)
def test_money_is_read_exactly(text: str, micros: int) -> None:
    assert parse_money(text) == micros


@pytest.mark.parametrize(
    "text",
    ["", "-", ".5", "1.", "1,5", "1e3", "+1", " 1", "1\n", "0.0000001", "١", "nan", "0x1", "1_0", "1" * 13, "--1"],
)
def test_amount_that_is_not_exact_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount") as caught:
        parse_money(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (457_000_000, "457.00"),
        (0, "0.00"),
        (9_999, "0.00"),
        (1_999_999, "1.99"),
        (-1, "-0.01"),
        (-10_000, "-0.01"),
        (-1_000_001, "-1.01"),
        (9_007_199_254_740_993_000_000, "9007199254740993.00"),
    ],
)
def test_balance_never_shows_more_than_there_is(micros: int, shown: str) -> None:
    assert show_balance(micros) == shown


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (1_000_000, "1"),
        (35_000, "0.035"),
        (0, "0"),
        (10_000_000, "10"),
        (1_500_000, "1.5"),
        (1, "0.000001"),
        (-500_000, "-0.5"),
    ],
)
def test_cost_is_as_short_as_it_is_exact(micros: int, shown: str) -> None:
    assert exact(micros) == shown

"""Money is exact: `decimal` is the judge."""

from __future__ import annotations

import json
from decimal import ROUND_FLOOR, Decimal

from hypothesis import given
from hypothesis import strategies as st

from heliograph.messaging.pricing import MICROS, exact, parse_money, show_balance

amounts = st.integers(-(10**18) + 1, 10**18 - 1) | st.integers(-2 * MICROS, 2 * MICROS)


@given(amounts)
def test_exact_amount_is_a_json_number_that_is_read_back_unchanged(micros: int) -> None:
    shown = exact(micros)
    assert parse_money(shown) == micros
    assert json.loads(shown, parse_float=Decimal, parse_int=Decimal) * MICROS == micros
    assert not (shown.endswith(("0", ".")) and "." in shown)


@given(amounts)
def test_balance_is_rounded_down_to_cents(micros: int) -> None:
    assert show_balance(micros) == str((Decimal(micros) / MICROS).quantize(Decimal("0.01"), ROUND_FLOOR))


@given(st.decimals(-(10**11), 10**11, places=6))
def test_decimal_amount_is_read_exactly(amount: Decimal) -> None:
    assert parse_money(f"{amount:f}") == amount * MICROS

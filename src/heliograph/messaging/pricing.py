"""Prices and money. Money is integer micro-units of the account's currency: 1_000_000 is 1.00."""

from __future__ import annotations

import re
from collections.abc import Mapping

from heliograph.messaging import errors
from heliograph.messaging.numbers import PrefixMap

MICROS = 1_000_000
"""Micro-units in one unit of currency."""

# Twelve digits before the point keep an amount, and any likely sum of them, within 64 bits.
_MONEY = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,6}))?")


class PriceList:
    """What a segment costs, by prefix of the recipient's number."""

    def __init__(self, prices: Mapping[str, int]) -> None:
        """`prices` maps a prefix in digits ("" for everywhere) to micro-units for each segment.

        Raises `ValueError` on a prefix that is not digits or a price below zero.
        """
        for prefix, micros in prices.items():
            if micros < 0:
                raise ValueError(f"the price for prefix {prefix!r} is {micros} micro-units; a price is zero or more")
        self._prices = PrefixMap(prices)

    def price(self, digits: str, *, pointer: str = "") -> int:
        """Micro-units for one segment to a number in E.164 digits; the longest prefix rules.

        Raises `CallerError(NO_PRICE)` with `pointer` when no prefix of the number has a price.
        """
        micros = self._prices.get(digits)
        if micros is None:
            detail = f"There is no price for {digits}; remove this recipient, or ask the operator for its destination."
            raise errors.CallerError(errors.NO_PRICE, detail, pointer=pointer)
        return micros


def parse_money(text: str) -> int:
    """Micro-units of a decimal number such as `0.035`, exactly.

    Raises `ValueError` unless it has 1 to 12 digits, then at most 6 decimals after a point; `-` may come first.
    """
    match = _MONEY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not an amount; write it like 12.5 or 0.035, with at most 6 decimals")
    sign, whole, decimals = match.groups(default="")
    micros = int(whole) * MICROS + int(decimals.ljust(6, "0"))
    return -micros if sign else micros


def show_balance(micros: int) -> str:
    """A balance with two decimals, like "457.00", rounded down: never more than there is, so -0.001 is "-0.01"."""
    cents = micros // (MICROS // 100)
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


def exact(micros: int) -> str:
    """An amount as a JSON number, as short as it is exact: "1", "0.035"."""
    whole, rest = divmod(abs(micros), MICROS)
    return f"{'-' if micros < 0 else ''}{whole}.{rest:06}".rstrip("0").rstrip(".")

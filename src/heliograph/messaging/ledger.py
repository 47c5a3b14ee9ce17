"""Money: which messages a balance covers, and what a posting is.

Everything is an integer of micro-units (10^-6 of the account's currency). A balance is the sum of its postings, always.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class PostingKind(IntEnum):
    """Why money moved."""

    TOPUP = 1  # by the operator, of either sign
    CHARGE = 2  # one per account and request, negative
    REFUND = 3  # one per message at most, positive


MAX_BALANCE_MICROS = 10**18  # of either sign; sums of it stay far inside 64 bits


def refusal(balance_micros: int, amount_micros: int, credit_limit_micros: int) -> str:
    """Why a top-up of `amount_micros` (of either sign) is not to be posted on a balance; "" when it is."""
    after = balance_micros + amount_micros
    if abs(after) > MAX_BALANCE_MICROS:
        return "the balance would be beyond the largest that there is, 1,000,000,000,000"
    if amount_micros < 0 and after < -credit_limit_micros:
        return "the balance would be negative, which only a credit limit allows"
    return ""


def cover(available_micros: int, prices_micros: Sequence[int]) -> tuple[list[bool], int]:
    """Decide which of the messages of a request are paid for, and what they cost together.

    `available_micros` is balance plus credit. Messages are tried in order; one that is not covered does not stop a
    later, cheaper one. Returns a flag per message and the total of the covered ones, which never exceeds what is
    available (unless that is negative: then nothing is covered but what is free).
    """
    total = sum(prices_micros)
    if total <= available_micros:
        return [True] * len(prices_micros), total
    covered: list[bool] = []
    spent = 0
    for price in prices_micros:
        paid = price == 0 or spent + price <= available_micros
        covered.append(paid)
        spent += price if paid else 0
    assert spent <= max(available_micros, 0), "a request spent more than it had"
    return covered, spent

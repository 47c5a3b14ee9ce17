"""Covering never overspends and leaves no message out that it could have paid for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heliograph.messaging.ledger import cover

money = st.integers(0, 10**12)
prices = st.lists(st.one_of(st.integers(0, 5), money), max_size=40)


@given(st.integers(-(10**12), 10**13), prices)
def test_covered_messages_never_cost_more_than_there_is(available: int, asked: list[int]) -> None:
    covered, cost = cover(available, asked)
    assert len(covered) == len(asked)
    assert cost == sum(price for price, paid in zip(asked, covered, strict=True) if paid)
    assert cost <= max(available, 0)


@given(st.integers(-50, 200), st.lists(st.integers(0, 50), max_size=40))
def test_each_message_in_its_turn_is_covered_exactly_if_what_is_left_suffices(available: int, asked: list[int]) -> None:
    covered, _ = cover(available, asked)
    left = available
    for price, paid in zip(asked, covered, strict=True):
        assert paid == (price == 0 or price <= left)
        left -= price if paid else 0


@given(st.integers(0, 200), st.lists(st.lists(st.integers(0, 50), max_size=8), max_size=8))
def test_requests_one_after_the_other_spend_what_one_long_request_would(
    available: int, requests: list[list[int]]
) -> None:
    whole, total = cover(available, [price for request in requests for price in request])
    flags: list[bool] = []
    spent = 0
    for request in requests:
        covered, cost = cover(available - spent, request)
        flags += covered
        spent += cost
    assert (flags, spent) == (whole, total)


@given(money, prices, st.integers(1, 10**12))
def test_more_money_never_pays_for_fewer_in_front(available: int, asked: list[int], more: int) -> None:
    """The first message that was not covered is the first to profit."""
    before, _ = cover(available, asked)
    after, _ = cover(available + more, asked)
    first = before.index(False) if False in before else len(before)
    assert after[:first] == before[:first]

"""Receipts of many parts, in every order in which they can come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heliograph.messaging.delivery import MEANING, ReceiptState, of_all_parts, replaces
from heliograph.messaging.submissions import Happening, Status, after

states = st.sampled_from(ReceiptState)
news = st.integers(1, 6).flatmap(
    lambda parts: st.tuples(st.just(parts), st.lists(st.tuples(st.integers(1, parts), states), max_size=30))
)


def play(parts: int, told: list[tuple[int, ReceiptState]]) -> tuple[list[ReceiptState | None], list[Status]]:
    """What a message goes through as its receipts come."""
    known: list[ReceiptState | None] = [None] * parts
    life = [Status.SENT]
    for part, state in told:
        if replaces(known[part - 1], state):
            known[part - 1] = state
        happening = of_all_parts(known, parts)
        later = after(life[-1], happening) if happening is not None else None
        if later is not None:
            life.append(later)
    return known, life


@given(news)
def test_message_changes_at_most_twice_and_only_unknown_is_replaced(
    told: tuple[int, list[tuple[int, ReceiptState]]],
) -> None:
    _, life = play(*told)
    assert len(life) <= 3
    assert all(status is Status.UNKNOWN for status in life[1:-1])


@given(news)
def test_delivered_means_that_every_part_was_reported_delivered(
    told: tuple[int, list[tuple[int, ReceiptState]]],
) -> None:
    parts, receipts = told
    _, life = play(parts, receipts)
    delivered = {part for part, state in receipts if state is ReceiptState.DELIVERED}
    if life[-1] is Status.DELIVERED:
        assert delivered == set(range(1, parts + 1))
    finals = {state for _, state in receipts if MEANING[state] is not None}
    if finals <= {ReceiptState.DELIVERED} and len(delivered) == parts:
        assert life[-1] is Status.DELIVERED


@given(news)
def test_any_failed_part_fails_the_message(told: tuple[int, list[tuple[int, ReceiptState]]]) -> None:
    known, life = play(*told)
    bad = {Happening.RECEIPT_REJECTED, Happening.RECEIPT_UNDELIVERED, Happening.RECEIPT_EXPIRED}
    failed = [state for state in known if state is not None and MEANING[state] in bad]
    if failed:
        assert life[-1] in {Status.REJECTED, Status.UNDELIVERED, Status.EXPIRED}

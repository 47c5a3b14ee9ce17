"""What receipts say, one by one and together."""

from __future__ import annotations

import itertools

import pytest

from heliograph.messaging.delivery import MEANING, ReceiptState, of_all_parts, replaces
from heliograph.messaging.submissions import Happening

D, X, U, R = ReceiptState.DELIVERED, ReceiptState.EXPIRED, ReceiptState.UNKNOWN, ReceiptState.REJECTED
N, E = ReceiptState.UNDELIVERABLE, ReceiptState.ENROUTE


def test_every_state_has_a_meaning_and_the_numbers_of_smpp() -> None:
    assert set(MEANING) == set(ReceiptState)
    assert {state.name: int(state) for state in ReceiptState} == {
        "SCHEDULED": 0,
        "ENROUTE": 1,
        "DELIVERED": 2,
        "EXPIRED": 3,
        "DELETED": 4,
        "UNDELIVERABLE": 5,
        "ACCEPTED": 6,
        "UNKNOWN": 7,
        "REJECTED": 8,
        "SKIPPED": 9,
    }
    assert {state for state, meaning in MEANING.items() if meaning is None} == {
        ReceiptState.SCHEDULED,
        ReceiptState.ENROUTE,
        ReceiptState.ACCEPTED,
    }


@pytest.mark.parametrize(
    ("states", "parts", "meaning"),
    [
        ([D], 1, Happening.RECEIPT_DELIVERED),
        ([E], 1, None),
        ([None], 1, None),
        ([], 2, None),
        ([D, D], 2, Happening.RECEIPT_DELIVERED),
        ([D], 2, None),  # the second is not even sent yet
        ([D, None], 2, None),
        ([D, E], 2, None),
        ([D, N], 2, Happening.RECEIPT_UNDELIVERED),
        ([N, None], 2, Happening.RECEIPT_UNDELIVERED),  # one failed part fails the message at once
        ([N], 3, Happening.RECEIPT_UNDELIVERED),
        ([X, D], 2, Happening.RECEIPT_EXPIRED),
        ([X, N], 2, Happening.RECEIPT_UNDELIVERED),
        ([N, R], 2, Happening.RECEIPT_REJECTED),
        ([U, D], 2, Happening.RECEIPT_UNKNOWN),
        ([U, None], 2, None),  # there is still something to come
        ([U, E], 2, None),
        ([U, U], 2, Happening.RECEIPT_UNKNOWN),
        ([U, R], 2, Happening.RECEIPT_REJECTED),
        ([ReceiptState.DELETED, D], 2, Happening.RECEIPT_UNDELIVERED),
        ([ReceiptState.SKIPPED, D], 2, Happening.RECEIPT_UNDELIVERED),
    ],
)
def test_parts_together(states: list[ReceiptState | None], parts: int, meaning: Happening | None) -> None:
    assert of_all_parts(states, parts) is meaning


def test_order_of_the_parts_does_not_matter() -> None:
    for states in itertools.combinations_with_replacement([None, *ReceiptState], 3):
        assert len({of_all_parts(order, 3) for order in itertools.permutations(states)}) == 1


def test_delivered_needs_every_part() -> None:
    for states in itertools.product([None, *ReceiptState], repeat=3):
        assert (of_all_parts(states, 3) is Happening.RECEIPT_DELIVERED) == (set(states) == {D})


def test_first_final_receipt_of_a_part_stays_but_for_unknown() -> None:
    finals = {state for state, meaning in MEANING.items() if meaning is not None}
    for known, told in itertools.product([None, *ReceiptState], ReceiptState):
        if known is None or known not in finals:
            assert replaces(known, told)
        elif known is U:
            assert replaces(known, told) == (told in finals)
        else:
            assert not replaces(known, told)

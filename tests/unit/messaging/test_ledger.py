"""Which messages a balance covers."""

from __future__ import annotations

import pytest

from heliograph.messaging.ledger import PostingKind, cover


@pytest.mark.parametrize(
    ("available", "prices", "covered", "cost"),
    [
        (3, [1, 1, 1, 1, 1], [True, True, True, False, False], 3),
        (3, [1, 1, 1], [True, True, True], 3),
        (3, [], [], 0),
        (0, [1], [False], 0),
        (0, [0, 1, 0], [True, False, True], 0),
        (-5, [1, 0], [False, True], 0),
        (-5, [0, 0], [True, True], 0),
        (10, [11, 10, 1], [False, True, False], 10),
        (10, [6, 5, 4, 3], [True, False, True, False], 10),
        (457_000_000, [1_000_000] * 457 + [1], [True] * 457 + [False], 457_000_000),
    ],
)
def test_messages_are_covered_in_order_and_a_dear_one_does_not_stop_a_cheaper_one(
    available: int, prices: list[int], covered: list[bool], cost: int
) -> None:
    assert cover(available, prices) == (covered, cost)


def test_kinds_of_postings_keep_their_stored_numbers() -> None:
    assert {kind.name: kind.value for kind in PostingKind} == {"TOPUP": 1, "CHARGE": 2, "REFUND": 3}

"""What a delivery receipt says, and what that means here.

The states are those of SMPP 3.4 §5.2.28 (`message_state`) and of the receipt's text (SMPP 3.4 appendix B); the table is
the whole meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from heliograph.messaging.submissions import Happening


class ReceiptState(IntEnum):
    """`message_state`, SMPP 3.4 §5.2.28; SCHEDULED and SKIPPED from SMPP 5.0 §4.7.15."""

    SCHEDULED = 0
    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5
    ACCEPTED = 6
    UNKNOWN = 7
    REJECTED = 8
    SKIPPED = 9


# None: not final. SMPP 5.0 calls ACCEPTED final; that some routes stop there is covered by the validity.
MEANING: dict[ReceiptState, Happening | None] = {
    ReceiptState.SCHEDULED: None,
    ReceiptState.ENROUTE: None,
    ReceiptState.ACCEPTED: None,
    ReceiptState.DELIVERED: Happening.RECEIPT_DELIVERED,
    ReceiptState.EXPIRED: Happening.RECEIPT_EXPIRED,
    ReceiptState.DELETED: Happening.RECEIPT_UNDELIVERED,
    ReceiptState.UNDELIVERABLE: Happening.RECEIPT_UNDELIVERED,
    ReceiptState.SKIPPED: Happening.RECEIPT_UNDELIVERED,
    ReceiptState.UNKNOWN: Happening.RECEIPT_UNKNOWN,
    ReceiptState.REJECTED: Happening.RECEIPT_REJECTED,
}


def replaces(known: ReceiptState | None, told: ReceiptState) -> bool:
    """Whether a part's receipt counts after an earlier one: the first final stays, but for UNKNOWN."""
    if known is None or MEANING[known] is None:
        return True
    return MEANING[known] is Happening.RECEIPT_UNKNOWN and MEANING[told] is not None


# The worst news of any part decides; DELIVERED needs every part.
_WORST_FIRST = (
    Happening.RECEIPT_REJECTED,
    Happening.RECEIPT_UNDELIVERED,
    Happening.RECEIPT_EXPIRED,
    Happening.RECEIPT_UNKNOWN,
)


def of_all_parts(states: Iterable[ReceiptState | None], parts: int) -> Happening | None:
    """What the receipts of a message's parts together say (None for a part without one), or None while that is open.

    One failed part fails the message at once; DELIVERED only when all `parts` parts are; UNKNOWN only when nothing is
    still to come.
    """
    meanings = [MEANING[state] if state is not None else None for state in states]
    for bad in _WORST_FIRST[:3]:
        if bad in meanings:
            return bad
    if len(meanings) < parts or None in meanings:
        return None
    return Happening.RECEIPT_UNKNOWN if Happening.RECEIPT_UNKNOWN in meanings else Happening.RECEIPT_DELIVERED

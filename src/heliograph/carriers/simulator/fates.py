"""What the simulator does with a message, by the last four digits of its recipient. `FATES` is all of it."""

from __future__ import annotations

from enum import Enum, auto

import msgspec

from heliograph.messaging.delivery import MEANING, ReceiptState
from heliograph.messaging.submissions import Happening, Status, after


class Manner(Enum):
    """How a submit is answered and reported."""

    PLAIN = auto()  # taken; the receipt follows
    LATE = auto()
    TWICE = auto()
    EARLY = auto()  # the receipt comes first, and the answer when the receipt would have come
    THROTTLED = auto()  # not taken the first time
    UNANSWERED = auto()


class Fate(msgspec.Struct, frozen=True):
    """What becomes of a message; of several parts, each has it. `receipt` None: none ever comes."""

    meaning: str
    receipt: ReceiptState | None = ReceiptState.DELIVERED
    manner: Manner = Manner.PLAIN

    @property
    def status(self) -> Status:
        """What the message's status is in the end."""
        happening = Happening.SILENT if self.receipt is None else MEANING[self.receipt]
        assert happening is not None, "a fate ends"
        return after(Status.SENT, happening) or Status.SENT


DELIVERED = Fate("Taken, then reported delivered, as every number that is not in this table.")
FATES: dict[str, Fate] = {
    "0000": DELIVERED,
    "0001": Fate("Taken, then reported undelivered.", ReceiptState.UNDELIVERABLE),
    "0002": Fate("Taken, then reported rejected.", ReceiptState.REJECTED),
    "0003": Fate("Taken, then reported expired.", ReceiptState.EXPIRED),
    "0004": Fate("Taken, then reported with the state unknown.", ReceiptState.UNKNOWN),
    "0005": Fate("Taken and never reported: SENT until 24 hours after the end of its validity.", None),
    "0006": Fate("Taken, then reported delivered late, by the carrier's late_ms.", manner=Manner.LATE),
    "0007": Fate("Taken, then reported delivered twice; the customer is told once.", manner=Manner.TWICE),
    "0008": Fate("Reported delivered before the carrier answers that it took it.", manner=Manner.EARLY),
    "0009": Fate("Throttled the first time, then taken and reported delivered.", manner=Manner.THROTTLED),
    "0010": Fate(
        "Sent up to three times and never answered: it may have arrived, so it stays paid.", None, Manner.UNANSWERED
    ),
}

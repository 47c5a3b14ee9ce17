"""What the suite needs of a carrier besides the interface: recipients with known fates, and what the other side saw."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from heliograph.carriers.interface import Carrier, Outcome, Receipt, Submit
from heliograph.carriers.simulator import Simulator
from heliograph.kit.clock import ManualClock
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.submissions import Request, Submission
from heliograph.messaging.text import Encoding, Text

WINDOW = 20


class Peer(Protocol):
    """A carrier under test and its far end."""

    recipients: dict[str, str]  # "delivered", "undelivered", "rejected", "unanswered" → a number of that fate
    receipts: dict[str, ReceiptState]  # by the same names; none for "unanswered"

    def carrier(self) -> Carrier:
        """A carrier, not started; later ones are for later lives of the process."""

    def seen(self) -> list[tuple[int, int]]:
        """Message and part of everything that reached the far end, in its order."""

    async def pass_time(self, seconds: float) -> None:
        """Let time pass on both sides."""


class SimulatorPeer:
    """`carriers.simulator`, whose far end is its log."""

    def __init__(self, folder: Path) -> None:
        self.recipients = {
            "delivered": "56912340000",
            "undelivered": "56912340001",
            "rejected": "56912340002",
            "unanswered": "56912340010",
        }
        self.receipts = {
            "delivered": ReceiptState.DELIVERED,
            "undelivered": ReceiptState.UNDELIVERABLE,
            "rejected": ReceiptState.REJECTED,
        }
        self.clock = ManualClock()
        self.log = folder / "simulator.log"

    def carrier(self) -> Carrier:
        self.clock.advance(1)
        return Simulator("simulator", self.log, self.clock, window=WINDOW, answer_ms=5, receipt_ms=200)

    def seen(self) -> list[tuple[int, int]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(int(line.split()[0]), int(line.split()[1])) for line in lines]

    async def pass_time(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / 0.05))):
            self.clock.advance(0.05)
            await asyncio.sleep(0)


PEERS: dict[str, Callable[[Path], Peer]] = {"simulator": SimulatorPeer}


class Ear:
    """Where a carrier reports: remembers everything, answers receipts as told."""

    def __init__(self) -> None:
        self.ended: list[Outcome] = []
        self.told: list[Receipt] = []
        self.stores = True
        self.on_outcome: Callable[[Outcome], None] = lambda outcome: None

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        assert outcomes, "a report of nothing"
        for outcome in outcomes:
            self.on_outcome(outcome)
        self.ended += outcomes

    def receipts(self, receipts: Sequence[Receipt], acknowledge: Callable[[bool], None]) -> None:
        assert receipts, "a report of nothing"
        self.told += receipts
        acknowledge(self.stores)

    def count(self) -> Counter[tuple[int, int]]:
        """How many outcomes each part has had."""
        return Counter((one.submit.submission.id, one.submit.part) for one in self.ended)

    def refs(self) -> dict[int, str]:
        """The carrier's id of each message that it took."""
        return {one.submit.submission.id: one.ref for one in self.ended if one.ref}


def submit_of(id_: int, recipient: str, part: int = 1, parts: int = 1) -> Submit:
    """A submit as the engine makes it."""
    request = Request(id_, 1, 1, "96000", Text("hello", Encoding.GSM7, parts), 1, 1 << 50)
    return Submit(Submission(id_, request, recipient, 1, 1, 0, 0, id_), part, "hello")

"""A carrier that needs no carrier: it takes every message and reports by the last four digits of the recipient.

It appends each submit to its log before it answers, so that a test can count what was "sent", and answers and reports
after small delays.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from heliograph.carriers.interface import CarrierEvents, Outcome, Receipt, Submit
from heliograph.kit.clock import Clock
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.retry import SubmitClass

_RECEIPT_AGAIN_SECONDS = 1.0


class Fate(msgspec.Struct, frozen=True):
    """What becomes of a message."""

    meaning: str
    receipt: ReceiptState | None = ReceiptState.DELIVERED
    answered: bool = True


DELIVERED = Fate("delivered")
FATES: dict[str, Fate] = {
    "0000": DELIVERED,
    "0001": Fate("taken, then reported undelivered", ReceiptState.UNDELIVERABLE),
    "0002": Fate("taken, then reported rejected", ReceiptState.REJECTED),
    "0010": Fate("sent and never answered: its outcome is unknown", None, answered=False),
}


class Simulator:
    """See the module; `answer_ms` and `receipt_ms` are the delays of the answer and, after it, of the receipt.

    A line of its log is the message's id as customers know it (by `publish`), the part, the recipient.
    """

    def __init__(
        self,
        name: str,
        log: Path,
        clock: Clock,
        *,
        window: int,
        answer_ms: int,
        receipt_ms: int,
        publish: Callable[[Sequence[int]], Sequence[int]] = list,
    ) -> None:
        self.name = name
        self.window = window
        self._clock = clock
        self._answer_seconds = answer_ms / 1000
        self._receipt_seconds = receipt_ms / 1000
        self._path = log
        self._publish = publish
        self._log = -1
        self._counter = 0
        self._run = ""
        self._stopped = True
        self._open: dict[int, Sequence[Submit]] = {}
        self._batches = 0

    async def start(self, events: CarrierEvents) -> None:
        """See `Carrier`."""
        self._events = events
        self._run = format(self._clock.now_utc_ms(), "x")
        self._log = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._stopped = False

    async def stop(self) -> None:
        """See `Carrier`; the simulator answers what is open, as it knows the answers."""
        for batch in list(self._open):
            self._answer(batch)
        self._stopped = True
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    def submit(self, submits: Sequence[Submit]) -> None:
        """See `Carrier`."""
        ids = self._publish([one.submission.id for one in submits])
        told = zip(ids, submits, strict=True)
        lines = "".join([f"{id_} {one.part} {one.submission.recipient}\n" for id_, one in told]).encode()
        try:
            if os.write(self._log, lines) < len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            detail = f"the simulator cannot write its log: {error.strerror}"
            refused = [Outcome(submit, SubmitClass.NOT_SENT, detail=detail) for submit in submits]
            self._clock.call_later(self._answer_seconds, lambda: self._events.outcomes(refused))
            return
        self._batches = batch = self._batches + 1
        self._open[batch] = submits
        self._clock.call_later(self._answer_seconds, lambda: self._answer(batch))

    def _answer(self, batch: int) -> None:
        outcomes: list[Outcome] = []
        receipts: list[Receipt] = []
        for submit in self._open.pop(batch, ()):
            digits = submit.submission.recipient[-4:]
            fate = FATES.get(digits, DELIVERED)
            if not fate.answered:
                outcomes.append(Outcome(submit, SubmitClass.UNKNOWN, detail="the simulator never answers this number"))
                continue
            self._counter += 1
            ref = f"{self._run}-{self._counter}-{digits}"
            outcomes.append(Outcome(submit, SubmitClass.TAKEN, ref))
            if fate.receipt is not None:
                receipts.append(Receipt(ref, fate.receipt))
        if outcomes:
            self._events.outcomes(outcomes)
        if receipts:
            self._clock.call_later(self._receipt_seconds, lambda: self._tell(receipts))

    def _tell(self, receipts: Sequence[Receipt]) -> None:
        if self._stopped:
            return

        def acknowledged(stored: bool) -> None:
            if not stored:
                self._clock.call_later(_RECEIPT_AGAIN_SECONDS, lambda: self._tell(receipts))

        self._events.receipts(receipts, acknowledged)

    def query(self, refs: Sequence[str]) -> Sequence[Receipt]:
        """See `Carrier`: an id of the simulator tells its message's fate, so that it need not remember any."""
        told = ((ref, FATES.get(ref[-4:], DELIVERED).receipt) for ref in refs)
        return [Receipt(ref, state) for ref, state in told if state is not None]

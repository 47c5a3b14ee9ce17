"""The simulator as a carrier.

It appends what it takes to its log before it answers, so that a test can count what was "sent", and answers and reports
after small delays. It remembers nothing over a restart: its ids tell what became of a part, and when.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from heliograph.carriers.interface import CarrierEvents, CarrierState, Outcome, Receipt, Submit
from heliograph.carriers.simulator.door import Door
from heliograph.carriers.simulator.fates import DELIVERED, FATES, Fate, Manner
from heliograph.kit.clock import Clock
from heliograph.messaging.retry import SubmitClass
from heliograph.messaging.text import Text, split

_RECEIPT_AGAIN_SECONDS = 1.0
_TWICE_MS = 50
_AT_ONCE = -1
_UNANSWERED, _EARLY = Manner.UNANSWERED, Manner.EARLY  # reading a member of the class costs 0.1 µs in Python 3.11
_THROTTLED_ENDS = tuple(digits for digits, fate in FATES.items() if fate.manner is Manner.THROTTLED)
# When a part was taken (hexadecimal milliseconds), a number of this life, the recipient's last four digits.
_REF = re.compile(r"([0-9a-f]{1,15})-[0-9]+-([0-9]{4})", re.ASCII)


class Simulator:
    """See the module; `answer_ms` is the delay of the answer, `receipt_ms` that of the receipt after it, and `late_ms`
    that of a late receipt.

    In `folder` it keeps `<name>.log`, where a line is a message's id as customers know it (by `publish`), the part, the
    recipient; and, while it is started, `<name>.socket`, its door for inbound messages.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        clock: Clock,
        *,
        window: int,
        answer_ms: int,
        receipt_ms: int,
        late_ms: int,
        publish: Callable[[Sequence[int]], Sequence[int]] = list,
    ) -> None:
        self.name = name
        self.window = window
        self._clock = clock
        self._answer_seconds = answer_ms / 1000
        self._receipt_seconds = receipt_ms / 1000
        self._plans = {digits: (fate, _delays_ms(fate, receipt_ms, late_ms)) for digits, fate in FATES.items()}
        self._plan = (DELIVERED, _delays_ms(DELIVERED, receipt_ms, late_ms))  # of all other numbers
        self._path = folder / f"{name}.log"
        self._publish = publish
        self._log = -1
        self._door = Door(folder / f"{name}.socket")
        self._counter = 0
        self._started_utc_ms = 0
        self._stopped = True
        self._answers: dict[int, Callable[[], None]] = {}  # those that are still to be given
        self._promised = 0
        # What is throttled goes back to the head of the engine's queue, so the next window brings all of it again, and
        # none is forgotten before it was taken.
        self._throttled: dict[int, None] = {}

    @property
    def open(self) -> bool:
        """See `Carrier`."""
        return not self._stopped

    async def start(self, events: CarrierEvents) -> None:
        """See `Carrier`."""
        self._events = events
        self._started_utc_ms = self._clock.now_utc_ms()
        self._log = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            await self._door.open(events)
        except BaseException:
            self._close_log()
            raise
        self._stopped = False
        events.changed(CarrierState.UP, "a simulator: nothing is sent")

    async def stop(self) -> None:
        """See `Carrier`; the simulator answers what is open, as it knows the answers."""
        await self._door.close()
        while self._answers:
            self._answer(next(iter(self._answers)))
        self._close_log()
        if not self._stopped:
            self._stopped = True
            self._events.changed(CarrierState.STOPPED, "")

    def _close_log(self) -> None:
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    def bodies(self, text: Text) -> Sequence[str]:
        """See `Carrier`."""
        return split(text)

    def submit(self, submits: Sequence[Submit]) -> None:
        """See `Carrier`."""
        known, ends = self._throttled, _THROTTLED_ENDS
        throttled = [
            one for one in submits if one.submission.recipient.endswith(ends) and one.submission.id not in known
        ]
        if throttled:
            ids = {one.submission.id for one in throttled}
            submits = [one for one in submits if one.submission.id not in ids]
            self._promise(self._answer_seconds, lambda: self._throttle(throttled))
        if submits:
            self._send(submits)

    def _send(self, submits: Sequence[Submit]) -> None:
        """Write the log, and promise the answers."""
        ids = self._publish([one.submission.id for one in submits])
        told = zip(ids, submits, strict=True)
        lines = "".join([f"{id_} {one.part} {one.submission.recipient}\n" for id_, one in told]).encode()
        try:
            if (written := os.write(self._log, lines)) < len(lines):
                os.ftruncate(self._log, os.fstat(self._log).st_size - written)  # what is in the log counts as sent
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            detail = f"the simulator cannot write its log: {error.strerror}"
            refused = [Outcome(submit, SubmitClass.NOT_SENT, detail=detail) for submit in submits]
            self._promise(self._answer_seconds, lambda: self._events.outcomes(refused))
            return
        self._promise(self._answer_seconds, lambda: self._take(submits))

    # -- answers

    def _promise(self, seconds: float, give: Callable[[], None]) -> None:
        """Give an answer after so many seconds, or when the carrier stops."""
        self._promised = promise = self._promised + 1
        self._answers[promise] = give
        self._clock.call_later(seconds, lambda: self._answer(promise))

    def _answer(self, promise: int) -> None:
        give = self._answers.pop(promise, None)
        if give is not None:
            give()

    def _throttle(self, submits: Sequence[Submit]) -> None:
        """All parts that came before this answer are refused, so that they come again in order."""
        self._throttled.update(dict.fromkeys(one.submission.id for one in submits))
        while len(self._throttled) > 2 * self.window:
            del self._throttled[next(iter(self._throttled))]
        detail = "the simulator throttles each message to this number once"
        self._events.outcomes([Outcome(submit, SubmitClass.THROTTLED, detail=detail) for submit in submits])

    def _take(self, submits: Sequence[Submit]) -> None:
        now = format(self._clock.now_utc_ms(), "x")
        outcomes: list[Outcome] = []
        awaited: list[Outcome] = []  # whose receipts go before them
        receipts: dict[int, list[Receipt]] = {}
        for submit in submits:
            digits = submit.submission.recipient[-4:]
            fate, delays_ms = self._plans.get(digits, self._plan)
            if fate.manner is _UNANSWERED:
                outcomes.append(Outcome(submit, SubmitClass.UNKNOWN, detail="the simulator never answers this number"))
                continue
            self._counter += 1
            ref = f"{now}-{self._counter}-{digits}"
            (awaited if fate.manner is _EARLY else outcomes).append(Outcome(submit, SubmitClass.TAKEN, ref))
            if fate.receipt is not None:
                for delay_ms in delays_ms:
                    receipts.setdefault(delay_ms, []).append(Receipt(ref, fate.receipt))
        if awaited:
            self._tell(receipts.pop(_AT_ONCE))
            self._promise(self._receipt_seconds, lambda: self._events.outcomes(awaited))
        if outcomes:
            self._events.outcomes(outcomes)
        for delay_ms, batch in receipts.items():
            self._tell_later(delay_ms, batch)

    # -- receipts

    def _tell_later(self, delay_ms: int, receipts: Sequence[Receipt]) -> None:
        self._clock.call_later(delay_ms / 1000, lambda: self._tell(receipts))

    def _tell(self, receipts: Sequence[Receipt]) -> None:
        if self._stopped:
            return

        def acknowledged(stored: bool) -> None:
            if not stored:
                self._clock.call_later(_RECEIPT_AGAIN_SECONDS, lambda: self._tell(receipts))

        self._events.receipts(receipts, acknowledged)

    def query(self, refs: Sequence[str], senders: Sequence[str] = ()) -> None:
        """See `Carrier`. What an earlier life was yet to tell is told when it is due, as if it had not ended."""
        now = self._clock.now_utc_ms()
        due: list[Receipt] = []
        later: dict[int, list[Receipt]] = {}
        for ref in refs:
            match = _REF.fullmatch(ref)
            if match is None:
                continue  # another carrier's, which had this name
            taken_utc_ms = int(match[1], 16)
            fate, delays_ms = self._plans.get(match[2], self._plan)
            if fate.receipt is None:
                continue
            due_utc_ms = taken_utc_ms + delays_ms[0]
            if due_utc_ms <= now:
                due.append(Receipt(ref, fate.receipt))
            elif taken_utc_ms < self._started_utc_ms:
                later.setdefault(due_utc_ms - now, []).append(Receipt(ref, fate.receipt))
        for delay_ms, batch in later.items():
            self._tell_later(delay_ms, batch)
        if due:
            self._tell(due)


def _delays_ms(fate: Fate, receipt_ms: int, late_ms: int) -> tuple[int, ...]:
    """How long after its answer each receipt of a part comes; `_AT_ONCE` for before it."""
    match fate.manner:
        case Manner.LATE:
            return (late_ms,)
        case Manner.TWICE:
            return (receipt_ms, receipt_ms + _TWICE_MS)
        case Manner.EARLY:
            return (_AT_ONCE,)
        case _:
            return (receipt_ms,)

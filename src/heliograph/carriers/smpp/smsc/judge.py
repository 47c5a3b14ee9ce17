"""What an account's submits meet with: a refusal, or one of the simulator's fates."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from heliograph.carriers.simulator.fates import DELIVERED, FATES, Fate, Manner
from heliograph.carriers.smpp.pdu import Status, SubmitSm, payload
from heliograph.carriers.smpp.smsc.options import SmscOptions

_REMEMBERED = 20_000  # parts that were throttled once and have not come again
_BURST_SECONDS = 0.1


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """`status` 0: it is taken, and `fate` becomes of it."""

    status: int = 0
    fate: Fate = DELIVERED


_TAKEN = Verdict()
_FATES = {digits: Verdict(fate=fate) for digits, fate in FATES.items()}
_THROTTLED = Verdict(int(Status.ESME_RTHROTTLED))


class Judge:
    """By the options, in this order: too many a second, a status on demand, a fate."""

    def __init__(self, options: SmscOptions) -> None:
        self._statuses = {digits: Verdict(status) for digits, status in options.statuses.items()}
        self._lengths = sorted({len(digits) for digits in self._statuses}, reverse=True)  # the longest decides
        self._fates = _FATES if options.fates else {}
        self._rate = options.throughput
        self._most = max(1.0, options.throughput * _BURST_SECONDS)
        self._allowed = self._most
        self._at = time.monotonic()
        self._throttled: dict[tuple[str, bytes], None] = {}

    @property
    def lenient(self) -> bool:
        """Whether everything is taken and delivered."""
        return not (self._statuses or self._fates or self._rate)

    def verdicts(self, submits: Sequence[SubmitSm]) -> list[Verdict]:
        """One for each."""
        if self._rate:
            now = time.monotonic()
            self._allowed = min(self._most, self._allowed + (now - self._at) * self._rate)
            self._at = now
        return [self._verdict(submit) for submit in submits]

    def _verdict(self, submit: SubmitSm) -> Verdict:
        if self._rate:
            if self._allowed < 1:
                return _THROTTLED
            self._allowed -= 1
        destination = submit.destination
        for length in self._lengths:
            if (found := self._statuses.get(destination[-length:])) is not None:
                return found
        verdict = self._fates.get(destination[-4:], _TAKEN)
        return self._first_throttled(submit, verdict) if verdict.fate.manner is Manner.THROTTLED else verdict

    def _first_throttled(self, submit: SubmitSm, verdict: Verdict) -> Verdict:
        """Refused the first time; the parts of a message are told apart by what they say."""
        throttled, key = self._throttled, (submit.destination, payload(submit))
        if key in throttled:
            del throttled[key]
            return verdict
        throttled[key] = None
        if len(throttled) > _REMEMBERED:
            throttled.clear()
        return _THROTTLED

"""How often: a sliding log of sixty seconds, so that in any sixty seconds no more than the limit is admitted.

What is refused does not count, so a caller that keeps knocking is let in as soon as one that keeps waiting.
"""

from __future__ import annotations

from collections import deque

import msgspec

WINDOW_MS = 60_000


class Standing(msgspec.Struct, frozen=True):
    """Where a caller stands after an attempt. `reset_seconds` is when one more than `remaining` will be admitted, at
    least 1, or 0 when nothing counts against the limit; `reset_utc_ms` is that moment.
    """

    admitted: bool
    limit: int
    remaining: int
    reset_seconds: int
    reset_utc_ms: int


class SlidingLog:
    """The times (UTC ms) of what was admitted in the last sixty seconds, oldest first."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[int] = deque()

    def admit(self, now_utc_ms: int, limit: int) -> Standing:
        """Admit one at this moment, or not, under a limit of at least 1 per sixty seconds."""
        self._forget(now_utc_ms)
        admitted = len(self._times) < limit
        if admitted:
            self.note(now_utc_ms)
        return self._standing(now_utc_ms, limit, admitted=admitted)

    def note(self, now_utc_ms: int) -> None:
        """Count one that was admitted elsewhere."""
        self._forget(now_utc_ms)
        self._times.append(now_utc_ms)

    def count(self, now_utc_ms: int) -> int:
        """How many of the last sixty seconds there are."""
        self._forget(now_utc_ms)
        return len(self._times)

    def standing(self, now_utc_ms: int, limit: int) -> Standing:
        """Where a caller stands, without an attempt; `admitted` tells whether one would be."""
        count = self.count(now_utc_ms)
        return self._standing(now_utc_ms, limit, admitted=count < limit)

    def _forget(self, now_utc_ms: int) -> None:
        times = self._times
        if times and now_utc_ms < times[-1]:
            # The clock was set back: as if no time had passed, which neither forgets early nor locks anybody out.
            back = times[-1] - now_utc_ms
            times = self._times = deque(time - back for time in times)
        while times and times[0] < now_utc_ms - WINDOW_MS:  # one that is sixty seconds old still counts
            times.popleft()

    def _standing(self, now_utc_ms: int, limit: int, *, admitted: bool) -> Standing:
        times = self._times
        remaining = max(0, limit - len(times))
        if not times:
            return Standing(admitted, limit, remaining, 0, now_utc_ms)
        # A limit that was lowered leaves more in the log than it allows: the one whose end makes room decides.
        reset_utc_ms = times[max(0, len(times) - limit)] + WINDOW_MS + 1
        return Standing(admitted, limit, remaining, max(1, -(-(reset_utc_ms - now_utc_ms) // 1000)), reset_utc_ms)

"""A limit on how many messages go out a second: a token bucket (no I/O; the time is an argument)."""

from __future__ import annotations

_BURST_SECONDS = 0.05  # what may go at once after a pause, and how often a limited carrier is woken


class Throughput:
    """Grants at most `rate` a second; 0 for as many as one likes. A burst is what is granted in 50 ms, at least one."""

    def __init__(self, rate: float, now_utc_ms: int) -> None:
        self._rate = rate
        self._burst = max(1.0, rate * _BURST_SECONDS)
        self._tokens = self._burst
        self._since_utc_ms = now_utc_ms

    def granted(self, wanted: int, now_utc_ms: int) -> int:
        """How many of those wanted may go now."""
        if not self._rate:
            return wanted
        elapsed = max(0, now_utc_ms - self._since_utc_ms) / 1000  # the clock may be set back
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        self._since_utc_ms = now_utc_ms
        return min(wanted, int(self._tokens + 1e-9))

    def spend(self, count: int) -> None:
        """So many went."""
        if self._rate:
            self._tokens -= count

    def wait_seconds(self, wanted: int) -> float:
        """How long until as many as wanted may go, or a whole burst."""
        if not self._rate:
            return 0.0
        missing = min(float(wanted), self._burst) - self._tokens
        return max(0.001, missing / self._rate)

"""Doing things a fixed time later, many a second."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

# uvloop's timers have steps of a millisecond: what is due within half of one is due.
_STEP_SECONDS = 0.0005


class Later(Generic[T]):
    """Hands each item to `give` so many seconds after it was put: at once for none. The delay is the same for all, so
    they fall due in the order in which they came, and one timer is enough.
    """

    def __init__(self, seconds: float, give: Callable[[T], None]) -> None:
        self._seconds = seconds
        self._give = give
        self._waiting: deque[tuple[float, T]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, item: T, since: float | None = None) -> None:
        """Hand it over when its time has come, counted from `since` (monotonic seconds, never earlier than that of the
        item before), else from now.
        """
        if not self._seconds:
            self._give(item)
            return
        now = time.monotonic()
        due = (now if since is None else since) + self._seconds
        self._waiting.append((due, item))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - now), self._due)

    def hurry(self) -> None:
        """Hand over all of it now."""
        self.cancel()
        waiting, self._waiting = self._waiting, deque()
        for _, item in waiting:
            self._give(item)

    def cancel(self) -> None:
        """Hand over nothing more by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        waiting = self._waiting
        now = time.monotonic() + _STEP_SECONDS
        while waiting and waiting[0][0] <= now:
            self._give(waiting.popleft()[1])
        self._timer = None
        if waiting:
            left = max(0.0, waiting[0][0] - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(left, self._due)

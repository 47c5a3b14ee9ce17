"""The journal of refused requests, so that `heliograph explain` can tell what happened to one.

It holds what the caller saw and no more: never a text, a token or a secret. As a caller may have put any of them in the
place of any field, nothing that an answer quotes is kept. Writing happens behind the hot path, and only so much of it:
an attack of refused requests must not fill the disk, nor push out what customers ask about.
"""

from __future__ import annotations

import logging
import re
from typing import Final

from heliograph.kit.clock import Clock
from heliograph.messaging.errors import OurFault
from heliograph.store.interface import Failure, Store, StoreError, StoreFailures

KEPT_PER_SECOND: Final = 200
ONES_PER_SECOND: Final = 100  # of those, the requests of one account, or those of which nobody knows whose they are
WRITE_SECONDS: Final = 0.25
_WAITING: Final = 1_000  # for a store that takes nothing
_COMPLAIN_MS: Final = 60_000
_DETAIL_LENGTH: Final = 1_000
_METHOD_LENGTH: Final = 20
# Answers quote as `repr` and JSON do. The apostrophe of a word opens no quotation.
_QUOTED: Final = re.compile(r"\"(?:[^\"\\]|\\.)*\"|(?<!\w)'(?:[^'\\]|\\.)*'", re.DOTALL)
_log = logging.getLogger(__name__)


class Journal:
    """The journal service. Runs on the event loop; `lost` counts what was not kept."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: list[Failure] = []
        self._second = 0
        self._kept = 0  # in this second
        self._kept_of: dict[str, int] = {}
        self.lost = 0
        self._told = 0
        self._complain_from_utc_ms = 0

    def add(self, request_id: str, account: str, method: str, route: str, status: int, code: str, detail: str) -> None:
        """Keep a request that is refused now. `account` is "-" when nobody knows whose it is; `route` is the template,
        never the path.
        """
        now = self._clock.now_utc_ms()
        if not self._admits(now, account):
            self.lost += 1
            return
        detail = _QUOTED.sub("…", detail)[:_DETAIL_LENGTH].encode(errors="backslashreplace").decode()
        self._waiting.append(Failure(request_id, now, account, method[:_METHOD_LENGTH], route, status, code, detail))

    def _admits(self, now_utc_ms: int, account: str) -> bool:
        second = now_utc_ms // 1000
        if second != self._second:
            self._second, self._kept, self._kept_of = second, 0, {}
        of_account = self._kept_of.get(account, 0)
        if self._kept >= KEPT_PER_SECOND or of_account >= ONES_PER_SECOND or len(self._waiting) >= _WAITING:
            return False
        self._kept += 1
        self._kept_of[account] = of_account + 1
        return True

    async def follow(self) -> None:
        """Write what is added, for ever."""
        while True:
            await self._clock.sleep(WRITE_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits. What the store does not take is lost, as a request that cannot be stored should not wait
        for one that was refused.
        """
        waiting, self._waiting = self._waiting, []
        if waiting:
            try:
                await self._store.apply(StoreFailures(waiting))
            except (StoreError, OurFault):
                self.lost += len(waiting)
        now = self._clock.now_utc_ms()
        if self.lost > self._told and now >= self._complain_from_utc_ms:
            _log.warning(
                "%d refused requests were not kept: `heliograph explain` cannot tell of them", self.lost - self._told
            )
            self._told, self._complain_from_utc_ms = self.lost, now + _COMPLAIN_MS

"""Numbers for messages: consecutive inside, leased from the store in blocks, permuted for the outside."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from heliograph.kit.ids import PublicIds
from heliograph.messaging import errors
from heliograph.store.interface import LeaseIds, Store

BLOCK = 1 << 18
_PUBLISHED_AT_ONCE = 1 << 9
_log = logging.getLogger(__name__)


class MessageIds:
    """The ids of this run. Leases the next block when half of this one is used, so that nobody waits for it."""

    def __init__(self, store: Store, ids: PublicIds, block: int = BLOCK) -> None:
        self._store = store
        self._ids = ids
        self._block = block
        self._next = 0
        self._end = 0
        self._reserve: tuple[int, int] | None = None
        self._leasing = False
        self._public: list[int] = []
        self._public_from = 0

    async def start(self) -> None:
        """Lease the first block."""
        self._next = await self._store.apply(LeaseIds(self._block))
        self._end = self._next + self._block

    @property
    def left(self) -> int:
        """Ids that need no further lease."""
        reserved = self._reserve[1] - self._reserve[0] if self._reserve is not None else 0
        return self._end - self._next + reserved

    def take(self, count: int) -> tuple[int, Sequence[int]]:
        """The next `count` internal ids, as the first of them, and their public forms."""
        first = self.number(count)
        offset = first - self._public_from
        if offset < 0 or offset + count > len(self._public):
            self._public = self._ids.publish(first, min(max(count, _PUBLISHED_AT_ONCE), self._end - first))
            self._public_from, offset = first, 0
        return first, self._public[offset : offset + count]

    def number(self, count: int = 1) -> int:
        """The next `count` internal ids, as the first of them. Raises `OurFault` when the store has not leased any."""
        assert count <= self._block, "more ids at once than a block has"
        if self._next + count > self._end:
            if self._reserve is None:
                self._lease()
                raise errors.OurFault(
                    errors.OVERLOADED, "No message ids are left until the store leases more; try again in a second."
                )
            self._next, self._end = self._reserve
            self._reserve = None
        first = self._next
        self._next += count
        if self._end - self._next < self._block // 2 and self._reserve is None:
            self._lease()
        return first

    def _lease(self) -> None:
        if self._leasing:
            return
        self._leasing = True
        self._store.submit(LeaseIds(self._block), self._leased, 0)

    def _leased(self, first: Any) -> None:
        self._leasing = False
        if isinstance(first, int):
            self._reserve = (first, first + self._block)
        else:
            _log.error("no message ids could be leased: %s", first)

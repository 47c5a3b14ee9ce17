"""What is done behind the hot path, in batches: listing messages for their accounts."""

from __future__ import annotations

import logging

from heliograph.kit.clock import Clock
from heliograph.messaging.errors import OurFault
from heliograph.store.interface import ListMessages, Store, StoreError

LIST_SECONDS = 1.0
LIST_AT_ONCE = 1_000
_log = logging.getLogger(__name__)


class Upkeep:
    """The upkeep service."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def follow(self) -> None:
        """Keep up, for ever."""
        while True:
            await self._clock.sleep(LIST_SECONDS)
            try:
                while await self._store.apply(ListMessages(LIST_AT_ONCE)):
                    pass
            except (StoreError, OurFault) as error:
                _log.warning("messages could not be listed: %s", error)

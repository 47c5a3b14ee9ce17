"""What is done behind the hot path, in batches: listing messages for their accounts, forgetting old answers."""

from __future__ import annotations

import logging

from heliograph.kit.clock import Clock
from heliograph.messaging.errors import OurFault
from heliograph.store.interface import (
    FAILURES_KEPT,
    FAILURES_KEPT_EACH,
    FAILURES_MS,
    ONCE_MS,
    STRAYS_KEPT,
    STRAYS_MS,
    ForgetAnswers,
    ForgetFailures,
    ForgetStrays,
    ListMessages,
    Store,
    StoreError,
)

LIST_SECONDS = 1.0
LIST_AT_ONCE = 1_000
FORGET_SECONDS = 60.0
FORGET_AT_ONCE = 1_000
_log = logging.getLogger(__name__)


class Upkeep:
    """The upkeep service."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._forget_from_utc_ms = 0

    async def follow(self) -> None:
        """Keep up, for ever."""
        while True:
            await self._clock.sleep(LIST_SECONDS)
            try:
                while await self._store.apply(ListMessages(LIST_AT_ONCE)):
                    pass
                await self._forget()
            except (StoreError, OurFault) as error:
                _log.warning("messages could not be listed, or what is old forgotten: %s", error)

    async def _forget(self) -> None:
        """About once a minute, the answers to requests with an Idempotency-Key that are too old to be given again,
        the requests refused long ago, and old receipts without a message.
        """
        now = self._clock.now_utc_ms()
        if now < self._forget_from_utc_ms:
            return
        for forget in (
            ForgetAnswers(now - ONCE_MS, FORGET_AT_ONCE),
            ForgetFailures(now - FAILURES_MS, FAILURES_KEPT, FAILURES_KEPT_EACH, FORGET_AT_ONCE),
            ForgetStrays(now - STRAYS_MS, STRAYS_KEPT, FORGET_AT_ONCE),
        ):
            while await self._store.apply(forget) == FORGET_AT_ONCE:
                pass
        self._forget_from_utc_ms = now + round(FORGET_SECONDS * 1000)

"""Receipts that do not come: carriers that can be asked are asked what became of the parts, a page a minute."""

from __future__ import annotations

from heliograph.carriers.interface import Carrier
from heliograph.kit.clock import Clock
from heliograph.store import interface as it

ASK_SECONDS = 60.0
ASK_AT_ONCE = 500  # messages


class _Watched:
    __slots__ = ("after_id", "after_ms", "carrier")

    def __init__(self, carrier: Carrier, after_ms: int) -> None:
        self.carrier = carrier
        self.after_ms = after_ms
        self.after_id = 0


class OverdueReceipts:
    """All carriers that are to be asked."""

    def __init__(self, store: it.Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._watched: dict[int, _Watched] = {}
        self._ask_from_utc_ms = 0

    def watch(self, carrier_id: int, carrier: Carrier, after_seconds: float) -> None:
        """Ask this carrier for receipts that have not come so long after the answer."""
        self._watched[carrier_id] = _Watched(carrier, round(after_seconds * 1000))

    def forget(self, carrier_id: int) -> None:
        """Ask this carrier no more."""
        self._watched.pop(carrier_id, None)

    async def ask(self) -> None:
        """Once a minute, ask each for the next that are overdue. Raises `StoreError`."""
        now = self._clock.now_utc_ms()
        if not self._watched or now < self._ask_from_utc_ms:
            return
        self._ask_from_utc_ms = now + round(ASK_SECONDS * 1000)
        for carrier_id, watched in list(self._watched.items()):
            if watched.carrier.open:
                await self._ask_next(carrier_id, watched, now)

    async def _ask_next(self, carrier_id: int, watched: _Watched, now_utc_ms: int) -> None:
        """From where the last page ended. Messages are sent about in the order of their ids: behind a page of which
        none is overdue there is nothing to look for.
        """
        after_id = watched.after_id
        page = await self._store.read(lambda reads: reads.awaiting_receipt(carrier_id, after_id, ASK_AT_ONCE))
        overdue = [one for one in page if one.sent_utc_ms and one.sent_utc_ms + watched.after_ms <= now_utc_ms]
        watched.after_id = max(one.message_id for one in page) if overdue else 0
        if overdue:
            watched.carrier.query([one.ref for one in overdue], [one.sender for one in overdue])

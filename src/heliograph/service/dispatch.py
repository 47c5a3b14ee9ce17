"""Handing messages to carriers: all lanes, the backlog in the store, and the retries that fall due.

How one carrier is handed its messages, and why a crash leaves at most a window in doubt, is in `lane.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from heliograph.carriers.interface import Carrier
from heliograph.kit.clock import Clock
from heliograph.messaging import errors
from heliograph.messaging.retry import DoubtPolicy
from heliograph.messaging.submissions import Draft, Happening
from heliograph.service import lane as lanes
from heliograph.service.lane import Lane
from heliograph.service.receive import Receive
from heliograph.service.sequence import MessageIds
from heliograph.store import interface as it

POLL_SECONDS = 1.0
_DUE_AT_ONCE = 500
_log = logging.getLogger(__name__)


class Dispatch:
    """All lanes. Takes part in every group commit."""

    def __init__(self, store: it.Store, ids: MessageIds, receive: Receive, clock: Clock) -> None:
        self._store = store
        self._ids = ids
        self._receive = receive
        self._clock = clock
        self.lanes: dict[int, Lane] = {}
        self._claims: dict[int, asyncio.Task[None]] = {}
        store.add_hook(self)
        store.add_hook(receive)  # after this: what a carrier took is stored before what it tells of it

    async def add(self, carrier: Carrier, *, doubt: DoubtPolicy, max_waiting: int) -> None:
        """Open a lane: recover what the last process left, then start the carrier."""
        carrier_id = await self._store.apply(it.RegisterCarrier(carrier.name))
        lane = Lane(
            carrier_id,
            carrier,
            self._receive,
            self._clock,
            self._store.request_commit,
            doubt=doubt,
            max_waiting=max_waiting,
        )
        state = await self._store.read(lambda reads: reads.lane(carrier_id))
        ids = _in_doubt(state)
        if ids and doubt is DoubtPolicy.HOLD:
            now = self._clock.now_utc_ms()
            detail = "the server stopped before the carrier's answer was stored"
            held = [it.Ending(id_, Happening.LEFT_IN_DOUBT, now, detail=detail) for id_ in ids]
            await self._store.apply(it.Finish(held, self._receive.report))
        elif ids:
            await self._store.apply(it.Resend(ids, self._clock.now_utc_ms()))
        if ids:
            state = await self._store.read(lambda reads: reads.lane(carrier_id))
            _log.warning("%s: %d messages were in doubt after the last stop (%s)", carrier.name, len(ids), doubt.value)
        lane.recover(state)
        await carrier.start(lane)
        self.lanes[carrier_id] = lane  # from here on group commits make it hand over
        lane.pump()
        await self._receive.recover(carrier_id, carrier, lane)
        self._claim_where_wanted()
        self._store.request_commit()

    def routes(self) -> dict[str, int]:
        """The carriers' internal ids by name."""
        return {lane.carrier.name: carrier_id for carrier_id, lane in self.lanes.items()}

    def admit(self, drafts: Sequence[Draft]) -> list[bool] | None:
        """Which of these there is room for in their carriers' backlogs; None for all of them."""
        count = len(drafts)
        if all(lane.waiting + count <= lane.max_waiting for lane in self.lanes.values()):
            return None
        room = {carrier_id: lane.max_waiting - lane.waiting for carrier_id, lane in self.lanes.items()}
        admitted = []
        for one in drafts:
            room[one.carrier_id] -= 1
            admitted.append(room[one.carrier_id] >= 0)
        return admitted

    # -- CommitHook

    def before_commit(self, ops: Sequence[it.Op[Any]]) -> list[it.Op[Any]]:
        """See `CommitHook`."""
        for op in ops:
            if type(op) is it.Accept or type(op) is it.Requeue:
                for submission in op.submissions:
                    self.lanes[submission.carrier_id].enters(submission)
        return [planned for lane in self.lanes.values() for planned in lane.plan()]

    def after_commit(self, ops: Sequence[it.Op[Any]], results: Sequence[Any]) -> None:
        """See `CommitHook`."""
        refused: list[int] = []
        for op, result in zip(ops, results, strict=True):
            if type(op) is it.Accept or type(op) is it.Requeue:
                for submission, kept in zip(op.submissions, result, strict=True):
                    if kept:
                        self.lanes[submission.carrier_id].stored(submission)
                    else:
                        refused.append(submission.id)
        not_stored = frozenset(refused)
        for lane in self.lanes.values():
            lane.committed(not_stored)
        self._claim_where_wanted()

    def commit_failed(self, ops: Sequence[it.Op[Any]], error: it.StoreError) -> None:
        """See `CommitHook`."""
        for lane in self.lanes.values():
            lane.commit_failed()

    # -- the backlog in the store

    def _claim_where_wanted(self) -> None:
        for carrier_id, lane in self.lanes.items():
            if lane.wants_claim() and carrier_id not in self._claims:
                self._claims[carrier_id] = asyncio.get_running_loop().create_task(self._claim(lane))

    async def _claim(self, lane: Lane) -> None:
        """Fetch what waits in the store into the queue, until that is full or nothing waits."""
        try:
            while lane.wants_claim():
                after, last_stored = lane.claim_from()
                found = await self._store.read(lambda reads: reads.claim(lane.carrier_id, after, lanes.CLAIM_MESSAGES))  # noqa: B023
                lane.claimed(found, last_stored)
                self._store.request_commit()
        except it.StoreError as error:
            _log.warning("%s: waiting messages could not be read: %s", lane.carrier.name, error)
        finally:
            del self._claims[lane.carrier_id]

    async def follow(self) -> None:
        """Queue messages again when their time for another try has come, for ever."""
        while True:
            await self._clock.sleep(POLL_SECONDS)
            try:
                while await self._queue_due():
                    pass
                self._claim_where_wanted()
            except (it.StoreError, errors.OurFault) as error:
                _log.warning("messages that are due could not be queued: %s", error)

    async def _queue_due(self) -> bool:
        now = self._clock.now_utc_ms()
        due = await self._store.read(lambda reads: reads.due_retries(now, _DUE_AT_ONCE))
        due = [submission for submission in due if submission.carrier_id in self.lanes]
        if due:
            for submission in due:
                submission.number = self._ids.number()
            await self._store.apply(it.Requeue(due))
        return len(due) == _DUE_AT_ONCE

    async def stop(self) -> None:
        """Hand over nothing more and stop the carriers; what they had open is unknown."""
        for claim in self._claims.values():
            claim.cancel()
        for lane in self.lanes.values():
            lane.stop()
        await asyncio.gather(*(lane.carrier.stop() for lane in self.lanes.values()))
        self._store.request_commit()


def _in_doubt(state: it.LaneState) -> list[int]:
    """The messages with a part at or below the mark and not known to be taken; the last one's others may lie above."""
    mark = (state.number, state.part)
    return [
        one.id
        for one in state.in_doubt
        if any(part not in one.taken and (one.number, part) <= mark for part in range(1, one.request.text.segments + 1))
    ]

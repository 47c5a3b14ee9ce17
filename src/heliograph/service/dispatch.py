"""Handing messages to carriers: all lanes, the backlog in the store, and the retries that fall due.

How one carrier is handed its messages, and why a crash leaves at most a window in doubt, is in `lane.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import repeat
from typing import Any

from heliograph.carriers.interface import Carrier, CarrierState
from heliograph.kit.clock import Clock
from heliograph.messaging import errors
from heliograph.messaging.retry import DoubtPolicy
from heliograph.messaging.submissions import Draft, Happening, Submission
from heliograph.service import lane as lanes
from heliograph.service.lane import Lane
from heliograph.service.overdue import OverdueReceipts
from heliograph.service.receive import Receive
from heliograph.service.sequence import MessageIds
from heliograph.store import interface as it

POLL_SECONDS = 1.0
_DUE_AT_ONCE = 500
_LOOK_AT = 2_000  # open messages a carrier and poll, for those whose time is over
_END_AT_ONCE = 500
_DRAIN_POLL_SECONDS = 0.02
_log = logging.getLogger(__name__)


class Held:
    """A carrier that does not run: what is for it waits in the store, and is counted here."""

    __slots__ = ("max_waiting", "waiting")

    def __init__(self, max_waiting: int, waiting: int = 0) -> None:
        self.max_waiting = max_waiting
        self.waiting = waiting

    def enters(self, submission: Submission) -> bool:
        """See `Lane`."""
        return False

    def stored(self, submission: Submission) -> None:
        """See `Lane`."""
        self.waiting += 1

    def cancelled(self, message_id: int, number: int) -> None:
        """See `Lane`."""
        self.waiting -= 1


class Dispatch:
    """All lanes. Takes part in every group commit.

    `on_state` is called when a carrier stands otherwise; `after` gives the carrier to try when one cannot take a
    message, 0 for none. Both may be set at any time.
    """

    def __init__(
        self,
        store: it.Store,
        ids: MessageIds,
        receive: Receive,
        clock: Clock,
        intermediate: AbstractSet[int] = frozenset(),
        *,
        on_state: Callable[[int, CarrierState, str], None] = lambda carrier_id, state, detail: None,
        after: Callable[[int], int] = lambda carrier_id: 0,
    ) -> None:
        """`intermediate` holds the accounts that want to be told of SENT; it may change."""
        self._store = store
        self._ids = ids
        self._receive = receive
        self._clock = clock
        self.on_state = on_state
        self.after = after
        self.lanes: dict[int, Lane] = {}
        self._ways: dict[int, Lane | Held] = {}  # the lanes, and the carriers that are known and do not run
        self._names: dict[str, int] = {}
        self._opening: set[int] = set()  # carriers whose lane is being made ready
        self._overdue = OverdueReceipts(store, clock)
        self._intermediate = intermediate
        self._claims: dict[int, asyncio.Task[None]] = {}
        self._ending = 0  # the carrier whose messages are being ended in the store: nothing is claimed from there
        self._looked_to: dict[int, int] = {}  # by carrier, the last open message that was looked at
        store.add_hook(self)
        store.add_hook(receive)  # after this: what a carrier took is stored before what it tells of it

    # -- carriers come and go

    async def add(
        self, carrier: Carrier, *, doubt: DoubtPolicy, max_waiting: int, query_after_seconds: float = 0
    ) -> None:
        """Open a lane: recover what the store has for this carrier, then start it. It may have been held until now."""
        carrier_id = await self._store.apply(it.RegisterCarrier(carrier.name))
        assert carrier_id not in self.lanes, "the carrier runs already"
        lane = Lane(
            carrier_id,
            carrier,
            self._receive,
            self._clock,
            self._store.request_commit,
            doubt=doubt,
            max_waiting=max_waiting,
            intermediate=self._intermediate,
            after=lambda carrier_id: self.after(carrier_id),
            on_state=lambda carrier_id, state, detail: self.on_state(carrier_id, state, detail),
        )
        self._opening.add(carrier_id)
        try:
            while self._ending == carrier_id:  # its messages are being ended in the store; rare
                await self._clock.sleep(_DRAIN_POLL_SECONDS)
            await self._open(lane, doubt)
        finally:
            self._opening.discard(carrier_id)
        await self._receive.recover(carrier_id, carrier, query_after_seconds)
        if query_after_seconds:
            self._overdue.watch(carrier_id, carrier, query_after_seconds)
        self._claim_where_wanted()

    async def _open(self, lane: Lane, doubt: DoubtPolicy) -> None:
        """What has a number below `boundary` is counted in the store once all of it is there, the rest as it comes."""
        carrier_id, carrier = lane.carrier_id, lane.carrier
        boundary = self._ids.number()
        before = self._ways.get(carrier_id)
        coming = self._ways[carrier_id] = Held(lane.max_waiting)
        try:
            state = await self._recovered(lane, doubt, boundary)
            await self._started(lane)
        except BaseException:
            coming.waiting += before.waiting if before is not None else 0
            raise
        lane.recover(state, coming.waiting)
        self.lanes[carrier_id] = self._ways[carrier_id] = lane  # from here on group commits make it hand over
        self._names[carrier.name] = carrier_id
        lane.begin()

    @staticmethod
    async def _started(lane: Lane) -> None:
        try:
            await lane.carrier.start(lane)
        except BaseException:
            await lane.carrier.stop()
            raise

    async def _recovered(self, lane: Lane, doubt: DoubtPolicy, boundary: int) -> it.LaneState:
        """What the store has for a carrier, with what was in doubt decided on by its policy."""
        carrier_id, carrier = lane.carrier_id, lane.carrier
        await self._store.apply(it.RegisterCarrier(carrier.name))  # all below the boundary is on disk then
        state = await self._store.read(lambda reads: reads.lane(carrier_id, boundary))
        ids = _in_doubt(state)
        if ids and doubt is DoubtPolicy.HOLD:
            now = self._clock.now_utc_ms()
            detail = "stopped before the carrier's answer was stored"
            held = [it.Ending(id_, Happening.LEFT_IN_DOUBT, now, detail=detail) for id_ in ids]
            await self._store.apply(it.Finish(held, self._receive.report))
        elif ids:
            await self._store.apply(it.Resend(ids, self._clock.now_utc_ms()))
        if ids:
            state = await self._store.read(lambda reads: reads.lane(carrier_id, boundary))
            _log.warning("%s: %d messages were in doubt after the last stop (%s)", carrier.name, len(ids), doubt.value)
        return state

    async def remove(self, name: str, seconds: float) -> None:
        """Close a lane: hand over nothing more, wait up to so long for what is on the wire, stop the carrier, and leave
        the rest in the store, where it waits until the carrier is added again. Raises `StoreError` when what became of
        hand-overs cannot be stored now: to be called again.
        """
        carrier_id = self._names.get(name, 0)
        lane = self.lanes.get(carrier_id)
        if lane is None:
            return
        lane.stop()
        self._overdue.forget(carrier_id)
        if (claim := self._claims.get(carrier_id)) is not None:
            claim.cancel()
        for _ in range(round(seconds / _DRAIN_POLL_SECONDS)):
            if not lane.on_wire:
                break
            await self._clock.sleep(_DRAIN_POLL_SECONDS)
        await lane.carrier.stop()
        while True:  # the first of these moves the mark back over what was not sent
            await self._store.apply(it.RegisterCarrier(name))
            if lane.at_rest and carrier_id not in self._claims:
                break
        del self.lanes[carrier_id]
        self._ways[carrier_id] = Held(lane.max_waiting, lane.waiting)

    async def hold(self, name: str, max_waiting: int) -> None:
        """Know a carrier that does not run: what is for it is accepted, and waits."""
        carrier_id = await self._store.apply(it.RegisterCarrier(name))
        if carrier_id in self._ways:
            self._ways[carrier_id].max_waiting = max_waiting
            return
        state = await self._store.read(lambda reads: reads.lane(carrier_id))
        self._ways[carrier_id] = Held(max_waiting, state.waiting + len(state.in_doubt))
        self._names[name] = carrier_id

    def routes(self) -> dict[str, int]:
        """The carriers' internal ids by name, those that are held included; it changes as they come."""
        return self._names

    def admit(self, drafts: Sequence[Draft]) -> list[bool] | None:
        """Which of these there is room for in their carriers' backlogs; None for all of them."""
        count = len(drafts)
        if all(way.waiting + count <= way.max_waiting for way in self._ways.values()):
            return None
        room = {carrier_id: way.max_waiting - way.waiting for carrier_id, way in self._ways.items()}
        admitted = []
        for one in drafts:
            room[one.carrier_id] -= 1
            admitted.append(room[one.carrier_id] >= 0)
        return admitted

    # -- CommitHook

    def before_commit(self, ops: Sequence[it.Op[Any]]) -> list[it.Op[Any]]:
        """See `CommitHook`."""
        for op in ops:
            for handed in _handed_over(op):
                for submission in handed.submissions:
                    self._ways[submission.carrier_id].enters(submission)
        cancels = [op for op in ops if type(op) is it.Cancel]
        for carrier_id in {op.carrier_id for op in cancels} & self.lanes.keys():
            asked = frozenset(op.message_id for op in cancels if op.carrier_id == carrier_id)
            self.lanes[carrier_id].withdraw(asked)
        return [planned for lane in self.lanes.values() for planned in lane.plan()]

    def after_commit(self, ops: Sequence[it.Op[Any]], results: Sequence[Any]) -> None:
        """See `CommitHook`."""
        cancelled: dict[int, tuple[int, int]] = {
            op.message_id: (op.carrier_id, result)
            for op, result in zip(ops, results, strict=True)
            if type(op) is it.Cancel and result
        }
        refused: list[int] = []
        for op, result in zip(ops, results, strict=True):
            for handed, outcomes in zip(_handed_over(op), _outcomes(op, result), strict=False):
                for submission, kept in zip(handed.submissions, outcomes, strict=False):
                    # True of a retry, Kept.STORED of a new message.
                    if kept == 1 and cancelled.pop(submission.id, None) is None:
                        self._ways[submission.carrier_id].stored(submission)
                    else:
                        refused.append(submission.id)
        for message_id, (carrier_id, number) in cancelled.items():
            if carrier_id in self._ways:
                self._ways[carrier_id].cancelled(message_id, number)
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
            if lane.wants_claim() and carrier_id not in self._claims and carrier_id != self._ending:
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
        """Queue messages again when their time for another try has come, and end those whose time is over, for ever."""
        while True:
            await self._clock.sleep(POLL_SECONDS)
            for lane in self.lanes.values():
                lane.look_for_lapsed()
            try:
                due = list(self.lanes)
                while due:  # in turns: the many of one carrier are not in the way of another's
                    due = [carrier_id for carrier_id in due if await self._queue_due(carrier_id)]
                await self._end_overdue()
                await self._overdue.ask()
            except (it.StoreError, errors.OurFault) as error:
                _log.warning("messages that are due could not be queued or ended: %s", error)
            self._claim_where_wanted()

    async def _queue_due(self, carrier_id: int) -> bool:
        """Queue the next messages that are due; whether there may be more."""
        now = self._clock.now_utc_ms()

        def query(reads: it.Reads) -> tuple[list[Submission], frozenset[int]]:
            due = reads.due_retries(carrier_id, now, _DUE_AT_ONCE)
            return due, reads.unwanted([one for one in due if not (one.doubted or one.taken)])

        due, unwanted = await self._store.read(query)
        lapsed = [one for one in due if one.request.expires_utc_ms <= now]
        await self._end([lanes.lapsed(one, now) for one in lapsed])
        await self._end([it.Ending(id_, Happening.OPTED_OUT, now, detail=it.UNWANTED) for id_ in sorted(unwanted)])
        again = [one for one in due if one.request.expires_utc_ms > now and one.id not in unwanted]
        if again:
            for submission in again:
                submission.number = self._ids.number()
            await self._store.apply(it.Requeue(again))
        return len(due) == _DUE_AT_ONCE

    # -- messages whose time is over

    async def _end_overdue(self) -> None:
        """Look at the next open messages of every carrier that ever was."""
        for carrier_id in await self._store.read(lambda reads: list(reads.carriers())):
            if carrier_id in self._claims or carrier_id in self._opening:
                continue  # until the next time: its messages are on their way into the lane
            self._ending = carrier_id
            try:
                await self._end_overdue_of(carrier_id)
            finally:
                self._ending = 0

    async def _end_overdue_of(self, carrier_id: int) -> None:
        """End the next messages that lapsed while they waited in the store or were put aside, and those that are
        silent. What a lane has is left to the lane.
        """
        now, after = self._clock.now_utc_ms(), self._looked_to.get(carrier_id, 0)
        lane = self.lanes.get(carrier_id)
        if lane is not None:
            lane.looks_into_store()
        found = await self._store.read(lambda reads: reads.overdue(carrier_id, after, _LOOK_AT, now))
        entered_to = lane.entered_to if lane is not None else 0
        lapsed = [one for one in found.lapsed if not 0 < one.number <= entered_to]
        if lapsed and lane is None:
            state = await self._store.read(lambda reads: reads.lane(carrier_id))
            in_doubt = frozenset(_in_doubt(state))
            for one in lapsed:
                one.doubted = one.doubted or one.id in in_doubt
        await self._end([it.Ending(id_, Happening.SILENT, now, detail=_SILENT) for id_ in found.silent])
        await self._end([lanes.lapsed(one, now) for one in lapsed])
        if lane is not None:
            lane.ended_in_store([one.id for one in lapsed if one.number])
        elif carrier_id in self._ways:
            self._ways[carrier_id].waiting -= sum(1 for one in lapsed if one.number)
        self._looked_to[carrier_id] = found.looked_to

    # -- cancelling

    async def cancel(self, message: it.StoredMessage) -> bool:
        """Cancel a message that was certainly never handed over, wherever it waits. Whether it was so. Raises
        `StoreError`, and `OurFault(OVERLOADED)`: then it stays as it is.
        """
        op = it.Cancel(message.id, message.carrier_id, self._clock.now_utc_ms(), self._receive.report)
        return await self._store.apply(op) is not None

    async def _end(self, endings: Sequence[it.Ending]) -> None:
        for first in range(0, len(endings), _END_AT_ONCE):
            await self._store.apply(it.Finish(list(endings[first : first + _END_AT_ONCE]), self._receive.report))

    async def drain(self) -> None:
        """Hand over nothing more, and return once the carriers have answered all that is on the wire."""
        self._hold_back()
        while any(lane.on_wire for lane in self.lanes.values()):  # noqa: ASYNC110 (an event would cost every outcome)
            await asyncio.sleep(_DRAIN_POLL_SECONDS)

    def _hold_back(self) -> None:
        for claim in self._claims.values():
            claim.cancel()
        for lane in self.lanes.values():
            lane.stop()

    async def stop(self) -> None:
        """Hand over nothing more and stop the carriers; what they had open is unknown."""
        self._hold_back()
        await asyncio.gather(*(lane.carrier.stop() for lane in self.lanes.values()))
        self._store.request_commit()


def _handed_over(op: it.Op[Any]) -> Sequence[it.Accept | it.Requeue]:
    """What of an operation is for the lanes: what is to be sent later is not, yet."""
    if type(op) is it.Accept:
        return () if op.request.send_at_utc_ms else (op,)
    if type(op) is it.Requeue:
        return (op,)
    if type(op) is it.AcceptMany:
        return [one for one in op.accepts if not one.request.send_at_utc_ms]
    return ()


def _outcomes(op: it.Op[Any], result: Any) -> Iterable[Sequence[Any] | repeat[bool]]:
    """What became of the submissions of each of `_handed_over`."""
    if type(result) is it.Answered:
        return repeat(repeat(False))
    if type(op) is it.AcceptMany:
        return [kept for one, kept in zip(op.accepts, result, strict=True) if not one.request.send_at_utc_ms]
    return (result,)


_SILENT = "no receipt in the 24 hours after its validity"


def _in_doubt(state: it.LaneState) -> list[int]:
    """The messages with a part at or below the mark and not known to be taken; the last one's others may lie above."""
    up_to = range(1, state.part + 1)
    return [
        one.id for one in state.in_doubt if one.number < state.number or any(part not in one.taken for part in up_to)
    ]

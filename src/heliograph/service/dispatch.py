"""Handing messages to carriers: in order, within the window, and so that a crash leaves at most a window in doubt.

Each carrier has a lane. A part goes on the wire only when the lane's *mark* covers it on disk; the mark moves inside
group commits, by at most the free slots of the window, and a slot is free again when the part's outcome is on disk. So
whatever lies above the mark was certainly never sent, and what lies below it without a stored outcome is in doubt and
never more than the window: one row a carrier instead of one write a message.

    accepted ──▶ queue (bounded; the rest waits in the store) ──mark──▶ ready ──▶ carrier ──▶ outcome ──commit──▶ slot
    free
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from heliograph.carriers.interface import Carrier, Outcome, Receipt, Submit
from heliograph.kit.clock import Clock
from heliograph.messaging import errors, retry
from heliograph.messaging.retry import DoubtPolicy, Next, SubmitClass
from heliograph.messaging.submissions import Draft, Happening, Submission
from heliograph.messaging.text import split
from heliograph.service.receive import Receive
from heliograph.service.sequence import MessageIds
from heliograph.store import interface as it

QUEUE_PARTS = 10_000
CLAIM_MESSAGES = 2_000
POLL_SECONDS = 1.0
_DUE_AT_ONCE = 500
_PAUSE_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_log = logging.getLogger(__name__)


class _Assembly:
    """A message of several parts while parts of it are queued or on the wire: it is decided on when none is left."""

    __slots__ = ("failed", "lapsed", "open", "over", "taken")

    def __init__(self, submission: Submission) -> None:
        self.open = submission.request.text.segments - len(submission.taken)
        self.taken = set(submission.taken)
        self.failed: list[Outcome] = []
        self.over = False  # a part was refused for good: what is not on the wire is not sent
        self.lapsed = False  # because the validity ended


class Lane:
    """The way to one carrier. It is the carrier's `CarrierEvents`."""

    def __init__(
        self,
        carrier_id: int,
        carrier: Carrier,
        receive: Receive,
        clock: Clock,
        commit_soon: Callable[[], None],
        *,
        doubt: DoubtPolicy,
        max_waiting: int,
    ) -> None:
        self.carrier_id = carrier_id
        self.carrier = carrier
        self.max_waiting = max_waiting
        self.waiting = 0  # messages accepted and without an outcome
        self._in_store = 0  # of these, those that have not entered the queue
        self._receive = receive
        self._clock = clock
        self._commit_soon = commit_soon
        self._doubt = doubt
        self._queue: deque[Submit] = deque()  # stored, above the mark
        self._ready: deque[Submit] = deque()  # below the mark, not on the wire
        self._granted = 0  # parts below the mark without a stored outcome
        self._on_wire = 0  # parts that the carrier has not answered
        self._last_queued = 0  # the number up to which messages have entered the queue
        self._last_stored = 0  # the highest number that waits for this carrier
        self._spilled = False  # the store holds messages that the queue has not
        self._assemblies: dict[int, _Assembly] = {}
        self._paused_times = 0
        self._paused = False
        self._stopped = False
        self._retrying_commit = False
        # Of outcomes not stored yet, and of the group under way: what to store, and how many slots that frees.
        self._taken: list[it.Took] = []
        self._retries: list[it.Retry] = []
        self._endings: list[it.Ending] = []
        self._freed = 0
        self._storing: tuple[list[it.Took], list[it.Retry], list[it.Ending], int] = ([], [], [], 0)
        self._coming: list[Submit] = []
        self._grants = 0  # of the group under way: from the queue first, then from `_coming`

    # -- recovery

    def recover(self, state: it.LaneState) -> None:
        """Take up where the last process ended. What was in doubt stands first: it keeps its numbers, below the mark,
        and its slots.
        """
        self._last_queued = self._last_stored = state.number
        mark = (state.number, state.part)
        for submission in state.in_doubt:
            for submit in self._parts(submission):
                if (submission.number, submit.part) <= mark:
                    self._ready.append(submit)
                    self._granted += 1
                else:
                    self._queue.append(submit)
        self._spilled = state.waiting > 0
        self._in_store = state.waiting
        self.waiting = state.waiting + len(state.in_doubt)

    # -- the way in

    def enters(self, submission: Submission) -> bool:
        """A message of the group that is about to be committed: whether it enters the queue, or waits in the store
        behind others.
        """
        if self._spilled or len(self._queue) + len(self._coming) >= QUEUE_PARTS:
            self._spilled = True
            return False
        self._coming.extend(self._parts(submission))
        return True

    def stored(self, submission: Submission) -> None:
        """A message is on disk and waits for this carrier."""
        self.waiting += 1
        self._in_store += 1
        self._last_stored = submission.number

    def wants_claim(self) -> bool:
        """Whether messages should be fetched from the store."""
        return self._spilled and len(self._queue) < QUEUE_PARTS // 2 and not self._stopped

    def claim_from(self) -> tuple[int, int]:
        """The number from which on a claim continues, and the highest that is stored now: to be given back to
        `claimed`.
        """
        return self._last_queued, self._last_stored

    def claimed(self, submissions: Sequence[Submission], last_stored: int) -> None:
        """Messages fetched from the store, in order. With a group under way that brings its own, they are left for the
        next claim.
        """
        if self._coming:
            return
        for submission in submissions:
            if submission.number > self._last_queued:
                self._queue.extend(self._parts(submission))
                self._last_queued = submission.number
                self._in_store -= 1
        if self._last_stored == last_stored and len(submissions) < CLAIM_MESSAGES:
            self._spilled = False
            gone = max(0, self._in_store)  # ended by a receipt for a part of theirs while they waited for another try
            self.waiting -= gone
            self._in_store -= gone

    def _parts(self, submission: Submission) -> list[Submit]:
        text = submission.request.text
        if text.segments == 1:
            return [Submit(submission, 1, text.body)]
        self._assemblies[submission.id] = _Assembly(submission)
        return [
            Submit(submission, part, body) for part, body in enumerate(split(text), 1) if part not in submission.taken
        ]

    # -- around a group commit

    def plan(self) -> list[it.Op[Any]]:
        """What this lane adds to the group: outcomes, and the mark over as many parts as slots are free then."""
        self._storing = (self._taken, self._retries, self._endings, self._freed)
        taken, retries, endings, freed = self._storing
        self._taken, self._retries, self._endings, self._freed = [], [], [], 0
        ops: list[it.Op[Any]] = []
        if taken:
            ops.append(it.StoreTaken(taken))
        if retries:
            ops.append(it.StoreRetries(retries))
        if endings:
            ops.append(it.Finish(endings, self._receive.report))
        free = self.carrier.window - self._granted + freed
        self._grants = 0 if self._stopped else max(0, min(free, len(self._queue) + len(self._coming)))
        if self._stopped and self._ready and not self._on_wire:
            ops.append(it.MoveMark(self.carrier_id, *self._certainly_sent_up_to()))
        if self._grants:
            at = self._grants - 1
            last = self._queue[at] if at < len(self._queue) else self._coming[at - len(self._queue)]
            ops.append(it.MoveMark(self.carrier_id, last.submission.number, last.part))
            self._granted += self._grants
        return ops

    def _certainly_sent_up_to(self) -> tuple[int, int]:
        """With nothing on the wire: the place behind which nothing was sent without an outcome to be stored now. So the
        next process need not doubt what is left below the mark.
        """
        first = self._ready[0]
        unknown = [
            (outcome.submit.submission.number, outcome.submit.part)
            for assembly in self._assemblies.values()
            for outcome in assembly.failed
            if outcome.result is SubmitClass.UNKNOWN
        ]
        return max([(first.submission.number, first.part - 1), *unknown])

    def committed(self, refused: frozenset[int]) -> None:
        """The group is on disk. `refused` are messages of it that were not stored after all (not covered by the
        balance).
        """
        taken, _, endings, freed = self._storing
        self._storing = ([], [], [], 0)
        self._granted -= freed
        self.waiting -= sum(1 for took in taken if took.last) + len(endings)
        for _ in range(min(self._grants, len(self._queue))):
            self._ready.append(self._queue.popleft())
            self._grants -= 1
        for index, submit in enumerate(self._coming):
            granted = index < self._grants
            if submit.submission.id in refused:
                self._granted -= granted
                self._assemblies.pop(submit.submission.id, None)
                continue
            if submit.submission.number != self._last_queued:
                self._last_queued = submit.submission.number
                self._in_store -= 1
            (self._ready if granted else self._queue).append(submit)
        self._coming, self._grants = [], 0
        if self._last_queued < self._last_stored:
            self._spilled = True
        self.pump()
        if self._queue and self._granted < self.carrier.window and not self._stopped:
            self._commit_soon()  # slots were kept for messages that were not stored

    def commit_failed(self) -> None:
        """Nothing of the group is on disk: its outcomes wait for the next one, its messages do not exist."""
        taken, retries, endings, freed = self._storing
        self._storing = ([], [], [], 0)
        self._taken[:0], self._retries[:0], self._endings[:0] = taken, retries, endings
        self._freed += freed
        self._granted -= self._grants
        for submit in self._coming:
            self._assemblies.pop(submit.submission.id, None)
        self._coming, self._grants = [], 0
        if (self._freed or self._queue) and not self._retrying_commit:
            self._retrying_commit = True
            self._clock.call_later(1.0, self._commit_again)

    def _commit_again(self) -> None:
        self._retrying_commit = False
        self._commit_soon()

    # -- the way out

    def pump(self) -> None:
        """Put on the wire what the mark covers."""
        if not self._ready or self._paused or self._stopped:
            return
        now = self._clock.now_utc_ms()
        sending: list[Submit] = []
        room = self.carrier.window - self._on_wire  # less than what is ready only when the window was made smaller
        while self._ready and len(sending) < room:
            submit = self._ready.popleft()
            assembly = self._assemblies.get(submit.submission.id) if self._assemblies else None
            if assembly is not None and assembly.over:
                self._part_ended(assembly, Outcome(submit, SubmitClass.PERMANENT, detail="an earlier part was refused"))
            elif submit.submission.request.expires_utc_ms <= now:
                self._lapsed(submit, now)
            else:
                sending.append(submit)
        if sending:
            self._on_wire += len(sending)
            self.carrier.submit(sending)
        if self._freed:
            self._commit_soon()

    def _lapsed(self, submit: Submit, now_utc_ms: int) -> None:
        assembly = self._assemblies.get(submit.submission.id)
        if assembly is not None:
            assembly.lapsed = True
            self._part_ended(assembly, Outcome(submit, SubmitClass.PERMANENT, detail="the validity ended"))
            return
        self._end_lapsed(submit.submission, now_utc_ms)
        self._freed += 1

    def _end_lapsed(self, submission: Submission, now_utc_ms: int) -> None:
        happening = Happening.LEFT_IN_DOUBT if submission.doubted else Happening.LAPSED
        detail = "the validity ended before it was sent" + (" again" if submission.doubted else "")
        self._endings.append(it.Ending(submission.id, happening, now_utc_ms, detail=detail))

    def stop(self) -> None:
        """Hand over nothing more; outcomes are still stored."""
        self._stopped = True

    def resume(self) -> None:
        """End a pause."""
        self._paused = False
        self.pump()

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """See `CarrierEvents`."""
        now = self._clock.now_utc_ms()
        back: list[Submit] = []
        self._on_wire -= len(outcomes)
        assert self._on_wire >= 0, "a submit ended twice"
        for outcome in outcomes:
            submission = outcome.submit.submission
            if outcome.result in (SubmitClass.NOT_SENT, SubmitClass.LINK_FAULT, SubmitClass.THROTTLED):
                back.append(outcome.submit)
                if outcome.result is SubmitClass.THROTTLED:
                    self._pause()
            elif submission.request.text.segments > 1:
                self._part_ended(self._assemblies[submission.id], outcome)
            elif outcome.result is SubmitClass.TAKEN:
                self._paused_times = 0
                self._receive.expect(self.carrier_id, outcome.ref, submission.id, 1, 1)
                self._taken.append(
                    it.Took(submission.id, 1, 1, outcome.ref, now, True, submission.number != submission.id)
                )
                self._freed += 1
            else:
                self._freed += 1
                self._decide(submission, outcome, 0, now)
        if back:  # they keep their numbers and slots, and their place at the head
            self._ready = deque(sorted([*back, *self._ready], key=lambda one: (one.submission.number, one.part)))
            if not self._paused:
                self._pause()
        self._commit_soon()

    def receipts(self, receipts: Sequence[Receipt], acknowledge: Callable[[bool], None]) -> None:
        """See `CarrierEvents`."""
        self._receive.receipts(self.carrier_id, receipts, acknowledge)

    def _pause(self) -> None:
        if self._paused:
            return
        self._paused = True
        self._clock.call_later(_PAUSE_SECONDS[min(self._paused_times, len(_PAUSE_SECONDS) - 1)], self.resume)
        self._paused_times += 1

    def _part_ended(self, assembly: _Assembly, outcome: Outcome) -> None:
        """One part of several has its outcome; the message is decided on with the last one."""
        submission = outcome.submit.submission
        now = self._clock.now_utc_ms()
        parts = submission.request.text.segments
        assembly.open -= 1
        if outcome.result is SubmitClass.TAKEN:
            self._paused_times = 0
            assembly.taken.add(outcome.submit.part)
            last = len(assembly.taken) == parts
            retried = submission.number != submission.id
            self._receive.expect(self.carrier_id, outcome.ref, submission.id, outcome.submit.part, parts)
            self._taken.append(it.Took(submission.id, outcome.submit.part, parts, outcome.ref, now, last, retried))
            self._freed += 1
        else:
            assembly.failed.append(outcome)
            assembly.over = assembly.over or outcome.result is SubmitClass.PERMANENT
        if assembly.open:
            return
        del self._assemblies[submission.id]
        if assembly.failed:
            worst = min(assembly.failed, key=lambda one: _GRAVITY.get(one.result, 9))
            self._freed += len(assembly.failed)
            unknown = sum(1 for one in assembly.failed if one.result is SubmitClass.UNKNOWN)
            if assembly.lapsed and not assembly.taken and not unknown:
                self._end_lapsed(submission, now)
            else:
                self._decide(submission, worst, len(assembly.taken) + unknown, now)

    def _decide(self, submission: Submission, outcome: Outcome, parts_taken: int, now_utc_ms: int) -> None:
        decision = retry.decide(outcome.result, submission.tries, self._doubt, doubted=submission.doubted)
        if decision.next is Next.AGAIN:
            due = now_utc_ms + round(decision.delay_seconds * 1000)
            unknown = outcome.result is SubmitClass.UNKNOWN
            event = "no answer, sent again: it may arrive twice" if unknown else f"put off ({outcome.result.value})"
            again = it.Retry(
                submission.id,
                self.carrier_id,
                due,
                decision.spends_try,
                now_utc_ms,
                event,
                outcome.detail,
                doubted=unknown,
            )
            self._retries.append(again)
            self.waiting -= 1  # until it is due: then it counts again
            return
        happening = decision.happening or Happening.TRIES_USED_UP
        if parts_taken and happening is Happening.REFUSED:
            happening = Happening.TRIES_USED_UP
        self._endings.append(it.Ending(submission.id, happening, now_utc_ms, parts_taken, outcome.detail))


# Which of several parts' failures decides: a refusal for good, then doubt, then the rest.
_GRAVITY = {SubmitClass.PERMANENT: 0, SubmitClass.UNKNOWN: 1}


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
                found = await self._store.read(lambda reads: reads.claim(lane.carrier_id, after, CLAIM_MESSAGES))  # noqa: B023
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

"""A lane: the way to one carrier, and the only one.

A part goes on the wire only when the lane's *mark* covers it on disk; the mark moves inside group commits, by at most
the free slots of the window, and a slot is free again when the part's outcome is on disk. So whatever lies above the
mark was certainly never sent, and what lies below it without a stored outcome is in doubt and never more than the
window: one row a carrier instead of one write a message.

    accepted → queue (bounded; the rest waits in the store) → mark → ready → carrier → outcome → commit → slot free

A lane does no I/O of its own: group commits ask it what to write (`plan`) and tell it what became of it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Any

from heliograph.carriers.interface import Carrier, CarrierState, Inbound, Outcome, Receipt, Submit
from heliograph.kit.clock import Clock
from heliograph.messaging import retry
from heliograph.messaging.retry import DoubtPolicy, Next, SubmitClass
from heliograph.messaging.submissions import Happening, Submission
from heliograph.service.receive import Receive
from heliograph.store import interface as it

QUEUE_PARTS = 10_000
CLAIM_MESSAGES = 2_000
LAPSE_MESSAGES = 1_000  # ended by one commit because their validity is over
_NEVER = 1 << 62
_PAUSE_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


class _Assembly:
    """A message billed as several parts while parts of it are queued or on the wire: it is decided on when none is
    left. How many it travels in is the carrier's form of long messages.
    """

    __slots__ = ("failed", "lapsed", "open", "over", "parts", "slots", "taken")

    def __init__(self, submission: Submission, parts: int) -> None:
        self.parts = parts
        self.open = parts - len(submission.taken)
        self.taken = set(submission.taken)
        self.failed: list[Outcome] = []
        self.slots = 0  # that the failed ones have, until the message is decided on
        self.over = False  # a part was refused for good: what is not on the wire is not sent
        self.lapsed = False  # because the validity ended


def lapsed(submission: Submission, now_utc_ms: int) -> it.Ending:
    """The end of a message that was not sent wholly when its validity ended."""
    parts_taken = len(submission.taken)
    happening = retry.lapsed(doubted=submission.doubted, parts_taken=parts_taken)
    detail = "the validity ended before it was sent" + (" again" if submission.doubted else "")
    return it.Ending(submission.id, happening, now_utc_ms, parts_taken, detail)


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
        intermediate: AbstractSet[int],
        after: Callable[[int], int] = lambda carrier_id: 0,
        on_state: Callable[[int, CarrierState, str], None] = lambda carrier_id, state, detail: None,
    ) -> None:
        """`after` gives the carrier to try when one cannot take a message, 0 for none."""
        self.carrier_id = carrier_id
        self.carrier = carrier
        self.max_waiting = max_waiting
        self.waiting = 0  # messages accepted and without an outcome
        self.ended: Counter[SubmitClass] = Counter()  # parts that the carrier answered
        self.receipts_told = 0
        self._in_store = 0  # of these, those that have not entered the queue
        self._receive = receive
        self._clock = clock
        self._commit_soon = commit_soon
        self._doubt = doubt
        self._intermediate = intermediate  # accounts that want to be told of SENT
        self._after = after
        self._on_state = on_state
        self._queue: deque[Submit] = deque()  # stored, above the mark
        self._ready: deque[Submit] = deque()  # below the mark, not on the wire
        self._granted = 0  # parts below the mark without a stored outcome
        self._on_wire = 0  # parts that the carrier has not answered
        self._last_queued = 0  # the number up to which messages have entered the queue
        self._last_stored = 0  # the highest number that waits for this carrier
        self._spilled = False  # the store holds messages that the queue has not
        self._assemblies: dict[int, _Assembly] = {}
        self._lapse_from = 0  # no validity of what is queued ends before
        self._lapsing = False  # the next group ends what has lapsed
        self._paused_times = 0
        self._paused = False
        self._stopped = True  # until it begins
        self._retrying_commit = False
        # Of outcomes not stored yet, and of the group under way: what to store, and how many slots that frees.
        self._taken: list[it.Took] = []
        self._retries: list[it.Retry] = []
        self._endings: list[it.Ending] = []
        self._freed = 0
        self._storing: tuple[list[it.Took], list[it.Retry], list[it.Ending], int] = ([], [], [], 0)
        self._cancelling = False
        self._withdrawn: dict[int, list[Submit]] = {}  # from the queue, by message
        self._gone: set[int] = set()  # cancelled in the store since somebody looked into it for what waits
        self._coming: list[Submit] = []
        self._grants = 0  # of the group under way: from the queue first, then from `_coming`
        self._retreating = 0  # parts at the end of `_ready` that the group under way takes back above the mark

    # -- recovery

    def recover(self, state: it.LaneState, new: int = 0) -> None:
        """Take up what the store has for this carrier, and `new` messages stored since that was read. What was in doubt
        stands first: it keeps its numbers, below the mark, and its slots.
        """
        self._last_queued = self._last_stored = state.number
        mark = (state.number, state.part)
        for submission in state.in_doubt:
            if self._cannot_go_on(submission):
                self._give_up(submission)
                continue
            for submit in self._parts(submission):
                if (submission.number, submit.part) <= mark:
                    self._ready.append(submit)
                    self._granted += 1
                else:
                    self._queue.append(submit)
        self._in_store = state.waiting + new
        self._spilled = self._in_store > 0
        self.waiting = self._in_store + len(state.in_doubt)

    def begin(self) -> None:
        """The lane is part of group commits now: hand over."""
        self._stopped = False
        self.pump()
        self._commit_soon()

    # -- the way in

    def enters(self, submission: Submission) -> bool:
        """A message of the group that is about to be committed: whether it enters the queue, or waits in the store
        behind others.
        """
        full = len(self._queue) + len(self._coming) >= QUEUE_PARTS
        if self._spilled or full or (submission.parts and self._cannot_go_on(submission)):
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
        self.looks_into_store()
        return self._last_queued, self._last_stored

    def looks_into_store(self) -> None:
        """Somebody is about to read what waits in the store for this lane; one at a time."""
        self._gone.clear()

    def claimed(self, submissions: Sequence[Submission], last_stored: int) -> None:
        """Messages fetched from the store, in order. With a group under way that brings its own, they are left for the
        next claim.
        """
        if self._coming:
            return
        for submission in submissions:
            if submission.number > self._last_queued:
                self._last_queued = submission.number
                if submission.id in self._gone:
                    continue
                self._in_store -= 1
                if submission.parts and self._cannot_go_on(submission):
                    self._give_up(submission)
                    continue
                self._queue.extend(self._parts(submission))
                self._lapse_from = min(self._lapse_from, submission.request.expires_utc_ms)
        if self._last_stored == last_stored and len(submissions) < CLAIM_MESSAGES and not self._cancelling:
            self._spilled = False
            # What is left of the count was ended by a receipt for a part while it waited for another try, or ended
            # while the lane was being opened.
            self.waiting -= self._in_store
            self._in_store = 0

    def _parts(self, submission: Submission) -> list[Submit]:
        text = submission.request.text
        if text.segments == 1:
            return [Submit(submission, 1, text.body)]
        bodies = self.carrier.bodies(text)
        parts = len(bodies)
        self._assemblies[submission.id] = _Assembly(submission, parts)
        return [
            Submit(submission, part, body, parts) for part, body in enumerate(bodies, 1) if part not in submission.taken
        ]

    def _cannot_go_on(self, submission: Submission) -> bool:
        """Whether parts were sent in a form of long messages that the carrier's settings have changed since."""
        return submission.parts not in (0, len(self.carrier.bodies(submission.request.text)))

    def _give_up(self, submission: Submission) -> None:
        happening = Happening.LEFT_IN_DOUBT if submission.doubted else Happening.TRIES_USED_UP
        detail = f"{len(submission.taken)} of {submission.parts} parts were sent in a form that its carrier has no more"
        now = self._clock.now_utc_ms()
        self._endings.append(it.Ending(submission.id, happening, now, len(submission.taken), detail))

    # -- around a group commit

    def plan(self) -> list[it.Op[Any]]:
        """What this lane adds to the group: outcomes, and the mark over as many parts as slots are free then."""
        if self._lapsing:
            self._end_what_lapsed()
        self._storing = (self._taken, self._retries, self._endings, self._freed)
        taken, retries, endings, freed = self._storing
        self._taken, self._retries, self._endings, self._freed = [], [], [], 0
        ops: list[it.Op[Any]] = []
        if taken:
            told = self._intermediate and any(one.tell for one in taken)
            ops.append(it.StoreTaken(taken, self._receive.report if told else None))
        if retries:
            ops.append(it.StoreRetries(retries))
        if endings:
            ops.append(it.Finish(endings, self._receive.report))
        free = self.carrier.window - self._granted + freed
        self._grants = max(0, min(free, len(self._queue) + len(self._coming))) if self._sends else 0
        if not self._sends and self._ready and not self._on_wire:
            mark = self._certainly_sent_up_to()
            self._retreating = sum(1 for one in self._ready if (one.submission.number, one.part) > mark)
            ops.append(it.MoveMark(self.carrier_id, *mark))
        if self._grants:
            at = self._grants - 1
            last = self._queue[at] if at < len(self._queue) else self._coming[at - len(self._queue)]
            ops.append(it.MoveMark(self.carrier_id, last.submission.number, last.part))
            self._granted += self._grants
        return ops

    @property
    def _sends(self) -> bool:
        return self.carrier.open and not self._stopped

    def _certainly_sent_up_to(self) -> tuple[int, int]:
        """With nothing on the wire: the place behind which nothing was sent without an outcome to be stored now."""
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
        self._retreat()
        self.waiting -= sum(1 for took in taken if took.last) + len(endings) + len(self._withdrawn)
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
            if granted:
                self._ready.append(submit)
            else:
                self._queue.append(submit)
                self._lapse_from = min(self._lapse_from, submit.submission.request.expires_utc_ms)
        self._coming, self._grants = [], 0
        self._cancelling, self._withdrawn = False, {}
        if self._last_queued < self._last_stored:
            self._spilled = True
        self.pump()
        if self._queue and self._granted < self.carrier.window and self._sends:
            self._commit_soon()  # slots were kept for messages that were not stored

    def _retreat(self) -> None:
        """What was certainly not sent waits above the mark again, while nothing is sent: so no crash leaves it in
        doubt, and it can be cancelled.
        """
        for _ in range(self._retreating):
            submit = self._ready.pop()
            self._queue.appendleft(submit)
            self._lapse_from = min(self._lapse_from, submit.submission.request.expires_utc_ms)
        self._granted -= self._retreating
        self._retreating = 0

    def commit_failed(self) -> None:
        """Nothing of the group is on disk: its outcomes wait for the next one, its messages do not exist."""
        taken, retries, endings, freed = self._storing
        self._storing = ([], [], [], 0)
        self._taken[:0], self._retries[:0], self._endings[:0] = taken, retries, endings
        self._freed += freed
        self._granted -= self._grants
        self._retreating = 0
        for submit in self._coming:
            self._assemblies.pop(submit.submission.id, None)
        self._coming, self._grants = [], 0
        if self._withdrawn:
            self._put_back()
        self._cancelling, self._withdrawn = False, {}
        if (self._freed or self._queue or self._endings) and not self._retrying_commit:
            self._retrying_commit = True
            self._clock.call_later(1.0, self._commit_again)

    def _commit_again(self) -> None:
        self._retrying_commit = False
        self._commit_soon()

    # -- the way out

    def pump(self) -> None:
        """Put on the wire what the mark covers."""
        if not self._ready or self._paused or self._retreating or not self._sends:
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
                self._lapsed(submit, now, slots=1)
            else:
                sending.append(submit)
        if sending:
            self._on_wire += len(sending)
            self.carrier.submit(sending)
        if self._freed:
            self._commit_soon()

    def _lapsed(self, submit: Submit, now_utc_ms: int, *, slots: int) -> None:
        """A part, with or without a slot, waits here and its validity is over."""
        assembly = self._assemblies.get(submit.submission.id)
        if assembly is not None:
            assembly.lapsed = True
            outcome = Outcome(submit, SubmitClass.PERMANENT, detail="the validity ended")
            self._part_ended(assembly, outcome, slots=slots)
            return
        self._endings.append(lapsed(submit.submission, now_utc_ms))
        self._freed += slots

    # -- cancelling

    def withdraw(self, message_ids: frozenset[int]) -> None:
        """Take out of the queue, before `plan`, what the group cancels: only what waits above the mark with all its
        parts has certainly not been sent. The store decides by the same rule.
        """
        self._cancelling = True
        found: dict[int, list[Submit]] = {}
        for one in self._queue:
            if one.submission.id in message_ids and not (one.submission.doubted or one.submission.taken):
                found.setdefault(one.submission.id, []).append(one)
        self._withdrawn = {id_: parts for id_, parts in found.items() if len(parts) == parts[0].parts}
        self._drop(self._withdrawn.keys())

    def cancelled(self, message_id: int, number: int) -> None:
        """The group has cancelled a message that waited under this number."""
        if number > self._last_queued:
            self._gone.add(message_id)
            self._in_store -= 1
            self.waiting -= 1
        elif message_id not in self._withdrawn and self._drop({message_id}):  # claimed while the group was under way
            self.waiting -= 1

    def _drop(self, message_ids: AbstractSet[int]) -> bool:
        before = len(self._queue)
        if message_ids:
            self._queue = deque(one for one in self._queue if one.submission.id not in message_ids)
        for message_id in message_ids:
            self._assemblies.pop(message_id, None)
        return len(self._queue) < before

    def _put_back(self) -> None:
        """What was withdrawn is not cancelled after all."""
        for message_id, parts in self._withdrawn.items():
            if parts[0].submission.request.text.segments > 1:
                self._assemblies[message_id] = _Assembly(parts[0].submission, parts[0].parts)
            self._lapse_from = min(self._lapse_from, parts[0].submission.request.expires_utc_ms)
        back = chain.from_iterable(self._withdrawn.values())
        self._queue = deque(sorted([*back, *self._queue], key=lambda one: (one.submission.number, one.part)))

    # -- the end of validities

    def look_for_lapsed(self) -> None:
        """End, with the next group, what waits here and whose validity is over: it need not wait for its turn."""
        now = self._clock.now_utc_ms()
        if self._lapse_from <= now or any(one.submission.request.expires_utc_ms <= now for one in self._ready):
            self._lapsing = not self._stopped
            self._commit_soon()

    def _end_what_lapsed(self) -> None:
        """A message with a part on the wire has its turn when that is answered: without its other parts in the queue
        the mark would pass them, and a crash would leave more in doubt than the window.
        """
        now = self._clock.now_utc_ms()
        self._lapsing = False
        parts = Counter(
            one.submission.id for one in chain(self._ready, self._queue) if one.submission.request.expires_utc_ms <= now
        )
        opens = {id_: assembly.open for id_, assembly in self._assemblies.items()}
        here = [id_ for id_, count in parts.items() if count == opens.get(id_, 1)]
        ending = frozenset(here[:LAPSE_MESSAGES])
        for waiting, slots in ((self._ready, 1), (self._queue, 0)):
            for _ in range(len(waiting)):
                submit = waiting.popleft()
                if submit.submission.id in ending:
                    self._lapsed(submit, now, slots=slots)
                else:
                    waiting.append(submit)
        self._lapse_from = min((one.submission.request.expires_utc_ms for one in self._queue), default=_NEVER)

    @property
    def entered_to(self) -> int:
        """The number up to which messages have left the store for this lane, the group under way included."""
        return self._coming[-1].submission.number if self._coming else self._last_queued

    def ended_in_store(self, message_ids: Sequence[int]) -> None:
        """Messages that waited in the store have come to their end there; those cancelled meanwhile had before."""
        count = sum(1 for message_id in message_ids if message_id not in self._gone)
        self.waiting -= count
        self._in_store -= count

    # -- what becomes of hand-overs

    def stop(self) -> None:
        """Hand over nothing more; outcomes are still stored."""
        self._stopped = True

    @property
    def at_rest(self) -> bool:
        """Whether nothing is on the wire and all that is known of it is on disk."""
        waiting = self._taken or self._retries or self._endings or self._freed
        return not (self._on_wire or waiting or any(self._storing))

    @property
    def on_wire(self) -> int:
        """Parts that the carrier has and has not answered."""
        return self._on_wire

    @property
    def in_window(self) -> int:
        """Parts below the mark without a stored outcome."""
        return self._granted

    @property
    def paused(self) -> bool:
        """Whether nothing is sent for a while, as the carrier could not take it."""
        return self._paused

    def resume(self) -> None:
        """End a pause."""
        self._paused = False
        self.pump()

    def changed(self, state: CarrierState, detail: str) -> None:
        """See `CarrierEvents`."""
        self._on_state(self.carrier_id, state, detail)
        self.pump()
        self._commit_soon()  # the mark goes on, or back over what was not sent

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """See `CarrierEvents`."""
        now = self._clock.now_utc_ms()
        back: list[Submit] = []
        wanting = self._intermediate
        self.ended.update([outcome.result for outcome in outcomes])
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
                tell = submission.request.account_id in wanting if wanting else False
                retried = submission.number != submission.id
                self._taken.append(it.Took(submission.id, 1, 1, outcome.ref, now, True, retried, tell))
                self._freed += 1
            else:
                self._freed += 1
                self._decide(submission, outcome, 0, now)
        if back:  # they keep their numbers and slots, and their place at the head
            self._ready = deque(sorted([*back, *self._ready], key=lambda one: (one.submission.number, one.part)))
            if not self._paused and self.carrier.open:
                self._pause()
        self._commit_soon()

    def receipts(self, receipts: Sequence[Receipt], acknowledge: Callable[[bool], None]) -> None:
        """See `CarrierEvents`."""
        self.receipts_told += len(receipts)
        self._receive.receipts(self.carrier_id, receipts, acknowledge)

    def inbound(self, messages: Sequence[Inbound], acknowledge: Callable[[bool], None]) -> None:
        """See `CarrierEvents`."""
        self._receive.inbound(self.carrier_id, messages, acknowledge)

    def _pause(self) -> None:
        if self._paused:
            return
        self._paused = True
        self._clock.call_later(_PAUSE_SECONDS[min(self._paused_times, len(_PAUSE_SECONDS) - 1)], self.resume)
        self._paused_times += 1

    def _part_ended(self, assembly: _Assembly, outcome: Outcome, *, slots: int = 1) -> None:
        """One part of several has its outcome; the message is decided on with the last one."""
        submission = outcome.submit.submission
        now = self._clock.now_utc_ms()
        parts = assembly.parts
        assembly.open -= 1
        if outcome.result is SubmitClass.TAKEN:
            self._paused_times = 0
            assembly.taken.add(outcome.submit.part)
            last = len(assembly.taken) == parts
            self._receive.expect(self.carrier_id, outcome.ref, submission.id, outcome.submit.part, parts)
            retried, tell = submission.number != submission.id, submission.request.account_id in self._intermediate
            part = outcome.submit.part
            self._taken.append(it.Took(submission.id, part, parts, outcome.ref, now, last, retried, tell))
            self._freed += 1
        else:
            assembly.failed.append(outcome)
            assembly.slots += slots
            assembly.over = assembly.over or outcome.result is SubmitClass.PERMANENT
        if assembly.open:
            return
        del self._assemblies[submission.id]
        if assembly.failed:
            worst = min(assembly.failed, key=lambda one: _GRAVITY.get(one.result, 9))
            self._freed += assembly.slots
            unknown = sum(1 for one in assembly.failed if one.result is SubmitClass.UNKNOWN)
            if assembly.lapsed and not assembly.taken and not unknown:
                self._endings.append(lapsed(submission, now))
            else:
                self._decide(submission, worst, len(assembly.taken) + unknown, now)

    def _decide(self, submission: Submission, outcome: Outcome, parts_taken: int, now_utc_ms: int) -> None:
        other = 0 if parts_taken or submission.doubted else self._after(self.carrier_id)
        decision = retry.decide(
            outcome.result, submission.tries, self._doubt, doubted=submission.doubted, others=other != 0
        )
        if decision.next is Next.AGAIN:
            due = now_utc_ms + round(decision.delay_seconds * 1000)
            due = max(now_utc_ms, min(due, submission.request.expires_utc_ms))  # then it is not tried again, but ended
            unknown = outcome.result is SubmitClass.UNKNOWN
            event = f"put off ({outcome.result.value})"
            if unknown:
                event = "no answer, sent again: it may arrive twice"
            elif decision.reroute:
                event = f"given to another carrier ({outcome.result.value})"
            again = it.Retry(
                submission.id,
                self.carrier_id,
                due,
                decision.spends_try,
                now_utc_ms,
                event,
                outcome.detail,
                doubted=unknown,
                reroute_to=other if decision.reroute else 0,
            )
            self._retries.append(again)
            self.waiting -= 1  # until it is due: then it counts again, there or here
            return
        happening = decision.happening or Happening.TRIES_USED_UP
        if parts_taken and happening is Happening.REFUSED:
            happening = Happening.TRIES_USED_UP
        self._endings.append(it.Ending(submission.id, happening, now_utc_ms, parts_taken, outcome.detail))


# Which of several parts' failures decides: a refusal for good, then doubt, then the rest.
_GRAVITY = {SubmitClass.PERMANENT: 0, SubmitClass.UNKNOWN: 1}

"""What carriers tell: receipts, matched to their messages and stored; acknowledged only then.

Receipts name a part by the carrier's id. Ids of the last parts sent are kept in a bounded map; older ones go to the
store in sorted runs, appended. A receipt that comes before its part's answer is stored as a stray, acknowledged, and
parked for a while.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from heliograph.carriers.interface import Carrier, Inbound, Receipt
from heliograph.kit.clock import Clock
from heliograph.messaging.delivery import MEANING, ReceiptState
from heliograph.messaging.errors import OurFault
from heliograph.messaging.operators import OperatorTable
from heliograph.messaging.submissions import Happening
from heliograph.store import interface as it

REFS_IN_MEMORY = 100_000
REFS_IN_RUN = 20_000
DONE = 20_000
PARKED = 10_000
PARKED_MS = 600_000  # so long after a receipt its part's answer may come
AGAIN_SECONDS = 1.0
_NO_OPERATORS = OperatorTable({}, {})
_log = logging.getLogger(__name__)

Part = tuple[int, int, int]  # message id, part, parts
Author = Callable[[int, Inbound, int], it.InboundDraft]
"""Finds whose an inbound message is and writes its callback, from the carrier's id, the message and the time."""
# Not final, or UNKNOWN, which a later final replaces.
_MORE_MAY_COME = (None, Happening.RECEIPT_UNKNOWN)


class Receive:
    """The receiving service. `Dispatch` makes it take part in every group commit, after itself: a receipt is stored
    after the answer that it belongs to.
    """

    def __init__(
        self,
        store: it.Store,
        report: it.Reporter,
        inbox: Author,
        clock: Clock,
        operators: OperatorTable = _NO_OPERATORS,
    ) -> None:
        """`operators` knows the networks that receipts name."""
        self._store = store
        self._operators = operators
        self._clock = clock
        self._inbox = inbox
        self.report = report
        self.matched = 0
        self.unmatched = 0
        self.inbound_messages = 0
        self.inbound_unowned = 0
        self._refs: dict[tuple[int, str], Part] = {}
        self._done: set[tuple[int, str]] = set()  # lately, that is; carriers repeat themselves
        self._done_before: set[tuple[int, str]] = set()
        self._parked: dict[tuple[int, str], it.PartReceipt] = {}
        self._waiting: list[it.PartReceipt] = []
        self._owed: list[it.PartReceipt] = []  # were parked, so the carrier does not tell them again
        self._acknowledge: list[Callable[[bool], None]] = []
        self._storing: tuple[list[it.PartReceipt], list[it.PartReceipt], list[Callable[[bool], None]]] = ([], [], [])
        self._run: list[tuple[int, str]] = []

    async def recover(self, carrier_id: int, carrier: Carrier, query_after_seconds: float = 0) -> None:
        """Expect the receipts of parts that were sent before, and ask the carrier for those that it may have told
        already, or only for those that are overdue.
        """
        now = self._clock.now_utc_ms()
        strays = await self._store.read(lambda reads: reads.strays(carrier_id, PARKED))
        for stray in reversed(strays):
            if now - stray.at_utc_ms < PARKED_MS:
                told = (stray.ref, stray.state, stray.at_utc_ms)
                self._park(it.PartReceipt(carrier_id, *told, operator_id=stray.operator_id, error=stray.error))
        after, until = 0, now - round(query_after_seconds * 1000)
        while page := await self._store.read(lambda reads: reads.awaiting_receipt(carrier_id, after, 5_000)):  # noqa: B023
            after = max(one.message_id for one in page)
            for one in page:
                self.expect(carrier_id, one.ref, one.message_id, one.part, one.parts)
            asked = [one for one in page if one.sent_utc_ms <= until and (one.sent_utc_ms or not query_after_seconds)]
            if asked:
                carrier.query([one.ref for one in asked], [one.sender for one in asked])
        if self._owed:
            self._store.request_commit()

    def expect(self, carrier_id: int, ref: str, message_id: int, part: int, parts: int) -> None:
        """A carrier took a part and calls it `ref`."""
        self._refs[carrier_id, ref] = (message_id, part, parts)
        if self._parked:
            early = self._parked.pop((carrier_id, ref), None)
            if early is not None:
                self._owed.append(self._matched(early))

    def receipts(self, carrier_id: int, receipts: Sequence[Receipt], acknowledge: Callable[[bool], None]) -> None:
        """Receipts arrived from a carrier."""
        now = self._clock.now_utc_ms()
        news: list[it.PartReceipt] = []
        for receipt in receipts:
            operator_id = self._operators.by_network(receipt.network).id if receipt.network else 0
            told = self._of_part(carrier_id, receipt.ref, receipt.state, now, operator_id, receipt.error)
            if told.message_id or not self._is_done((carrier_id, receipt.ref)):
                news.append(told)
        if not news:  # all are on disk: there may be no group commit that tells so
            acknowledge(True)
            return
        self._waiting += news
        self._acknowledge.append(acknowledge)
        self._store.request_commit()

    def inbound(self, carrier_id: int, messages: Sequence[Inbound], acknowledge: Callable[[bool], None]) -> None:
        """Messages from phones arrived from a carrier: stored with their callbacks, then acknowledged."""
        now = self._clock.now_utc_ms()
        drafts = [self._inbox(carrier_id, message, now) for message in messages]

        def stored(result: Any) -> None:
            kept = not isinstance(result, it.StoreError)
            if kept:
                self.inbound_messages += len(drafts)
                self.inbound_unowned += sum(1 for draft in drafts if not draft.account_id)
            acknowledge(kept)

        try:
            self._store.submit(it.StoreInbound(drafts), stored, len(drafts))
        except OurFault as error:
            _log.warning("%d inbound messages were not taken: %s", len(drafts), error)
            acknowledge(False)

    def _of_part(
        self, carrier_id: int, ref: str, state: ReceiptState, at_utc_ms: int, operator_id: int, error: str
    ) -> it.PartReceipt:
        """A receipt with its part, where that is in memory."""
        message_id, part, parts = self._refs.get((carrier_id, ref), (0, 1, 1))
        return it.PartReceipt(carrier_id, ref, state, at_utc_ms, message_id, part, parts, operator_id, error)

    def _matched(self, early: it.PartReceipt) -> it.PartReceipt:
        """A receipt that was stored without its part, which is known now."""
        told = self._of_part(early.carrier_id, early.ref, early.state, early.at_utc_ms, early.operator_id, early.error)
        return msgspec.structs.replace(told, stray=True)

    @property
    def parked(self) -> int:
        """Receipts that wait for the answer that they may belong to."""
        return len(self._parked)

    # -- CommitHook

    def before_commit(self, ops: Sequence[it.Op[Any]]) -> list[it.Op[Any]]:
        """See `CommitHook`."""
        self._storing = (self._waiting, self._owed, self._acknowledge)
        receipts = self._owed + self._waiting
        self._waiting, self._owed, self._acknowledge = [], [], []
        added: list[it.Op[Any]] = []
        if len(self._refs) > REFS_IN_MEMORY:
            added.append(self._oldest_run())  # first: a receipt may have come before its part's id went into this run
        if receipts:
            added.append(it.StoreReceipts(receipts, self.report))
        return added

    def _oldest_run(self) -> it.StoreRefs:
        """The oldest ids of the carrier that the oldest is from, as a run for the store; they leave memory when it is
        stored.
        """
        oldest = [key for _, key in zip(range(REFS_IN_RUN), self._refs, strict=False)]
        carrier_id = oldest[0][0]
        self._run = [key for key in oldest if key[0] == carrier_id]
        return it.StoreRefs(carrier_id, sorted((ref, *self._refs[carrier_id, ref][:2]) for _, ref in self._run))

    def after_commit(self, ops: Sequence[it.Op[Any]], results: Sequence[Any]) -> None:
        """See `CommitHook`."""
        for key in self._run:
            self._refs.pop(key, None)
        for op, result in zip(ops, results, strict=True):
            if type(op) is it.StoreReceipts:
                self.matched += len(op.receipts) - len(result)
                self._expect_no_more(op.receipts)
                for receipt in result:
                    self._unmatched(receipt)
        for acknowledge in self._storing[2]:
            acknowledge(True)
        self._storing, self._run = ([], [], []), []

    def commit_failed(self, ops: Sequence[it.Op[Any]], error: it.StoreError) -> None:
        """See `CommitHook`: the carrier keeps what is not acknowledged and tells it again."""
        _, owed, acknowledges = self._storing
        self._storing, self._run = ([], [], []), []
        if owed:
            self._owed[:0] = owed
            self._clock.call_later(AGAIN_SECONDS, self._store.request_commit)
        for acknowledge in acknowledges:
            acknowledge(False)

    def _expect_no_more(self, receipts: Sequence[it.PartReceipt]) -> None:
        """Of these that stay nothing more is expected but what was told already."""
        for one in receipts:
            if one.message_id and MEANING[one.state] not in _MORE_MAY_COME:
                key = (one.carrier_id, one.ref)
                self._refs.pop(key, None)
                self._done.add(key)
        if len(self._done) > DONE:
            self._done_before, self._done = self._done, set()

    def _is_done(self, key: tuple[int, str]) -> bool:
        """Whether a receipt repeats one that is stored."""
        return key in self._done or key in self._done_before

    def _unmatched(self, receipt: it.PartReceipt) -> None:
        """A receipt has no message, and is stored so: perhaps its part's answer is still on the way."""
        self.unmatched += 1
        self._park(receipt)

    def _park(self, receipt: it.PartReceipt) -> None:
        key = (receipt.carrier_id, receipt.ref)
        if key in self._refs:
            self._owed.append(self._matched(receipt))
            self._store.request_commit()
            return
        earlier = self._parked.get(key)
        if earlier is not None and MEANING[receipt.state] is None:
            return
        while self._parked and (len(self._parked) >= PARKED or self._too_old(next(iter(self._parked.values())))):
            self._parked.pop(next(iter(self._parked)))
        self._parked[key] = receipt

    def _too_old(self, receipt: it.PartReceipt) -> bool:
        return receipt.at_utc_ms + PARKED_MS <= self._clock.now_utc_ms()

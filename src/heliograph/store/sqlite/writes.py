"""Writes of the SQLite engine: load, let `messaging` decide, save. Everything here runs inside the group's one
transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Any, cast

import apsw
import msgspec

from heliograph.messaging import delivery, ledger, submissions
from heliograph.messaging.accounts import Account
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.ledger import PostingKind
from heliograph.messaging.operators import OperatorSource
from heliograph.messaging.submissions import Happening, Status
from heliograph.store import interface as it
from heliograph.store.sqlite import queries as q
from heliograph.store.sqlite.reads import Reads, bulk
from heliograph.store.sqlite.rows import account_row, trace_of

_MAY_BE_REFUSED = (
    it.CreateAccount,
    it.UpdateAccount,
    it.ReplaceCredentials,
    it.SetCredit,
    it.TopUp,
    it.PutCarrier,
)
# What a receipt that stays makes of a message that is SENT, as stored.
_ENDS_SENT = {
    state: submissions.TRANSITIONS[Status.SENT, happening]
    for state, happening in delivery.MEANING.items()
    if happening not in (None, Happening.RECEIPT_UNKNOWN)
}
_FAILED = frozenset(_ENDS_SENT) - {ReceiptState.DELIVERED}  # the carrier's error says why
_LOOSE = 0  # the run that is none
_NOBODY: frozenset[str] = frozenset()
_KEPT = {True: it.Kept.STORED, False: it.Kept.REFUSED}
_KEPT_FOR_LATER = {True: it.Kept.SCHEDULED, False: it.Kept.REFUSED}


_ACCEPTING = (it.Accept, it.AcceptMany)


class _Accepted:
    """What the acceptances of a group come to, so far: rows to insert, and what the accounts have and spend."""

    __slots__ = ("aside", "available", "charged", "endings", "messages", "opted_out", "postings", "requests", "spent")

    def __init__(self) -> None:
        self.available: dict[int, int] = {}
        self.spent: dict[int, int] = {}
        self.charged: dict[int, int] = {}  # the same, and what is refunded at once
        self.opted_out: set[int] = set()  # accounts of which anybody wants nothing more
        self.requests: list[tuple[Any, ...]] = []
        self.messages: list[tuple[Any, ...]] = []
        self.aside: list[tuple[int, int, int]] = []
        self.postings: list[tuple[Any, ...]] = []
        self.endings: list[tuple[it.Reporter, list[it.Ending]]] = []


class Writes:
    """The operations, over one connection with a transaction open."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute: Callable[..., Any] = connection.execute
        self._reads = Reads(connection)
        self._runs: dict[int, int] = {}
        self._handlers: dict[type[it.Op[Any]], Callable[[Any], Any]] = {
            it.MoveMark: self._move_mark,
            it.StoreTaken: self._store_taken,
            it.StoreRetries: self._store_retries,
            it.Requeue: self._requeue,
            it.Resend: self._resend,
            it.Finish: self._finish,
            it.StoreReceipts: self._store_receipts,
            it.StoreRefs: self._store_refs,
            it.LeaseIds: self._lease_ids,
            it.ListMessages: self._list_messages,
            it.ClaimCallbacks: self._claim_callbacks,
            it.SettleCallbacks: self._settle_callbacks,
            it.CreateAccount: self._create_account,
            it.UpdateAccount: self._update_account,
            it.ReplaceCredentials: self._replace_credentials,
            it.SetCredit: self._set_credit,
            it.SetOptOut: self._set_opt_out,
            it.StoreInbound: self._store_inbound,
            it.ReplayCallbacks: self._replay_callbacks,
            it.ForgetAnswers: self._forget_answers,
            it.StoreFailures: self._store_failures,
            it.ForgetFailures: self._forget_failures,
            it.Cancel: self._cancel,
            it.TopUp: self._top_up,
            it.RegisterCarrier: self._register_carrier,
            it.PutCarrier: self._put_carrier,
            it.HoldCarrier: self._hold_carrier,
            it.SetDefaultCarrier: self._set_default_carrier,
            it.StoreCarrierState: self._store_carrier_state,
            it.ForgetStrays: self._forget_strays,
        }

    def forget(self) -> None:
        """A transaction was rolled back: what was remembered of it is not so."""
        self._runs.clear()

    def run(self, ops: Sequence[it.Op[Any]]) -> list[Any]:
        """Carry out all operations and return their results in order: acceptances together first, then the others one
        by one.
        """
        accepting: list[Any] = [op for op in ops if type(op) in _ACCEPTING]
        accepted = self._accept(accepting)
        return [next(accepted) if type(op) in _ACCEPTING else self._one(op) for op in ops]

    def _one(self, op: it.Op[Any]) -> Any:
        """One operation. What is wrong with it alone is its result and leaves no trace; the rest stands."""
        handler = self._handlers[type(op)]
        if type(op) not in _MAY_BE_REFUSED:
            return handler(op)
        self._execute("SAVEPOINT op")
        try:
            result = handler(op)
        except (it.Conflict, it.Missing, it.Refused) as error:
            self._execute("ROLLBACK TO op")
            result = error
        self._execute("RELEASE op")
        return result

    def _bulk(self, query: q.Bulk, rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
        return bulk(self._execute, query, rows)

    # -- accepting

    def _accept(self, ops: Sequence[it.Accept | it.AcceptMany]) -> Iterator[Any]:
        """Charge and store requests in order, against balances read once and written once per account."""
        new = _Accepted()
        results: list[Any] = []
        for op in ops:
            if op.once is not None and (answered := self._answered(op.once)):
                results.append(answered)
                continue
            if type(op) is it.AcceptMany:
                each = [self._keep(one, new) for one in op.accepts]
                results.append(each)
                kept = list(chain.from_iterable(each))
            else:
                kept = self._keep(cast(it.Accept, op), new)
                results.append(kept)
            if op.once is not None:
                self._answer(op.once, kept)
        self._bulk(q.INSERT_REQUESTS, new.requests)
        self._bulk(q.INSERT_MESSAGES, new.messages)
        self._bulk(q.PUT_ASIDE, new.aside)
        self._bulk(q.INSERT_POSTINGS, new.postings)
        for account_id, cost in new.charged.items():
            if cost:
                self._execute(q.ADD_TO_BALANCE, (-cost, account_id))
        for report, ended in new.endings:
            self._end(ended, report)
        return iter(results)

    def _keep(self, op: it.Accept, new: _Accepted) -> list[it.Kept]:
        """Decide what of a request is stored, and add that to what is new."""
        request = op.request
        account_id = request.account_id
        spent = new.spent
        if account_id not in spent:
            new.available[account_id], any_opted_out = self._available(account_id)
            spent[account_id] = new.charged[account_id] = 0
            if any_opted_out:
                new.opted_out.add(account_id)
        refusing = self._opted_out(op) if account_id in new.opted_out else _NOBODY
        wanted = op.submissions
        if refusing and op.refuse_opted_out:
            wanted = [one for one in wanted if one.recipient not in refusing]
        # What goes back in this very transaction is in nobody's way.
        prices = [0 if one.recipient in refusing else one.price_micros for one in wanted]
        covered, cost = ledger.cover(new.available[account_id] - spent[account_id], prices)
        send_at = request.send_at_utc_ms
        words = _KEPT_FOR_LATER if send_at else _KEPT
        kept = [words[paid] for paid in covered]
        if wanted is not op.submissions:
            left = iter(kept)
            kept = [it.Kept.OPTED_OUT if one.recipient in refusing else next(left) for one in op.submissions]
        elif refusing and op.report is not None:
            new.endings.append((op.report, self._end_opted_out(op, kept, refusing)))
        if not any(covered):
            return kept
        spent[account_id] += cost
        cost += sum(one.price_micros for one in wanted if one.recipient in refusing)
        new.charged[account_id] += cost
        text, dialect = request.text, request.dialect
        new.requests.append(
            (
                request.id,
                account_id,
                request.sender,
                text.body,
                int(text.encoding),
                text.segments,
                request.registered_utc_ms,
                request.expires_utc_ms,
                send_at,
                request.reference,
                request.callback_url,
                request.trace,
            )
        )
        new.messages.extend(
            (
                m.id,
                request.id,
                account_id,
                m.carrier_id,
                dialect,
                m.recipient,
                m.price_micros,
                m.operator_id,
                m.operator_source,
            )
            for m, paid in zip(wanted, covered, strict=True)
            if paid
        )
        if send_at:
            new.aside.extend((m.id, m.carrier_id, send_at) for m, paid in zip(wanted, covered, strict=True) if paid)
        new.postings.append((account_id, int(PostingKind.CHARGE), -cost, request.id, 0, request.registered_utc_ms, ""))
        return kept

    def _available(self, account_id: int) -> tuple[int, bool]:
        """What an account may spend, and whether anybody wants nothing more from it."""
        row = self._execute(q.BALANCE_AND_CREDIT, (account_id,)).get
        return (0, False) if row is None else (row[0] + row[1], bool(row[2]))

    def _opted_out(self, op: it.Accept) -> AbstractSet[str]:
        """The recipients of a request that want nothing from its account."""
        asked = msgspec.json.encode([one.recipient for one in op.submissions]).decode()
        return {row[0] for row in self._execute(q.OPTED_OUT, (op.request.account_id, asked))}

    @staticmethod
    def _end_opted_out(op: it.Accept, kept: list[it.Kept], refusing: AbstractSet[str]) -> list[it.Ending]:
        """Mark in `kept` the messages whose recipients want none; they are stored and charged, and these end them."""
        request = op.request
        endings = []
        for index, one in enumerate(op.submissions):
            if kept[index] and one.recipient in refusing:
                kept[index] = it.Kept.ENDED
                endings.append(it.Ending(one.id, Happening.OPTED_OUT, request.registered_utc_ms, detail=it.UNWANTED))
        return endings

    def _cancel(self, op: it.Cancel) -> int | None:
        number: int | None = self._execute(q.UNSENT, (op.message_id,)).get
        if number is not None:
            self._end([it.Ending(op.message_id, Happening.CANCELLED, op.at_utc_ms, detail="by its account")], op.report)
        return number

    # -- requests that happen once

    def _answered(self, once: it.Once) -> it.Answered | None:
        return self._reads.answered(once.account_id, once.route, once.key, once.at_utc_ms - it.ONCE_MS)

    def _answer(self, once: it.Once, kept: Sequence[it.Kept]) -> None:
        answer = once.answer(kept)
        if answer is not None:
            values = (once.body_sha256, answer, once.at_utc_ms)
            self._execute(q.INSERT_ANSWER, (once.account_id, once.route, once.key, *values))

    def _forget_answers(self, op: it.ForgetAnswers) -> int:
        return len(self._execute(q.FORGET_ANSWERS, (op.before_utc_ms, op.limit)).fetchall())

    # -- requests that were refused

    def _store_failures(self, op: it.StoreFailures) -> None:
        self._bulk(
            q.INSERT_FAILURES,
            [
                (
                    trace_of(one.request_id),
                    one.at_utc_ms,
                    one.account,
                    one.method,
                    one.route,
                    one.status,
                    one.code,
                    one.detail,
                )
                for one in op.failures
            ],
        )

    def _forget_failures(self, op: it.ForgetFailures) -> int:
        left = op.limit
        for account_id, extra in self._execute(q.CROWDED_FAILURES, (op.keep_each,)).fetchall():
            left -= len(self._execute(q.FORGET_FAILURES_OF, (account_id, min(extra, left))).fetchall())
        left -= len(self._execute(q.FORGET_FAILURES, (op.before_utc_ms, op.keep, left)).fetchall())
        return op.limit - left

    def _lease_ids(self, op: it.LeaseIds) -> int:
        return int(self._execute(q.LEASE_IDS, (op.count, "message")).get)

    def _list_messages(self, op: it.ListMessages) -> int:
        listed = self._execute(q.LISTED_UP_TO).get or 0
        until = self._execute(q.LIST_UNTIL, (listed, op.limit)).get
        if until is None:
            return 0
        self._execute(q.LIST_MESSAGES, (listed, until))
        self._execute(q.SET_LISTED, (until,))
        return int(until) - int(listed)

    # -- handing over

    def _register_carrier(self, op: it.RegisterCarrier) -> int:
        known = self._execute(q.CARRIER_ID, (op.name,)).get
        return int(known if known is not None else self._execute(q.INSERT_CARRIER, (op.name,)).get)

    def _put_carrier(self, op: it.PutCarrier) -> int:
        has = bool(self._execute(q.CARRIER_SETTINGS, (op.name,)).get)
        if op.new and has:
            raise it.Conflict(f"a carrier {op.name!r} exists already")
        if not op.new and not has:
            raise it.Missing(f"no settings of a carrier {op.name!r} are stored")
        self._register_carrier(it.RegisterCarrier(op.name))
        return int(self._execute(q.SET_CARRIER, (op.name, op.settings)).get)

    def _hold_carrier(self, op: it.HoldCarrier) -> None:
        self._register_carrier(it.RegisterCarrier(op.name))
        self._execute(q.HOLD_CARRIER, (op.name, int(op.stopped)))

    def _set_default_carrier(self, op: it.SetDefaultCarrier) -> None:
        if op.name is None:
            self._execute(q.DROP_DEFAULT_CARRIER)
        else:
            self._execute(q.SET_DEFAULT_CARRIER, (op.name,))

    def _store_carrier_state(self, op: it.StoreCarrierState) -> None:
        self._execute(q.SET_CARRIER_STATE, (op.carrier_id, op.state, op.detail, op.at_utc_ms))

    def _move_mark(self, op: it.MoveMark) -> None:
        self._execute(q.MOVE_MARK, (op.carrier_id, op.number, op.part))

    def _store_taken(self, op: it.StoreTaken) -> None:
        single = [t for t in op.taken if t.parts == 1]
        several = [t for t in op.taken if t.parts > 1]
        self._bulk(q.TAKE_SINGLE, [(t.message_id, t.at_utc_ms, t.ref) for t in single])
        self._bulk(q.INSERT_PARTS, [(t.message_id, t.part, t.ref, t.parts) for t in several])
        self._bulk(q.TAKE_LAST_PART, [(t.message_id, t.at_utc_ms) for t in several if t.last])
        retried = [(t.message_id,) for t in op.taken if t.last and t.retried]
        self._bulk(q.DROP_RETRIES, retried)
        if op.report is not None:
            at = {t.message_id: t.at_utc_ms for t in op.taken if t.last and t.tell}
            sent = self._bulk(q.MESSAGES_SENT, [(message_id,) for message_id in at])
            told = [
                it.Ended(id_, account, dialect, phone, Status.SENT, at[id_], self._reads)
                for id_, account, dialect, phone in sent
            ]
            self._tell(told, op.report)

    def _store_retries(self, op: it.StoreRetries) -> None:
        self._bulk(q.PUT_RETRIES, [(r.message_id, r.reroute_to or r.carrier_id, r.due_utc_ms) for r in op.retries])
        for retry in op.retries:
            if retry.reroute_to:
                self._execute(q.REROUTE, (retry.message_id, retry.reroute_to))
            elif retry.spends_try or retry.doubted:
                self._execute(q.COUNT_TRY, (retry.message_id, int(retry.spends_try), int(retry.doubted)))
            self._execute(q.ADD_EVENT, (retry.message_id, retry.at_utc_ms, retry.event, retry.detail))

    def _requeue(self, op: it.Requeue) -> list[bool]:
        queued = self._bulk(q.QUEUE_RETRIES, [(one.id, one.number) for one in op.submissions])
        ids = {row[0] for row in queued}
        return [one.id in ids for one in op.submissions]

    def _resend(self, op: it.Resend) -> None:
        for message_id in op.message_ids:
            self._execute(q.COUNT_TRY, (message_id, 1, 1))
            detail = "stopped before the carrier's answer was stored: it may arrive twice"
            self._execute(q.ADD_EVENT, (message_id, op.at_utc_ms, "sent again", detail))

    def _store_refs(self, op: it.StoreRefs) -> None:
        run = self._newest_run(op.carrier_id) + 1
        self._bulk(q.INSERT_REFS, [(op.carrier_id, run, *entry) for entry in op.refs])
        self._runs[op.carrier_id] = run

    def _newest_run(self, carrier_id: int) -> int:
        if carrier_id not in self._runs:
            self._runs[carrier_id] = int(self._execute(q.NEWEST_RUN, (carrier_id,)).get)
        return self._runs[carrier_id]

    # -- ending

    def _finish(self, op: it.Finish) -> None:
        self._end(op.endings, op.report)

    def _end(self, endings: Sequence[it.Ending], report: it.Reporter) -> None:
        rows = {row[0]: row for row in self._bulk(q.MESSAGES_TO_END, [(e.message_id,) for e in endings])}
        ended: dict[int, tuple[Any, ...]] = {}
        to_tell: dict[int, it.Ended] = {}
        refunds, tried = [], []
        for ending in endings:
            row = rows.get(ending.message_id)
            if row is None:
                continue
            message_id, account_id, dialect, recipient, old, price, already_refunded = row
            status = submissions.after(Status(old), ending.happening)
            if status is None:
                continue
            refund = not already_refunded and submissions.refunded(ending.happening, parts_taken=ending.parts_taken)
            if refund and price:
                refunds.append(
                    (
                        account_id,
                        int(PostingKind.REFUND),
                        price,
                        0,
                        message_id,
                        ending.at_utc_ms,
                        ending.happening.name.lower(),
                    )
                )
            refund = bool(refund or already_refunded)
            ended[message_id] = (message_id, int(status), ending.at_utc_ms, int(refund), ending.detail)
            rows[message_id] = (*row[:4], int(status), price, refund)
            if status.final:
                if old == Status.UNKNOWN:
                    self._execute(q.CANCEL_CALLBACKS, (message_id,))
                if status is Status.UNKNOWN:
                    self._keep_refs(message_id)
                to_tell[message_id] = it.Ended(
                    message_id, account_id, dialect, recipient, status, ending.at_utc_ms, self._reads
                )
            if old == Status.PENDING:
                tried.append((message_id,))
        self._bulk(q.END_MESSAGES, ended.values())
        self._bulk(q.DROP_RETRIES, tried)
        self._bulk(q.INSERT_POSTINGS, refunds)
        for refund_row in refunds:
            self._execute(q.ADD_TO_BALANCE, (refund_row[2], refund_row[0]))
        self._tell(list(to_tell.values()), report)

    def _keep_refs(self, message_id: int) -> None:
        """Keep what the carrier calls a message that is UNKNOWN, for the receipt that may still come."""
        carrier_id, ref = self._execute(q.MESSAGE_REF, (message_id,)).get
        refs = [(1, ref)] if ref else [(part, known) for part, known, _ in self._reads.parts(message_id)]
        self._bulk(q.INSERT_REFS, [(carrier_id, _LOOSE, known, message_id, part) for part, known in refs])

    def _tell(self, ended: list[it.Ended], report: it.Reporter) -> None:
        """Store the callbacks that the ends of these messages call for."""
        drafts = list(zip(ended, report(ended), strict=True))
        for of, told in drafts:
            if told is not None and told.instead:
                self._execute(q.CANCEL_CALLBACKS, (of.message_id,))
        self._bulk(
            q.INSERT_CALLBACKS,
            [
                (of.account_id, of.message_id, told.kind, told.url, told.body, of.done_utc_ms, of.done_utc_ms)
                for of, told in drafts
                if told is not None
            ],
        )

    def _store_receipts(self, op: it.StoreReceipts) -> list[it.PartReceipt]:
        """Most receipts are final, of one part, and matched in memory: those end their messages in one pass."""
        plain: dict[int, it.PartReceipt] = {}  # the first of each message; what follows it is left for the slow path
        for r in op.receipts:
            if r.message_id and r.parts == 1 and r.state in _ENDS_SENT and not (r.error and r.state in _FAILED):
                plain.setdefault(r.message_id, r)
        sent = [
            (plain[row[0]], row)
            for (chunk,) in self._bulk(q.SENT_MESSAGES, [(id_,) for id_ in plain])
            for row in msgspec.json.decode(chunk, type=list[tuple[int, int, int, str]])
        ]
        self._bulk(q.END_SENT, [(r.message_id, int(_ENDS_SENT[r.state]), r.at_utc_ms) for r, _ in sent])
        self._tell([it.Ended(*row, _ENDS_SENT[r.state], r.at_utc_ms, self._reads) for r, row in sent], op.report)
        operators = {r.message_id: r.operator_id for r, _ in sent if r.operator_id}
        done = {r.message_id for r, _ in sent}
        unmatched: list[it.PartReceipt] = []
        endings: list[it.Ending] = []
        for receipt in op.receipts:
            if receipt.message_id in done:
                if receipt is plain[receipt.message_id]:
                    done.discard(receipt.message_id)
                continue
            message_id, part, parts = receipt.message_id, receipt.part, receipt.parts
            if not message_id:
                found = self._find_ref(receipt.carrier_id, receipt.ref)
                message = self._reads.message(found[0]) if found else None
                if found is None or message is None:
                    unmatched.append(receipt)
                    continue
                (message_id, part), parts = found, 1 if message.ref else self._reads.parts_sent(found[0])
            if parts == 1:
                happening = delivery.MEANING[receipt.state]
            else:
                happening = self._part_receipt(message_id, part, parts, receipt.state)
            if receipt.operator_id:
                operators[message_id] = receipt.operator_id
            if happening is not None:
                bad = receipt.error and receipt.state is not ReceiptState.DELIVERED
                detail = f"the carrier's error {receipt.error}" if bad else ""
                endings.append(it.Ending(message_id, happening, receipt.at_utc_ms, parts_taken=1, detail=detail))
        self._end(endings, op.report)
        self._bulk(q.RECORD_OPERATORS, [(id_, one, int(OperatorSource.RECEIPT)) for id_, one in operators.items()])
        self._store_strays(op.receipts, unmatched)
        return unmatched

    def _store_strays(self, receipts: Sequence[it.PartReceipt], unmatched: Sequence[it.PartReceipt]) -> None:
        """Keep what matches no message, and drop what did not before and does now."""
        for one in receipts:
            if one.stray and one.message_id:
                self._execute(q.DROP_STRAY, (one.carrier_id, one.ref))
        for one in unmatched:
            known: int | None = self._execute(q.STRAY_STATE, (one.carrier_id, one.ref)).get
            if delivery.replaces(None if known is None else ReceiptState(known), one.state):
                values = (one.carrier_id, one.ref, int(one.state), one.at_utc_ms, one.operator_id, one.error)
                self._execute(q.PUT_STRAY, values)

    def _forget_strays(self, op: it.ForgetStrays) -> int:
        left = op.limit
        for carrier_id, extra in self._execute(q.CROWDED_STRAYS, (op.keep,)).fetchall():
            left -= len(self._execute(q.FORGET_STRAYS_OF, (carrier_id, min(extra, left))).fetchall())
        left -= len(self._execute(q.FORGET_STRAYS, (op.before_utc_ms, left)).fetchall())
        return op.limit - left

    def _part_receipt(self, message_id: int, part: int, parts: int, state: ReceiptState) -> Happening | None:
        states = {number: known for number, _, known in self._reads.parts(message_id)}
        if part in states and delivery.replaces(states[part], state):
            self._execute(q.RECORD_PART_STATE, (int(state), message_id, part))
            states[part] = state
        return delivery.of_all_parts(states.values(), parts)

    def _find_ref(self, carrier_id: int, ref: str) -> tuple[int, int] | None:
        for run in range(self._newest_run(carrier_id), _LOOSE - 1, -1):
            row = self._execute(q.FIND_REF, (carrier_id, run, ref)).get
            if row is not None:
                return row[0], row[1]
        return None

    # -- callbacks

    def _claim_callbacks(self, op: it.ClaimCallbacks) -> list[it.Callback]:
        begun: list[it.Callback] = []
        while wanted := op.limit - len(begun):
            due = self._reads.due_callbacks(op, wanted)
            begun += self._begin_attempts(op, due)
            if len(due) < wanted:
                break
        return begun

    def _begin_attempts(self, op: it.ClaimCallbacks, due: list[it.Callback]) -> list[it.Callback]:
        begin = [callback for callback in due if callback.attempt < len(op.delays_seconds)]
        spent = [
            (callback.id, "failed", callback.last_result or "no answer")
            for callback in due
            if callback.attempt >= len(op.delays_seconds)
        ]
        begun = [
            msgspec.structs.replace(
                callback,
                attempt=callback.attempt + 1,
                next_utc_ms=op.now_utc_ms + op.delays_seconds[callback.attempt] * 1000,
            )
            for callback in begin
        ]
        self._bulk(q.BEGIN_ATTEMPTS, [(callback.id, callback.attempt, callback.next_utc_ms) for callback in begun])
        self._bulk(q.SETTLE_CALLBACKS, spent)
        return begun

    def _settle_callbacks(self, op: it.SettleCallbacks) -> None:
        def state(settled: it.Settlement) -> str:
            return "acknowledged" if settled.acknowledged else "failed" if settled.give_up else "pending"

        self._bulk(q.SETTLE_CALLBACKS, [(s.callback_id, state(s), s.result) for s in op.settlements])
        for settled in op.settlements:
            if settled.event:
                self._execute(q.ADD_EVENT, (settled.message_id, settled.at_utc_ms, it.CALLED_BACK, settled.event))

    def _replay_callbacks(self, op: it.ReplayCallbacks) -> list[int]:
        replayed = []
        for callback_id in op.callback_ids:
            message_id = self._execute(q.REPLAY_CALLBACK, (callback_id, op.due_utc_ms)).get
            if message_id is not None:
                replayed.append(callback_id)
            if message_id:
                detail = "a new run of attempts, by the operator"
                self._execute(q.ADD_EVENT, (message_id, op.due_utc_ms, it.REPLAYED, detail))
        return replayed

    # -- messages from phones

    def _store_inbound(self, op: it.StoreInbound) -> None:
        self._bulk(
            q.INSERT_INBOUND,
            [(m.carrier_id, m.account_id, m.sender, m.recipient, m.text, m.received_utc_ms) for m in op.messages],
        )
        self._bulk(
            q.INSERT_CALLBACKS,
            [
                (m.account_id, 0, told.kind, told.url, told.body, m.received_utc_ms, m.received_utc_ms)
                for m in op.messages
                if (told := m.callback) is not None
            ],
        )

    # -- accounts

    def _create_account(self, op: it.CreateAccount) -> Account:
        account = msgspec.structs.replace(op.account, revision=self._next_revision())
        try:
            account_id = int(self._execute(q.INSERT_ACCOUNT, account_row(account)).get)
            self._insert_credentials(account_id, op.credentials)
        except apsw.ConstraintError as error:
            raise it.Conflict(f"an account {account.ref!r} exists already") from error
        self._own_numbers(account_id, account.inbound)
        self._execute(q.INSERT_BALANCE, (account_id,))
        if op.balance_micros:
            self._post_topup(account_id, op.balance_micros, account.created_utc_ms, "opening balance")
        return msgspec.structs.replace(account, id=account_id)

    def _insert_credentials(self, account_id: int, credentials: Iterable[it.Credential]) -> None:
        for one in credentials:
            self._execute(q.INSERT_CREDENTIAL, (account_id, one.dialect, one.public_id, one.secret_sha256))

    def _own_numbers(self, account_id: int, numbers: Iterable[str]) -> None:
        """Make exactly these numbers the account's."""
        self._execute(q.DROP_INBOUND_NUMBERS, (account_id,))
        for number in sorted(numbers):
            try:
                self._execute(q.INSERT_INBOUND_NUMBER, (number, account_id))
            except apsw.ConstraintError as error:
                raise it.Conflict(f"the number {number} is another account's: its inbound messages go there") from error

    def _replace_credentials(self, op: it.ReplaceCredentials) -> Account:
        account = self._account(op.account_id)
        for dialect in {one.dialect for one in op.credentials}:
            self._execute(q.DROP_CREDENTIALS, (account.id, dialect))
        try:
            self._insert_credentials(account.id, op.credentials)
        except apsw.ConstraintError as error:
            raise it.Conflict("a public id among these credentials is another account's") from error
        return self._update_account(it.UpdateAccount(account.id, {}))  # its revision tells the directory

    def _set_credit(self, op: it.SetCredit) -> int:
        balance = self._execute(q.SET_CREDIT, (op.credit_limit_micros, self._account(op.account_id).id)).get
        return int(balance)

    def _set_opt_out(self, op: it.SetOptOut) -> bool:
        if op.opted_out:
            return bool(self._execute(q.OPT_OUT, (op.account_id, op.recipient, op.at_utc_ms)).get)
        return bool(self._execute(q.OPT_IN, (op.account_id, op.recipient)).get)

    def _account(self, account_id: int) -> Account:
        account = self._reads.account_by_id(account_id)
        if account is None:
            raise it.Missing(f"there is no account with the internal id {account_id}")
        return account

    def _update_account(self, op: it.UpdateAccount) -> Account:
        account = self._account(op.account_id)
        changed = msgspec.structs.replace(account, **op.changes, revision=self._next_revision())
        try:
            self._execute(q.UPDATE_ACCOUNT, (*account_row(changed), account.id))
        except apsw.ConstraintError as error:
            raise it.Conflict(f"an account {changed.ref!r} exists already") from error
        if changed.inbound != account.inbound:
            self._own_numbers(account.id, changed.inbound)
        return changed

    def _next_revision(self) -> int:
        return int(self._execute(q.LEASE_IDS, (1, "revision")).get)

    def _top_up(self, op: it.TopUp) -> int:
        return self._post_topup(op.account_id, op.amount_micros, op.at_utc_ms, op.note)

    def _post_topup(self, account_id: int, amount_micros: int, at_utc_ms: int, note: str) -> int:
        row = self._execute(q.BALANCE_AND_CREDIT, (self._account(account_id).id,)).get
        refused = ledger.refusal(row[0], amount_micros, row[1])
        if refused:
            raise it.Refused(refused)
        balance = self._execute(q.ADD_TO_BALANCE, (amount_micros, account_id)).get
        self._bulk(q.INSERT_POSTINGS, [(account_id, int(PostingKind.TOPUP), amount_micros, 0, 0, at_utc_ms, note)])
        return int(balance)

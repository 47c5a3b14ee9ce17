"""Reads of the SQLite engine, as `store.interface.Reads` describes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import apsw
import msgspec

from heliograph.messaging.accounts import Account
from heliograph.messaging.delivery import MEANING, ReceiptState
from heliograph.messaging.ledger import PostingKind
from heliograph.messaging.submissions import Request, Submission
from heliograph.messaging.text import Encoding, Text
from heliograph.store import interface as it
from heliograph.store.sqlite import queries as q
from heliograph.store.sqlite.rows import account_of, message_of, trace_of

_NO_END = 1 << 62


class Reads:
    """Named reads over one connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute: Callable[..., Any] = connection.execute

    # -- accounts

    def accounts_since(self, revision: int) -> list[tuple[Account, list[it.Credential]]]:
        accounts = [account_of(row) for row in self._execute(q.ACCOUNTS_SINCE, (revision,))]
        return [(account, self._credentials(account.id)) for account in accounts]

    def _credentials(self, account_id: int) -> list[it.Credential]:
        return [it.Credential(*row) for row in self._execute(q.CREDENTIALS, (account_id,))]

    def account(self, ref: str) -> Account | None:
        return next((account_of(row) for row in self._execute(q.ACCOUNT_BY_REF, (ref,))), None)

    def account_by_id(self, account_id: int) -> Account | None:
        return next((account_of(row) for row in self._execute(q.ACCOUNT_BY_ID, (account_id,))), None)

    def accounts(self) -> list[Account]:
        return [account_of(row) for row in self._execute(q.ACCOUNTS)]

    def balance(self, account_id: int) -> int:
        return int(self._execute(q.BALANCE, (account_id,)).get or 0)

    def credit(self, account_id: int) -> int:
        return int(self._execute(q.CREDIT, (account_id,)).get or 0)

    def opt_outs(self, account_id: int, after: str, limit: int) -> list[str]:
        return [row[0] for row in self._execute(q.OPT_OUTS, (account_id, after, limit))]

    def balances(self) -> dict[int, int]:
        return dict(self._execute(q.BALANCES))

    # -- messages

    def message(self, message_id: int) -> it.StoredMessage | None:
        return next((message_of(row) for row in self._execute(q.MESSAGE, (message_id,))), None)

    def messages_of(self, message_ids: Sequence[int]) -> list[it.StoredMessage]:
        return [message_of(row) for row in bulk(self._execute, q.MESSAGES_OF, [(id_,) for id_ in message_ids])]

    def messages(self, wanted: it.MessageFilter, limit: int, before_id: int | None = None) -> list[it.StoredMessage]:
        values: dict[str, Any] = {
            "account_id": wanted.account_id,
            "status": None if wanted.status is None else int(wanted.status),
            "recipient": wanted.recipient,
            "sender": wanted.sender,
            "carrier_id": wanted.carrier_id,
            "due_after": wanted.due_after_utc_ms,
            "due_until": wanted.due_until_utc_ms,
            "first": self._first_id_from(wanted.since_utc_ms) if wanted.since_utc_ms else 0,
            "below": min(
                before_id or _NO_END,
                _NO_END if wanted.until_utc_ms is None else self._first_id_from(wanted.until_utc_ms),
            ),
        }
        if wanted.account_id is None:
            return self._messages(q.MESSAGES, values, limit)
        newest = self._messages(q.UNLISTED_MESSAGES_OF_ACCOUNT, values, limit)
        if len(newest) == limit:
            return newest
        return newest + self._messages(q.LISTED_MESSAGES_OF_ACCOUNT, values, limit - len(newest))

    def _messages(self, query: str, values: dict[str, Any], limit: int) -> list[it.StoredMessage]:
        return [message_of(row) for row in self._execute(query, {**values, "limit": limit})]

    def _first_id_from(self, utc_ms: int) -> int:
        """The id of the first message registered at a time or later, by bisection."""
        low, high, found = 1, int(self._execute(q.LAST_REQUEST).get) + 1, _NO_END
        while low < high:
            middle = (low + high) // 2
            request_id, registered = self._execute(q.REQUEST_FROM, (middle,)).get
            if registered >= utc_ms:
                high, found = middle, request_id
            else:
                low = request_id + 1  # not `middle + 1`, which may be another message of the same request
        return found

    def answered(self, account_id: int, route: str, key: str, after_utc_ms: int) -> it.Answered | None:
        rows = self._execute(q.ANSWERED, (account_id, route, key, after_utc_ms))
        return next((it.Answered(*row) for row in rows), None)

    def failure(self, request_id: str) -> it.Failure | None:
        rows = self._execute(q.FAILURE, (trace_of(request_id),))
        return next((it.Failure(request_id, *row) for row in rows), None)

    def messages_traced(self, trace: str, since_utc_ms: int, until_utc_ms: int) -> list[it.StoredMessage]:
        first, below = self._first_id_from(since_utc_ms), self._first_id_from(until_utc_ms)
        return [message_of(row) for row in self._execute(q.MESSAGES_TRACED, (first, below, trace))]

    def inbound(self, account_id: int | None, limit: int, before_id: int | None = None) -> list[it.StoredInbound]:
        return [it.StoredInbound(*row) for row in self._execute(q.INBOUND, (before_id or _NO_END, account_id, limit))]

    def parts(self, message_id: int) -> list[tuple[int, str, ReceiptState | None]]:
        rows = self._execute(q.PART_STATES, (message_id,))
        return [(part, ref, ReceiptState(state) if state is not None else None) for part, ref, state in rows]

    def parts_sent(self, message_id: int) -> int:
        """How many parts a message goes in, once one of several was taken; else 1."""
        parts = self._execute(q.PARTS_SENT, (message_id,)).get
        if parts == 0:  # taken by an older version
            parts = self._execute(q.MESSAGE_SEGMENTS, (message_id,)).get
        return int(parts or 1)

    def events(self, message_id: int) -> list[it.Event]:
        return [it.Event(*row) for row in self._execute(q.EVENTS, (message_id,))]

    # -- callbacks

    def callbacks_of(self, message_id: int) -> list[it.Callback]:
        return [it.Callback(*row) for row in self._execute(q.CALLBACKS_OF_MESSAGE, (message_id,))]

    def callback(self, callback_id: int) -> it.Callback | None:
        return next((it.Callback(*row) for row in self._execute(q.CALLBACK, (callback_id,))), None)

    def callbacks(self, wanted: it.CallbackFilter, limit: int, before_id: int | None = None) -> list[it.Callback]:
        below, account_id, kind = before_id or _NO_END, wanted.account_id, wanted.kind
        if wanted.state == "failed":
            rows = self._execute(q.FAILED_CALLBACKS, (below, account_id, kind, limit))
        else:
            rows = self._execute(q.CALLBACKS, (below, account_id, kind, wanted.state, limit))
        return [it.Callback(*row) for row in rows]

    def due_callbacks(self, op: it.ClaimCallbacks, limit: int) -> list[it.Callback]:
        query = q.DUE_CALLBACKS_OF_ACCOUNT if op.only else q.DUE_CALLBACKS
        whose = op.only or msgspec.json.encode(sorted(op.busy)).decode()
        return [it.Callback(*row) for row in self._execute(query, (op.after_utc_ms, op.now_utc_ms, whose, limit))]

    # -- auditing

    def postings(self, after_id: int, limit: int) -> list[it.Posting]:
        rows = self._execute(q.POSTINGS, (after_id, limit))
        return [it.Posting(row[0], row[1], PostingKind(row[2]), *row[3:]) for row in rows]

    def paid_messages(self, after_id: int, limit: int) -> list[it.PaidMessage]:
        rows = self._execute(q.PAID_MESSAGES, (after_id, limit))
        return [
            it.PaidMessage(id_, request_id, account_id, price, bool(refunded))
            for id_, request_id, account_id, price, refunded in rows
        ]

    # -- handing over

    def carriers(self) -> dict[int, str]:
        return dict(self._execute(q.CARRIERS))

    def stored_carriers(self) -> list[it.StoredCarrier]:
        return [
            it.StoredCarrier(id_, name, settings, bool(stopped), state, detail, since)
            for id_, name, settings, stopped, state, detail, since in self._execute(q.STORED_CARRIERS)
        ]

    def default_carrier(self) -> str | None:
        name: str | None = self._execute(q.DEFAULT_CARRIER).get
        return name

    def strays(self, carrier_id: int | None, limit: int, before_id: int | None = None) -> list[it.Stray]:
        rows = self._execute(q.STRAYS, (before_id or _NO_END, carrier_id, limit))
        return [it.Stray(id_, of, ref, ReceiptState(state), *rest) for id_, of, ref, state, *rest in rows]

    def lane(self, carrier_id: int, below: int = it.NO_NUMBER) -> it.LaneState:
        mark = next(iter(self._execute(q.MARK, (carrier_id,))), (0, 0))
        number, part = mark
        doubtful = self._submissions(self._execute(q.IN_DOUBT, (carrier_id, number)))
        doubtful += self._submissions(self._execute(q.IN_DOUBT_RETRIES, (carrier_id, number)))
        waiting = (
            self._execute(q.COUNT_WAITING, (carrier_id, number, below)).get
            + self._execute(q.COUNT_RETRIES, (carrier_id, number, below)).get
        )
        return it.LaneState(number, part, sorted(doubtful, key=lambda one: one.number), int(waiting))

    def claim(self, carrier_id: int, after_number: int, limit: int) -> list[Submission]:
        first = self._submissions(self._execute(q.CLAIM_FIRST, (carrier_id, after_number, limit)))
        again = self._submissions(self._execute(q.CLAIM_RETRIES, (carrier_id, after_number, limit)))
        return sorted(first + again, key=lambda one: one.number)[:limit] if again else first

    def due_retries(self, carrier_id: int, now_utc_ms: int, limit: int) -> list[Submission]:
        return self._submissions(self._execute(q.DUE_RETRIES, (carrier_id, now_utc_ms, limit)))

    def unwanted(self, submissions: Sequence[Submission]) -> frozenset[int]:
        asked = [(one.id, one.request.account_id, one.recipient) for one in submissions]
        return frozenset(row[0] for row in bulk(self._execute, q.UNWANTED, asked))

    def overdue(self, carrier_id: int, after_id: int, look_at: int, now_utc_ms: int) -> it.Overdue:
        looked_at = (carrier_id, after_id, look_at)
        looked_to, count = next(iter(self._execute(q.LOOKED_TO, looked_at)))
        lapsed = self._submissions(self._execute(q.LAPSED, (*looked_at, now_utc_ms)))
        silent = [row[0] for row in self._execute(q.SILENT, (*looked_at, now_utc_ms - it.SILENCE_MS))]
        return it.Overdue(lapsed, silent, looked_to if count == look_at else 0)

    def awaiting_receipt(self, carrier_id: int, after_id: int, limit: int) -> list[it.Awaiting]:
        while rows := self._execute(q.AWAITING_RECEIPT, (carrier_id, after_id, limit)).fetchall():
            if found := [one for row in rows for one in self._awaiting(*row)]:
                return found
            after_id = rows[-1][0]
        return []

    def _awaiting(self, message_id: int, sent_utc_ms: int, ref: str, sender: str) -> list[it.Awaiting]:
        if ref:
            return [it.Awaiting(message_id, 1, 1, ref, sent_utc_ms, sender)]
        parts = self.parts_sent(message_id)
        return [
            it.Awaiting(message_id, part, parts, ref, sent_utc_ms, sender)
            for part, ref, state in self.parts(message_id)
            if state is None or MEANING[state] is None
        ]

    def _submissions(self, rows: Iterable[tuple[Any, ...]]) -> list[Submission]:
        """Submissions from rows of `_SUBMISSION`; their requests are read once each."""
        found = list(rows)
        dialects = {row[1]: row[2] for row in found}
        requests: dict[int, Request] = {}
        for row in bulk(self._execute, q.REQUESTS, [(request_id,) for request_id in dialects]):
            id_, account_id, sender, body, encoding, segments, *rest = row
            text = Text(body, Encoding(encoding), segments)
            requests[id_] = Request(id_, account_id, dialects[id_], sender, text, *rest)
        return [self._submission(row, requests[row[1]]) for row in found]

    def _submission(self, row: tuple[Any, ...], request: Request) -> Submission:
        id_, _, _, recipient, price, carrier_id, operator_id, operator_source, number, tries, doubted = row
        taken = self._taken(id_, request)
        return Submission(
            id_,
            request,
            recipient,
            price,
            carrier_id,
            operator_id,
            operator_source,
            number,
            tries,
            taken,
            bool(doubted),
            self.parts_sent(id_) if taken else 0,
        )

    def _taken(self, message_id: int, request: Request) -> frozenset[int]:
        if request.text.segments == 1:
            return _NO_PARTS
        return frozenset(part for part, _, _ in self.parts(message_id))


_NO_PARTS: frozenset[int] = frozenset()
_CHUNKS = (256, 128, 64)  # rows a statement; below 64 every count is a statement of its own


def bulk(execute: Callable[..., Any], query: q.Bulk, rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Run a bulk query over all rows, in few statements, each prepared once; the rows that it returns."""
    values = list(chain.from_iterable(rows))
    width, start, left = query.width, 0, len(values) // query.width
    found: list[tuple[Any, ...]] = []
    while left:
        size = next((size for size in _CHUNKS if size <= left), left)
        end = start + size * width
        found.extend(execute(query.over(size), values[start:end]))
        start, left = end, left - size
    return found

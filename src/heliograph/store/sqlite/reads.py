"""Reads of the SQLite engine, as `store.interface.Reads` describes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import apsw
import msgspec

from heliograph.messaging.accounts import Account, AccountStatus
from heliograph.messaging.delivery import MEANING, ReceiptState
from heliograph.messaging.ledger import PostingKind
from heliograph.messaging.numbers import NumberPolicy
from heliograph.messaging.submissions import Request, Status, Submission
from heliograph.messaging.text import Encoding, Text
from heliograph.store import interface as it
from heliograph.store.sqlite import queries as q

_NO_END = 1 << 62


class Reads:
    """Named reads over one connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute: Callable[..., Any] = connection.execute

    # -- accounts

    def accounts_since(self, revision: int) -> list[tuple[Account, list[it.Credential]]]:
        accounts = [_account(row) for row in self._execute(q.ACCOUNTS_SINCE, (revision,))]
        return [(account, self._credentials(account.id)) for account in accounts]

    def _credentials(self, account_id: int) -> list[it.Credential]:
        return [it.Credential(*row) for row in self._execute(q.CREDENTIALS, (account_id,))]

    def account(self, ref: str) -> Account | None:
        return next((_account(row) for row in self._execute(q.ACCOUNT_BY_REF, (ref,))), None)

    def account_by_id(self, account_id: int) -> Account | None:
        return next((_account(row) for row in self._execute(q.ACCOUNT_BY_ID, (account_id,))), None)

    def accounts(self) -> list[Account]:
        return [_account(row) for row in self._execute(q.ACCOUNTS)]

    def balance(self, account_id: int) -> int:
        return int(self._execute(q.BALANCE, (account_id,)).get or 0)

    def balances(self) -> dict[int, int]:
        return dict(self._execute(q.BALANCES))

    # -- messages

    def message(self, message_id: int) -> it.StoredMessage | None:
        return next((_message(row) for row in self._execute(q.MESSAGE, (message_id,))), None)

    def messages(self, account_id: int | None, limit: int, before_id: int | None = None) -> list[it.StoredMessage]:
        before = before_id or _NO_END
        if account_id is None:
            return [_message(row) for row in self._execute(q.MESSAGES, (before, limit))]
        newest = [_message(row) for row in self._execute(q.UNLISTED_MESSAGES_OF_ACCOUNT, (before, account_id, limit))]
        if len(newest) == limit:
            return newest
        return newest + [
            _message(row)
            for row in self._execute(q.LISTED_MESSAGES_OF_ACCOUNT, (before, account_id, limit - len(newest)))
        ]

    def parts(self, message_id: int) -> list[tuple[int, str, ReceiptState | None]]:
        rows = self._execute(q.PART_STATES, (message_id,))
        return [(part, ref, ReceiptState(state) if state is not None else None) for part, ref, state in rows]

    def events(self, message_id: int) -> list[it.Event]:
        return [it.Event(*row) for row in self._execute(q.EVENTS, (message_id,))]

    # -- callbacks

    def callbacks_of(self, message_id: int) -> list[it.Callback]:
        return [it.Callback(*row) for row in self._execute(q.CALLBACKS_OF_MESSAGE, (message_id,))]

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

    def lane(self, carrier_id: int) -> it.LaneState:
        mark = next(iter(self._execute(q.MARK, (carrier_id,))), (0, 0))
        number, part = mark
        doubtful = self._submissions(self._execute(q.IN_DOUBT, (carrier_id, number)))
        doubtful += self._submissions(self._execute(q.IN_DOUBT_RETRIES, (carrier_id, number)))
        waiting = (
            self._execute(q.COUNT_WAITING, (carrier_id, number)).get
            + self._execute(q.COUNT_RETRIES, (carrier_id, number)).get
        )
        return it.LaneState(number, part, sorted(doubtful, key=lambda one: one.number), int(waiting))

    def claim(self, carrier_id: int, after_number: int, limit: int) -> list[Submission]:
        first = self._submissions(self._execute(q.CLAIM_FIRST, (carrier_id, after_number, limit)))
        again = self._submissions(self._execute(q.CLAIM_RETRIES, (carrier_id, after_number, limit)))
        return sorted(first + again, key=lambda one: one.number)[:limit] if again else first

    def due_retries(self, now_utc_ms: int, limit: int) -> list[Submission]:
        return self._submissions(self._execute(q.DUE_RETRIES, (now_utc_ms, limit)))

    def awaiting_receipt(self, carrier_id: int, after_id: int, limit: int) -> list[it.Awaiting]:
        while rows := self._execute(q.AWAITING_RECEIPT, (carrier_id, after_id, limit)).fetchall():
            if found := [one for row in rows for one in self._awaiting(*row)]:
                return found
            after_id = rows[-1][0]
        return []

    def _awaiting(self, message_id: int, parts: int, sent_utc_ms: int, ref: str) -> list[it.Awaiting]:
        if parts == 1:
            return [it.Awaiting(message_id, 1, 1, ref, sent_utc_ms)]
        return [
            it.Awaiting(message_id, part, parts, ref, sent_utc_ms)
            for part, ref, state in self.parts(message_id)
            if state is None or MEANING[state] is None
        ]

    def _submissions(self, rows: Iterable[tuple[Any, ...]]) -> list[Submission]:
        """Submissions from rows of `_SUBMISSION`; their requests are read once each."""
        found = list(rows)
        dialects = {row[1]: row[2] for row in found}
        requests: dict[int, Request] = {}
        for row in bulk(self._execute, q.REQUESTS, [(request_id,) for request_id in dialects]):
            id_, account_id, sender, body, encoding, segments, registered, expires = row
            text = Text(body, Encoding(encoding), segments)
            requests[id_] = Request(id_, account_id, dialects[id_], sender, text, registered, expires)
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


def _account(row: tuple[Any, ...]) -> Account:
    (
        id_,
        ref,
        name,
        email,
        status,
        senders,
        default_sender,
        price_list,
        numbers,
        carrier,
        validity_seconds,
        dlr_url,
        mo_url,
        token_epoch,
        secret_generation,
        created_utc_ms,
        revision,
    ) = row
    return Account(
        id=id_,
        ref=ref,
        name=name,
        email=email,
        status=AccountStatus(status),
        senders=None if senders is None else frozenset(msgspec.json.decode(senders, type=list[str])),
        default_sender=default_sender,
        price_list=price_list,
        numbers=NumberPolicy(numbers),
        carrier=carrier,
        validity_seconds=validity_seconds,
        dlr_url=dlr_url,
        mo_url=mo_url,
        token_epoch=token_epoch,
        secret_generation=secret_generation,
        created_utc_ms=created_utc_ms,
        revision=revision,
    )


def _message(row: tuple[Any, ...]) -> it.StoredMessage:
    values = list(row)
    values[9], values[13] = bool(values[9]), Status(values[13])
    return it.StoredMessage(*values)

"""Reads of the SQLite engine, as `store.interface.Reads` describes them."""

from __future__ import annotations

from collections.abc import Callable
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

    def due_callbacks(self, now_utc_ms: int, busy: frozenset[int], limit: int) -> list[it.Callback]:
        excluded = msgspec.json.encode(sorted(busy)).decode()
        return [it.Callback(*row) for row in self._execute(q.DUE_CALLBACKS, (now_utc_ms, excluded, limit))]

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
        doubtful = [self._with_parts(row) for row in self._execute(q.IN_DOUBT, (carrier_id, number))]
        doubtful += [self._with_parts(row) for row in self._execute(q.IN_DOUBT_RETRIES, (carrier_id, number))]
        waiting = (
            self._execute(q.COUNT_WAITING, (carrier_id, number)).get
            + self._execute(q.COUNT_RETRIES, (carrier_id, number)).get
        )
        return it.LaneState(number, part, sorted(doubtful, key=lambda one: one.number), int(waiting))

    def claim(self, carrier_id: int, after_number: int, limit: int) -> list[Submission]:
        first = [self._with_parts(row) for row in self._execute(q.CLAIM_FIRST, (carrier_id, after_number, limit))]
        again = [self._with_parts(row) for row in self._execute(q.CLAIM_RETRIES, (carrier_id, after_number, limit))]
        return sorted(first + again, key=lambda one: one.number)[:limit] if again else first

    def due_retries(self, now_utc_ms: int, limit: int) -> list[Submission]:
        return [self._with_parts(row) for row in self._execute(q.DUE_RETRIES, (now_utc_ms, limit))]

    def awaiting_receipt(self, carrier_id: int, after_id: int, limit: int) -> list[it.Awaiting]:
        found = []
        for message_id, parts, sent_utc_ms, ref in self._execute(
            q.AWAITING_RECEIPT, (carrier_id, after_id, limit)
        ).fetchall():
            if parts == 1:
                found.append(it.Awaiting(message_id, 1, 1, ref, sent_utc_ms))
                continue
            found += [
                it.Awaiting(message_id, part, parts, ref, sent_utc_ms)
                for part, ref, state in self.parts(message_id)
                if state is None or MEANING[state] is None
            ]
        return found

    def _with_parts(self, row: tuple[Any, ...]) -> Submission:
        id_, request_id, account_id, dialect, sender, body, encoding, segments, registered, expires = row[:10]
        text = Text(body, Encoding(encoding), segments)
        request = Request(request_id, account_id, dialect, sender, text, registered, expires)
        taken = frozenset(part for part, _, _ in self.parts(id_)) if segments > 1 else frozenset()
        recipient, price, carrier_id, operator_id, operator_source, number, tries = row[10:]
        return Submission(
            id_, request, recipient, price, carrier_id, operator_id, operator_source, number, tries, taken
        )


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

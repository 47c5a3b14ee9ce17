"""Answering questions: balances and messages, of one's own account only."""

from __future__ import annotations

import re

import msgspec

from heliograph.kit.ids import BITS, PublicIds
from heliograph.messaging import errors
from heliograph.messaging.operators import Operator, OperatorTable
from heliograph.store.interface import MessageFilter, Store, StoredMessage

_ID = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)


class MessageView(msgspec.Struct, frozen=True):
    """A message as its account sees it. `cost_micros` is what is charged now."""

    public_id: str
    message: StoredMessage
    operator: Operator
    cost_micros: int


class Query:
    """Reads for customers."""

    def __init__(self, store: Store, ids: PublicIds, operators: OperatorTable) -> None:
        self._store = store
        self._ids = ids
        self._operators = operators

    async def balance_micros(self, account_id: int) -> int:
        """The account's balance."""
        return await self._store.read(lambda reads: reads.balance(account_id))

    async def message(self, account_id: int, public_id: str) -> MessageView:
        """One of the account's messages. Raises `CallerError(SUBMISSION_NOT_FOUND)`, the same for one that is unknown,
        malformed or another's.
        """
        internal = self.internal_id(public_id)
        stored = await self._store.read(lambda reads: reads.message(internal)) if internal else None
        if stored is None or stored.account_id != account_id:
            raise errors.CallerError(
                errors.SUBMISSION_NOT_FOUND,
                "The account has no message with this id; use the submissionId as it was returned.",
                facts={"resource": "message", "id": public_id},
            )
        return self.view(stored)

    async def messages(self, wanted: MessageFilter, limit: int, before: str = "") -> tuple[list[MessageView], str]:
        """The newest of those wanted, at most `limit`, from a cursor on; and the cursor of what follows, "" at the end.

        Raises `CallerError(QUERY_INVALID)` for a cursor that is none.
        """
        before_id = await self._place(wanted.account_id, before) if before else None
        if before_id == 0:
            raise errors.CallerError(
                errors.QUERY_INVALID,
                "cursor is none of ours; send next_cursor back just as it came.",
                pointer="/cursor",
            )
        found = await self._store.read(lambda reads: reads.messages(wanted, limit + 1, before_id))
        views = [self.view(one) for one in found[:limit]]
        return views, views[-1].public_id if len(found) > limit else ""

    async def _place(self, account_id: int | None, cursor: str) -> int:
        """The internal id behind a cursor, which is the public id of one of the account's messages; 0 if it is not."""
        internal = self.internal_id(cursor)
        stored = await self._store.read(lambda reads: reads.message(internal)) if internal else None
        return internal if stored is not None and stored.account_id == account_id else 0

    def internal_id(self, public_id: str) -> int:
        """The internal id behind a public one; 0 for what cannot be one."""
        if not _ID.fullmatch(public_id) or int(public_id) >> BITS:
            return 0
        return self._ids.resolve(int(public_id))

    def view(self, stored: StoredMessage) -> MessageView:
        """A stored message with what a reader wants to know besides."""
        cost = 0 if stored.refunded else stored.price_micros
        return MessageView(
            str(self._ids.publish(stored.id, 1)[0]), stored, self._operators.by_id(stored.operator_id), cost
        )

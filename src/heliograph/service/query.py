"""Answering questions: balances and messages, of one's own account only."""

from __future__ import annotations

import re

import msgspec

from heliograph.kit.ids import BITS, PublicIds
from heliograph.messaging import errors
from heliograph.messaging.operators import Operator, OperatorTable
from heliograph.store.interface import Store, StoredMessage

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
            )
        return self.view(stored)

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

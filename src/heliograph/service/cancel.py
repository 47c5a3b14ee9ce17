"""Cancelling a message before it is sent."""

from __future__ import annotations

from heliograph.messaging import errors
from heliograph.service.dispatch import Dispatch
from heliograph.service.query import MessageView, Query


class Cancel:
    """The cancelling service."""

    def __init__(self, dispatch: Dispatch, query: Query) -> None:
        self._dispatch = dispatch
        self._query = query

    async def __call__(self, account_id: int, public_id: str) -> MessageView:
        """Cancel one of the account's messages and give its price back: the message after.

        Raises `CallerError`: SUBMISSION_NOT_FOUND as `Query.message` does, NOT_CANCELLABLE for one that is on its way
        or at its end; `StoreError`.
        """
        view = await self._query.message(account_id, public_id)
        if view.message.status.final or not await self._dispatch.cancel(view.message):
            detail = f"{public_id} is on its way or at its end; only what is queued or scheduled can be cancelled."
            raise errors.CallerError(errors.NOT_CANCELLABLE, detail, facts={"id": public_id})
        return await self._query.message(account_id, public_id)

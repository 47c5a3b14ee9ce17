"""Writing callbacks: the finished body for a final status, stored in the transaction that makes it final."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from heliograph.kit.ids import PublicIds
from heliograph.messaging.submissions import Status
from heliograph.service.accounts import Directory
from heliograph.store.interface import CallbackDraft, Ended

Body = Callable[[str, str, Status, int], bytes]  # public id, recipient, status, done_utc_ms


class Report:
    """A `store.interface.Reporter`: called by the store's writer, so it touches nothing but its own cipher and the
    directory's dictionary.
    """

    def __init__(self, directory: Directory, ids: PublicIds, bodies: Mapping[int, Body]) -> None:
        self._accounts = directory.accounts
        self._ids = ids
        self._bodies = bodies

    def __call__(self, ended: Sequence[Ended]) -> list[CallbackDraft | None]:
        """A delivery report for each message whose account has a URL for them, in the message's dialect."""
        if not ended:
            return []
        public = self._ids.publish_each([one.message_id for one in ended])
        return [self._draft(one, str(id_)) for one, id_ in zip(ended, public, strict=True)]

    def _draft(self, one: Ended, public_id: str) -> CallbackDraft | None:
        account = self._accounts.get(one.account_id)
        if account is None or not account.dlr_url:
            return None
        return CallbackDraft("dlr", self._bodies[one.dialect](public_id, one.recipient, one.status, one.done_utc_ms))

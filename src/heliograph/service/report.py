"""Writing callbacks: the finished body for a final status, stored in the transaction that makes it final."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from heliograph.kit.ids import PublicIds
from heliograph.messaging.submissions import Status
from heliograph.service.accounts import Directory
from heliograph.store.interface import CallbackDraft, Ended

_log = logging.getLogger(__name__)

Body = Callable[[str, str, Status, int], bytes]  # public id, recipient, status, done_utc_ms


class Report:
    """A `store.interface.Reporter`: called by the store's writer, so it touches nothing but its own cipher and the
    directory's dictionary.
    """

    def __init__(self, directory: Directory, ids: PublicIds, bodies: Mapping[int, Body]) -> None:
        self._reporting = directory.reporting
        self._ids = ids
        self._bodies = bodies

    def __call__(self, ended: Sequence[Ended]) -> list[CallbackDraft | None]:
        """A delivery report for each message whose account has a URL for them, in the message's dialect."""
        drafts: list[CallbackDraft | None] = [None] * len(ended)
        wanted = [index for index, one in enumerate(ended) if one.account_id in self._reporting]
        public = self._ids.publish_each([ended[index].message_id for index in wanted])
        for index, public_id in zip(wanted, public, strict=True):
            drafts[index] = self._draft(ended[index], str(public_id))
        return drafts

    def _draft(self, one: Ended, public_id: str) -> CallbackDraft | None:
        """A bug in one body must not keep the whole group from being committed, now and ever again."""
        try:
            return CallbackDraft(
                "dlr", self._bodies[one.dialect](public_id, one.recipient, one.status, one.done_utc_ms)
            )
        except Exception:
            _log.exception("message %s has no delivery report: its body could not be written", public_id)
            return None

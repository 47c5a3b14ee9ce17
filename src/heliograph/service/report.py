"""Writing callbacks: the finished body for a final status, stored in the transaction that makes it final."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from heliograph.kit.ids import PublicIds
from heliograph.messaging.submissions import Status
from heliograph.service.accounts import Directory
from heliograph.store.interface import CallbackDraft, Ended, Op, StoreError

_log = logging.getLogger(__name__)

Body = Callable[[str, str, Status, int], bytes]  # public id, recipient, status, done_utc_ms


class Report:
    """A `store.interface.Reporter`: called by the store's writer, so it touches nothing but its own cipher, the
    directory's dictionary, and the counts of the group that is being written.

    `ended` counts messages by the status that they reached. It takes part in group commits for that alone: what
    the writer counts is of a group that may yet be rolled back.
    """

    def __init__(self, directory: Directory, ids: PublicIds, bodies: Mapping[int, Body]) -> None:
        self._reporting = directory.reporting
        self._intermediate = directory.intermediate
        self._ids = ids
        self._bodies = bodies
        self._ending: Counter[Status] = Counter()
        self.ended: Counter[Status] = Counter()

    def __call__(self, ended: Sequence[Ended]) -> list[CallbackDraft | None]:
        """A delivery report for each message whose account has a URL for them, in the message's dialect."""
        self._ending.update([one.status for one in ended])
        drafts: list[CallbackDraft | None] = [None] * len(ended)
        wanted = [index for index, one in enumerate(ended) if one.account_id in self._reporting]
        public = self._ids.publish_each([ended[index].message_id for index in wanted])
        for index, public_id in zip(wanted, public, strict=True):
            drafts[index] = self._draft(ended[index], str(public_id))
        return drafts

    # -- CommitHook, while nothing is being written

    def before_commit(self, ops: Sequence[Op[Any]]) -> list[Op[Any]]:
        """See `CommitHook`."""
        return []

    def after_commit(self, ops: Sequence[Op[Any]], results: Sequence[Any]) -> None:
        """See `CommitHook`: what was counted is true now."""
        if self._ending:
            self.ended.update(self._ending)
            self._ending.clear()

    def commit_failed(self, ops: Sequence[Op[Any]], error: StoreError) -> None:
        """See `CommitHook`: nothing of it happened."""
        self._ending.clear()

    def _draft(self, one: Ended, public_id: str) -> CallbackDraft | None:
        """A bug in one body must not keep the whole group from being committed, now and ever again."""
        try:
            body = self._bodies[one.dialect](public_id, one.recipient, one.status, one.done_utc_ms)
            return CallbackDraft("dlr", body, instead=one.account_id in self._intermediate)
        except Exception:
            _log.exception("message %s has no delivery report: its body could not be written", public_id)
            return None

"""Writing callbacks: the finished body for a final status, stored in the transaction that makes it final."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from heliograph.kit.ids import PublicIds
from heliograph.messaging.submissions import Status
from heliograph.service.accounts import Directory
from heliograph.store.interface import CallbackDraft, Ended, Op, StoredMessage, StoreError

_log = logging.getLogger(__name__)

Body = Callable[[str, str, Status, int], bytes]  # public id, recipient, status, done_utc_ms
WholeBody = Callable[[str, StoredMessage], bytes]  # public id, the message as it is now


class Report:
    """A `store.interface.Reporter`: called by the store's writer, so it touches nothing but its own cipher, the
    directory's dictionary, and the counts of the group that is being written.

    `ended` counts messages by the status that they reached. It takes part in group commits for that alone: what
    the writer counts is of a group that may yet be rolled back.
    """

    def __init__(
        self, directory: Directory, ids: PublicIds, bodies: Mapping[int, Body], whole: Mapping[int, WholeBody]
    ) -> None:
        """`bodies` and `whole` are by dialect; those of `whole` tell all of the message, and may go to a URL of its
        own.
        """
        self._reporting = directory.reporting
        self._intermediate = directory.intermediate
        self._ids = ids
        self._bodies = bodies
        self._whole = whole
        self._ending: Counter[Status] = Counter()
        self.ended: Counter[Status] = Counter()

    def __call__(self, ended: Sequence[Ended]) -> list[CallbackDraft | None]:
        """A delivery report for each message that has a URL for them or whose account has, in the message's dialect."""
        self._ending.update([one.status for one in ended])
        drafts: list[CallbackDraft | None] = [None] * len(ended)
        reporting, whole = self._reporting, self._whole
        wanted = [i for i, one in enumerate(ended) if one.account_id in reporting or one.dialect in whole]
        public = self._ids.publish_each([ended[index].message_id for index in wanted])
        messages = _messages([ended[index] for index in wanted if ended[index].dialect in whole]) if whole else {}
        for index, public_id in zip(wanted, public, strict=True):
            drafts[index] = self._draft(ended[index], str(public_id), messages)
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

    def _draft(self, one: Ended, public_id: str, messages: Mapping[int, StoredMessage]) -> CallbackDraft | None:
        """A bug in one body must not keep the whole group from being committed, now and ever again."""
        try:
            if one.dialect in self._whole:
                return self._whole_draft(one, public_id, messages[one.message_id])
            body = self._bodies[one.dialect](public_id, one.recipient, one.status, one.done_utc_ms)
            return CallbackDraft("dlr", body, instead=one.account_id in self._intermediate)
        except Exception:
            _log.exception("message %s has no delivery report: its body could not be written", public_id)
            return None

    def _whole_draft(self, one: Ended, public_id: str, message: StoredMessage) -> CallbackDraft | None:
        if not (message.callback_url or one.account_id in self._reporting):
            return None
        body, instead = self._whole[one.dialect](public_id, message), one.account_id in self._intermediate
        return CallbackDraft("dlr", body, message.callback_url, instead)


def _messages(ended: Sequence[Ended]) -> dict[int, StoredMessage]:
    """All of these messages as they are now, by id."""
    reads = ended[0].reads if ended else None
    return {one.id: one for one in reads.messages_of([one.message_id for one in ended])} if reads is not None else {}

"""Whose a message from a phone is, and what its owner is told."""

from __future__ import annotations

from collections.abc import Callable

from heliograph.carriers.interface import Inbound
from heliograph.service.accounts import Directory
from heliograph.store.interface import CallbackDraft, InboundDraft

Body = Callable[[str, str, str], bytes]  # who wrote, the number written to, text


class Inbox:
    """A `receive.Author`: the account that owns the number, and the body of the callback if it has a URL for them."""

    def __init__(self, directory: Directory, body: Body) -> None:
        self._directory = directory
        self._body = body

    def __call__(self, carrier_id: int, message: Inbound, now_utc_ms: int) -> InboundDraft:
        """The message as it is to be stored."""
        owner = self._directory.owner_of(message.recipient)
        callback = None
        if owner is not None and owner.mo_url:
            callback = CallbackDraft("mo", self._body(message.sender, message.recipient, message.text))
        account_id = 0 if owner is None else owner.id
        return InboundDraft(
            carrier_id, account_id, message.sender, message.recipient, message.text, now_utc_ms, callback
        )

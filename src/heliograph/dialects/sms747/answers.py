"""What is told: messages, lists, the account, callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec

from heliograph.dialects.sms747.money import show_exact
from heliograph.dialects.sms747.problems import error_object
from heliograph.dialects.sms747.times import show_time, show_time_rounded_up
from heliograph.messaging.accounts import Account
from heliograph.messaging.errors import HeliographError
from heliograph.messaging.limits import Standing
from heliograph.messaging.pricing import show_balance
from heliograph.messaging.submissions import Status, Submission
from heliograph.messaging.text import Encoding

_encode = msgspec.json.encode

QUEUED: Final = "queued"
SCHEDULED: Final = "scheduled"
NAMES: Final[dict[Status, str]] = {
    Status.PENDING: QUEUED,
    Status.SENT: "sent",
    Status.DELIVERED: "delivered",
    Status.REJECTED: "rejected",
    Status.UNDELIVERED: "undelivered",
    Status.EXPIRED: "expired",
    Status.UNKNOWN: "unknown",
    Status.CANCELLED: "cancelled",
}
"""What a status is called; a message that waits for its time is `scheduled`."""
_ENCODINGS: Final = {Encoding.GSM7: "gsm7", Encoding.UCS2: "ucs2"}
_ERRORS: Final = {
    Status.REJECTED: "The message was refused.",
    Status.UNDELIVERED: "The message could not be delivered.",
    Status.EXPIRED: "The message's validity ended before it was delivered.",
    Status.UNKNOWN: "What became of the message is not known; it may have arrived.",
}


class Stored(Protocol):
    """A stored message, as far as it is told. Times that have not happened are 0."""

    @property
    def recipient(self) -> str: ...
    @property
    def sender(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def encoding(self) -> int: ...
    @property
    def segments(self) -> int: ...
    @property
    def price_micros(self) -> int: ...
    @property
    def refunded(self) -> bool: ...
    @property
    def status(self) -> Status: ...
    @property
    def registered_utc_ms(self) -> int: ...
    @property
    def sent_utc_ms(self) -> int: ...
    @property
    def done_utc_ms(self) -> int: ...
    @property
    def send_at_utc_ms(self) -> int: ...
    @property
    def reference(self) -> str | None: ...


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message as the API shows it everywhere."""

    id: str
    recipient: str
    sender: str
    message: str
    status: str
    segments: int
    encoding: str
    cost: str
    currency: str
    reference: str | None
    created_at: str
    scheduled_at: str | None
    sent_at: str | None
    delivered_at: str | None
    error: dict[str, str] | None


def message_object(public_id: str, stored: Stored, currency: str, now_utc_ms: int) -> Message:
    """A message as it is at this moment; its cost is what is charged now."""
    status = stored.status
    waits = status is Status.PENDING and stored.send_at_utc_ms > now_utc_ms
    why = _ERRORS.get(status)
    return Message(
        id=public_id,
        recipient=f"+{stored.recipient}",
        sender=stored.sender,
        message=stored.text,
        status=SCHEDULED if waits else NAMES[status],
        segments=stored.segments,
        encoding=_ENCODINGS[Encoding(stored.encoding)],
        cost=show_exact(0 if stored.refunded else stored.price_micros),
        currency=currency,
        reference=stored.reference,
        created_at=show_time(stored.registered_utc_ms),
        scheduled_at=_time(stored.send_at_utc_ms),
        sent_at=_time(stored.sent_utc_ms),
        delivered_at=_time(stored.done_utc_ms) if status is Status.DELIVERED else None,
        error=None if why is None else {"code": NAMES[status], "message": why},
    )


def created_object(public_id: int, submission: Submission, currency: str) -> Message:
    """A message that was accepted just now."""
    request = submission.request
    text = request.text
    return Message(
        id=str(public_id),
        recipient=f"+{submission.recipient}",
        sender=request.sender,
        message=text.body,
        status=SCHEDULED if request.send_at_utc_ms else QUEUED,
        segments=text.segments,
        encoding=_ENCODINGS[text.encoding],
        cost=show_exact(submission.price_micros),
        currency=currency,
        reference=request.reference,
        created_at=show_time(request.registered_utc_ms),
        scheduled_at=_time(request.send_at_utc_ms),
        sent_at=None,
        delivered_at=None,
        error=None,
    )


def _time(utc_ms: int) -> str | None:
    return show_time(utc_ms) if utc_ms else None


def render_created(public_id: int, submission: Submission, currency: str) -> bytes:
    """The answer to a message that was accepted."""
    return _encode({"data": created_object(public_id, submission, currency)})


def render_message(public_id: str, stored: Stored, currency: str, now_utc_ms: int) -> bytes:
    """One message."""
    return _encode({"data": message_object(public_id, stored, currency, now_utc_ms)})


def render_list(
    messages: Iterable[tuple[str, Stored]], currency: str, now_utc_ms: int, limit: int, next_cursor: str
) -> bytes:
    """A page of messages, each with its public id; `next_cursor` "" on the last page."""
    data = [message_object(public_id, stored, currency, now_utc_ms) for public_id, stored in messages]
    pagination = {"limit": limit, "next_cursor": next_cursor or None, "has_more": bool(next_cursor)}
    return _encode({"data": data, "pagination": pagination})


def render_batch(entries: Sequence[tuple[int, Submission] | HeliographError], currency: str, request_id: str) -> bytes:
    """The answer to a batch: for each message its public id and what was stored, or why it was not."""
    data: list[Any] = [
        {"error": error_object(one, request_id)} if isinstance(one, HeliographError) else created_object(*one, currency)
        for one in entries
    ]
    return _encode({"data": data})


def render_account(account: Account, balance_micros: int, currency: str, standing: Standing) -> bytes:
    """The account that asks, and where it stands under its rate limit with this call counted."""
    return _encode(
        {
            "data": {
                "id": account.ref,
                "name": account.name,
                "balance": show_balance(balance_micros),
                "currency": currency,
                "tier": account.tier.value,
                "rate_limit": {
                    "limit": standing.limit,
                    "remaining": standing.remaining,
                    "reset_at": show_time_rounded_up(standing.reset_utc_ms),
                },
            }
        }
    )


def render_token(token: str, seconds: int) -> bytes:
    """The answer to a token request."""
    return _encode({"access_token": token, "token_type": "Bearer", "expires_in": seconds})


def status_body(currency: str) -> Callable[[str, Stored], bytes]:
    """What writes the body of a callback, from a public id and the message as it is now."""

    def body(public_id: str, stored: Stored) -> bytes:
        # What is called back is on its way or at its end, so whether it waits for its time does not matter.
        return _encode({"type": "message.status", "data": message_object(public_id, stored, currency, 0)})

    return body

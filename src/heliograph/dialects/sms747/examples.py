"""An example of every error that 747 SMS has."""

from __future__ import annotations

from typing import Any, Final

from heliograph.dialects import example as it
from heliograph.dialects.example import Example
from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError, CarrierError, HeliographError, OurFault

_BEARER: Final = ("Authorization", "Bearer $TOKEN")
_CUSTOM: Final = "/api/v1/message/custom"
_CREDENTIALS: Final = '{"api_key":"$API_KEY","api_secret":"$API_SECRET"}'
_BODY: Final = '{"recipient":"+56912345678","message":"Your parcel is here"}'
_KEYED: Final = (_BEARER, ("Idempotency-Key", "order-17"))
_LONG: Final = {"length": 1680, "max_length": 1530, "segments": 11, "max_segments": 10, "encoding": "gsm7"}
_LIMIT: Final = {"limit": 1, "remaining": 0, "reset_utc_ms": 1_679_745_600_000}


def _send(error: HeliographError, body: str = _BODY, **more: Any) -> Example:
    return Example(error, "POST", _CUSTOM, **{"headers": (_BEARER,), "body": body, **more})


def _batch(error: HeliographError, messages: str, **more: Any) -> Example:
    return Example(error, "POST", "/api/v1/message/batch", (_BEARER,), f'{{"messages":[{messages}]}}', **more)


def _token(error: HeliographError, body: str = _CREDENTIALS, **more: Any) -> Example:
    return Example(error, "POST", "/api/v1/auth/token", body=body, **more)


def _call(error: HeliographError, method: str, path: str, *headers: tuple[str, str], **more: Any) -> Example:
    return Example(error, method, path, headers, **more)


def _text(text: str, **more: Any) -> dict[str, Any]:
    return {"body": f'{{"recipient":"+56912345678","message":"{text}"}}', **more}


def _from(sender: str) -> dict[str, Any]:
    return {"body": f'{{"recipient":"+56912345678","sender":"{sender}","message":"Your parcel is here"}}'}


_EXAMPLES: Final = [
    # -- the door
    _call(
        CallerError(errors.NOT_FOUND, facts={"resource": "url", "id": "/api/v1/messages"}),
        "GET",
        "/api/v1/messages",
        _BEARER,
    ),
    _call(
        CallerError(
            errors.METHOD_NOT_ALLOWED,
            "PUT is no method of this URL; use GET, HEAD, POST.",
            facts={"allowed": ["GET", "HEAD", "POST"]},
        ),
        "PUT",
        _CUSTOM,
        _BEARER,
        answer_headers=(("Allow", "GET, HEAD, POST"),),
    ),
    _send(
        CallerError(
            errors.REQUEST_TOO_LARGE,
            "The body has 1260041 bytes or more; the limit is 1048576: send less.",
            facts={"max_bytes": 1_048_576},
        ),
        **_text("…", filling="Your parcel is here. ", times=60_000),
    ),
    _call(
        CallerError(
            errors.HEADERS_TOO_LARGE,
            "The request line and headers together are over the server's limit, 32 KiB unless the operator changed it.",
            facts={"max_bytes": 32_768},
        ),
        "GET",
        _CUSTOM,
        _BEARER,
        ("Cookie", "session=…"),
        filling="0123456789",
        times=4_000,
    ),
    _send(
        CallerError(errors.HTTP_MALFORMED, "The request is not HTTP/1.1: Invalid character in Content-Length."),
        headers=(_BEARER, ("Content-Length", "60 bytes")),
    ),
    # -- who is calling
    _token(
        CallerError(
            errors.AUTH_MALFORMED,
            "api_key is malformed: it has 27 characters, the first k7_; copy it as it was issued.",
            pointer="/api_key",
        ),
        '{"api_key":"demo","api_secret":"$API_SECRET"}',
    ),
    _token(
        CallerError(errors.CREDENTIALS_INVALID, "No account has these client credentials."),
        '{"api_key":"$API_KEY","api_secret":"$OLD_SECRET"}',
    ),
    _call(
        CallerError(errors.TOKEN_MISSING, "There is no Authorization header; send `Bearer` and an access token."),
        "GET",
        "/api/v1/account",
    ),
    _call(
        CallerError(errors.TOKEN_MALFORMED, "What follows `Bearer ` is no access token; send it as it was issued."),
        "GET",
        "/api/v1/account",
        ("Authorization", "Bearer '$TOKEN'"),
    ),
    _call(
        CallerError(errors.TOKEN_INVALID, "The access token was not issued here for this API; get a new one."),
        "GET",
        "/api/v1/account",
        ("Authorization", "Bearer $OLD_TOKEN"),
    ),
    _token(
        CallerError(
            errors.AUTH_THROTTLED,
            "1 token requests from 192.0.2.7 failed in the last minute; mend the credentials and try again in 60 seconds.",
            retry_after_seconds=60,
            facts=_LIMIT,
        ),
        setup=it.FAILED_BEFORE,
    ),
    # -- what the account may do
    _send(
        CallerError(errors.ACCOUNT_SUSPENDED, "The account demo is suspended; ask the operator to resume it."),
        setup=it.SUSPENDED,
    ),
    _send(
        CallerError(
            errors.SENDING_DISABLED, "Sending is switched off for the account demo; ask the operator to switch it on."
        ),
        setup=it.SENDING_OFF,
    ),
    _send(
        CallerError(
            errors.ADDRESS_NOT_ALLOWED,
            "The account demo may not be used from 192.0.2.7; ask the operator to add the address.",
        ),
        setup=it.ONE_NETWORK,
    ),
    _send(
        CallerError(
            errors.COUNTRY_NOT_ALLOWED,
            "56912345678 is in CL, which is not among the account's destinations; remove it, or ask the operator to add it.",
        ),
        setup=it.ONE_COUNTRY,
    ),
    _send(
        CallerError(
            errors.SENDER_NOT_ALLOWED,
            "'ACME' is not a sender of this account; use one that is, or ask the operator to add it.",
        ),
        **_from("ACME"),
    ),
    _send(
        CallerError(
            errors.RECIPIENT_OPTED_OUT,
            "The recipient has opted out of messages from this account; nothing was accepted.",
        ),
        setup=it.OPTED_OUT,
    ),
    _send(
        CallerError(
            errors.NO_PRICE,
            "There is no price for 56912345678; remove this recipient, or ask the operator for its destination.",
        ),
        **_from("ACME"),
        setup=it.ONE_PRICE,
    ),
    _send(
        CallerError(errors.NO_ROUTE, "No carrier takes messages for 56912345678; ask the operator to add a route."),
        **_from("ACME"),
        setup=it.NO_CARRIER,
    ),
    _send(
        CallerError(
            errors.RATE_LIMITED,
            "The account made 1 calls in the last minute, as many as it may; try again in 60 seconds.",
            retry_after_seconds=60,
            facts=_LIMIT,
        ),
        setup=it.ONE_A_MINUTE,
    ),
    # -- what was asked
    _send(
        CallerError(
            errors.BODY_NOT_JSON,
            "The body is not JSON: Expecting property name enclosed in double quotes at line 1, column 61; send one JSON object.",
        ),
        '{"recipient":"+56912345678","message":"Your parcel is here",}',
    ),
    _send(
        CallerError(
            errors.FIELD_INVALID,
            "recipient is the number 56912345678; send a string like +15551234567.",
            problems=(
                ("/recipient", "recipient is the number 56912345678; send a string like +15551234567."),
                ("/message", "message is missing; send a string."),
            ),
        ),
        '{"recipient":56912345678,"text":"Your parcel is here"}',
    ),
    _call(
        CallerError(
            errors.QUERY_INVALID,
            "status 'PENDING' is no status; use one of queued, sent, delivered, rejected, undelivered, expired, unknown, cancelled, scheduled.",
            pointer="/status",
        ),
        "GET",
        f"{_CUSTOM}?status=PENDING",
        _BEARER,
    ),
    _batch(
        CallerError(errors.MESSAGES_EMPTY, "messages is empty; put at least one message into it.", pointer="/messages"),
        "",
    ),
    _batch(
        CallerError(
            errors.MESSAGES_TOO_MANY,
            "messages has 1001 entries; at most 1000 are allowed: split the batch.",
            pointer="/messages",
        ),
        f"…{_BODY}",
        filling=f"{_BODY},",
        times=1_000,
    ),
    _send(
        CallerError(
            errors.TEXT_EMPTY, "The text is empty; a message needs at least one character.", pointer="/message"
        ),
        **_text(""),
    ),
    _send(
        CallerError(
            errors.TEXT_INVALID, "U+D83D at index 20 is half a surrogate pair; send both halves.", pointer="/message"
        ),
        **_text("Your parcel is here \\ud83d"),
    ),
    _send(
        CallerError(
            errors.TEXT_TOO_LONG,
            "The text needs 11 segments and the limit is 10; shorten it or send several messages.",
            facts=_LONG,
        ),
        **_text("…", filling="Your parcel is here. ", times=80),
    ),
    _send(
        CallerError(
            errors.SENDER_MALFORMED,
            "'My Company Ltd' is neither 1 to 11 characters of the GSM alphabet (each of ^{}\\[~]|€ counts twice) with a letter among them, nor a number of 3 to 15 digits.",
            pointer="/sender",
        ),
        **_from("My Company Ltd"),
    ),
    _send(
        CallerError(
            errors.RECIPIENT_INVALID,
            "The phone number '+1555123' is invalid. Phone numbers must be in E.164 format.",
            facts={"value": "+1555123"},
            pointer="/to",
        ),
        '{"to":"+1555123","message":"Your parcel is here"}',
    ),
    _send(
        CallerError(
            errors.SCHEDULE_IMPOSSIBLE,
            "send_at 2126-01-31T09:30:00Z is more than 30 days ahead; choose an earlier time.",
            pointer="/send_at",
        ),
        '{"recipient":"+56912345678","message":"Your parcel is here","send_at":"2126-01-31T09:30:00Z"}',
    ),
    _call(
        CallerError(
            errors.NOT_CANCELLABLE,
            "4193366853543393 is on its way or at its end; only what is queued or scheduled can be cancelled.",
        ),
        "DELETE",
        f"{_CUSTOM}/$MESSAGE_ID",
        _BEARER,
        setup=it.DELIVERED,
    ),
    _send(
        CallerError(
            errors.IDEMPOTENCY_KEY_MALFORMED,
            "The Idempotency-Key is not 1 to 255 visible ASCII characters without spaces; send such a key, once.",
        ),
        headers=(_BEARER, ("Idempotency-Key", "order 17")),
    ),
    _send(
        CallerError(
            errors.IDEMPOTENCY_KEY_REUSED,
            "The Idempotency-Key 'order-17' was used for a request with another body; use a new key for a new request.",
        ),
        headers=_KEYED,
        setup=it.KEY_USED,
    ),
    _call(
        CallerError(
            errors.SUBMISSION_NOT_FOUND,
            "The account has no message with this id; use the submissionId as it was returned.",
            facts={"resource": "message", "id": "4193366853543400"},
        ),
        "GET",
        f"{_CUSTOM}/4193366853543400",
        _BEARER,
    ),
    # -- the money, the carrier and the server
    _send(
        CallerError(
            errors.INSUFFICIENT_FUNDS,
            "The balance does not cover the message; nothing was accepted. Top up the account.",
            facts={"balance_micros": 0, "required_micros": 1_000_000, "currency": "USD"},
        ),
        setup=it.NO_BALANCE,
    ),
    _send(
        CarrierError(
            errors.CARRIER_BACKLOG_FULL, "The carrier's queue is full; nothing was accepted. Repeat it later."
        ),
        setup=it.BACKLOG,
    ),
    _send(
        OurFault(
            errors.IDEMPOTENCY_IN_PROGRESS,
            "The first request with this Idempotency-Key has no answer yet; repeat it with the same key in a moment.",
        ),
        headers=_KEYED,
        setup=it.KEY_IN_USE,
    ),
    _batch(
        OurFault(
            errors.OVERLOADED, "As many messages as the server takes at once wait to be stored; try again in a second."
        ),
        f"…{_BODY}",
        filling=f"{_BODY},",
        times=30,
        setup=it.BUSY,
    ),
    _send(
        OurFault(errors.STORE_UNAVAILABLE, "The store did not take the write; nothing was accepted. Try again."),
        setup=it.STORE_DOWN,
    ),
    _send(
        OurFault(
            errors.DRAINING, "The server is stopping; repeat the request in a few seconds.", retry_after_seconds=5
        ),
        setup=it.DRAINING,
    ),
    _send(
        OurFault(errors.INTERNAL_ERROR, "The server failed to handle this request; it is logged with the request id."),
        setup=it.BUG,
    ),
]

EXAMPLES: Final = {example.error.kind.code: example for example in _EXAMPLES}

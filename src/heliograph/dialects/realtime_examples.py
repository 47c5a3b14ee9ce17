"""An example of every error that RealTime SMS has."""

from __future__ import annotations

from typing import Any, Final

from heliograph.dialects import example as it
from heliograph.dialects.example import Example
from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError, CarrierError, HeliographError, OurFault

_BEARER: Final = ("Authorization", "Bearer $TOKEN")
_FORM: Final = "grant_type=client_credentials&client_id=$CLIENT_ID&client_secret=$CLIENT_SECRET"
_MESSAGE: Final = '"message":{"text":"Your parcel is here"}'
_BODY: Final = f'{{"recipients":["+56912345678"],"sender":"96000",{_MESSAGE}}}'
_KEYED: Final = (_BEARER, ("Idempotency-Key", "order-17"))


def _send(error: HeliographError, body: str = _BODY, **more: Any) -> Example:
    return Example(error, "POST", "/api/sms", **{"headers": (_BEARER,), "body": body, **more})


def _token(error: HeliographError, form: str = _FORM, **more: Any) -> Example:
    return Example(error, "POST", "/api/auth", body=form, **more)


def _get(error: HeliographError, path: str, *headers: tuple[str, str], **more: Any) -> Example:
    return Example(error, "GET", path, headers, **more)


def _to(recipients: str, **more: Any) -> dict[str, Any]:
    return {"body": f'{{"recipients":[{recipients}],"sender":"96000",{_MESSAGE}}}', **more}


def _text(message: str, **more: Any) -> dict[str, Any]:
    return {"body": f'{{"recipients":["+56912345678"],"sender":"96000","message":{{{message}}}}}', **more}


def _from(sender: str) -> dict[str, Any]:
    return {"body": f'{{"recipients":["+56912345678"],"sender":"{sender}",{_MESSAGE}}}'}


_EXAMPLES: Final = [
    # -- the door
    _get(
        CallerError(errors.NOT_FOUND, "No resource has this path; case counts, and so does a slash at the end."),
        "/api/balance/",
        _BEARER,
    ),
    _get(
        CallerError(errors.METHOD_NOT_ALLOWED, "GET is no method of this URL; use POST."),
        "/api/sms",
        _BEARER,
        answer_headers=(("Allow", "POST"),),
    ),
    _send(
        CallerError(errors.REQUEST_TOO_LARGE, "The body has 1260070 bytes or more; the limit is 1048576: send less."),
        **_text('"text":"…"', filling="Your parcel is here. ", times=60_000),
    ),
    _get(
        CallerError(errors.HEADERS_TOO_LARGE),
        "/api/balance",
        _BEARER,
        ("Cookie", "session=…"),
        filling="0123456789",
        times=4_000,
    ),
    _send(
        CallerError(errors.HTTP_MALFORMED, "The request is not HTTP/1.1: Invalid character in Content-Length."),
        headers=(_BEARER, ("Content-Length", "98 bytes")),
    ),
    # -- who is calling
    _token(
        CallerError(
            errors.AUTH_MALFORMED,
            "client_id is malformed: it has 27 characters, the first rt_; copy it as it was issued.",
        ),
        "grant_type=client_credentials&client_id=demo&client_secret=$CLIENT_SECRET",
    ),
    _token(
        CallerError(errors.GRANT_UNSUPPORTED, "grant_type 'password' is not supported; send client_credentials."),
        "grant_type=password&username=$CLIENT_ID&password=$CLIENT_SECRET",
    ),
    _token(
        CallerError(errors.CREDENTIALS_INVALID, "No account has these client credentials."),
        "grant_type=client_credentials&client_id=$CLIENT_ID&client_secret=$OLD_SECRET",
    ),
    _get(
        CallerError(errors.TOKEN_MISSING, "There is no Authorization header; send `Bearer` and an access token."),
        "/api/balance",
    ),
    _get(
        CallerError(errors.TOKEN_MALFORMED, "What follows `Bearer ` is no access token; send it as it was issued."),
        "/api/balance",
        ("Authorization", "Bearer '$TOKEN'"),
    ),
    _get(
        CallerError(errors.TOKEN_INVALID, "The access token was not issued here for this API; get a new one."),
        "/api/balance",
        ("Authorization", "Bearer $OLD_TOKEN"),
    ),
    _token(
        CallerError(
            errors.AUTH_THROTTLED,
            "1 token requests from 192.0.2.7 failed in the last minute; mend the credentials and try again in 60 seconds.",
            retry_after_seconds=60,
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
            pointer="/recipients/0",
        ),
        setup=it.ONE_COUNTRY,
    ),
    _send(
        CallerError(
            errors.RATE_LIMITED,
            "The account made 1 calls in the last minute, as many as it may; try again in 60 seconds.",
            retry_after_seconds=60,
        ),
        setup=it.ONE_A_MINUTE,
    ),
    _send(
        CallerError(
            errors.NO_PRICE,
            "There is no price for 56912345678; remove this recipient, or ask the operator for its destination.",
            pointer="/recipients/0",
        ),
        setup=it.ONE_PRICE,
    ),
    _send(
        CallerError(
            errors.NO_ROUTE,
            "No carrier takes messages for 56912345678; ask the operator to add a route.",
            pointer="/recipients/0",
        ),
        setup=it.NO_CARRIER,
    ),
    # -- what was asked
    _send(
        CallerError(
            errors.BODY_NOT_JSON,
            "The body is not JSON: Expecting property name enclosed in double quotes at line 1, column 2; send one JSON object.",
        ),
        "{'recipients': ['+56912345678'], 'sender': '96000'}",
    ),
    _send(
        CallerError(
            errors.FIELD_INVALID,
            'recipients is the string "+56912345678"; send an array of strings.',
            problems=(
                ("/recipients", 'recipients is the string "+56912345678"; send an array of strings.'),
                ("/sender", "sender is the number 96000; send a string."),
            ),
        ),
        f'{{"recipients":"+56912345678","sender":96000,{_MESSAGE}}}',
    ),
    _send(
        CallerError(
            errors.CHARSET_INVALID,
            'charset is the string "UTF-8"; leave it out or send 0, 1, 6 or 8.',
            pointer="/message/charset",
        ),
        **_text('"charset":"UTF-8","text":"Your parcel is here"'),
    ),
    _send(
        CallerError(
            errors.TEXT_EMPTY, "The text is empty; a message needs at least one character.", pointer="/message/text"
        ),
        **_text('"text":""'),
    ),
    _send(
        CallerError(
            errors.TEXT_INVALID,
            "'Y' (U+0059) at index 0 is not hexadecimal; charset 6 has digits and A to F.",
            pointer="/message/text",
        ),
        **_text('"charset":6,"text":"Your parcel is here"'),
    ),
    _send(
        CallerError(
            errors.TEXT_NOT_ENCODABLE,
            "'’' (U+2019) at index 2 is not in the GSM 7-bit alphabet; replace it or send charset 0.",
            pointer="/message/text",
        ),
        **_text('"charset":1,"text":"It’s here"'),
    ),
    _send(
        CallerError(
            errors.TEXT_TOO_LONG,
            "The text needs 11 segments and the limit is 10; shorten it or send several messages.",
            pointer="/message/text",
        ),
        **_text('"text":"…"', filling="Your parcel is here. ", times=80),
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
    _send(
        CallerError(
            errors.RECIPIENT_INVALID,
            "'07700900123' is not an international number of 8 to 15 digits; write the country code and all digits, like 56912345678.",
            pointer="/recipients/0",
        ),
        **_to('"07700900123"'),
    ),
    _send(
        CallerError(
            errors.RECIPIENTS_TOO_MANY,
            "recipients has 1001 entries; at most 1000 are allowed: split the list.",
            pointer="/recipients",
        ),
        **_to('…"+56912345678"', filling='"+56912345678",', times=1_000),
    ),
    _send(
        CallerError(errors.RECIPIENTS_EMPTY, "recipients is empty; name at least one number.", pointer="/recipients"),
        **_to(""),
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
            errors.SENDER_NOT_ALLOWED,
            "'ACME' is not a sender of this account; use one that is, or ask the operator to add it.",
            pointer="/sender",
        ),
        **_from("ACME"),
    ),
    _get(
        CallerError(
            errors.SUBMISSION_NOT_FOUND,
            "The account has no message with this id; use the submissionId as it was returned.",
        ),
        "/api/sms/4193366853543400",
        _BEARER,
    ),
    # -- the money, the carrier and the server
    _send(CallerError(errors.INSUFFICIENT_FUNDS), setup=it.NO_BALANCE),
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
    _send(
        OurFault(errors.INTERNAL_ERROR, "The server failed to handle this request; it is logged with the request id."),
        setup=it.BUG,
    ),
    _send(
        OurFault(
            errors.OVERLOADED, "As many messages as the server takes at once wait to be stored; try again in a second."
        ),
        **_to('…"+56912345678"', filling='"+56912345678",', times=30),
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
]

EXAMPLES: Final = {example.error.kind.code: example for example in _EXAMPLES}

"""RealTime SMS v.2 on the wire: what bodies mean, what answers and errors look like. No I/O, no clock.

The contract's clauses are cited by the names of its sections.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, Protocol

import msgspec

from heliograph.dialects.reading import found, named, read_json, readable
from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError, HeliographError, Kind
from heliograph.messaging.operators import Operator
from heliograph.messaging.pricing import exact, show_balance
from heliograph.messaging.submissions import Order, Status

NAME: Final = "RealTime SMS v.2"
DIALECT: Final = 1
"""How a stored message names this dialect."""
AUDIENCE: Final = "realtime"
"""`aud` of its tokens."""

_encode = msgspec.json.encode

# -- credentials and tokens

CLIENT_ID_PREFIX: Final = "rt_"
CLIENT_SECRET_PREFIX: Final = "rts_"  # noqa: S105 (the prefix of all of them)

_SHAPES: Final = {
    "client_id": (CLIENT_ID_PREFIX, 27),
    "client_secret": (CLIENT_SECRET_PREFIX, 47),
}
_CREDENTIAL_CHARACTERS: Final = re.compile(r"[A-Za-z0-9._-]*")


def check_credentials(client_id: str, client_secret: str) -> None:
    """Raise `CallerError(AUTH_MALFORMED)` unless both have the shape in which they are issued, right or wrong."""
    for name, value in (("client_id", client_id), ("client_secret", client_secret)):
        prefix, length = _SHAPES[name]
        if not (value.startswith(prefix) and len(value) == length and _CREDENTIAL_CHARACTERS.fullmatch(value)):
            detail = f"{name} is malformed: it has {length} characters, the first {prefix}; copy it as it was issued."
            raise CallerError(errors.AUTH_MALFORMED, detail)


def render_token(token: str, seconds: int) -> bytes:
    """The answer to a token request; `validity_period` is a string, `expires_in` is for OAuth2 clients."""
    return _encode(
        {"access_token": token, "validity_period": str(seconds), "token_type": "Bearer", "expires_in": seconds}
    )


# -- Send SMS


class _Message(msgspec.Struct):
    text: str
    charset: Any = None


class _Body(msgspec.Struct):
    recipients: list[str]
    sender: str
    message: _Message


_read_right = msgspec.json.Decoder(_Body).decode
_CHARSETS: Final = (0, 1, 6, 8)
_PROBLEMS_TOLD: Final = 20


def parse_order(body: bytes | bytearray) -> Order:
    """What the body of `POST /api/sms` asks for. Raises `CallerError` with every field at fault."""
    try:
        read = _read_right(body)
        if not body.isascii():
            body.decode()  # fields that are skipped are not looked at, but the whole is to be UTF-8
        message = read.message
        charset = message.charset
        if charset is None or (type(charset) is int and charset in _CHARSETS):
            return Order(read.recipients, read.sender, message.text, charset or 0)
    except (ValueError, RecursionError):
        pass
    return _parse_with_care(body)


def _parse_with_care(body: bytes | bytearray) -> Order:
    """The same by a reader that keeps what is wrong, so that the caller can be told; it also has the last word."""
    data = read_json(body, "recipients, sender and message")
    if type(data) is not dict:
        detail = f"The body is {named(data)}; send an object with recipients, sender and message."
        raise CallerError(errors.FIELD_INVALID, detail, problems=(("", detail),))
    problems = tuple(islice(_problems(data), _PROBLEMS_TOLD))
    if problems:
        pointer, detail = problems[0]
        kind = errors.CHARSET_INVALID if pointer == "/message/charset" else errors.FIELD_INVALID
        raise CallerError(kind, detail, problems=problems)
    message = data["message"]
    return Order(data["recipients"], data["sender"], message["text"], int(message.get("charset") or 0))


def _problems(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every field at fault and what to send instead."""
    recipients = data.get("recipients")
    if type(recipients) is list:
        for index, value in enumerate(recipients):
            if type(value) is not str:
                yield f"/recipients/{index}", f"recipients[{index}] is {named(value)}; send a string like 56912345678."
    else:
        yield "/recipients", f"recipients is {found(data, 'recipients')}; send an array of strings."
    if type(data.get("sender")) is not str:
        yield "/sender", f"sender is {found(data, 'sender')}; send a string."
    message = data.get("message")
    if type(message) is not dict:
        yield "/message", f"message is {found(data, 'message')}; send an object with text."
        return
    if type(message.get("text")) is not str:
        yield "/message/text", f"message.text is {found(message, 'text')}; send a string."
    if not _is_charset(message.get("charset")):
        yield "/message/charset", f"charset is {found(message, 'charset')}; leave it out or send 0, 1, 6 or 8."


def _is_charset(value: Any) -> bool:
    return value is None or value == "" or (type(value) in (int, float) and value in _CHARSETS)


class Verdict(Protocol):
    """What became of one recipient: the id of its message, or why there is none."""

    @property
    def public_id(self) -> int: ...
    @property
    def refused(self) -> Kind | None: ...


RECIPIENT_STATUS: Final = {
    errors.INSUFFICIENT_FUNDS.code: "account_no_balance",
    errors.CARRIER_BACKLOG_FULL.code: "unknown_error",
}
"""Errors that one recipient of a request can have while others are submitted."""

_REFUSED: Final = {code: f'{{"status":"{status}"}}' for code, status in RECIPIENT_STATUS.items()}


def render_verdicts(verdicts: Iterable[Verdict]) -> bytes:
    """The answer to `POST /api/sms`, a submission for each recipient in order."""
    entries = [
        f'{{"status":"submitted","submissionId":"{one.public_id}"}}'
        if one.refused is None
        else _REFUSED[one.refused.code]
        for one in verdicts
    ]
    return f'{{"submissions":[{",".join(entries)}]}}'.encode()


# -- Get balance, Get SMS info


def render_balance(micros: int) -> bytes:
    """The answer to `GET /api/balance`."""
    return _encode({"balance": show_balance(micros)})


REPORT_CODES: Final[dict[Status, int]] = {
    Status.PENDING: 4,
    Status.SENT: 4,
    Status.DELIVERED: 1,
    Status.REJECTED: 2,
    Status.UNDELIVERED: 3,
    Status.EXPIRED: 5,
    Status.UNKNOWN: 0,
    Status.CANCELLED: 2,
}
# What the status is called, where this API has no name for it.
_NAMES: Final = {Status.CANCELLED: Status.REJECTED.name}


class Times(Protocol):
    """A stored message, as far as its info tells of it. Times that have not happened are 0."""

    @property
    def status(self) -> Status: ...
    @property
    def registered_utc_ms(self) -> int: ...
    @property
    def sent_utc_ms(self) -> int: ...
    @property
    def done_utc_ms(self) -> int: ...


def status_name(status: Status) -> str:
    """The status as the info has it."""
    return _NAMES.get(status, status.name)


def render_info(public_id: str, message: Times, cost_micros: int, operator: Operator) -> bytes:
    """The answer to `GET /api/sms/{submissionId}`."""
    return _encode(
        {
            "id": public_id,
            "timestamps": {
                "registered": message.registered_utc_ms // 1000,
                "sent": message.sent_utc_ms // 1000,
                "done": message.done_utc_ms // 1000,
            },
            "info": {
                "status": {"code": str(REPORT_CODES[message.status]), "status": status_name(message.status)},
                "cost": msgspec.Raw(exact(cost_micros).encode()),
                "operator": {"id": str(operator.id), "name": operator.name, "mcc": operator.mcc, "mnc": operator.mnc},
            },
        }
    )


# -- Delivery reports

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def dlr_body(public_id: str, recipient: str, status: Status, done_utc_ms: int) -> bytes:
    """The body of a delivery report; `recipient` is E.164 digits without `+`."""
    date = (_EPOCH + timedelta(milliseconds=done_utc_ms)).strftime("%Y-%m-%d %H:%M:%S")
    return _encode({"id": public_id, "phone": recipient, "status": REPORT_CODES[status], "date": date})


# -- Inbound SMS


def mo_body(phone: str, originator: str, text: str) -> bytes:
    """The body of an inbound message: `phone` is who wrote, `originator` the customer's number or short code."""
    return _encode({"phone": phone, "originator": originator, "message": readable(text)})


# -- errors

STATUS: Final[dict[str, int]] = {
    errors.NOT_FOUND.code: 404,
    errors.METHOD_NOT_ALLOWED.code: 405,
    errors.REQUEST_TOO_LARGE.code: 413,
    errors.HEADERS_TOO_LARGE.code: 431,
    errors.HTTP_MALFORMED.code: 400,
    errors.AUTH_MALFORMED.code: 400,
    errors.GRANT_UNSUPPORTED.code: 400,
    errors.CREDENTIALS_INVALID.code: 401,
    errors.TOKEN_MISSING.code: 401,
    errors.TOKEN_MALFORMED.code: 400,
    errors.TOKEN_INVALID.code: 401,
    errors.AUTH_THROTTLED.code: 429,
    errors.ACCOUNT_SUSPENDED.code: 403,
    errors.SENDING_DISABLED.code: 403,
    errors.ADDRESS_NOT_ALLOWED.code: 403,
    errors.COUNTRY_NOT_ALLOWED.code: 403,
    errors.RATE_LIMITED.code: 429,
    errors.NO_PRICE.code: 403,
    errors.NO_ROUTE.code: 403,
    errors.BODY_NOT_JSON.code: 400,
    errors.FIELD_INVALID.code: 400,
    errors.CHARSET_INVALID.code: 400,
    errors.TEXT_EMPTY.code: 400,
    errors.TEXT_INVALID.code: 400,
    errors.TEXT_NOT_ENCODABLE.code: 400,
    errors.TEXT_TOO_LONG.code: 400,
    errors.IDEMPOTENCY_KEY_MALFORMED.code: 400,
    errors.IDEMPOTENCY_KEY_REUSED.code: 400,
    errors.RECIPIENT_INVALID.code: 400,
    errors.RECIPIENTS_TOO_MANY.code: 400,
    errors.RECIPIENTS_EMPTY.code: 400,
    errors.SENDER_MALFORMED.code: 406,
    errors.SENDER_NOT_ALLOWED.code: 406,
    errors.SUBMISSION_NOT_FOUND.code: 404,
    errors.INSUFFICIENT_FUNDS.code: 200,  # of one recipient: RECIPIENT_STATUS
    errors.CARRIER_BACKLOG_FULL.code: 503,  # or 200, of one recipient
    errors.IDEMPOTENCY_IN_PROGRESS.code: 503,
    errors.INTERNAL_ERROR.code: 500,
    errors.OVERLOADED.code: 503,
    errors.STORE_UNAVAILABLE.code: 503,
    errors.DRAINING.code: 503,
}
"""The HTTP status of every error of the registry."""

OAUTH_ERRORS: Final = {
    errors.AUTH_MALFORMED.code: "invalid_request",
    errors.GRANT_UNSUPPORTED.code: "unsupported_grant_type",
    errors.CREDENTIALS_INVALID.code: "invalid_client",
}
"""What the errors of the token request are called by RFC 6749 §5.2."""


def problem(error: HeliographError, request_id: str) -> bytes:
    """An error as RFC 9457 has it."""
    kind = error.kind
    body: dict[str, Any] = {
        "type": f"/errors/{kind.code}",
        "title": kind.title,
        "status": STATUS[kind.code],
        "detail": readable(error.detail),
        "instance": request_id,
    }
    if error.problems:
        body["errors"] = [{"pointer": pointer, "message": readable(message)} for pointer, message in error.problems]
    return _encode(body)


_NOT_IN_A_DESCRIPTION: Final = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")


def oauth_error(error: HeliographError) -> bytes:
    """An error of the token request as RFC 6749 §5.2 has it."""
    description = _NOT_IN_A_DESCRIPTION.sub("'", error.detail)
    code = error.kind.code
    return _encode({"error": OAUTH_ERRORS[code], "error_description": description, "error_uri": f"/errors/{code}"})

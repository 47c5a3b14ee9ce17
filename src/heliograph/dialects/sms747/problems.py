"""What went wrong: one shape for every error, and the table of codes."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from heliograph.dialects.reading import readable
from heliograph.dialects.sms747.money import show_exact
from heliograph.dialects.sms747.times import show_time_rounded_up
from heliograph.messaging import errors
from heliograph.messaging.errors import HeliographError, Kind
from heliograph.messaging.pricing import show_balance

_encode = msgspec.json.encode

INVALID_REQUEST: Final = "invalid_request"
INVALID_PHONE_NUMBER: Final = "invalid_phone_number"
AUTHENTICATION_FAILED: Final = "authentication_failed"
PERMISSION_DENIED: Final = "permission_denied"
RESOURCE_NOT_FOUND: Final = "resource_not_found"
METHOD_NOT_ALLOWED: Final = "method_not_allowed"
REQUEST_TOO_LARGE: Final = "request_too_large"
INSUFFICIENT_FUNDS: Final = "insufficient_funds"
MESSAGE_TOO_LONG: Final = "message_too_long"
RATE_LIMIT_EXCEEDED: Final = "rate_limit_exceeded"
INTERNAL_ERROR: Final = "internal_error"
SERVICE_UNAVAILABLE: Final = "service_unavailable"

_TABLE: Final[dict[Kind, tuple[str, int]]] = {
    errors.NOT_FOUND: (RESOURCE_NOT_FOUND, 404),
    errors.METHOD_NOT_ALLOWED: (METHOD_NOT_ALLOWED, 405),
    errors.REQUEST_TOO_LARGE: (REQUEST_TOO_LARGE, 413),
    errors.HEADERS_TOO_LARGE: (REQUEST_TOO_LARGE, 431),
    errors.HTTP_MALFORMED: (INVALID_REQUEST, 400),
    errors.AUTH_MALFORMED: (INVALID_REQUEST, 400),
    errors.CREDENTIALS_INVALID: (AUTHENTICATION_FAILED, 401),
    errors.TOKEN_MISSING: (AUTHENTICATION_FAILED, 401),
    errors.TOKEN_MALFORMED: (AUTHENTICATION_FAILED, 401),
    errors.TOKEN_INVALID: (AUTHENTICATION_FAILED, 401),
    errors.AUTH_THROTTLED: (RATE_LIMIT_EXCEEDED, 429),
    errors.ACCOUNT_SUSPENDED: (PERMISSION_DENIED, 403),
    errors.SENDING_DISABLED: (PERMISSION_DENIED, 403),
    errors.ADDRESS_NOT_ALLOWED: (PERMISSION_DENIED, 403),
    errors.COUNTRY_NOT_ALLOWED: (PERMISSION_DENIED, 403),
    errors.SENDER_NOT_ALLOWED: (PERMISSION_DENIED, 403),
    errors.RECIPIENT_OPTED_OUT: (PERMISSION_DENIED, 403),
    errors.NO_PRICE: (PERMISSION_DENIED, 403),
    errors.NO_ROUTE: (PERMISSION_DENIED, 403),
    errors.RATE_LIMITED: (RATE_LIMIT_EXCEEDED, 429),
    errors.BODY_NOT_JSON: (INVALID_REQUEST, 400),
    errors.FIELD_INVALID: (INVALID_REQUEST, 400),
    errors.QUERY_INVALID: (INVALID_REQUEST, 400),
    errors.MESSAGES_EMPTY: (INVALID_REQUEST, 400),
    errors.MESSAGES_TOO_MANY: (INVALID_REQUEST, 400),
    errors.TEXT_EMPTY: (INVALID_REQUEST, 400),
    errors.TEXT_INVALID: (INVALID_REQUEST, 400),
    errors.TEXT_TOO_LONG: (MESSAGE_TOO_LONG, 422),
    errors.SENDER_MALFORMED: (INVALID_REQUEST, 400),
    errors.RECIPIENT_INVALID: (INVALID_PHONE_NUMBER, 400),
    errors.SCHEDULE_IMPOSSIBLE: (INVALID_REQUEST, 422),
    errors.NOT_CANCELLABLE: (INVALID_REQUEST, 422),
    errors.IDEMPOTENCY_KEY_MALFORMED: (INVALID_REQUEST, 400),
    errors.IDEMPOTENCY_KEY_REUSED: (INVALID_REQUEST, 422),
    errors.SUBMISSION_NOT_FOUND: (RESOURCE_NOT_FOUND, 404),
    errors.INSUFFICIENT_FUNDS: (INSUFFICIENT_FUNDS, 422),
    errors.CARRIER_BACKLOG_FULL: (SERVICE_UNAVAILABLE, 503),
    errors.IDEMPOTENCY_IN_PROGRESS: (SERVICE_UNAVAILABLE, 503),
    errors.OVERLOADED: (SERVICE_UNAVAILABLE, 503),
    errors.STORE_UNAVAILABLE: (SERVICE_UNAVAILABLE, 503),
    errors.DRAINING: (SERVICE_UNAVAILABLE, 503),
    errors.INTERNAL_ERROR: (INTERNAL_ERROR, 500),
}
CODES: Final[dict[str, str]] = {kind.code: code for kind, (code, _) in _TABLE.items()}
"""What every error of the registry that this API has is called here."""
STATUS: Final[dict[str, int]] = {kind.code: status for kind, (_, status) in _TABLE.items()}
"""The HTTP status of each."""

_MESSAGES: Final = {
    AUTHENTICATION_FAILED: "Invalid or expired access token",
    RATE_LIMIT_EXCEEDED: "Rate limit exceeded. Please try again later.",
}
_PHONE: Final = "The phone number '{}' is invalid. Phone numbers must be in E.164 format."
_HINT: Final = "Generate a new access token"
_MESSAGE_OF: Final = {
    errors.NOT_FOUND: "No resource has this URL; upper and lower case do not matter, but a slash at the end does.",
    errors.SUBMISSION_NOT_FOUND: "The account has no message with this id; use the id as it was returned.",
}
# How the core points at what this API calls otherwise; a header is no field and has no pointer.
_INDEX: Final = re.compile(r"/([0-9]+)")
_PARAMETERS: Final = {"/recipients/0": "recipient", "/message/text": "message"}
_PARAMETER_OF: Final = {
    errors.IDEMPOTENCY_KEY_MALFORMED: "Idempotency-Key",
    errors.IDEMPOTENCY_KEY_REUSED: "Idempotency-Key",
    errors.NOT_CANCELLABLE: "id",
}


def pointing(error: HeliographError, spelling: str) -> HeliographError:
    """The same error, naming the recipient as its caller did: `recipient` or `to`."""
    error.problems = tuple(
        (f"/{spelling}" if pointer == "/recipients/0" else pointer, message) for pointer, message in error.problems
    )
    return error


def error_body(error: HeliographError, request_id: str) -> bytes:
    """An error as this API has every error."""
    return _encode({"error": error_object(error, request_id)})


def error_object(error: HeliographError, request_id: str) -> dict[str, Any]:
    """What is under `error`."""
    code = CODES[error.kind.code]
    return {
        "code": code,
        "message": readable(_message(error, code)),
        "details": _details(error, code, request_id),
    }


def note_of(error: HeliographError) -> str:
    """What the journal says of an error: its message, without a number that it quotes, and on a line of its own what
    the server knows besides.
    """
    code = CODES[error.kind.code]
    told = _PHONE.format("…") if _quotes_number(error, code) else _message(error, code)
    return told if told == error.detail else f"{told}\n{error.detail}"


def _quotes_number(error: HeliographError, code: str) -> bool:
    return code == INVALID_PHONE_NUMBER and "value" in error.facts


def _message(error: HeliographError, code: str) -> str:
    if _quotes_number(error, code):
        return _PHONE.format(error.facts["value"])
    return _MESSAGE_OF.get(error.kind) or _MESSAGES.get(code, error.detail)


def _details(error: HeliographError, code: str, request_id: str) -> dict[str, Any]:
    facts = error.facts
    match code:
        case "invalid_request" | "invalid_phone_number":
            return _parameters(error)
        case "authentication_failed":
            return {"hint": _HINT}
        case "permission_denied":
            return {"hint": error.kind.remedy}
        case "resource_not_found":
            return {name: readable(facts[name]) for name in ("resource", "id") if name in facts}
        case "insufficient_funds":
            return {
                "balance": show_balance(facts["balance_micros"]),
                "required": show_exact(facts["required_micros"]),
                "currency": facts["currency"],
            }
        case "rate_limit_exceeded":
            reset_at = show_time_rounded_up(facts["reset_utc_ms"])
            return {"rate_limit": {"limit": facts["limit"], "remaining": facts["remaining"], "reset_at": reset_at}}
        case "internal_error":
            return {"request_id": request_id}
        case "service_unavailable":
            return {"retry_after": getattr(error, "retry_after_seconds", 1)}
        case _:
            return dict(facts)


def _parameters(error: HeliographError) -> dict[str, Any]:
    """The parameters at fault, `errors` only when there are several."""
    named = [(_parameter(pointer), message) for pointer, message in error.problems if pointer]
    if not named:
        always = _PARAMETER_OF.get(error.kind)
        return {"parameter": always} if always else {}
    details: dict[str, Any] = {"parameter": named[0][0]}
    if len(named) > 1:
        details["errors"] = [{"parameter": name, "message": readable(message)} for name, message in named]
    return details


def _parameter(pointer: str) -> str:
    return _PARAMETERS.get(pointer) or _INDEX.sub(r"[\1]", pointer)[1:].replace("/", ".")

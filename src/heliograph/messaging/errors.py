"""The registry of errors: everything that can go wrong, whose fault it is, and what to do about it.

    HeliographError
    ├── CallerError     the request cannot be served as it is; the caller can mend it
    ├── CarrierError    a carrier refused or cannot be reached
    └── OurFault        the server's state or a bug; the caller may try again

An error that reaches the wire is one of these with a `Kind` of the registry. Each dialect owns a table from `Kind.code`
to its own status and body (`dialects/*.py`), the pages under `/errors` are made from the registry, and tests show that
both are total.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """Whose fault an error is."""

    CALLER = "caller"
    CARRIER = "carrier"
    OURS = "ours"


@dataclass(frozen=True, slots=True)
class Kind:
    """One entry of the registry.

    `code` is stable and appears in URLs; `retry` says whether the same request can succeed later without a change.
    """

    code: str
    fault: Fault
    title: str
    cause: str
    remedy: str
    retry: bool
    example: str


REGISTRY: dict[str, Kind] = {}


def _kind(
    code: str, title: str, cause: str, remedy: str, example: str, *, fault: Fault = Fault.CALLER, retry: bool = False
) -> Kind:
    kind = Kind(code, fault, title, cause, remedy, retry, example)
    if code in REGISTRY:
        raise ValueError(f"error {code!r} is registered twice")
    REGISTRY[code] = kind
    return kind


# -- the door

NOT_FOUND = _kind(
    "not_found",
    "No such URL",
    "No resource has this path. Paths have no trailing slash.",
    "Compare the path with the API's reference: `/api/auth`, `/api/balance`, `/api/sms`, `/api/sms/{submissionId}`.",
    "GET /api/sms/ (the trailing slash)",
)
METHOD_NOT_ALLOWED = _kind(
    "method_not_allowed",
    "Wrong method for this URL",
    "The URL exists, but not for this HTTP method.",
    "Use one of the methods that the `Allow` header of the answer lists.",
    "GET /api/auth",
)
REQUEST_TOO_LARGE = _kind(
    "request_too_large",
    "The body is too large",
    "The request's body is over the server's limit, 1 MiB unless the operator changed it.",
    "Send fewer recipients per request; 1,000 recipients fit easily.",
    "a body of 2 MiB",
)
HEADERS_TOO_LARGE = _kind(
    "headers_too_large",
    "The headers are too large",
    "The request line and headers together are over the server's limit, 32 KiB unless the operator changed it.",
    "Look for cookies or an access token that grew; none of the API's headers is longer than a few hundred bytes.",
    "an Authorization header of 40,000 characters",
)
HTTP_MALFORMED = _kind(
    "http_malformed",
    "Not HTTP",
    "What arrived on the connection is not an HTTP/1.1 request.",
    "Check that the client speaks HTTP to an HTTP port and HTTPS to an HTTPS port, and that its Content-Length is right.",
    "a TLS handshake on the plain port",
)

# -- who is calling

AUTH_MALFORMED = _kind(
    "auth_malformed",
    "The token request is malformed",
    "A parameter of the token request is missing, repeated or not of the right shape, or two ways of authenticating were mixed.",
    "POST a form with `grant_type=client_credentials`, `client_id` and `client_secret`, each once, exactly as they were issued; or use HTTP Basic for the last two.",
    "client_id=demo (a client id begins with `rt_`)",
)
GRANT_UNSUPPORTED = _kind(
    "grant_unsupported",
    "This grant type is not supported",
    "`grant_type` is something other than `client_credentials`.",
    "Set `grant_type=client_credentials`.",
    "grant_type=password",
)
CREDENTIALS_INVALID = _kind(
    "credentials_invalid",
    "The client credentials are wrong",
    "The credentials are well-formed, but no account has them: mistyped, rotated, or of another installation.",
    "Copy the client id and secret again, or have the operator issue new ones.",
    "a client_secret with one wrong character",
)
TOKEN_MISSING = _kind(
    "token_missing",
    "No access token",
    "The request has no `Authorization` header, or one that does not begin with `Bearer ` and a token.",
    "Send `Authorization: Bearer <access_token>` with exactly one space, the token from `POST /api/auth`.",
    "Authorization: Basic …",
)
TOKEN_MALFORMED = _kind(
    "token_malformed",
    "The access token is malformed",
    "What follows `Bearer ` does not have the shape of a token: three parts of letters, digits, `-` and `_`, joined by dots.",
    "Send the `access_token` as it was issued, without quotes, line breaks or a second space.",
    'Authorization: Bearer "eyJ…"',
)
TOKEN_INVALID = _kind(
    "token_invalid",
    "The access token is not valid",
    "The token expired (they last an hour), was revoked by a rotation of the credentials, is meant for the other API, or was not issued here.",
    "Get a new token and repeat the request.",
    "a token that is two hours old",
)
AUTH_THROTTLED = _kind(
    "auth_throttled",
    "Too many failed token requests",
    "Token requests from this address failed more often in the last minute than the server allows.",
    "Mend the credentials, wait for the seconds in `Retry-After`, and keep a token for the hour that it lasts instead of asking for one with every call.",
    "a deployment that asks for tokens with an old client_secret, in a loop",
    retry=True,
)

# -- what the account may do

ACCOUNT_SUSPENDED = _kind(
    "account_suspended",
    "The account is suspended",
    "The operator has suspended this account. Its balance and past messages can still be read.",
    "Ask the operator why; nothing that the client changes will help.",
    "any send of a suspended account",
)
SENDING_DISABLED = _kind(
    "sending_disabled",
    "Sending is switched off for the account",
    "The operator has switched off sending for this account; everything else works.",
    "Ask the operator to switch it on: `heliograph account sending ID on`.",
    "any send of an account that only receives",
)
ADDRESS_NOT_ALLOWED = _kind(
    "address_not_allowed",
    "The account may not be used from this address",
    "The account has a list of networks that its calls may come from, and the caller's address is in none of them.",
    "Call from one of the account's addresses, or have the operator add this one; behind a proxy of your own, its address is what counts.",
    "a call from 203.0.113.9 on an account that allows 198.51.100.0/24",
)
COUNTRY_NOT_ALLOWED = _kind(
    "country_not_allowed",
    "The account may not send to this country",
    "The account has a list of destination countries, and this number's country is not on it.",
    "Remove the recipient, or ask the operator to add the country.",
    "a recipient in Chile on an account that allows GB and IE",
)
RATE_LIMITED = _kind(
    "rate_limited",
    "The account's rate limit is reached",
    "The account made as many calls in the last 60 seconds as it may. Nothing was accepted, and this call does not count.",
    "Wait for the seconds in `Retry-After`; put more recipients into a request instead of making more requests.",
    "the 101st call within a minute on an account with 100 a minute",
    retry=True,
)
NO_PRICE = _kind(
    "no_price",
    "No price for this destination",
    "The account's price list has no entry for this number's prefix, so nothing can be sent there.",
    "Remove the recipient, or ask the operator to add a price for the destination.",
    "a recipient in a country that the price list does not name",
)
NO_ROUTE = _kind(
    "no_route",
    "No route to this destination",
    "No carrier of this installation takes messages for this number.",
    "Ask the operator to add a carrier or a route; `heliograph carrier list` shows what there is.",
    "any recipient, on a server without a carrier",
)

# -- what was asked

BODY_NOT_JSON = _kind(
    "body_not_json",
    "The body is not JSON",
    "The body is empty, cut short, not UTF-8, begins with a byte order mark, or is not JSON.",
    "Send one JSON object in UTF-8; the detail says where reading it stopped.",
    "{'recipients': …} (single quotes)",
)
FIELD_INVALID = _kind(
    "field_invalid",
    "A field is missing or of the wrong type",
    "A required field is absent, or a field has another type than the reference says.",
    "Correct the fields listed in `errors`; each entry has the pointer of the field and what is expected there.",
    '"recipients": "447945223343" (a string instead of an array)',
)
CHARSET_INVALID = _kind(
    "charset_invalid",
    "Unknown charset",
    "`message.charset` is none of the numbers 0, 1, 6 and 8.",
    "Leave it out, or use 0 (the server chooses), 1 (GSM 7-bit), 6 (UCS-2 in hexadecimal) or 8 (percent-encoded GSM 03.38).",
    '"charset": 2',
)
TEXT_EMPTY = _kind(
    "text_empty",
    "The text is empty",
    "A message needs at least one character.",
    "Put the message into `message.text`.",
    '"text": ""',
)
TEXT_INVALID = _kind(
    "text_invalid",
    "The text is not valid in its charset",
    "The text contains U+0000 or half a surrogate pair, or its hexadecimal or percent encoding is broken.",
    "Encode the text again as its charset says; the detail names the place.",
    '"charset": 6, "text": "00"',
)
TEXT_NOT_ENCODABLE = _kind(
    "text_not_encodable",
    "A character is outside the GSM alphabet",
    "Charset 1 sends GSM 7-bit only, and a character of the text is not in that alphabet (3GPP TS 23.038 §6.2.1).",
    "Replace the character, or use charset 0, which switches to UCS-2 where it must.",
    '"charset": 1, "text": "ő"',
)
TEXT_TOO_LONG = _kind(
    "text_too_long",
    "The text is too long",
    "The text needs more segments than one message may have, 10 unless the operator changed it. A segment of several holds 153 GSM or 67 UCS-2 characters.",
    "Shorten the text or send it as several messages. A single character outside the GSM alphabet more than halves what fits.",
    "a text of 2,000 characters",
)
IDEMPOTENCY_KEY_MALFORMED = _kind(
    "idempotency_key_malformed",
    "The Idempotency-Key is malformed",
    "An `Idempotency-Key` has 1 to 255 visible ASCII characters, without spaces, and comes once.",
    "Send one such key for each message that is to be sent once, for example a random UUID.",
    "Idempotency-Key: order 17 (with a space)",
)
IDEMPOTENCY_KEY_REUSED = _kind(
    "idempotency_key_reused",
    "The Idempotency-Key belongs to another request",
    "In the last 24 hours the account used this `Idempotency-Key` for a request with another body.",
    "Use a new key for a new request; to repeat a request, send the very same bytes again.",
    "two different messages with the key order-17",
)
RECIPIENT_INVALID = _kind(
    "recipient_invalid",
    "A recipient is not a phone number",
    "A recipient is not an international number of 8 to 15 digits, or the account's number policy knows that no such number exists.",
    "Write the number in international form with digits only, country code first: `+` is optional, spaces, dashes and brackets are not allowed.",
    '"recipients": ["+1555123"]',
)
RECIPIENTS_TOO_MANY = _kind(
    "recipients_too_many",
    "Too many recipients",
    "One request may have 1,000 recipients unless the operator changed it.",
    "Split the list over several requests.",
    "1,001 recipients",
)
RECIPIENTS_EMPTY = _kind(
    "recipients_empty",
    "No recipients",
    "`recipients` is an empty array.",
    "Name at least one mobile number.",
    '"recipients": []',
)
SENDER_MALFORMED = _kind(
    "sender_malformed",
    "The sender is malformed",
    "A sender is 1 to 11 characters of the GSM alphabet with at least one letter, or a number of 3 to 15 digits.",
    "Use a short name or a number that belongs to the account.",
    '"sender": "My Company Ltd"',
)
SENDER_NOT_ALLOWED = _kind(
    "sender_not_allowed",
    "The account may not use this sender",
    "The sender is well-formed but not on the account's list; upper and lower case count.",
    "Use a sender of the account, or ask the operator to add this one.",
    '"sender": "Bank" on an account that owns "96000"',
)
SUBMISSION_NOT_FOUND = _kind(
    "submission_not_found",
    "No such message",
    "The account has no message with this id: mistyped, older than the retention, or not a message of this account.",
    "Use a `submissionId` as it was returned, all digits of it.",
    "GET /api/sms/1",
)

# -- the money

INSUFFICIENT_FUNDS = _kind(
    "insufficient_funds",
    "The balance does not cover the message",
    "The account's balance and credit are less than the price of the message. Nothing was charged for it.",
    "Top up the account; cheaper recipients of the same request may have been accepted.",
    "five recipients at 1.00 with a balance of 3.00",
)

# -- a carrier

CARRIER_BACKLOG_FULL = _kind(
    "carrier_backlog_full",
    "The carrier's queue is full",
    "More messages wait for this carrier than the operator allows. Nothing was accepted or charged for this recipient.",
    "Repeat the request later.",
    "a carrier that has been down for days",
    fault=Fault.CARRIER,
    retry=True,
)

# -- our fault

IDEMPOTENCY_IN_PROGRESS = _kind(
    "idempotency_in_progress",
    "The first request with this Idempotency-Key is still under way",
    "A request with this `Idempotency-Key` has not been answered yet, and this one has waited ten seconds for it.",
    "Repeat the same request with the same key after the seconds in `Retry-After`: it is never sent twice.",
    "a retry while the server waits for a slow disk",
    fault=Fault.OURS,
    retry=True,
)
INTERNAL_ERROR = _kind(
    "internal_error",
    "An error on the server",
    "A fault in the server. It is logged with the request id.",
    "Try again; if it persists, give the operator the `X-Request-Id` of the answer.",
    "–",
    fault=Fault.OURS,
    retry=True,
)
OVERLOADED = _kind(
    "overloaded",
    "The server is at its limit",
    "As many requests as the server takes are waiting already. Nothing was accepted.",
    "Repeat the request after the seconds in `Retry-After`.",
    "more simultaneous requests than the configured bound",
    fault=Fault.OURS,
    retry=True,
)
STORE_UNAVAILABLE = _kind(
    "store_unavailable",
    "The store cannot be written",
    "The database did not take the write: the disk is full, or it is locked or out of reach. Nothing was accepted, unless the detail says that this is not known.",
    "Repeat the request after the seconds in `Retry-After`; the operator sees the cause in the log and on `/readyz`.",
    "a full disk",
    fault=Fault.OURS,
    retry=True,
)
DRAINING = _kind(
    "draining",
    "The server is shutting down",
    "The server has begun to stop and takes no new work. Nothing was accepted.",
    "Repeat the request after the seconds in `Retry-After`.",
    "a request during a restart",
    fault=Fault.OURS,
    retry=True,
)


class HeliographError(Exception):
    """Base of everything that Heliograph raises on purpose.

    `detail` names the value and the remedy in one sentence; `pointer` is the RFC 6901 pointer of the field at fault, or
    "". `problems` are further (pointer, message) pairs when several fields are at fault.
    """

    def __init__(
        self, kind: Kind, detail: str = "", *, pointer: str = "", problems: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(detail or kind.title)
        self.kind = kind
        self.detail = detail or kind.cause
        self.problems = problems or (((pointer, self.detail),) if pointer else ())

    def point_at(self, pointer: str) -> None:
        """Name the field at fault, for a rule that does not know where its value came from."""
        self.problems = ((pointer, self.detail),)

    @property
    def pointer(self) -> str:
        """The first field at fault, or ""."""
        return self.problems[0][0] if self.problems else ""


class CallerError(HeliographError):
    """The request cannot be served as it is. `retry_after_seconds`, unless 0, goes into `Retry-After`."""

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        pointer: str = "",
        problems: tuple[tuple[str, str], ...] = (),
        retry_after_seconds: int = 0,
    ) -> None:
        super().__init__(kind, detail, pointer=pointer, problems=problems)
        self.retry_after_seconds = retry_after_seconds


class CarrierError(HeliographError):
    """A carrier refused, or cannot take more. `retry_after_seconds` goes into `Retry-After`."""

    def __init__(self, kind: Kind, detail: str = "", *, retry_after_seconds: int = 30) -> None:
        super().__init__(kind, detail)
        self.retry_after_seconds = retry_after_seconds


class OurFault(HeliographError):
    """The server's state or a bug. `retry_after_seconds` goes into `Retry-After`."""

    def __init__(self, kind: Kind, detail: str = "", *, retry_after_seconds: int = 1) -> None:
        super().__init__(kind, detail)
        self.retry_after_seconds = retry_after_seconds

"""The registry of errors: what each one means, why it comes, what to do about it, and whether it costs anything.

The texts are read on the pages under `/errors` and by `heliograph explain`, by somebody who has the error before him:
the cause comes first, the remedy second, and the usual causes are mistakes that people make. Backticks mark code.
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

    `code` is stable and appears in URLs. `cause` is what happened, `causes` are the usual reasons, most likely first;
    `charged` says whether anything is charged, and `retry` whether the same request can succeed later without a change.
    """

    code: str
    fault: Fault
    title: str
    cause: str
    causes: tuple[str, ...]
    remedy: str
    retry: bool
    charged: str


REGISTRY: dict[str, Kind] = {}
_NOT_CHARGED = "Nothing was accepted and nothing is charged."


def _kind(
    code: str,
    title: str,
    *,
    cause: str,
    causes: tuple[str, ...],
    remedy: str,
    charged: str = _NOT_CHARGED,
    fault: Fault = Fault.CALLER,
    retry: bool = False,
) -> Kind:
    kind = Kind(code, fault, title, cause, causes, remedy, retry, charged)
    if code in REGISTRY:
        raise ValueError(f"error {code!r} is registered twice")
    REGISTRY[code] = kind
    return kind


# -- the door

NOT_FOUND = _kind(
    "not_found",
    "No such URL",
    cause="No resource has this path. Paths have no trailing slash.",
    causes=(
        "the base URL has a path or a version too many: `/api/v1/api/sms`, `/sms` without `/api`",
        "a trailing slash, which a client library, a router or a URL helper adds by itself",
        "a proxy that rewrites the path or strips its prefix before it passes the request on",
        "`/api/SMS` on RealTime: case counts there, and does not on 747 SMS",
    ),
    remedy="Compare the path, letter by letter, with the [reference](/docs) of the API: all paths are there.",
)
METHOD_NOT_ALLOWED = _kind(
    "method_not_allowed",
    "Wrong method for this URL",
    cause="The URL exists, but not for this HTTP method.",
    causes=(
        "opening the URL in a browser, which sends GET where a POST is wanted",
        "a redirect on the way, `http` to `https` for example: many clients follow a 301 or 302 with GET",
        "a browser calling the API directly: its preflight is OPTIONS, and credentials do not belong into a browser anyway",
    ),
    remedy="Use one of the methods that the `Allow` header of the answer lists.",
)
REQUEST_TOO_LARGE = _kind(
    "request_too_large",
    "The body is too large",
    cause="The request's body is over the server's limit, 1 MiB unless the operator changed it.",
    causes=(
        "a whole campaign in one request instead of one per 1,000 recipients",
        "a file, a log or an HTML newsletter that landed in the text",
        "a loop that appends to the list of recipients and never empties it",
    ),
    remedy="Send fewer recipients per request; 1,000 recipients fit easily.",
)
HEADERS_TOO_LARGE = _kind(
    "headers_too_large",
    "The headers are too large",
    cause="The request line and headers together are over the server's limit, 32 KiB unless the operator changed it.",
    causes=(
        "cookies of another application on the same domain, sent along by a shared HTTP client",
        "a token pasted several times over, or a whole JSON answer pasted in place of its `access_token`",
        "proxies that each append to `X-Forwarded-For` or `Via`, in a circle",
    ),
    remedy="Look for cookies or an access token that grew; none of the API's headers is longer than a few hundred bytes.",
)
HTTP_MALFORMED = _kind(
    "http_malformed",
    "Not HTTP",
    cause="What arrived on the connection is not an HTTP/1.1 request.",
    causes=(
        "HTTPS spoken to the plain HTTP port, or the other way around",
        "a `Content-Length` set by hand that is no number, or is there twice with different values",
        "a header with a line break inside, often a token read from a file together with its last newline",
        "a proxy and a client that both set `Host`",
    ),
    remedy="Check that the client speaks HTTP to an HTTP port and HTTPS to an HTTPS port, and that its Content-Length is right.",
)

# -- who is calling

AUTH_MALFORMED = _kind(
    "auth_malformed",
    "The token request is malformed",
    cause="A parameter of the token request is missing, repeated or not of the right shape, or two ways of authenticating were mixed.",
    causes=(
        "the id or secret was copied with a space or a line break, or is cut off",
        'the quotes of an `.env` file are part of the value: `CLIENT_SECRET="rts_…"` read by a tool that keeps them',
        "id and secret are swapped, or the ones of the other API are used (`rt_…` for RealTime, `k7_…` for 747 SMS)",
        "the secret is put into the form without percent-encoding, or as JSON where a form is wanted",
    ),
    remedy="Send id and secret exactly as they were issued, each once. RealTime: a form with `grant_type=client_credentials`, `client_id` and `client_secret`, or HTTP Basic for the last two; 747 SMS: JSON with `api_key` and `api_secret`.",
)
GRANT_UNSUPPORTED = _kind(
    "grant_unsupported",
    "This grant type is not supported",
    cause="`grant_type` is something other than `client_credentials`.",
    causes=(
        "an OAuth library whose default is `authorization_code` or `password`",
        "a refresh token is asked for: there are none, a new token costs one call",
        "`grant_type` is in the URL's query instead of the form",
    ),
    remedy="Set `grant_type=client_credentials`.",
)
CREDENTIALS_INVALID = _kind(
    "credentials_invalid",
    "The client credentials are wrong",
    cause="The credentials are well-formed, but no account has them: mistyped, rotated, or of another installation.",
    causes=(
        "the secret was rotated, and this deployment still has the old one",
        "credentials of a test installation are used against production, or the other way around",
        "id and secret come from different accounts",
        "one character was lost in copying: `l` and `I`, `0` and `O`",
    ),
    remedy="Copy the client id and secret again, or have the operator issue new ones.",
)
TOKEN_MISSING = _kind(
    "token_missing",
    "No access token",
    cause="The request has no `Authorization` header, or one that does not begin with `Bearer ` and a token.",
    causes=(
        "a proxy or gateway strips `Authorization`; Apache in front of CGI or PHP does unless told otherwise",
        "the header says `Basic` or `Token`, or only the token without `Bearer`",
        "the variable with the token is empty, because the token request failed unnoticed",
        "a redirect to another host, on which HTTP clients drop the header",
    ),
    remedy="Send `Authorization: Bearer <access_token>` with exactly one space; the token comes from `POST /api/auth`, on 747 SMS from `POST /api/v1/auth/token`.",
)
TOKEN_MALFORMED = _kind(
    "token_malformed",
    "The access token is malformed",
    cause="What follows `Bearer ` does not have the shape of a token: three parts of letters, digits, `-` and `_`, joined by dots.",
    causes=(
        "the token is in quotes, or has a line break at its end",
        "the whole JSON answer is sent instead of its `access_token`",
        "`Bearer` is there twice: once from the library, once by hand",
        "the token was cut off by a database column that is too short",
    ),
    remedy="Send the `access_token` as it was issued, without quotes, line breaks or a second space.",
)
TOKEN_INVALID = _kind(
    "token_invalid",
    "The access token is not valid",
    cause="The token expired (they last an hour), was revoked by a rotation of the credentials or by suspending the account, is meant for the other API, or was not issued here.",
    causes=(
        "the token is kept longer than its hour; keep it with `expires_in`, less a minute",
        "the clock of a machine that decides when to renew is wrong",
        "the credentials were rotated, which ends the tokens that were got with them, or the account was suspended, which ends all",
        "a token of the other API: each has its own",
    ),
    remedy="Get a new token and repeat the request.",
)
AUTH_THROTTLED = _kind(
    "auth_throttled",
    "Too many failed token requests",
    cause="Token requests from this address failed more often in the last minute than the server allows.",
    causes=(
        "a job with a wrong or old secret that retries at once and for ever",
        "many machines behind one address, one of which has wrong credentials",
        "a token fetched for every message instead of once an hour",
    ),
    remedy="Mend the credentials, wait for the seconds in `Retry-After`, and keep a token for the hour that it lasts instead of asking for one with every call.",
    retry=True,
)

# -- what the account may do

ACCOUNT_SUSPENDED = _kind(
    "account_suspended",
    "The account is suspended",
    cause="The operator has suspended this account. That ended all its tokens; with a new one its balance and past messages can still be read.",
    causes=(
        "an unpaid invoice or an expired contract",
        "the operator saw messages that look like spam or fraud, perhaps from stolen credentials",
        "a test account whose time is over",
    ),
    remedy="Ask the operator why; nothing that the client changes will help.",
)
SENDING_DISABLED = _kind(
    "sending_disabled",
    "Sending is switched off for the account",
    cause="The operator has switched off sending for this account; everything else works.",
    causes=(
        "the account was made for receiving only",
        "sending was switched off during an investigation or a migration and not on again",
    ),
    remedy="Ask the operator to switch it on: `heliograph account sending ID on`.",
)
ADDRESS_NOT_ALLOWED = _kind(
    "address_not_allowed",
    "The account may not be used from this address",
    cause="The account has a list of networks that its calls may come from, and the caller's address is in none of them.",
    causes=(
        "the server moved, or its provider gave it another address",
        "the call leaves by IPv6, and only the IPv4 address is on the list",
        "a new worker, function or container that leaves through another gateway",
        "the server is behind a proxy that is not among its `trusted_proxies`, so that the proxy's address is the one that counts",
    ),
    remedy="Call from one of the account's addresses, or have the operator add this one; behind a proxy of your own, its address is what counts.",
)
COUNTRY_NOT_ALLOWED = _kind(
    "country_not_allowed",
    "The account may not send to this country",
    cause="The account has a list of destination countries, and this number's country is not on it.",
    causes=(
        "a test number or an abroad customer in a list that is national otherwise",
        "a national number without its country code that now reads as another country’s: `7700900123` is in Kazakhstan",
        "the account is new, and its countries are not agreed yet",
    ),
    remedy="Remove the recipient, or ask the operator to add the country.",
)
RATE_LIMITED = _kind(
    "rate_limited",
    "The account's rate limit is reached",
    cause="The account made as many calls in the last 60 seconds as it may. Nothing was accepted, and this call does not count.",
    causes=(
        "one request per recipient: a request takes up to 1,000",
        "several workers, each of which keeps to the limit by itself; the account has one limit for all",
        "the status of every message is polled; delivery reports come by themselves",
        "a retry loop that does not wait for `Retry-After`",
    ),
    remedy="Wait for the seconds in `Retry-After`; put more recipients or messages into a request instead of making more requests.",
    retry=True,
)
NO_PRICE = _kind(
    "no_price",
    "No price for this destination",
    cause="The account's price list has no entry for this number's prefix, so nothing can be sent there.",
    causes=(
        "a destination that the account has never sent to",
        "a number without its country code, which reads as one of a country that is not sold",
    ),
    remedy="Remove the recipient, or ask the operator to add a price for the destination.",
)
NO_ROUTE = _kind(
    "no_route",
    "No route to this destination",
    cause="No carrier of this installation takes messages for this number.",
    causes=(
        "a new installation whose carrier is not set up yet",
        "the account's route names a carrier that was renamed or removed from the settings",
    ),
    remedy="Ask the operator to name a carrier in the settings, as `messages.default_carrier` or as the route of the account.",
)

# -- what was asked

BODY_NOT_JSON = _kind(
    "body_not_json",
    "The body is not JSON",
    cause="The body is empty, cut short, not UTF-8, begins with a byte order mark, or is not JSON.",
    causes=(
        'JSON put together by hand: single quotes, a comma before `}`, an unescaped `"` or line break in the text',
        "a form or multipart body where JSON is wanted",
        "the shell ate the quotes of a `curl -d` command; put the body into a file and use `-d @file`",
        "a file saved as UTF-16, as Latin-1 or with a byte order mark",
    ),
    remedy="Send one JSON object in UTF-8; the detail says where reading it stopped.",
)
FIELD_INVALID = _kind(
    "field_invalid",
    "A field is missing or of the wrong type",
    cause="A required field is absent, or a field has another type than the reference says.",
    causes=(
        "one recipient as a string instead of an array with one string",
        'numbers as JSON numbers: `56912345678` instead of `"56912345678"`',
        "a name from another provider's API: `to`, `body`, `from`, `msg`",
        "`null` or an object where a variable was expected to hold a string",
    ),
    remedy="Correct the fields that the answer names; it says for each what is expected there.",
)
CHARSET_INVALID = _kind(
    "charset_invalid",
    "Unknown charset",
    cause="`message.charset` is none of the numbers 0, 1, 6 and 8.",
    causes=(
        "a data coding value of SMPP instead of the API's own number",
        'the name of the encoding, `"UTF-8"`, instead of a number; the body is UTF-8 in any case',
    ),
    remedy="Leave it out, or use the number 0 (the server chooses), 1 (GSM 7-bit), 6 (UCS-2 in hexadecimal) or 8 (percent-encoded GSM 03.38).",
)
TEXT_EMPTY = _kind(
    "text_empty",
    "The text is empty",
    cause="A message needs at least one character.",
    causes=(
        "a template whose variable had no value",
        "the text was put beside `message` instead of into it (RealTime)",
        "trimming or a filter for emoji left nothing",
    ),
    remedy="Put the text into `message.text` on RealTime, into `message` on 747 SMS.",
)
TEXT_INVALID = _kind(
    "text_invalid",
    "The text is not valid in its charset",
    cause="The text contains U+0000 or half a surrogate pair, or its hexadecimal or percent encoding is broken.",
    causes=(
        "charset 6 with plain text instead of hexadecimal digits",
        "an emoji cut in half by a limit that counts UTF-16 units",
        "a percent sign in charset 8 that is not written `%25`",
    ),
    remedy="Encode the text again as its charset says; the detail names the place.",
)
TEXT_NOT_ENCODABLE = _kind(
    "text_not_encodable",
    "A character is outside the GSM alphabet",
    cause="Charset 1 sends GSM 7-bit only, and a character of the text is not in that alphabet (3GPP TS 23.038 §6.2.1).",
    causes=(
        "typographic quotes, dashes and ellipses from a word processor: “ ” … ’ –",
        "letters with accents that GSM 7-bit does not have: á, ç, ő, ł",
        "an emoji, or a no-break space that came with copied text",
    ),
    remedy="Replace the character, or use charset 0, which switches to UCS-2 where it must.",
)
TEXT_TOO_LONG = _kind(
    "text_too_long",
    "The text is too long",
    cause="The text needs more segments than one message may have, 10 unless the operator changed it. A segment of several holds 153 GSM or 67 UCS-2 characters.",
    causes=(
        "one character outside the GSM alphabet, a smart quote or an emoji, makes the whole message UCS-2, in which a segment holds 67 characters instead of 153",
        "a link with long tracking parameters",
        "an error page or a stack trace in a variable of the template",
    ),
    remedy="Shorten the text or send it as several messages. A single character outside the GSM alphabet more than halves what fits.",
)
IDEMPOTENCY_KEY_MALFORMED = _kind(
    "idempotency_key_malformed",
    "The Idempotency-Key is malformed",
    cause="An `Idempotency-Key` has 1 to 255 visible ASCII characters, without spaces, and comes once.",
    causes=(
        "the variable for the key is empty",
        "the key is a date or a sentence with spaces, or has letters outside ASCII",
        "both the HTTP library and the program set the header, so that it comes twice",
    ),
    remedy="Send one such key for each message that is to be sent once, for example a random UUID.",
)
IDEMPOTENCY_KEY_REUSED = _kind(
    "idempotency_key_reused",
    "The Idempotency-Key belongs to another request",
    cause="In the last 24 hours the account used this `Idempotency-Key` for a request with another body.",
    causes=(
        "the key is made from something that is not unique: a date, a customer number, a constant",
        "the retry builds its body anew, with another time stamp or another order of fields; send the first bytes again",
        "a typo in the text was corrected, and the same key kept",
    ),
    remedy="Use a new key for a new request; to repeat a request, send the very same bytes again.",
    charged="The first request stands as it was answered. Nothing more was accepted, and nothing more is charged.",
)
RECIPIENT_INVALID = _kind(
    "recipient_invalid",
    "A recipient is not a phone number",
    cause="A recipient is not an international number of 8 to 15 digits, or the account's number policy knows that no such number exists.",
    causes=(
        "a national number, without its country code: `07700900123` instead of `+447700900123`",
        "spaces, dashes, dots or brackets, as numbers are written for people",
        "`00` for the `+`",
        "a spreadsheet that turned the number into `5.69123E+10`, or took its first digit",
    ),
    remedy="Write the number in international form with digits only, country code first, and a `+` before it, which 747 SMS requires: no spaces, dashes or brackets. The answer quotes the number as it arrived.",
)
RECIPIENTS_TOO_MANY = _kind(
    "recipients_too_many",
    "Too many recipients",
    cause="One request may have 1,000 recipients unless the operator changed it.",
    causes=(
        "a whole customer list in one request",
        "a list that is appended to in a loop and never emptied",
    ),
    remedy="Split the list over several requests.",
)
RECIPIENTS_EMPTY = _kind(
    "recipients_empty",
    "No recipients",
    cause="`recipients` is an empty array.",
    causes=(
        "a query or filter found nobody, and the program sends anyway",
        "the numbers were removed as duplicates or as opted out, all of them",
    ),
    remedy="Name at least one mobile number.",
)
SENDER_MALFORMED = _kind(
    "sender_malformed",
    "The sender is malformed",
    cause="A sender is 1 to 11 characters of the GSM alphabet with at least one letter, or a number of 3 to 15 digits; this one is neither.",
    causes=(
        "a company name over 11 characters: `My Company Ltd`",
        "a character outside the GSM alphabet or a typographic dash in the name",
        "a number with spaces, or the variable for the sender is empty",
    ),
    remedy="Use a name of at most 11 characters, or a number in digits, that the account may send from.",
)
SENDER_NOT_ALLOWED = _kind(
    "sender_not_allowed",
    "The account may not use this sender",
    cause="The sender is well-formed but not on the account's list; upper and lower case count.",
    causes=(
        "a sender that was never registered with the operator",
        "another spelling: `ACME`, `Acme` and `acme` are three senders",
        "the sender of another account or of another installation, test or production",
    ),
    remedy="Use a sender of the account, or ask the operator to add this one.",
)
RECIPIENT_OPTED_OUT = _kind(
    "recipient_opted_out",
    "The recipient wants no more messages",
    cause="The recipient has opted out of messages from this account. Nothing was accepted or charged.",
    causes=(
        "the owner of the number wrote STOP to the account",
        "a list imported again, from before the opt-out",
        "the number has a new owner; only that person can ask for messages again",
    ),
    remedy="Take the number off your lists; if its owner asks for messages again, have the operator run `heliograph account optout ID --remove NUMBER`.",
)
SCHEDULE_IMPOSSIBLE = _kind(
    "schedule_impossible",
    "The message cannot be sent then",
    cause="`send_at` is more than 30 days ahead, or `validity_seconds` is not from 60 to 604,800 (7 days).",
    causes=(
        "a year or a month off: `2036` for `2026`",
        "milliseconds where seconds are wanted",
        "a validity of 0, meant as “no limit”",
    ),
    remedy="Choose a time within 30 days and a validity within 7 days; without `send_at` the message is sent at once.",
)
MESSAGES_EMPTY = _kind(
    "messages_empty",
    "No messages",
    cause="`messages` of a batch is an empty array.",
    causes=(
        "a query or filter found nothing to send, and the program sends anyway",
        "the messages are in a field with another name",
    ),
    remedy="Put at least one message into the batch.",
)
MESSAGES_TOO_MANY = _kind(
    "messages_too_many",
    "Too many messages in one batch",
    cause="One batch may have 1,000 messages unless the operator changed it.",
    causes=(
        "a whole campaign in one batch",
        "a list that is appended to in a loop and never emptied",
    ),
    remedy="Split the batch over several requests.",
)
QUERY_INVALID = _kind(
    "query_invalid",
    "A filter of the list is invalid",
    cause="A parameter of the query has a value that it cannot have, or comes twice.",
    causes=(
        "a time without a time zone, or whose `+` was not percent-encoded and arrived as a space",
        "a cursor that was decoded, cut off or made up",
        "the name of a status of the other API: `PENDING` there is `queued` here",
    ),
    remedy="Correct the parameters that the answer names; times are written like `2026-01-31T09:30:00Z`, and `next_cursor` is sent back just as it came.",
)
NOT_CANCELLABLE = _kind(
    "not_cancellable",
    "The message can no longer be cancelled",
    cause="Only a message that is queued or scheduled can be cancelled; this one is on its way to the carrier, or at its end.",
    causes=(
        "the message was sent at once: there is seldom time to cancel one that has no `send_at`",
        "it was cancelled already, by an earlier try whose answer was lost",
        "a wrong id: that of another message",
    ),
    remedy="Look at its `status`; a message that was sent cannot be called back.",
    charged="Nothing changes: the message stays charged as it was.",
)
SUBMISSION_NOT_FOUND = _kind(
    "submission_not_found",
    "No such message",
    cause="The account has no message with this id: mistyped, older than the retention, or not a message of this account.",
    causes=(
        "the id went through a number type that cannot hold 16 digits, a spreadsheet or a JavaScript `Number`; keep it as a string",
        "the carrier's id, the account's own reference or a request id instead of the message's",
        "a message of another account or of another installation, test or production",
    ),
    remedy="Use the id that the send returned, as a string and all digits of it.",
    charged="This call is never charged.",
)

# -- the money

INSUFFICIENT_FUNDS = _kind(
    "insufficient_funds",
    "The balance does not cover the message",
    cause="The account's balance and credit are less than the price of the message. Nothing was charged for it.",
    causes=(
        "the top-up has not been booked yet, or was booked to another account",
        "texts of several segments, or destinations that cost more than was planned for",
        "a test or a loop that spent the balance overnight",
    ),
    remedy="Top up the account; cheaper recipients of the same request may have been accepted.",
    charged="What this answer reports as accepted is charged; the rest is not.",
)

# -- a carrier

CARRIER_BACKLOG_FULL = _kind(
    "carrier_backlog_full",
    "The carrier's queue is full",
    cause="More messages wait for this carrier than the operator allows. Nothing was accepted or charged for this recipient.",
    causes=(
        "the carrier is down or slow, and messages have been waiting for hours",
        "a campaign larger than what the carrier takes per second for a long time",
    ),
    remedy="Repeat the request after the seconds in `Retry-After`; if that goes on, tell the operator that the carrier does not keep up.",
    charged="What this answer reports as accepted is charged; the rest is not.",
    fault=Fault.CARRIER,
    retry=True,
)

# -- our fault

IDEMPOTENCY_IN_PROGRESS = _kind(
    "idempotency_in_progress",
    "The first request with this Idempotency-Key is still under way",
    cause="A request with this `Idempotency-Key` has not been answered yet, and this one has waited ten seconds for it.",
    causes=(
        "the client's timeout is shorter than the server takes at the moment, and it retries at once",
        "two workers took the same job",
        "the server's disk is slow",
    ),
    remedy="Repeat the same request with the same key after the seconds in `Retry-After`: it is never sent twice.",
    charged="The first request is charged if it is accepted, once; this one never is.",
    fault=Fault.OURS,
    retry=True,
)
INTERNAL_ERROR = _kind(
    "internal_error",
    "An error on the server",
    cause="A fault in the server. It is logged with the request id.",
    causes=(
        "a bug of the server, of which the log has the trace under the request id",
        "a module that was changed or mixed with another version during an upgrade",
    ),
    remedy="Try again; if it persists, give the operator the `X-Request-Id` of the answer: `heliograph explain` takes it.",
    charged="If the failure came after the message was stored, it is charged and will be sent: repeat with the same `Idempotency-Key`, which cannot charge twice.",
    fault=Fault.OURS,
    retry=True,
)
OVERLOADED = _kind(
    "overloaded",
    "The server is at its limit",
    cause="As many requests as the server takes are waiting already. Nothing was accepted.",
    causes=(
        "a burst of requests larger than the server was set up for",
        "more connections than it takes: keep connections and reuse them",
        "the disk is slower than usual, so that requests wait for it",
    ),
    remedy="Repeat the request after the seconds in `Retry-After`.",
    fault=Fault.OURS,
    retry=True,
)
STORE_UNAVAILABLE = _kind(
    "store_unavailable",
    "The store cannot be written",
    cause="The database did not take the write: the disk is full, or it is locked or out of reach. Nothing was accepted, unless the detail says that this is not known.",
    causes=(
        "the disk is full",
        "a backup tool or another program holds the database locked",
        "the data folder is on a network disk that went away",
    ),
    remedy="Repeat the request after the seconds in `Retry-After`; the operator sees the cause in the log and on `/readyz`.",
    charged="Nothing is charged, unless the detail says that it is not known: then look at the account's messages before repeating, or repeat with the same `Idempotency-Key`.",
    fault=Fault.OURS,
    retry=True,
)
DRAINING = _kind(
    "draining",
    "The server is shutting down",
    cause="The server has begun to stop and takes no new work. Nothing was accepted.",
    causes=(
        "a restart or an upgrade; another node, or the same one a moment later, takes the request",
        "a load balancer that does not look at `/readyz`",
    ),
    remedy="Repeat the request after the seconds in `Retry-After`.",
    fault=Fault.OURS,
    retry=True,
)

"""747 SMS on the wire, without a wire."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.dialects import sms747
from heliograph.dialects.sms747.lists import Wanted
from heliograph.dialects.sms747.money import show_exact
from heliograph.dialects.sms747.times import parse_time, show_time, show_time_rounded_up
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account, Tier
from heliograph.messaging.errors import CallerError, HeliographError, Kind, OurFault
from heliograph.messaging.limits import Standing
from heliograph.messaging.numbers import NumberPolicy, normalise
from heliograph.messaging.submissions import Order, Request, Status, Submission
from heliograph.messaging.text import Encoding, Text, compose
from heliograph.service.accounts import new_secrets

NOW = 1_767_323_045_678  # 2026-01-02T03:04:05.678Z
DAY = 24 * 3_600_000
GOOD: dict[str, Any] = {"recipient": "+15551234567", "message": "Hello"}


def no_localhost(url: str) -> str:
    if "localhost" in url:
        raise ValueError(f"the callback URL {url!r} is odd; correct it")
    return url


def parse(body: object) -> sms747.Asked:
    return sms747.parse_order(body if isinstance(body, bytes) else json.dumps(body).encode(), NOW, no_localhost)


def order(**fields: object) -> Order:
    return parse({**GOOD, **fields}).order


def refusal(body: object) -> CallerError:
    with pytest.raises(CallerError) as caught:
        parse(body)
    return caught.value


def pointers(body: object) -> list[str]:
    return [pointer for pointer, _ in refusal(body).problems]


# -- orders


def test_the_documented_order_is_what_its_body_says() -> None:
    asked = parse(b'{"recipient":"+15551234567","message":"Hello, this is a test message!"}')
    expected = Order(
        ["+15551234567"], "", "Hello, this is a test message!", 0, plus_required=True, refuse_opted_out=True
    )
    assert (asked.order, asked.spelling) == (expected, "recipient")
    assert sms747.parse_order(bytearray(json.dumps(GOOD).encode()), NOW, no_localhost) == parse(GOOD)


def test_every_field_is_read() -> None:
    asked = parse(
        {
            "to": "+1",
            "message": "ä😀",
            "sender": "SHOP",
            "reference": "r" * 64,
            "callback_url": "https://example.net/x",
            "send_at": "2026-01-03T03:04:05+01:00",
            "validity_seconds": 60,
            "priority": [],
        }
    )
    assert asked.spelling == "to"
    assert asked.order == Order(
        ["+1"],
        "SHOP",
        "ä😀",
        0,
        plus_required=True,
        reference="r" * 64,
        callback_url="https://example.net/x",
        send_at_utc_ms=NOW // 1000 * 1000 + DAY - 3_600_000,
        validity_seconds=60,
        refuse_opted_out=True,
    )


def test_null_is_as_good_as_absent() -> None:
    names = ("to", "sender", "reference", "callback_url", "send_at", "validity_seconds")
    assert parse({**GOOD, **dict.fromkeys(names)}) == parse(GOOD)
    assert parse({"recipient": None, "to": "+1", "message": "x"}).spelling == "to"


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    assert parse(b'{"recipient":"+1","recipient":"+2","message":"a","message":"b"}').order.recipients == ["+2"]


def test_two_spellings_may_agree_but_not_differ() -> None:
    assert parse({**GOOD, "to": GOOD["recipient"]}).spelling == "recipient"
    assert pointers({**GOOD, "to": "+15550000000"}) == ["/to"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ["/recipient", "/message"]),
        ({"to": None}, ["/to", "/message"]),
        ({"recipient": None, "to": None, "message": ""}, ["/recipient"]),
        ({"recipient": 1, "message": "x"}, ["/recipient"]),
        ({"to": ["+1"], "message": "x"}, ["/to"]),
        ({**GOOD, "message": None}, ["/message"]),
        ({**GOOD, "message": {"text": "x"}}, ["/message"]),
        ({**GOOD, "sender": 5, "reference": 6, "callback_url": 7, "send_at": 8}, [
            "/sender", "/reference", "/callback_url", "/send_at",
        ]),
        ({**GOOD, "sender": ""}, ["/sender"]),
        ({**GOOD, "reference": "r" * 65}, ["/reference"]),
        ({**GOOD, "reference": "a\0b"}, ["/reference"]),
        ({**GOOD, "reference": "a\ud800b"}, ["/reference"]),
        ({**GOOD, "callback_url": "http://localhost"}, ["/callback_url"]),
        ({**GOOD, "send_at": "tomorrow"}, ["/send_at"]),
        ({**GOOD, "validity_seconds": "60"}, ["/validity_seconds"]),
        ({**GOOD, "validity_seconds": True}, ["/validity_seconds"]),
        ({**GOOD, "validity_seconds": 60.5}, ["/validity_seconds"]),
        ({**GOOD, "validity_seconds": float("1e400")}, ["/validity_seconds"]),
    ],
)  # fmt: skip
def test_every_field_at_fault_is_named(body: object, expected: list[str]) -> None:
    text = json.dumps(body).replace("Infinity", "1e400")
    error = refusal(text.encode())
    assert error.kind is errors.FIELD_INVALID
    assert [pointer for pointer, _ in error.problems] == expected


@pytest.mark.parametrize("body", [b"[]", b"null", b"5", b'"x"'])
def test_what_is_no_object_is_no_order(body: bytes) -> None:
    assert refusal(body).kind is errors.FIELD_INVALID


@pytest.mark.parametrize("body", [b"", b"{", b"{'a':1}", b"\xef\xbb\xbf{}", b"\xff", b'{"a":NaN}', b"[" * 100_000])
def test_what_is_no_json_is_no_order(body: bytes) -> None:
    assert refusal(body).kind is errors.BODY_NOT_JSON


def test_a_number_is_its_value() -> None:
    for written in ("60", "60.0", "6e1", "600e-1"):
        raw = b'{"recipient":"+1","message":"x","validity_seconds":' + written.encode() + b"}"
        validity = parse(raw).order.validity_seconds
        assert (validity, type(validity)) == (60, int)


@pytest.mark.parametrize("seconds", [59, 0, -1, 604_801, 10**40])
def test_a_validity_out_of_bounds_is_impossible(seconds: int) -> None:
    error = refusal({**GOOD, "validity_seconds": seconds})
    assert (error.kind, error.pointer) == (errors.SCHEDULE_IMPOSSIBLE, "/validity_seconds")
    assert order(validity_seconds=604_800).validity_seconds == 604_800


def test_thirty_days_ahead_is_the_most() -> None:
    assert order(send_at=show_time(NOW + 30 * DAY)).send_at_utc_ms == (NOW + 30 * DAY) // 1000 * 1000
    error = refusal({**GOOD, "send_at": show_time(NOW + 30 * DAY + 1000)})
    assert (error.kind, error.pointer) == (errors.SCHEDULE_IMPOSSIBLE, "/send_at")


@pytest.mark.parametrize("send_at", ["2026-01-02T03:04:05Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59"])
def test_a_time_that_is_past_means_at_once(send_at: str) -> None:
    assert order(send_at=send_at).send_at_utc_ms == 0


def test_what_is_malformed_is_told_before_what_is_impossible() -> None:
    error = refusal({**GOOD, "send_at": "2099-01-01T00:00:00Z", "validity_seconds": "x"})
    assert error.kind is errors.FIELD_INVALID
    assert [pointer for pointer, _ in error.problems] == ["/validity_seconds", "/send_at"]


finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(st.none() | st.booleans() | st.integers() | finite | st.text(), st.lists, max_leaves=3)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(
    ("recipient", "to", "message", "sender", "reference", "callback_url", "send_at", "validity_seconds"), json_values
)))  # fmt: skip
def test_any_object_is_an_order_or_a_refusal_that_can_be_told(body: dict[str, Any]) -> None:
    try:
        asked = parse(body)
    except CallerError as error:
        told = json.loads(sms747.error_body(error, "req_1"))["error"]
        assert told["code"] == "invalid_request"
        assert told["details"]["parameter"] in {*body, "recipient", "message", "to"}
    else:
        assert asked.order.recipients == [body[asked.spelling]]
        assert asked.order.text == body["message"]


@given(st.binary())
def test_any_bytes_are_an_order_or_a_refusal(body: bytes) -> None:
    with pytest.raises(CallerError):
        parse(body)


# -- batches


def batch(body: object, most: int = 3) -> list[sms747.Asked | CallerError]:
    return sms747.parse_batch(json.dumps(body).encode(), NOW, no_localhost, most)


def test_each_message_of_a_batch_is_judged_by_itself() -> None:
    first, second, third = batch({"messages": [GOOD, 5, {"to": "+1"}]})
    assert first == parse(GOOD)
    assert isinstance(second, CallerError)
    assert isinstance(third, CallerError)
    assert (second.pointer, third.pointer) == ("/messages/1", "/message")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, errors.FIELD_INVALID),
        ([GOOD], errors.FIELD_INVALID),
        ({"messages": None}, errors.FIELD_INVALID),
        ({"messages": GOOD}, errors.FIELD_INVALID),
        ({"messages": []}, errors.MESSAGES_EMPTY),
        ({"messages": [GOOD] * 4}, errors.MESSAGES_TOO_MANY),
    ],
)
def test_what_is_no_batch_is_refused_whole(body: object, kind: Kind) -> None:
    with pytest.raises(CallerError) as caught:
        batch(body)
    assert (caught.value.kind, caught.value.pointer) == (kind, "/messages")


# -- lists


def test_a_list_without_a_query_is_of_everything_twenty_at_a_time() -> None:
    assert sms747.parse_list(b"") == sms747.parse_list(b"page=2&sort&=&&") == Wanted(limit=20)


def test_every_filter_is_read() -> None:
    query = (
        b"status=sent&recipient=%2B15551234567&created_after=2026-01-02T03:04:05Z"
        b"&created_before=2026-01-02T04:04:05%2B01:00&limit=100&cursor=4193366853543393"
    )
    at = NOW // 1000 * 1000
    assert sms747.parse_list(query) == Wanted(Status.SENT, None, "15551234567", at, at, 100, "4193366853543393")
    assert sms747.parse_list(query.replace(b"%2B", b"+")) == sms747.parse_list(query)


def test_queued_and_scheduled_are_told_apart() -> None:
    assert sms747.parse_list(b"status=queued") == Wanted(Status.PENDING, scheduled=False)
    assert sms747.parse_list(b"status=scheduled") == Wanted(Status.PENDING, scheduled=True)


@pytest.mark.parametrize("name", ["queued", "scheduled", *(status.name.lower() for status in Status if status)])
def test_every_status_can_be_asked_for(name: str) -> None:
    wanted = sms747.parse_list(f"status={name}".encode()).status
    assert wanted is (Status.PENDING if name in ("queued", "scheduled") else Status[name.upper()])


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "limit=", "limit=x", "limit=+5", "limit=%D9%A4", "limit=1e1", "limit=" + "9" * 5000),
        *("status=SENT", "status=", "status=pending", "recipient=15551234567", "recipient=%2B1", "recipient=%00"),
        *("created_after=x", "created_before=2026-01-02", "cursor=", "limit=1&limit=1", "%6Cimit=0", "limit"),
    ],
)
def test_a_bad_filter_is_named(query: str) -> None:
    with pytest.raises(CallerError) as caught:
        sms747.parse_list(query.encode())
    assert caught.value.kind is errors.QUERY_INVALID
    assert caught.value.pointer == "/" + query.replace("%6C", "l").partition("=")[0]


@given(st.binary())
def test_any_query_is_a_list_or_a_refusal_that_can_be_told(query: bytes) -> None:
    try:
        sms747.parse_list(query)
    except CallerError as error:
        json.loads(sms747.error_body(error, "req_1"))


# -- times and money


@pytest.mark.parametrize(
    ("text", "utc_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.5z", 500),
        ("1970-01-01T00:00:00.0019999Z", 1),
        ("1970-01-01T01:30:00+01:30", 0),
        ("1969-12-31T19:00:00-05:00", 0),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("9999-12-31T23:59:59-23:59", 253_402_387_139_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
    ],
)
def test_times_are_read_as_rfc_3339_has_them(text: str, utc_ms: int) -> None:
    assert parse_time(text) == utc_ms


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "1767323045", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02 03:04:05Z", "2026-01-02T03:04Z"),
        *("2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-02T24:00:00Z", "2026-01-02T03:60:00Z"),
        *("2026-01-02T03:04:61Z", "2026-01-02T03:04:05+24:00", "2026-01-02T03:04:05+01:60", "0000-01-01T00:00:00Z"),
        *("2026-01-02T03:04:05.Z", "2026-01-02T03:04:05+0100", "٢026-01-02T03:04:05Z", "2026-01-02T03:04:05Z\n"),
    ],
)
def test_anything_else_is_no_time(text: str) -> None:
    assert parse_time(text) is None


def test_times_are_shown_in_whole_seconds() -> None:
    assert show_time(NOW) == "2026-01-02T03:04:05Z"
    assert show_time_rounded_up(NOW) == "2026-01-02T03:04:06Z"
    assert show_time_rounded_up(NOW // 1000 * 1000) == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (0, "0.0000"),
        (10_000, "0.0100"),
        (1_000_000, "1.0000"),
        (1, "0.000001"),
        (1_250, "0.00125"),
        (-35_000, "-0.0350"),
    ],
)
def test_costs_have_four_to_six_decimals(micros: int, shown: str) -> None:
    assert show_exact(micros) == shown


# -- answers


@dataclass(frozen=True)
class Stored:
    recipient: str = "15551234567"
    sender: str = "747"
    text: str = "Hello, …"
    encoding: int = 0
    segments: int = 1
    price_micros: int = 10_000
    refunded: bool = False
    status: Status = Status.PENDING
    registered_utc_ms: int = NOW
    sent_utc_ms: int = 0
    done_utc_ms: int = 0
    send_at_utc_ms: int = 0
    reference: str | None = None


DOCUMENTED = """{"data":{"id":"4193366853543393","recipient":"+15551234567","sender":"747","message":"Hello, …",
         "status":"queued",
         "segments":1,"encoding":"gsm7","cost":"0.0100","currency":"USD","reference":null,
         "created_at":"2026-01-02T03:04:05Z","scheduled_at":null,"sent_at":null,"delivered_at":null,"error":null}}"""


def told(stored: Stored) -> dict[str, Any]:
    rendered: dict[str, Any] = json.loads(sms747.render_message("1", stored, "USD", NOW))["data"]
    return rendered


def test_the_documented_message_to_the_letter() -> None:
    rendered = sms747.render_message("4193366853543393", Stored(), "USD", NOW).decode()
    assert rendered == json.dumps(json.loads(DOCUMENTED), separators=(",", ":"), ensure_ascii=False)


def test_what_was_just_accepted_is_told_as_it_will_be_found() -> None:
    text = Text("Hello, …", Encoding.GSM7, 1)
    for send_at in (0, NOW + DAY):
        request = Request(1, 1, 2, "747", text, NOW, NOW + DAY, send_at, "ref", "", "")
        submission = Submission(1, request, "15551234567", 10_000, 1, 0, 0, 1)
        stored = Stored(send_at_utc_ms=send_at, reference="ref")
        assert sms747.render_created(7, submission, "USD") == sms747.render_message("7", stored, "USD", NOW)


def test_a_message_waits_for_its_time_and_then_its_turn() -> None:
    assert told(Stored(send_at_utc_ms=NOW + 1))["status"] == "scheduled"
    due = told(Stored(send_at_utc_ms=NOW))
    assert (due["status"], due["scheduled_at"]) == ("queued", "2026-01-02T03:04:05Z")


@pytest.mark.parametrize("status", [status for status in Status if status])
def test_every_status_has_its_name_and_its_error(status: Status) -> None:
    done = told(Stored(status=status, sent_utc_ms=NOW, done_utc_ms=NOW + 1000, encoding=8))
    assert done["status"] == status.name.lower()
    assert (done["delivered_at"] is not None) == (status is Status.DELIVERED)
    assert (done["sent_at"], done["encoding"]) == ("2026-01-02T03:04:05Z", "ucs2")
    failed = {Status.REJECTED, Status.UNDELIVERED, Status.EXPIRED, Status.UNKNOWN}
    if status in failed:
        assert done["error"]["code"] == done["status"]
        assert done["error"]["message"]
    else:
        assert done["error"] is None


def test_what_was_refunded_costs_nothing() -> None:
    assert told(Stored(status=Status.CANCELLED, refunded=True))["cost"] == "0.0000"


def test_a_list_says_whether_there_is_more() -> None:
    page = json.loads(sms747.render_list([("1", Stored())], "USD", NOW, 1, "1"))
    assert page["data"] == [told(Stored())]
    assert page["pagination"] == {"limit": 1, "next_cursor": "1", "has_more": True}
    last = json.loads(sms747.render_list([], "USD", NOW, 20, ""))
    assert last == {"data": [], "pagination": {"limit": 20, "next_cursor": None, "has_more": False}}


def test_a_callback_has_the_whole_message() -> None:
    stored = Stored(status=Status.DELIVERED, done_utc_ms=NOW)
    assert json.loads(sms747.status_body("EUR")("1", stored)) == {
        "type": "message.status",
        "data": {**told(stored), "currency": "EUR"},
    }


def test_an_account_is_told_with_its_limit() -> None:
    account = Account(id=1, ref="acc_1", name="Shop", email="x@example.net", tier=Tier.PREMIUM)
    rendered = sms747.render_account(account, 1_239_999, "USD", Standing(True, 500, 3, 2, NOW))
    assert json.loads(rendered) == {
        "data": {
            "id": "acc_1",
            "name": "Shop",
            "balance": "1.23",
            "currency": "USD",
            "tier": "premium",
            "rate_limit": {"limit": 500, "remaining": 3, "reset_at": "2026-01-02T03:04:06Z"},
        }
    }


# -- errors


def answer(error: HeliographError) -> dict[str, Any]:
    rendered: dict[str, Any] = json.loads(sms747.error_body(error, "req_1"))
    return rendered


ELSEWHERE = {
    errors.GRANT_UNSUPPORTED.code,
    errors.CHARSET_INVALID.code,
    errors.TEXT_NOT_ENCODABLE.code,
    errors.RECIPIENTS_TOO_MANY.code,
    errors.RECIPIENTS_EMPTY.code,
}
"""Errors of what this API does not do."""


def test_every_error_of_the_registry_has_a_code_and_a_status() -> None:
    assert set(sms747.STATUS) == set(sms747.CODES) == set(errors.REGISTRY) - ELSEWHERE


CONTRACT = {
    "invalid_request": {400, 422},
    "invalid_phone_number": {400},
    "authentication_failed": {401},
    "permission_denied": {403},
    "resource_not_found": {404},
    "method_not_allowed": {405},
    "request_too_large": {413, 431},
    "insufficient_funds": {422},
    "message_too_long": {422},
    "rate_limit_exceeded": {429},
    "internal_error": {500},
    "service_unavailable": {503},
}


def test_codes_and_statuses_are_those_of_the_contract() -> None:
    found: dict[str, set[int]] = {}
    for code, name in sms747.CODES.items():
        found.setdefault(name, set()).add(sms747.STATUS[code])
    assert found == CONTRACT


def test_our_faults_are_5xx_and_the_callers_are_4xx() -> None:
    for code, status in sms747.STATUS.items():
        ours = errors.REGISTRY[code].fault is not errors.Fault.CALLER
        assert (status >= 500) == ours, code


def test_the_documented_invalid_phone_number() -> None:
    with pytest.raises(CallerError) as caught:
        normalise("+1555123", NumberPolicy.SYNTAX, plus_required=True, pointer="/recipients/0")
    assert answer(sms747.pointing(caught.value, "to")) == {
        "error": {
            "code": "invalid_phone_number",
            "message": "The phone number '+1555123' is invalid. Phone numbers must be in E.164 format.",
            "details": {"parameter": "to"},
        }
    }


@pytest.mark.parametrize(
    "kind", [errors.CREDENTIALS_INVALID, errors.TOKEN_MISSING, errors.TOKEN_MALFORMED, errors.TOKEN_INVALID]
)
def test_the_documented_authentication_failed(kind: Kind) -> None:
    assert answer(CallerError(kind, "Whatever.")) == {
        "error": {
            "code": "authentication_failed",
            "message": "Invalid or expired access token",
            "details": {"hint": "Generate a new access token"},
        }
    }


@pytest.mark.parametrize("kind", [errors.RATE_LIMITED, errors.AUTH_THROTTLED])
def test_the_documented_rate_limit_exceeded(kind: Kind) -> None:
    facts = {"limit": 100, "remaining": 0, "reset_utc_ms": 1_679_745_599_001}
    assert answer(CallerError(kind, "Whatever.", retry_after_seconds=60, facts=facts)) == {
        "error": {
            "code": "rate_limit_exceeded",
            "message": "Rate limit exceeded. Please try again later.",
            "details": {"rate_limit": {"limit": 100, "remaining": 0, "reset_at": "2023-03-25T12:00:00Z"}},
        }
    }


def test_what_is_too_long_tells_its_measures() -> None:
    with pytest.raises(CallerError) as caught:
        compose("a" * 1600, 0, max_segments=10)
    assert answer(caught.value)["error"]["details"] == {
        "length": 1600,
        "max_length": 1530,
        "segments": 11,
        "max_segments": 10,
        "encoding": "gsm7",
    }
    with pytest.raises(CallerError) as caught:
        compose("я" * 71, 0, max_segments=1)
    assert answer(caught.value)["error"]["details"] == {
        "length": 71,
        "max_length": 70,
        "segments": 2,
        "max_segments": 1,
        "encoding": "ucs2",
    }


@pytest.mark.parametrize(
    ("text", "measures"),
    [
        ("a" + "€" * 765, (1531, 1521)),
        ("€" * 765, (1530, 1520)),
        ("a" + "€" * 80, (161, 160)),
        ("я" + "😀" * 335, (671, 661)),
        ("😀" * 335, (670, 660)),
    ],
)
def test_what_fits_is_less_where_pairs_cannot_be_cut(text: str, measures: tuple[int, int]) -> None:
    most = 1 if len(text) < 100 else 10
    with pytest.raises(CallerError) as caught:
        compose(text, 0, max_segments=most)
    details = answer(caught.value)["error"]["details"]
    assert (details["length"], details["max_length"]) == measures
    shorter = text[: len(text) - (details["length"] - details["max_length"] + 1) // 2]
    assert compose(shorter, 0, max_segments=most).segments == most


@pytest.mark.parametrize(
    "body",
    [{**GOOD, "validity_seconds": int("9" * 400)}, {**GOOD, "validity_seconds": -(10**400)}],
    ids=["400 digits", "less than nothing"],
)
def test_a_number_that_no_float_holds_is_an_error_of_its_message_alone(body: dict[str, Any]) -> None:
    with pytest.raises(CallerError) as caught:
        parse(body)
    assert caught.value.kind is errors.SCHEDULE_IMPOSSIBLE
    assert caught.value.pointer == "/validity_seconds"
    batch = json.dumps({"messages": [GOOD, body]}).encode()
    good, bad = sms747.parse_batch(batch, NOW, no_localhost, 10)
    assert isinstance(good, sms747.Asked)
    assert isinstance(bad, CallerError)
    assert bad.kind is errors.SCHEDULE_IMPOSSIBLE


def test_the_journal_gets_the_message_without_the_number_and_what_the_server_knows() -> None:
    with pytest.raises(CallerError) as caught:
        normalise("1' a secret '2", NumberPolicy.SYNTAX, plus_required=True, pointer="/recipients/0")
    told, besides = sms747.note_of(caught.value).split("\n")
    assert told == "The phone number '…' is invalid. Phone numbers must be in E.164 format."
    assert besides == caught.value.detail
    assert sms747.note_of(CallerError(errors.TOKEN_INVALID, "It expired.")) == (
        "Invalid or expired access token\nIt expired."
    )
    assert sms747.note_of(CallerError(errors.TEXT_EMPTY, "The text is empty.")) == "The text is empty."


@pytest.mark.parametrize(
    ("error", "details"),
    [
        (
            CallerError(
                errors.INSUFFICIENT_FUNDS,
                facts={"balance_micros": 2_509_999, "required_micros": 3_000_000, "currency": "EUR"},
            ),
            {"balance": "2.50", "required": "3.0000", "currency": "EUR"},
        ),
        (OurFault(errors.INTERNAL_ERROR), {"request_id": "req_1"}),
        (OurFault(errors.DRAINING, retry_after_seconds=5), {"retry_after": 5}),
        (CallerError(errors.SENDER_NOT_ALLOWED, pointer="/sender"), {"hint": errors.SENDER_NOT_ALLOWED.remedy}),
        (
            CallerError(errors.SUBMISSION_NOT_FOUND, facts={"resource": "message", "id": "1\ud800"}),
            {"resource": "message", "id": "1\\ud800"},
        ),
        (CallerError(errors.METHOD_NOT_ALLOWED, facts={"allowed": ["GET"]}), {"allowed": ["GET"]}),
        (CallerError(errors.REQUEST_TOO_LARGE, facts={"max_bytes": 9}), {"max_bytes": 9}),
        (CallerError(errors.HTTP_MALFORMED), {}),
        (CallerError(errors.IDEMPOTENCY_KEY_REUSED), {"parameter": "Idempotency-Key"}),
        (CallerError(errors.NOT_CANCELLABLE, facts={"id": "1"}), {"parameter": "id"}),
        (CallerError(errors.TEXT_EMPTY, "d", pointer="/message/text"), {"parameter": "message"}),
        (CallerError(errors.SENDER_MALFORMED, "d", pointer="/sender"), {"parameter": "sender"}),
        (CallerError(errors.RECIPIENT_INVALID, "d", pointer="/recipients/0"), {"parameter": "recipient"}),
        (CallerError(errors.FIELD_INVALID, "d", pointer="/messages/3"), {"parameter": "messages[3]"}),
        (
            CallerError(errors.FIELD_INVALID, "d", problems=(("/a", "m\udfff"), ("/b", "n"))),
            {
                "parameter": "a",
                "errors": [{"parameter": "a", "message": "m\\udfff"}, {"parameter": "b", "message": "n"}],
            },
        ),
    ],
    ids=lambda value: value.kind.code if isinstance(value, HeliographError) else "",
)
def test_details_are_those_of_the_contract(error: HeliographError, details: dict[str, Any]) -> None:
    found = answer(error)["error"]
    assert list(found) == ["code", "message", "details"]
    assert found["details"] == details
    assert found["message"]


def test_a_batch_has_messages_and_errors_in_order() -> None:
    text = Text("Hello, …", Encoding.GSM7, 1)
    submission = Submission(1, Request(1, 1, 2, "747", text, NOW, NOW + DAY), "15551234567", 10_000, 1, 0, 0, 1)
    error = CallerError(errors.TEXT_EMPTY, "d", pointer="/message/text")
    rendered = json.loads(sms747.render_batch([(1, submission), error], "USD", "req_1"))
    assert rendered == {"data": [told(Stored()), answer(error)]}


# -- who is calling

KEY, SECRET = "k7_" + "a" * 24, "s7_" + "b" * 43
FORM = "application/x-www-form-urlencoded"


def test_credentials_as_they_are_issued_have_the_right_shape() -> None:
    for _ in range(50):
        made = new_secrets(sms747.API_KEY_PREFIX, sms747.API_SECRET_PREFIX)
        sms747.check_credentials(made.public_id, made.secret)


@pytest.mark.parametrize(
    "change", [lambda v: v[:-1], lambda v: v + "a", lambda v: "x" + v[1:], lambda v: v[:-1] + "\n", lambda v: ""]
)
def test_another_shape_is_malformed(change: Any) -> None:
    sms747.check_credentials(KEY, SECRET)
    for key, secret, named in ((change(KEY), SECRET, "/api_key"), (KEY, change(SECRET), "/api_secret")):
        with pytest.raises(CallerError) as caught:
            sms747.check_credentials(key, secret)
        assert (caught.value.kind, caught.value.pointer) == (errors.AUTH_MALFORMED, named)
        assert SECRET not in caught.value.detail


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", json.dumps({"api_key": KEY, "api_secret": SECRET, "x": None})),
        ("", json.dumps({"api_key": KEY, "api_secret": SECRET})),
        (FORM, " " + json.dumps({"api_key": KEY, "api_secret": SECRET})),
        (FORM, f"api_key={KEY}&api_secret={SECRET}&x=1&x=2"),
        (FORM.upper() + " ; charset=utf-8", f"api%5Fkey={KEY}&api_secret={SECRET}"),
    ],
)
def test_a_token_request_is_json_or_a_form(content_type: str, body: str) -> None:
    assert sms747.parse_token_request(content_type, body.encode()) == (KEY, SECRET)


@pytest.mark.parametrize(
    ("content_type", "body", "kind"),
    [
        (FORM, f"api_key={KEY}", errors.AUTH_MALFORMED),
        (FORM, f"api_key={KEY}&api_key={KEY}&api_secret={SECRET}", errors.AUTH_MALFORMED),
        (FORM, f"api_key={KEY}&api_secret={SECRET}" + "&x" * 60, errors.AUTH_MALFORMED),
        (FORM, f"api_key={KEY}&api_secret={SECRET}&x=" + "x" * 20_000, errors.AUTH_MALFORMED),
        ("", f"api_key={KEY}&api_secret={SECRET}", errors.BODY_NOT_JSON),
        ("", "", errors.BODY_NOT_JSON),
        ("", "[]", errors.AUTH_MALFORMED),
        ("", json.dumps({"api_key": KEY, "api_secret": None}), errors.AUTH_MALFORMED),
        ("", json.dumps({"api_key": 5, "api_secret": SECRET}), errors.AUTH_MALFORMED),
    ],
)
def test_another_token_request_is_malformed(content_type: str, body: str, kind: Kind) -> None:
    with pytest.raises(CallerError) as caught:
        sms747.parse_token_request(content_type, body.encode())
    assert caught.value.kind is kind
    assert SECRET not in caught.value.detail

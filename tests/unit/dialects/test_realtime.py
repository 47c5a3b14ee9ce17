"""RealTime on the wire, without a wire."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.dialects import realtime
from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError, Kind, OurFault
from heliograph.messaging.operators import UNKNOWN_OPERATOR, Operator
from heliograph.messaging.submissions import Order, Status
from heliograph.service.accounts import new_secrets

GOOD: dict[str, Any] = {"recipients": ["56912345678"], "sender": "96000", "message": {"charset": 1, "text": "hello"}}
RAW = '{{"recipients":["1"],"sender":"s","message":{{"charset":{},"text":"x"}}}}'


def parse(body: object) -> Order:
    return realtime.parse_order(body if isinstance(body, bytes) else json.dumps(body).encode())


def refusal(body: object) -> CallerError:
    with pytest.raises(CallerError) as caught:
        parse(body)
    return caught.value


def pointers(body: object) -> list[str]:
    return [pointer for pointer, _ in refusal(body).problems]


def test_an_order_is_what_its_body_says() -> None:
    order = parse({**GOOD, "recipients": ["1", "+2", ""], "message": {"text": "ä😀"}})
    assert order == Order(["1", "+2", ""], "96000", "ä😀", 0, plus_required=False)
    assert realtime.parse_order(bytearray(json.dumps(GOOD).encode())).charset == 1


@pytest.mark.parametrize(
    ("written", "charset"),
    [("0", 0), ("1", 1), ("6", 6), ("8", 8), ("null", 0), ('""', 0), ("6.0", 6), ("60e-1", 6), ("0.0", 0), ("-0", 0)],
)
def test_a_charset_is_its_value(written: str, charset: int) -> None:
    order = parse(RAW.format(written).encode())
    assert order.charset == charset
    assert type(order.charset) is int


@pytest.mark.parametrize(
    "written",
    ["2", "-1", "0.5", "1e400", "9" * 400, "true", "false", '"0"', '" "', "[]", "[0]", "{}", "1e999", "-1e999"],
)
def test_anything_else_is_no_charset(written: str) -> None:
    error = refusal(RAW.format(written).encode())
    assert (error.kind, error.pointer) == (errors.CHARSET_INVALID, "/message/charset")


def test_unknown_fields_are_ignored_and_the_last_of_duplicates_wins() -> None:
    assert parse({**GOOD, "zzz": [{}], "message": {**GOOD["message"], "zzz": 1e5}}).text == "hello"
    doubled = b'{"sender":1,"sender":"a","sender":"b","message":1,"recipients":["1"],"message":{"text":2,"text":"x"}}'
    assert parse(doubled) == Order(["1"], "b", "x", 0)
    assert pointers(doubled.replace(b'"b"', b"1")) == ["/sender"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{'a':1}",
        b"\xef\xbb\xbf{}",
        json.dumps(GOOD).encode("utf-16"),
        json.dumps(GOOD).encode() + b"x",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"NaN",
        b'{"x":Infinity}',
        b'{"x":"\xff","recipients":["1"],"sender":"s","message":{"text":"x"}}',
        b'{"recipients":["1"],"sender":"s","message":{"text":"\xed\xa0\x80"}}',
        b'{"recipients":["1"],"sender":"s","message":{"text":"a\nb"}}',
        b'{"recipients":["1"],"sender":"s","message":{"text":"\\x41"}}',
        RAW.format("9" * 5000).encode(),
        b"9" * 100_000,
    ],
)
def test_what_is_no_json_is_told_so(body: bytes) -> None:
    error = refusal(body)
    assert error.kind is errors.BODY_NOT_JSON
    assert len(error.detail) < 200
    assert "int_max_str" not in error.detail


@pytest.mark.parametrize("body", [b"null", b"1", b"true", b'"x"', b"[]", b"0.5", b"123456789012345678901234567890"])
def test_json_that_is_no_object_is_told_what_it_is(body: bytes) -> None:
    error = refusal(body)
    assert (error.kind, [pointer for pointer, _ in error.problems]) == (errors.FIELD_INVALID, [""])


def test_every_field_at_fault_is_told_with_what_was_found_and_what_to_send() -> None:
    assert pointers({}) == ["/recipients", "/sender", "/message"]
    error = refusal({"recipients": ["1", 2, None], "sender": True, "message": {"charset": "6", "text": []}})
    assert dict(error.problems) == {
        "/recipients/1": "recipients[1] is the number 2; send a string like 56912345678.",
        "/recipients/2": "recipients[2] is null; send a string like 56912345678.",
        "/sender": "sender is true; send a string.",
        "/message/text": "message.text is an array; send a string.",
        "/message/charset": 'charset is the string "6"; leave it out or send 0, 1, 6 or 8.',
    }
    assert error.kind is errors.FIELD_INVALID
    assert error.detail == error.problems[0][1]
    assert pointers({**GOOD, "message": {"charset": None}}) == ["/message/text"]


def test_the_list_of_fields_at_fault_has_an_end() -> None:
    assert len(pointers({**GOOD, "recipients": [1] * 100_000})) == 20


def test_half_a_surrogate_pair_is_left_to_the_rules_of_text() -> None:
    body = b'{"recipients":["1"],"sender":"s","message":{"text":"a\\ud800"},"x":"\\udfff"}'
    assert parse(body).text == "a\ud800"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "recipients": st.lists(st.text()) | ANYTHING,
        "sender": st.text() | ANYTHING,
        "message": st.fixed_dictionaries({}, optional={"text": st.text() | ANYTHING, "charset": ANYTHING}) | ANYTHING,
    },
)


@given(FIELDS, st.booleans())
def test_any_json_is_an_order_or_a_refusal_that_names_a_field(body: dict[str, Any], ascii_only: bool) -> None:
    encoded = json.dumps(body, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    try:
        order: Order | CallerError = realtime.parse_order(encoded)
    except CallerError as error:
        order = error
    if isinstance(order, CallerError):
        assert order.kind in (errors.FIELD_INVALID, errors.CHARSET_INVALID)
        assert order.problems
        json.loads(realtime.problem(order, "req_1"))
    else:
        message = body["message"]
        assert (order.recipients, order.sender, order.text) == (body["recipients"], body["sender"], message["text"])
        assert order.charset in (0, 1, 6, 8)
        assert order.charset == (message.get("charset") or 0)


@given(st.binary())
def test_any_bytes_are_an_order_or_a_refusal(body: bytes) -> None:
    with pytest.raises(CallerError):
        realtime.parse_order(body)


# -- answers


@dataclass
class Verdict:
    public_id: int
    refused: Kind | None = None


def test_each_recipient_has_its_entry_in_order() -> None:
    verdicts = [
        Verdict(4193366853543393),
        Verdict(0, errors.INSUFFICIENT_FUNDS),
        Verdict(0, errors.CARRIER_BACKLOG_FULL),
    ]
    assert json.loads(realtime.render_verdicts([*verdicts, Verdict(1)])) == {
        "submissions": [
            {"status": "submitted", "submissionId": "4193366853543393"},
            {"status": "account_no_balance"},
            {"status": "unknown_error"},
            {"status": "submitted", "submissionId": "1"},
        ]
    }


def test_the_documented_token_and_balance() -> None:
    assert json.loads(realtime.render_token("a.b.c", 3600)) == {
        "access_token": "a.b.c",
        "validity_period": "3600",
        "token_type": "Bearer",
        "expires_in": 3600,
    }
    assert realtime.render_balance(457_000_000) == b'{"balance":"457.00"}'


@dataclass
class Stored:
    status: Status
    registered_utc_ms: int = 1_600_351_683_999
    sent_utc_ms: int = 0
    done_utc_ms: int = 0


def test_the_documented_info_to_the_letter() -> None:
    stored = Stored(Status.DELIVERED, sent_utc_ms=1_600_351_694_000, done_utc_ms=1_600_355_610_999)
    operator = Operator(id=188, name="Entel Pcs", mcc="730", mnc="10")
    documented = """{"id":"4193366853543393",
 "timestamps":{"registered":1600351683,"sent":1600351694,"done":1600355610},
 "info":{"status":{"code":"1","status":"DELIVERED"},
         "cost":1,
         "operator":{"id":"188","name":"Entel Pcs","mcc":"730","mnc":"10"}}}"""
    rendered = realtime.render_info("4193366853543393", stored, 1_000_000, operator)
    assert rendered == json.dumps(json.loads(documented), separators=(",", ":")).encode()


def test_what_is_not_known_yet_is_zero_and_cost_is_exact() -> None:
    info = json.loads(realtime.render_info("1", Stored(Status.PENDING), 35_000, UNKNOWN_OPERATOR))
    assert info["timestamps"] == {"registered": 1600351683, "sent": 0, "done": 0}
    assert info["info"] == {
        "status": {"code": "4", "status": "PENDING"},
        "cost": 0.035,
        "operator": {"id": "0", "name": "", "mcc": "", "mnc": ""},
    }


def test_the_documented_report_to_the_letter() -> None:
    body = realtime.dlr_body("543521789981", "447945223343", Status.DELIVERED, 1_605_093_071_999)
    assert body == b'{"id":"543521789981","phone":"447945223343","status":1,"date":"2020-11-11 11:11:11"}'


def test_every_status_has_a_report_code() -> None:
    assert {status: realtime.REPORT_CODES[status] for status in Status} == {
        Status.PENDING: 4,
        Status.SENT: 4,
        Status.DELIVERED: 1,
        Status.REJECTED: 2,
        Status.UNDELIVERED: 3,
        Status.EXPIRED: 5,
        Status.UNKNOWN: 0,
        Status.CANCELLED: 2,
    }
    assert {realtime.status_name(status) for status in Status} == {one.name for one in Status} - {"CANCELLED"}


# -- errors


ELSEWHERE = {
    errors.RECIPIENT_OPTED_OUT.code,
    errors.SCHEDULE_IMPOSSIBLE.code,
    errors.MESSAGES_EMPTY.code,
    errors.MESSAGES_TOO_MANY.code,
    errors.QUERY_INVALID.code,
    errors.NOT_CANCELLABLE.code,
}
"""Errors of what this API does not do."""
OWN = [kind for kind in errors.REGISTRY.values() if kind.code not in ELSEWHERE]


def test_every_error_of_the_registry_has_a_status_and_no_other_is_in_the_table() -> None:
    assert set(realtime.STATUS) == set(errors.REGISTRY) - ELSEWHERE
    assert set(realtime.RECIPIENT_STATUS) | set(realtime.OAUTH_ERRORS) <= set(errors.REGISTRY)
    assert set(realtime.STATUS.values()) <= {200, 400, 401, 403, 404, 405, 406, 413, 429, 431, 500, 503}


def test_our_faults_are_5xx_and_the_callers_are_4xx() -> None:
    for kind in OWN:
        status = realtime.STATUS[kind.code]
        if kind.fault is errors.Fault.OURS:
            assert status >= 500, kind.code
        if kind.fault is errors.Fault.CALLER:
            assert 400 <= status < 500 or kind.code in realtime.RECIPIENT_STATUS, kind.code


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.code)
def test_a_problem_is_as_rfc_9457_has_it(kind: Kind) -> None:
    error = CallerError(kind, "The detail \ud800 “x”.", problems=(("/a", "m\udfff"), ("/b", "n")))
    assert json.loads(realtime.problem(error, "req_1")) == {
        "type": f"/errors/{kind.code}",
        "title": kind.title,
        "status": realtime.STATUS[kind.code],
        "detail": "The detail \\ud800 “x”.",
        "instance": "req_1",
        "errors": [{"pointer": "/a", "message": "m\\udfff"}, {"pointer": "/b", "message": "n"}],
    }
    assert "errors" not in json.loads(realtime.problem(OurFault(kind), "req_1"))


def test_an_oauth_error_is_as_rfc_6749_has_it() -> None:
    told = json.loads(realtime.oauth_error(CallerError(errors.AUTH_MALFORMED, 'A "quoted" \\ é\n one.')))
    assert told == {
        "error": "invalid_request",
        "error_description": "A 'quoted' ' '' one.",
        "error_uri": "/errors/auth_malformed",
    }


# -- who is calling


def test_credentials_as_they_are_issued_have_the_right_shape() -> None:
    for _ in range(50):
        made = new_secrets(realtime.CLIENT_ID_PREFIX, realtime.CLIENT_SECRET_PREFIX)
        realtime.check_credentials(made.public_id, made.secret)


@pytest.mark.parametrize(
    "change", [lambda v: v[:-1], lambda v: v + "a", lambda v: "x" + v[1:], lambda v: v[:-1] + "\n"]
)
def test_another_shape_is_malformed(change: Any) -> None:
    client_id, client_secret = "rt_" + "a" * 24, "rts_" + "b" * 43
    realtime.check_credentials(client_id, client_secret)
    for pair in (
        (change(client_id), client_secret),
        (client_id, change(client_secret)),
        ("", ""),
        (client_secret,) * 2,
    ):
        with pytest.raises(CallerError) as caught:
            realtime.check_credentials(*pair)
        assert caught.value.kind is errors.AUTH_MALFORMED
        assert client_secret not in caught.value.detail


def test_floats_that_are_no_numbers_never_reach_an_order() -> None:
    assert math.isinf(float("1e999"))
    assert refusal(RAW.format("1e999").encode()).kind is errors.CHARSET_INVALID

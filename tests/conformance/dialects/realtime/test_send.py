"""`POST /api/sms`: the body, its types, and the answer."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from tests.harness.client import JSON, Client, message, phone
from tests.harness.wire import Response

RIGHT = message([phone()])


def problem(response: Response, status: int = 400) -> dict[str, Any]:
    assert response.status == status, (response.status, response.body)
    assert response.header("Content-Type") == "application/problem+json"
    found: dict[str, Any] = response.json()
    return found


def pointers(response: Response) -> list[str]:
    return [error["pointer"] for error in response.json().get("errors", [])]


def test_one_recipient_is_one_submission(client: Client) -> None:
    response = client.send([phone()])
    assert response.status == 200
    assert (response.header("Content-Type") or "").split(";")[0] == "application/json"
    assert set(response.json()) == {"submissions"}
    (only,) = response.json()["submissions"]
    assert set(only) == {"status", "submissionId"}
    assert only["status"] == "submitted"
    assert re.fullmatch(r"[1-9][0-9]{0,15}", only["submissionId"])
    assert int(only["submissionId"]) < 2**53


def test_submissions_come_in_the_order_of_the_recipients(client: Client) -> None:
    fates = ["0000", "0001", "0002", "0000", "0001"]
    response = client.send([phone(fate) for fate in fates])
    ids = [entry["submissionId"] for entry in response.json()["submissions"]]
    ends = [client.wait_final(id_)["info"]["status"]["status"] for id_ in ids]
    named = {"0000": "DELIVERED", "0001": "UNDELIVERED", "0002": "REJECTED"}
    assert ends == [named[fate] for fate in fates]


def test_submission_ids_are_unique_short_and_tell_no_volume(client: Client) -> None:
    ids: list[int] = []
    for _ in range(5):
        ids += [int(entry["submissionId"]) for entry in client.send([phone()] * 40).json()["submissions"]]
    assert len(set(ids)) == 200
    assert all(0 < id_ < 2**53 and len(str(id_)) <= 16 for id_ in ids)
    assert ids != sorted(ids)
    assert ids != sorted(ids, reverse=True)
    # Neighbours of a sequence would be close together; those of a permutation of 53 bits never are.
    assert min(abs(a - b) for a, b in itertools.pairwise(ids)) > 1000


@pytest.mark.parametrize("kind", [None, "application/json", "text/plain", "application/x-www-form-urlencoded", "x"])
@pytest.mark.parametrize("accept", [None, "application/xml", "text/html;q=0.1"])
def test_content_type_and_accept_are_not_looked_at(client: Client, kind: str | None, accept: str | None) -> None:
    headers = [client.bearer]
    headers += [("Content-Type", kind)] if kind else []
    headers += [("Accept", accept)] if accept else []
    assert client.call("POST", "/api/sms", headers, json.dumps(RIGHT).encode()).status == 200


def test_accept_does_not_change_an_error_either(client: Client) -> None:
    response = client.call("POST", "/api/sms", [client.bearer, ("Accept", "text/html")], b"{")
    problem(response)


def test_unknown_fields_are_ignored(client: Client) -> None:
    body = {**RIGHT, "callback": {"x": [1, None]}, "message": {**RIGHT["message"], "class": 0, "Text": "no"}}
    assert client.post({"zzz": "\u0001", **body}).status == 200


def test_of_duplicate_keys_the_last_wins(client: Client) -> None:
    good, bad = '"+56910000000"', '"12"'
    shape = '{{"recipients":[{}],"recipients":[{}],"sender":{},"sender":{},"message":{{"text":{},"text":{}}}}}'
    right = shape.format(bad, good, '"nobody"', '"96000"', "1", '"x"')
    assert client.post(right.encode()).status == 200
    for wrong, status in (
        (shape.format(good, bad, '"96000"', '"96000"', '"x"', '"x"'), 400),
        (shape.format(good, good, '"96000"', '"nobody"', '"x"', '"x"'), 406),
        (shape.format(good, good, '"96000"', '"96000"', '"x"', "1"), 400),
    ):
        assert client.post(wrong.encode()).status == status, wrong


def test_of_two_message_objects_the_last_wins_whole(client: Client) -> None:
    head = '{"recipients":["+56910000000"],"sender":"96000",'
    assert client.post((head + '"message":{"text":1,"charset":99},"message":{"text":"x"}}').encode()).status == 200
    assert client.post((head + '"message":{"text":"x"},"message":{"charset":0}}').encode()).status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"nonsense",
        b"{'recipients':[]}",
        json.dumps(RIGHT).encode()[:-1],
        json.dumps(RIGHT).encode() + b"x",
        json.dumps(RIGHT).encode() + json.dumps(RIGHT).encode(),
        json.dumps(RIGHT).encode().replace(b"}", b",}"),
        b'{"recipients":["+56910000000"],"sender":"96000","message":{"text":NaN}}',
        b'{"recipients":["+56910000000"],"sender":"96000","message":{"text":"a\nb"}}',
        b'{"recipients":["+56910000000"],"sender":"96000","message":{"text":"\\x41"}}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
    ],
)
def test_a_body_that_is_no_json_is_400(client: Client, body: bytes) -> None:
    problem(client.post(body))


@pytest.mark.parametrize(
    "body", [b"null", b"true", b"1", b'"text"', b"[]", b"{}", b'[{"recipients":["+56910000000"]}]']
)
def test_json_that_is_no_send_is_400(client: Client, body: bytes) -> None:
    problem(client.post(body))


def test_only_utf8_without_a_byte_order_mark_is_json(client: Client) -> None:
    text = json.dumps(message([phone()], "caffè €"), ensure_ascii=False)
    assert client.post(text.encode()).status == 200
    for wrong in (b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16"), text.encode("utf-16-le")):
        problem(client.post(wrong))
    problem(client.post(text.replace("€", "").encode("latin-1")))
    problem(client.post(text.encode().replace("€".encode(), b"\xed\xa0\x80")))  # a surrogate, as CESU-8 has it
    problem(client.post(text.encode().replace("€".encode(), b"\xc0\x80")))  # an overlong NUL


@pytest.mark.parametrize("missing", ["recipients", "sender", "message"])
def test_a_missing_field_is_400_and_named(client: Client, missing: str) -> None:
    response = client.post({key: value for key, value in RIGHT.items() if key != missing})
    problem(response)
    assert any(pointer.startswith(f"/{missing}") for pointer in pointers(response)), response.body


def test_a_missing_text_is_400_and_named(client: Client) -> None:
    response = client.post({**RIGHT, "message": {"charset": 0}})
    problem(response)
    assert "/message/text" in pointers(response)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("recipients", None),
        ("recipients", "+56910000000"),
        ("recipients", {"0": "+56910000000"}),
        ("recipients", []),
        ("recipients", [None]),
        ("recipients", [56910000000]),
        ("recipients", [["+56910000000"]]),
        ("recipients", ["+56910000000", 1]),
        ("sender", None),
        ("sender", 96000),
        ("sender", True),
        ("sender", ["96000"]),
        ("sender", {}),
        ("message", None),
        ("message", "hello"),
        ("message", ["hello"]),
        ("message", {"text": None}),
        ("message", {"text": 1}),
        ("message", {"text": True}),
        ("message", {"text": ["hello"]}),
        ("message", {"text": ""}),
    ],
)
def test_a_wrong_type_is_400_and_named(client: Client, field: str, value: Any) -> None:
    response = client.post({**RIGHT, field: value})
    problem(response)
    assert any(pointer.startswith(f"/{field}") for pointer in pointers(response)), response.body


@pytest.mark.parametrize("text", ['"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"a\\udc00"', '"\\ude00\\ud83d"'])
@pytest.mark.parametrize("charset", ["null", "0", "1", "6", "8"])
def test_nul_and_half_a_surrogate_pair_are_400(client: Client, text: str, charset: str) -> None:
    body = f'{{"recipients":["+56910000000"],"sender":"96000","message":{{"charset":{charset},"text":{text}}}}}'
    problem(client.post(body.encode()))


def test_a_whole_surrogate_pair_is_a_character(client: Client) -> None:
    body = '{"recipients":["+56910000000"],"sender":"96000","message":{"text":"\\ud83d\\ude00"}}'
    assert client.post(body.encode()).status == 200


def test_nothing_is_stored_or_paid_when_one_recipient_is_wrong(client: Client) -> None:
    before = client.balance()
    problem(client.send([phone(), phone(), "12", phone()]))
    assert client.balance() == before


def test_a_thousand_recipients_are_taken_and_one_more_is_400_naming_the_limit(client: Client, accounts: Any) -> None:
    poor = accounts.new(balance="0")
    response = poor.send([phone(n=n) for n in range(1000)])
    assert response.status == 200
    assert [entry["status"] for entry in response.json()["submissions"]] == ["account_no_balance"] * 1000
    for many in (1001, 5000):
        response = client.send([phone()] * many)
        found = problem(response)
        assert re.search(r"\b1[,  _]?000\b", json.dumps(found, ensure_ascii=False)), found
        assert any(pointer.startswith("/recipients") for pointer in pointers(response))


def test_a_thousand_paid_recipients_are_submitted_at_once(client: Client) -> None:
    response = client.send([phone(n=n) for n in range(1000)])
    assert response.status == 200
    submissions = response.json()["submissions"]
    assert [entry["status"] for entry in submissions] == ["submitted"] * 1000
    assert len({entry["submissionId"] for entry in submissions}) == 1000


def test_the_query_is_ignored(client: Client) -> None:
    body = json.dumps(RIGHT).encode()
    assert client.call("POST", "/api/sms?sender=nobody&x", [client.bearer, JSON], body).status == 200

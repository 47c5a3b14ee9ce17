"""`heliograph explain`: errors by their names, and requests of which nothing or little is known."""

from __future__ import annotations

import pytest
from tests.unit.cli.conftest import Command

from heliograph.api.asgi import APIS
from heliograph.cli.explain import why_encoded
from heliograph.messaging.errors import REGISTRY
from heliograph.messaging.text import compose

UNKNOWN = "req_19bb0c1a6f3d81c4e07a"


@pytest.mark.parametrize("code", REGISTRY)
def test_every_error_is_explained_cause_first(heliograph: Command, code: str) -> None:
    kind = REGISTRY[code]
    out = heliograph("explain", code).out
    first, title = out.splitlines()[0].split(": ", 1)
    assert (first, title) == (code, kind.title)
    parts = ["What happened", "What to do", "Usual causes", "Does trying again help?", "Is anything charged?"]
    assert sorted(parts, key=out.index) == parts
    for text in (kind.cause, kind.charged, *kind.causes):
        assert " ".join(text.split()[:6]) in " ".join(out.split())
    for api in APIS:
        assert api.TELLING.name in out
    assert all(len(line) <= 96 for line in out.partition(APIS[0].TELLING.name)[0].splitlines())


def test_an_error_has_an_example_with_its_answer(heliograph: Command) -> None:
    out = heliograph("explain", "sender_malformed").out
    assert "curl -i https://sms.example.com/api/sms" in out
    assert "My Company Ltd" in out
    assert "HTTP/1.1 406 Not Acceptable" in out


def test_a_status_leads_to_the_errors_behind_it(heliograph: Command) -> None:
    out = heliograph("explain", "406").out
    assert out.startswith("406: 2 errors\n")
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["sender_malformed", "sender_not_allowed"]


def test_json_has_all_of_it(heliograph: Command) -> None:
    one = heliograph.json("explain", "text_too_long")
    assert (one["code"], one["retry"]) == ("text_too_long", False)
    assert one["apis"]["RealTime SMS v.2"]["status"] == 400
    assert [one["code"] for one in heliograph.json("explain", "406")] == ["sender_malformed", "sender_not_allowed"]


def test_what_is_no_error_is_refused_with_what_it_may_have_been(heliograph: Command) -> None:
    assert "recipient_invalid" in heliograph("explain", "recipients_invalid", code=1).err
    assert "/errors" in heliograph("explain", "418", code=1).err
    assert "20 hexadecimal digits" in heliograph("explain", "req_123", code=2).err


def test_request_that_nobody_knows_tells_what_is_kept_and_when_it_was(heliograph: Command) -> None:
    heliograph("account", "create", "--name", "Acme", "--email", "sms@acme.example")
    err = heliograph("explain", UNKNOWN, code=1).err
    assert "2026-01-12T" in err
    for kind in ("7 days", "Idempotency-Key", "--data"):
        assert kind in err


def test_request_needs_a_data_folder_and_an_error_does_not(heliograph: Command) -> None:
    assert "--data" in heliograph("explain", UNKNOWN, code=3).err
    assert not heliograph.folder.exists()


@pytest.mark.parametrize(
    ("text", "charset", "expected"),
    [
        ("hello", 0, "every character is in the GSM 7-bit alphabet; 1 segment, which holds 160 characters"),
        ("x" * 161, 0, "every character is in the GSM 7-bit alphabet; 2 segments, of which each holds 153 characters"),
        ("It’s", 0, "'’' (U+2019) is not in the GSM 7-bit alphabet; 1 segment, which holds 70 characters"),
        ("00480069", 6, "its caller asked for UCS-2; 1 segment, which holds 70 characters"),
    ],
)
def test_encoding_is_explained(text: str, charset: int, expected: str) -> None:
    made = compose(text, charset, max_segments=10)
    assert why_encoded(made.body, made.encoding, made.segments) == expected

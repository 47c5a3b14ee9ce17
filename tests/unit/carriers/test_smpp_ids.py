"""A carrier's ids, written one way in answers and another in receipts."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.carriers.smpp.ids import Ids


@pytest.mark.parametrize(
    ("form", "answer", "receipt"),
    [
        ("as-is", "123", "123"),
        ("as-is", "0000123", "123"),
        ("as-is", "123", "0000123"),
        ("as-is", "7c-AF-01", "7c-AF-01"),
        ("as-is", "000", "0"),
        ("resp-hex-dlr-dec", "1F", "31"),
        ("resp-hex-dlr-dec", "0000001f", "0031"),
        ("resp-hex-dlr-dec", "DEADBEEFDEADBEEF", "16045690984833335023"),
        ("resp-hex-dlr-dec", "no-number", "no-number"),
        ("resp-dec-dlr-hex", "31", "1f"),
        ("resp-dec-dlr-hex", "0031", "00001F"),
        ("resp-dec-dlr-hex", "no-number", "no-number"),
    ],
)
def test_answer_and_receipt_of_one_message_are_compared_as_equal(form: Any, answer: str, receipt: str) -> None:
    ids = Ids(form)
    assert ids.of_answer(answer) == ids.of_receipt(receipt) != ""


def test_opaque_ids_that_differ_stay_different() -> None:
    ids = Ids("as-is")
    assert len({ids.of_answer(id_) for id_ in ("1f", "1F", "31", "0x1f", "1f0")}) == 5


def test_an_empty_id_is_none() -> None:
    for form in ("as-is", "resp-hex-dlr-dec", "resp-dec-dlr-hex"):
        assert Ids(form).of_answer("") == Ids(form).of_receipt("") == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        ("as-is", "0000123"),
        ("as-is", "123"),
        ("as-is", "7c-AF-01"),
        ("resp-hex-dlr-dec", "0000001f"),
        ("resp-hex-dlr-dec", "0000001F"),
        ("resp-dec-dlr-hex", "0031"),
    ],
)
def test_a_message_is_asked_for_as_its_answer_called_it(form: Any, answer: str) -> None:
    ids = Ids(form)
    assert ids.asked(ids.of_answer(answer)) == answer


def test_ids_that_have_grown_longer_are_not_padded_when_asked_for() -> None:
    ids = Ids("as-is")
    first = ids.of_answer("99")
    ids.of_answer("100")
    assert ids.asked(first) == "99"

"""What every dialect reads alike."""

from __future__ import annotations

import pytest

from heliograph.dialects import reading
from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError


@pytest.mark.parametrize("value", [b"Bearer a.b.c", b"bearer a-_.b9.C", b"BEARER a.b.c"])
def test_a_token_follows_bearer(value: bytes) -> None:
    assert reading.bearer_token(value) == value[7:].decode()


@pytest.mark.parametrize("value", [None, b"", b"Bearer", b"Bearera.b.c", b"Basic a.b.c", b"Bearer\ta.b.c", b"a.b.c"])
def test_without_bearer_there_is_no_token(value: bytes | None) -> None:
    with pytest.raises(CallerError) as caught:
        reading.bearer_token(value)
    assert caught.value.kind is errors.TOKEN_MISSING


@pytest.mark.parametrize(
    "token",
    [b"", b"a", b"a.b", b"a.b.c.d", b"..", b" a.b.c", b"a.b.c ", b"a.b.c\n", b"a.b.\xe9", b'"a.b.c"', b"a.b.c="],
)
def test_what_has_not_the_shape_of_a_token_is_malformed(token: bytes) -> None:
    with pytest.raises(CallerError) as caught:
        reading.bearer_token(b"Bearer " + token)
    assert caught.value.kind is errors.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"{", "line 1, column 2"),
        (b"\xff", "UTF-8 at byte 0"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"NaN", "NaN"),
        (b"[" * 100_000, "send one object with a and b"),
        (b"9" * 5_000, "thousands of digits"),
    ],
)
def test_what_is_no_json_is_told_with_its_place(body: bytes, said: str) -> None:
    with pytest.raises(CallerError) as caught:
        reading.read_json(body, "a and b")
    assert caught.value.kind is errors.BODY_NOT_JSON
    assert said in caught.value.detail


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (1.5, "the number 1.5"),
        (17, "the number 17"),
        (10**30, "a very large number"),
        ("x" * 50, 'the string "' + "x" * 20 + '"'),
        ([1], "an array"),
        ({}, "an object"),
    ],
)
def test_values_are_named_for_people(value: object, name: str) -> None:
    assert reading.named(value) == name
    assert reading.found({"a": value}, "a") == name
    assert reading.found({}, "a") == "missing"


def test_half_surrogates_are_made_readable() -> None:
    assert reading.readable("a\ud800ä") == "a\\ud800ä"

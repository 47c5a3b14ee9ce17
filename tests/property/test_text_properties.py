"""What holds for every text that anyone could send."""

from __future__ import annotations

import math

import gsm0338
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.messaging.errors import CallerError
from heliograph.messaging.text import ALPHABET, Encoding, compose, decode, encode, split

GSM = gsm0338.Codec()
NO_LIMIT = 1_000_000

gsm_text = st.text(st.sampled_from(sorted(ALPHABET)) | st.sampled_from("€[]a"), min_size=1, max_size=700)
ucs2_text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.just("😀"), min_size=1, max_size=300
)
anything = st.text(st.characters(exclude_categories=[]) | st.sampled_from("\0%+019AFaf\x1b\ud83d\ude00"), max_size=100)


def in_oracle(char: str) -> bool:
    try:
        GSM.encode(char)
    except UnicodeEncodeError:
        return False
    return char != "\x1b"


def parts_by_hand(sizes: list[int], alone: int, part: int) -> int:
    """How many parts characters of these sizes fill when packed one by one."""
    if sum(sizes) <= alone:
        return 1
    parts, room = 1, part
    for size in sizes:
        if size > room:
            parts, room = parts + 1, part
        room -= size
    return parts


@given(gsm_text)
def test_gsm_text_travels_as_the_standard_says_and_comes_back(body: str) -> None:
    octets = encode(body, Encoding.GSM7)
    assert octets == GSM.encode(body)[0]
    assert decode(octets, Encoding.GSM7) == body


@given(gsm_text)
def test_gsm_parts_are_full_whole_and_as_many_as_billed(body: str) -> None:
    message = compose(body, 1, max_segments=NO_LIMIT)
    parts = split(message)
    assert "".join(parts) == body
    assert len(parts) == message.segments == parts_by_hand([len(GSM.encode(char)[0]) for char in body], 160, 153)
    assert all(len(GSM.encode(part)[0]) <= (160 if len(parts) == 1 else 153) for part in parts)


@given(ucs2_text)
def test_ucs2_parts_are_full_whole_and_as_many_as_billed(body: str) -> None:
    message = compose(body.encode("utf-16-be").hex(), 6, max_segments=NO_LIMIT)
    assert (message.body, message.encoding) == (body, Encoding.UCS2)
    parts = split(message)
    assert "".join(parts) == body
    assert (
        len(parts) == message.segments == parts_by_hand([len(char.encode("utf-16-be")) // 2 for char in body], 70, 67)
    )
    assert all(len(encode(part, Encoding.UCS2)) <= (140 if len(parts) == 1 else 134) for part in parts)


@given(ucs2_text | gsm_text)
def test_server_never_changes_a_text_and_uses_ucs2_only_where_it_must(body: str) -> None:
    message = compose(body, 0, max_segments=NO_LIMIT)
    assert message.body == body
    assert (message.encoding is Encoding.GSM7) == all(map(in_oracle, body))


@given(gsm_text, st.data())
def test_percent_encoding_says_the_same_text_however_much_of_it_is_escaped(body: str, data: st.DataObject) -> None:
    escaped = data.draw(st.lists(st.booleans(), min_size=len(body), max_size=len(body)))
    sent = "".join(
        "".join(f"%{octet:02X}" for octet in GSM.encode(char)[0]) if escape or char == "%" else char
        for char, escape in zip(body, escaped, strict=True)
    )
    assert compose(sent, 8, max_segments=NO_LIMIT) == compose(body, 1, max_segments=NO_LIMIT)


@given(anything, st.sampled_from([0, 1, 6, 8]))
def test_whatever_is_sent_is_text_or_an_error_of_the_registry(sent: str, charset: int) -> None:
    try:
        message = compose(sent, charset, max_segments=10)
    except CallerError as error:
        error.detail.encode()  # it goes into a JSON answer
    else:
        assert message.body
        assert "\0" not in message.body
        assert decode(encode(message.body, message.encoding), message.encoding) == message.body


@given(st.binary(max_size=200))
def test_whatever_a_carrier_delivers_is_shown(data: bytes) -> None:
    assert set(decode(data, Encoding.GSM7)) <= ALPHABET | {"\ufffd"}
    decode(data, Encoding.UCS2).encode()


@given(st.integers(1, 1600), st.integers(-1, 1))
def test_limit_is_exact(length: int, spare: int) -> None:
    needed = 1 if length <= 160 else math.ceil(length / 153)
    limit = needed + spare
    if spare >= 0:
        assert compose("a" * length, 0, max_segments=limit).segments == needed
    else:
        with pytest.raises(CallerError):
            compose("a" * length, 0, max_segments=limit)

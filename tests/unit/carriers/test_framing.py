"""Cutting what arrives into frames."""

from __future__ import annotations

import pytest

from heliograph.carriers.smpp.pdu import MAX_LENGTH, EnquireLink, Framer, FramingError, SubmitSm, Tag, encode

ENQUIRE_LINK = encode(EnquireLink(sequence=1))
SUBMIT_SM = encode(SubmitSm(destination="1", short_message=b"hello", sequence=2))


def test_frames_that_come_together_are_given_together() -> None:
    assert Framer().feed(ENQUIRE_LINK + SUBMIT_SM + ENQUIRE_LINK) == [ENQUIRE_LINK, SUBMIT_SM, ENQUIRE_LINK]


def test_a_frame_is_given_when_its_last_octet_comes() -> None:
    framer = Framer()
    assert [framer.feed(SUBMIT_SM[at : at + 1]) for at in range(len(SUBMIT_SM) - 1)] == [[]] * (len(SUBMIT_SM) - 1)
    assert framer.feed(SUBMIT_SM[-1:] + ENQUIRE_LINK[:7]) == [SUBMIT_SM]
    assert framer.feed(ENQUIRE_LINK[7:]) == [ENQUIRE_LINK]


def test_nothing_gives_nothing() -> None:
    assert Framer().feed(b"") == []


def test_the_longest_frame_is_taken() -> None:
    overhead = len(encode(SubmitSm(tlvs=((Tag.MESSAGE_PAYLOAD, b""), (0x1400, b"")))))
    value = b"x" * (MAX_LENGTH - overhead - 40_000)
    longest = encode(SubmitSm(tlvs=((Tag.MESSAGE_PAYLOAD, b"x" * 40_000), (0x1400, value))))
    assert len(longest) == MAX_LENGTH
    assert Framer().feed(longest) == [longest]


@pytest.mark.parametrize("length", [0, 15, MAX_LENGTH + 1, 0xFFFFFFFF])
def test_a_length_that_no_frame_has_is_refused_by_its_first_four_octets(length: int) -> None:
    with pytest.raises(FramingError, match=f"command_length {length} "):
        Framer().feed(length.to_bytes(4, "big"))


def test_the_frames_before_a_bad_length_are_not_lost() -> None:
    with pytest.raises(FramingError) as caught:
        Framer().feed(SUBMIT_SM + ENQUIRE_LINK + b"GET / HTTP/1.1")
    assert caught.value.frames == [SUBMIT_SM, ENQUIRE_LINK]


def test_after_a_bad_length_nothing_is_a_frame_any_more() -> None:
    framer = Framer()
    for data in (bytes(4), ENQUIRE_LINK, b""):
        with pytest.raises(FramingError) as caught:
            framer.feed(data)
        assert caught.value.frames == []

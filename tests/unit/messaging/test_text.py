"""What customers send as text, and how many parts they pay for."""

from __future__ import annotations

import gsm0338
import pytest

from heliograph.messaging import errors, text
from heliograph.messaging.errors import CallerError, Kind
from heliograph.messaging.text import Encoding, Text, compose, decode, encode, split

GSM = gsm0338.Codec()


def composed(body: str, charset: int = 0) -> Text:
    return compose(body, charset, max_segments=10)


def refused(body: str, charset: int, *, max_segments: int = 10) -> CallerError:
    with pytest.raises(CallerError) as caught:
        compose(body, charset, max_segments=max_segments)
    assert caught.value.pointer == "/message/text"
    return caught.value


# -- the alphabet


def test_gsm_alphabet_is_the_one_of_the_standard_over_all_of_unicode() -> None:
    # The oracle takes the escape itself for a character; the standard and we do not.
    standard = {char for char in map(chr, range(0x110000)) if char in GSM._encoding_map} - {"\x1b"}
    assert standard == text.ALPHABET


def test_every_gsm_character_travels_as_the_octets_of_the_standard() -> None:
    for char in text.ALPHABET:
        assert encode(char, Encoding.GSM7) == GSM.encode(char)[0]
        assert decode(encode(char, Encoding.GSM7), Encoding.GSM7) == char


@pytest.mark.parametrize("char", list("`\t\x00\x1b\x7fçáőЖ\u00a0\u20ad😀\ud800"))
def test_character_outside_the_alphabet_is_never_sent_as_another_one(char: str) -> None:
    with pytest.raises(UnicodeEncodeError):
        encode(f"a{char}b", Encoding.GSM7)


# -- what arrives


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x1be", "€"),
        (b"a\x1bAb", "aAb"),  # undefined pair: the basic character
        (b"a\x1b\x00b", "a@b"),
        (b"a\x1b\x1bb", "a b"),  # escape to a further table
        (b"a\x1b", "a "),
        (b"a\x80\xff", "a\ufffd\ufffd"),
    ],
)
def test_odd_gsm_octets_of_a_phone_are_shown_as_the_standard_says(data: bytes, shown: str) -> None:
    assert decode(data, Encoding.GSM7) == shown


def test_half_a_character_in_an_inbound_ucs2_message_is_shown_as_a_replacement() -> None:
    assert decode(b"\x00A\xd8\x3d", Encoding.UCS2) == "A\ufffd"
    assert decode(b"\x00A\x00", Encoding.UCS2) == "A\ufffd"


# -- how many parts


@pytest.mark.parametrize(
    ("body", "encoding", "segments"),
    [
        ("a" * 160, Encoding.GSM7, 1),
        ("a" * 161, Encoding.GSM7, 2),
        ("a" * 306, Encoding.GSM7, 2),
        ("a" * 307, Encoding.GSM7, 3),
        ("€" * 80, Encoding.GSM7, 1),
        ("€" * 81, Encoding.GSM7, 2),
        ("€" * 152, Encoding.GSM7, 2),
        ("€" * 153, Encoding.GSM7, 3),  # 306 septets, but a part holds 76 pairs and no half one
        ("ж" * 70, Encoding.UCS2, 1),
        ("ж" * 71, Encoding.UCS2, 2),
        ("ж" * 134, Encoding.UCS2, 2),
        ("ж" * 135, Encoding.UCS2, 3),
        ("😀" * 35, Encoding.UCS2, 1),
        ("😀" * 36, Encoding.UCS2, 2),
        ("😀" * 66, Encoding.UCS2, 2),
        ("😀" * 67, Encoding.UCS2, 3),  # 134 units, but a part holds 33 pairs and no half one
        ("ç" + "a" * 70, Encoding.UCS2, 2),
    ],
)
def test_parts_billed(body: str, encoding: Encoding, segments: int) -> None:
    message = composed(body)
    assert (message.body, message.encoding, message.segments) == (body, encoding, segments)
    assert len(split(message)) == segments


def test_extension_character_is_never_split_over_two_parts() -> None:
    assert split(composed("a" * 152 + "€" + "b" * 20)) == ["a" * 152, "€" + "b" * 20]


def test_emoji_is_never_split_over_two_parts() -> None:
    assert split(composed("ж" * 66 + "😀" + "ж" * 20)) == ["ж" * 66, "😀" + "ж" * 20]


def test_text_over_the_limit_is_refused_naming_limit_and_count() -> None:
    assert compose("a" * 306, 0, max_segments=2).segments == 2
    error = refused("a" * 307, 0, max_segments=2)
    assert error.kind is errors.TEXT_TOO_LONG
    assert "3 segments" in error.detail
    assert "limit is 2" in error.detail


def test_same_text_under_a_lower_limit_is_refused_although_it_was_accepted_before() -> None:
    assert compose("b" * 161, 0, max_segments=2).segments == 2
    assert refused("b" * 161, 0, max_segments=1).kind is errors.TEXT_TOO_LONG


# -- charsets


@pytest.mark.parametrize(
    ("charset", "sent", "body", "encoding"),
    [
        (0, "Grüße {1} €", "Grüße {1} €", Encoding.GSM7),
        (0, "naïve", "naïve", Encoding.UCS2),
        (0, "tab\there", "tab\there", Encoding.UCS2),
        (0, "100%", "100%", Encoding.GSM7),
        (1, "àü[€]", "àü[€]", Encoding.GSM7),
        (6, "010101090121", "āĉġ", Encoding.UCS2),
        (6, "0041", "A", Encoding.UCS2),  # always UCS-2, even where GSM would do
        (6, "d83dDE00", "😀", Encoding.UCS2),
        (6, "FEFF0041", "\ufeffA", Encoding.UCS2),
        (8, "%7F%7E", "àü", Encoding.GSM7),
        (8, "%7f%7e", "àü", Encoding.GSM7),
        (8, "%1B%65", "€", Encoding.GSM7),
        (8, "1+1=2", "1+1=2", Encoding.GSM7),
        (8, "%00", "@", Encoding.GSM7),
        (8, "àü€", "àü€", Encoding.GSM7),
        (8, "%2541", "%41", Encoding.GSM7),  # decoded once
        (8, "%1Be", "€", Encoding.GSM7),
        (8, "%1B%0A", "\f", Encoding.GSM7),
    ],
)
def test_charset_is_read_as_documented(charset: int, sent: str, body: str, encoding: Encoding) -> None:
    assert composed(sent, charset) == Text(body, encoding, 1)


@pytest.mark.parametrize(
    ("charset", "sent", "kind"),
    [
        (0, "", errors.TEXT_EMPTY),
        (1, "", errors.TEXT_EMPTY),
        (6, "", errors.TEXT_EMPTY),
        (8, "", errors.TEXT_EMPTY),
        (0, "a\0b", errors.TEXT_INVALID),
        (1, "a\0b", errors.TEXT_INVALID),
        (6, "00410000", errors.TEXT_INVALID),
        (8, "a\0b", errors.TEXT_INVALID),
        (0, "a\ud83d", errors.TEXT_INVALID),
        (0, "\ude00a", errors.TEXT_INVALID),
        (1, "a\ud83d", errors.TEXT_INVALID),
        (8, "a\ud83d", errors.TEXT_INVALID),
        (1, "caça", errors.TEXT_NOT_ENCODABLE),
        (1, "\x1b", errors.TEXT_NOT_ENCODABLE),
        (8, "caça", errors.TEXT_NOT_ENCODABLE),
        (6, "004", errors.TEXT_INVALID),
        (6, "004100", errors.TEXT_INVALID),
        (6, "00 41", errors.TEXT_INVALID),
        (6, " 041", errors.TEXT_INVALID),
        (6, "0x41", errors.TEXT_INVALID),
        (6, "００４１", errors.TEXT_INVALID),
        (6, "d83d", errors.TEXT_INVALID),
        (6, "de00d83d", errors.TEXT_INVALID),
        (6, "d83d0041", errors.TEXT_INVALID),
        (8, "%80", errors.TEXT_INVALID),
        (8, "%E9", errors.TEXT_INVALID),
        (8, "%", errors.TEXT_INVALID),
        (8, "a%4", errors.TEXT_INVALID),
        (8, "%4G", errors.TEXT_INVALID),
        (8, "%+1", errors.TEXT_INVALID),
        (8, "100%!", errors.TEXT_INVALID),
        (8, "%1B", errors.TEXT_INVALID),
        (8, "%1B%41", errors.TEXT_INVALID),
        (8, "%1B%1B%65", errors.TEXT_INVALID),
        (8, "%1B€", errors.TEXT_INVALID),
        (2, "a", errors.CHARSET_INVALID),
        (-1, "a", errors.CHARSET_INVALID),
        (7, "", errors.CHARSET_INVALID),
    ],
)
def test_broken_text_is_refused(charset: int, sent: str, kind: Kind) -> None:
    assert refused(sent, charset).kind is kind


def test_character_outside_the_alphabet_is_named_with_its_place() -> None:
    detail = refused("€€ő", 1).detail
    assert "ő" in detail
    assert "U+0151" in detail
    assert "index 2" in detail


def test_error_points_at_the_field_of_the_caller_even_for_a_text_refused_before() -> None:
    for pointer in ("/message/text", "/messages/3/message"):
        with pytest.raises(CallerError) as caught:
            compose("", 0, max_segments=10, pointer=pointer)
        assert caught.value.pointer == pointer


def test_repeated_texts_are_kept_only_while_they_are_short() -> None:
    # 2,048 texts of any length would be gigabytes at the body limit.
    kept = text._kept.cache_info().currsize
    compose("x" * 481, 0, max_segments=10)
    assert text._kept.cache_info().currsize == kept
    assert text._kept.cache_parameters()["maxsize"] is not None

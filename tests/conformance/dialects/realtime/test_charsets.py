"""`message.charset` and `message.text`: what is accepted, and how many segments are paid (1.00 each)."""

from __future__ import annotations

import json

import pytest
from tests.harness.client import Client
from tests.harness.wire import Response

ABSENT = object()


def send(client: Client, text: str, charset: object = ABSENT) -> Response:
    return client.send(["+56910000000"], text) if charset is ABSENT else client.send(text=text, charset=charset)


def segments(client: Client, text: str, charset: object = ABSENT) -> int:
    """What one message of this text costs."""
    response = send(client, text, charset)
    assert response.status == 200, response.body
    return int(client.info(response.json()["submissions"][0]["submissionId"])["info"]["cost"])


def refused(response: Response, *named: str) -> None:
    """400 on the text, naming what is wrong with it: any of `named`."""
    assert response.status == 400, (response.status, response.body)
    errors = response.json()["errors"]
    assert [error["pointer"] for error in errors] == ["/message/text"]
    told = response.json()["detail"] + errors[0]["message"]
    assert not named or any(name in told for name in named), told


def send_raw(client: Client, charset: str, text: str) -> Response:
    """A send whose charset is written into the JSON as it stands."""
    body = {"recipients": ["+56910000000"], "sender": "96000", "message": {"charset": "?", "text": text}}
    return client.post(json.dumps(body).replace('"?"', charset).encode())


NO_CHARSETS = [
    "2",
    "3",
    "7",
    "9",
    "-1",
    "16",
    "0.5",
    "6.5",
    "1e3",
    "6000000000000000000000",
    '"0"',
    '"1"',
    '"6"',
    '" "',
]


@pytest.mark.parametrize("charset", [*NO_CHARSETS, "true", "false", "[]", "[0]", "{}", '"UCS-2"'])
def test_anything_but_the_four_charsets_is_400(client: Client, charset: str) -> None:
    response = send_raw(client, charset, "0041")
    assert response.status == 400, response.body
    assert [error["pointer"] for error in response.json()["errors"]] == ["/message/charset"]


@pytest.mark.parametrize("charset", ["0", "0.0", "null", '""', "1", "1.0", "10e-1", "8", "8.0", "0.8e1"])
def test_a_charset_is_its_value_and_null_and_empty_are_zero(client: Client, charset: str) -> None:
    response = send_raw(client, charset, "0041" * 69)  # 276 characters: two segments
    assert response.status == 200, response.body
    assert client.info(response.json()["submissions"][0]["submissionId"])["info"]["cost"] == 2


@pytest.mark.parametrize("charset", ["6", "6.0", "60e-1", "0.6E+1"])
def test_six_is_hexadecimal_however_it_is_written(client: Client, charset: str) -> None:
    response = send_raw(client, charset, "0041" * 69)  # 69 code units: one segment
    assert response.status == 200, response.body
    assert client.info(response.json()["submissions"][0]["submissionId"])["info"]["cost"] == 1


EURO_SPLIT = "a" * 152 + "€" + "a" * 152
FACE_SPLIT = "я" * 66 + "😀" + "я" * 66


@pytest.mark.parametrize("charset", [ABSENT, None, "", 0], ids=["absent", "null", "empty", "0"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà", 1),
        ("à" * 160, 1),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 158 + "€", 1),
        ("a" * 159 + "€", 2),
        (EURO_SPLIT, 3),  # 306 septets, but the € is not split over two parts
        ("я" * 70, 1),
        ("я" * 71, 2),
        ("я" * 134, 2),
        ("я" * 135, 3),
        ("a" * 69 + "ç", 1),  # ç is not in the alphabet
        ("a" * 70 + "ç", 2),
        ("a" * 70 + "`", 2),
        ("a" * 70 + "\t", 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        (FACE_SPLIT, 3),  # 134 units, but the pair is not split over two parts
    ],
    ids=lambda value: f"{len(value)}-{value[:4]!a}" if isinstance(value, str) else str(value),
)
def test_the_server_chooses_gsm_where_it_fits_and_ucs2_otherwise(
    client: Client, charset: object, text: str, expected: int
) -> None:
    assert segments(client, text, charset) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a" * 160, 1), ("a" * 161, 2), ("Ç" * 160, 1), ("€" * 81, 2), (EURO_SPLIT, 3), ("a" * 1530, 10)],
    ids=["160", "161", "cedilla", "euro", "split", "1530"],
)
def test_charset_1_is_gsm_7_bit(client: Client, text: str, expected: int) -> None:
    assert segments(client, text, 1) == expected


@pytest.mark.parametrize("wrong", ["ç", "á", "я", "`", "😀", "”", "\u00a0"])
def test_charset_1_names_the_character_that_does_not_fit(client: Client, wrong: str) -> None:
    refused(send(client, f"abc {wrong} def", 1), wrong, f"{ord(wrong):04X}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("010101090121", 1),
        ("0041" * 70, 1),
        ("0041" * 71, 2),  # UCS-2 although every character would fit GSM 7-bit
        ("0041" * 134, 2),
        ("0041" * 135, 3),
        ("00e9" * 70, 1),
        ("00E9" * 70, 1),
        ("00Ea00eA", 1),
        ("d83dDE00", 1),
        ("d83dde00" * 35, 1),
        ("d83dde00" * 36, 2),
        ("044f" * 66 + "d83dde00" + "044f" * 66, 3),
        ("0041" * 670, 10),
    ],
    ids=lambda value: f"{len(value)}-{value[:8]}" if isinstance(value, str) else str(value),
)
def test_charset_6_is_hexadecimal_and_paid_as_ucs2(client: Client, text: str, expected: int) -> None:
    assert segments(client, text, 6) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("0", "00", "004", "00410", "004100", "0041004"),
        *("zzzz", "004g", " 0041", "0041 ", "00 41", "0x41", "0_41", "+041", "-041", "００４１", "hello wo"),
        *("d83d", "de00", "0041d83d", "de000041", "d83d0041", "de00d83d", "d83dd83dde00"),
    ],
)
def test_charset_6_refuses_what_is_no_hexadecimal_ucs2(client: Client, text: str) -> None:
    refused(send(client, text, 6))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%7F%7E", 1),
        ("%7f%7e", 1),
        ("%7F" * 160, 1),  # 160 à, each one septet
        ("%7F" * 161, 2),
        ("%00" * 160, 1),  # the code point of @, not a NUL
        ("%0A%0D%10", 1),
        ("%1B%65" * 80, 1),  # 80 €, each two septets
        ("%1B%65" * 81, 2),
        ("%1b%65", 1),
        ("a" * 152 + "%1B%65" + "a" * 152, 3),
        ("+" * 160, 1),
        ("+" * 161, 2),
        ("1 + 1 = 2 & more", 1),
        ("à" * 160, 1),
        ("%41" * 161, 2),
        ("%1B%14%1B%28%1B%29%1B%2F%1B%3C%1B%3D%1B%3E%1B%40%1B%0A", 1),  # ^ { } \ [ ~ ] | and form feed
        ("%25" + "a" * 159, 1),  # a percent sign
    ],
    ids=lambda value: f"{len(value)}-{value[:8]!a}" if isinstance(value, str) else str(value),
)
def test_charset_8_is_percent_encoded_gsm_code_points(client: Client, text: str, expected: int) -> None:
    assert segments(client, text, 8) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("%80", "%FF", "%E0", "%C3%A0", "a%A4b"),
        *("%", "%7", "a%", "%zz", "%7g", "%g7", "% 7", "%+7", "%-1", "%u00e0", "%%", "%７F"),
        *("%1B%41", "%1B%00", "%1B%7F", "%1B", "abc%1B"),
        *("ç", "я%7F", "`"),
    ],
)
def test_charset_8_refuses_what_is_no_gsm_code_point(client: Client, text: str) -> None:
    refused(send(client, text, 8))


@pytest.mark.parametrize(
    ("charset", "text"),
    [(0, "a" * 1531), (0, "я" * 671), (1, "a" * 1531), (6, "0041" * 671), (8, "%7F" * 1531), (0, "a" * 200_000)],
    ids=["gsm", "ucs2", "1", "6", "8", "huge"],
)
def test_more_than_ten_segments_are_400_naming_the_limit(client: Client, charset: int, text: str) -> None:
    refused(send(client, text, charset), "10")


@pytest.mark.parametrize(("charset", "text"), [(0, "a" * 1530), (0, "я" * 670), (8, "%7F" * 1530)])
def test_ten_segments_are_sent_and_paid(client: Client, charset: int, text: str) -> None:
    assert segments(client, text, charset) == 10


@pytest.mark.parametrize("charset", [0, 1, 6, 8])
def test_an_empty_text_is_400(client: Client, charset: int) -> None:
    refused(send(client, "", charset))


@pytest.mark.parametrize(
    ("charset", "text", "arrives"),
    [
        (0, "Café ç €", "Café ç €"),
        (1, "à{€}ü", "à{€}ü"),
        (6, "010101090121", "āĉġ"),
        (6, "d83dDE00", "😀"),
        (8, "%7F%7E", "àü"),
        (8, "1+1%00 %1B%65%25 %1b%3C", "1+1@ €% ["),
    ],
)
def test_what_arrives_is_what_was_meant(client: Client, charset: int, text: str, arrives: str) -> None:
    submission_id = client.submit(text=text, charset=charset)
    assert client.server.cli_here("message", "show", submission_id).data["text"] == arrives

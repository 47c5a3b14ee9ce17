"""How messages are written as submit_sm, by a carrier's settings."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.carriers.interface import Submit
from heliograph.carriers.settings import SmppSettings
from heliograph.carriers.smpp.messages import NotWritableError, Writer, validity_period
from heliograph.carriers.smpp.pdu import SubmitSm, Tag, encode
from heliograph.messaging.submissions import Request, Submission
from heliograph.messaging.text import Text, compose

NOW = 1_800_000_000_000
ID = 0x1234_5678_9ABC


def settings(**changes: Any) -> SmppSettings:
    return SmppSettings(host="localhost", system_id="us", **changes)


def submits_of(
    writer: Writer, text: Text | str, *, sender: str = "96000", expires: int = NOW + 3_600_000
) -> list[Submit]:
    """A message as the engine hands it over."""
    if isinstance(text, str):
        text = compose(text, 0, max_segments=100)
    request = Request(ID, 1, 1, sender, text, 1, expires)
    submission = Submission(ID, request, "56912345678", 1, 1, 0, 0, ID)
    bodies = writer.bodies(text) if text.segments > 1 else [text.body]
    return [Submit(submission, part, body, len(bodies)) for part, body in enumerate(bodies, 1)]


def written(
    text: Text | str, *, sender: str = "96000", expires: int = NOW + 3_600_000, **changes: Any
) -> list[SubmitSm]:
    writer = Writer(settings(**changes))
    pdus = [writer.write(submit, NOW) for submit in submits_of(writer, text, sender=sender, expires=expires)]
    assert all(encode(pdu) for pdu in pdus), "it fits"
    return pdus


def test_a_short_message_is_one_plain_submit() -> None:
    assert written("Hello @ €") == [
        SubmitSm(
            source_ton=3,
            source="96000",
            destination_ton=1,
            destination_npi=1,
            destination="56912345678",
            validity="000000010000000R",
            registered_delivery=1,
            short_message=b"Hello \x00 \x1be",
        )
    ]


@pytest.mark.parametrize(
    ("sender", "told"),
    [
        ("Alerts", (5, 0, "Alerts")),
        ("Café", (5, 0, "Café")),
        ("+56912345678", (1, 1, "56912345678")),
        ("56912345678", (1, 1, "56912345678")),
        ("96000", (3, 0, "96000")),
        ("0800123456", (3, 0, "0800123456")),
    ],
)
def test_the_type_of_a_sender_is_told_by_its_look(sender: str, told: tuple[int, int, str]) -> None:
    (pdu,) = written("Hello", sender=sender)
    assert (pdu.source_ton, pdu.source_npi, pdu.source) == told


def test_types_service_and_receipts_are_as_the_carrier_wants_them() -> None:
    changes = {
        "source_alphanumeric": "5/1",
        "source_international": "2/8",
        "source_short_code": "6/9",
        "destination": "0/1",
        "service_type": "CMT",
        "registered_delivery": 0x11,
        "validity": False,
    }
    name, number, code = (written("Hi", sender=sender, **changes)[0] for sender in ("Alerts", "+56912345678", "96000"))
    assert [(one.source_ton, one.source_npi) for one in (name, number, code)] == [(5, 1), (2, 8), (6, 9)]
    assert (name.destination_ton, name.destination_npi) == (0, 1)
    assert (name.service_type, name.registered_delivery, name.validity) == ("CMT", 0x11, "")


def test_a_sender_that_no_address_holds_is_refused_and_named() -> None:
    with pytest.raises(NotWritableError, match="'Ωmega'"):
        written("Hello", sender="Ωmega")


def test_what_a_carrier_takes_for_gsm_may_be_packed_or_latin_1() -> None:
    assert written("hellohello", data_coding_0="gsm_packed")[0].short_message.hex() == "e8329bfd4697d9ec37"
    latin1 = written("Año [x] @", data_coding_0="latin1")[0]
    assert (latin1.data_coding, latin1.short_message) == (0, "Año [x] @".encode("latin-1"))


@pytest.mark.parametrize("data_coding_0", ["gsm", "gsm_packed", "latin1"])
def test_what_is_not_gsm_goes_as_ucs2(data_coding_0: str) -> None:
    (pdu,) = written("Привет 😀", data_coding_0=data_coding_0)
    assert (pdu.data_coding, pdu.short_message) == (8, "Привет 😀".encode("utf-16-be"))


def test_gsm_text_without_a_place_in_latin_1_goes_as_ucs2() -> None:
    (pdu,) = written("5 €", data_coding_0="latin1")
    assert (pdu.data_coding, pdu.short_message) == (8, "5 €".encode("utf-16-be"))


def test_one_segment_is_one_submit_even_where_its_alphabet_makes_it_longer() -> None:
    (pdu,) = written("€" * 80, data_coding_0="latin1")
    assert (pdu.data_coding, pdu.short_message) == (8, b"")
    assert pdu.tlvs == ((Tag.MESSAGE_PAYLOAD, ("€" * 80).encode("utf-16-be")),)


def test_a_long_text_that_must_go_as_ucs2_has_the_parts_that_ucs2_needs() -> None:
    pdus = written("€" + "a" * 199, data_coding_0="latin1")
    assert [len(pdu.short_message) for pdu in pdus] == [140, 140, 6 + 2 * (200 - 134)]
    assert {pdu.data_coding for pdu in pdus} == {8}


def test_8_bit_headers() -> None:
    pdus = written("a" * 306)
    assert [pdu.esm_class for pdu in pdus] == [0x40, 0x40]
    assert [pdu.short_message[:6].hex() for pdu in pdus] == ["050003bc0201", "050003bc0202"]
    assert [len(pdu.short_message) for pdu in pdus] == [6 + 153, 6 + 153]


def test_16_bit_headers_leave_152_characters_or_66() -> None:
    gsm, ucs2 = written("a" * 306, long_messages="udh16"), written("Я" * 134, long_messages="udh16")
    assert [pdu.short_message[:7].hex() for pdu in gsm] == [f"0608049abc03{part:02}" for part in (1, 2, 3)]
    assert [len(pdu.short_message) - 7 for pdu in gsm] == [152, 152, 2]
    assert [len(pdu.short_message) - 7 for pdu in ucs2] == [132, 132, 4]
    assert {pdu.esm_class for pdu in gsm + ucs2} == {0x40}


def test_sar_tlvs() -> None:
    pdus = written("a" * 306, long_messages="sar")
    assert [(pdu.esm_class, len(pdu.short_message)) for pdu in pdus] == [(0, 153)] * 2
    assert [pdu.tlvs for pdu in pdus] == [
        ((0x020C, b"\x9a\xbc"), (0x020E, b"\x02"), (0x020F, bytes((part,)))) for part in (1, 2)
    ]


def test_payload_is_one_submit_of_the_whole_text() -> None:
    (pdu,) = written("a" * 1_000, long_messages="payload")
    assert (pdu.esm_class, pdu.short_message, pdu.tlvs) == (0, b"", ((0x0424, b"a" * 1_000),))
    (short,) = written("a" * 160, long_messages="payload")
    assert (short.short_message, short.tlvs) == (b"a" * 160, ())


def test_more_parts_than_can_be_numbered_are_refused() -> None:
    writer = Writer(settings(data_coding_0="latin1"))
    submits = submits_of(writer, Text("€" * 70 * 256, compose("a", 0, max_segments=1).encoding, 234))
    assert len(submits) > 255
    with pytest.raises(NotWritableError, match="255"):
        writer.write(submits[0], NOW)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-5, "000000000001000R"),
        (0, "000000000001000R"),
        (59, "000000000059000R"),
        (3_600, "000000010000000R"),
        (86_399, "000000235959000R"),
        (30 * 86_400, "000100000000000R"),
        (365 * 86_400, "010005000000000R"),
        (1 << 40, "010221000000000R"),
    ],
)
def test_validity_is_told_as_what_is_left_of_it(seconds: int, told: str) -> None:
    assert validity_period(seconds) == told
    assert written("Hi", expires=NOW + seconds * 1_000 + 999)[0].validity == told


def test_settings_of_one_carrier_are_not_anothers_although_texts_are_kept() -> None:
    gsm, packed = Writer(settings()), Writer(settings(data_coding_0="gsm_packed"))
    for _ in range(2):
        (submit,) = submits_of(gsm, "Hello")
        assert gsm.write(submit, NOW).short_message == b"Hello"
        assert len(packed.write(submit, NOW).short_message) == 5
        assert packed.write(submit, NOW).short_message != b"Hello"


def test_a_text_that_was_asked_for_in_ucs2_goes_so_after_the_same_in_gsm() -> None:
    writer = Writer(settings())
    for text, data_coding in ((compose("Hi", 1, max_segments=1), 0), (compose("00480069", 6, max_segments=1), 8)):
        assert text.body == "Hi"
        (submit,) = submits_of(writer, text)
        assert writer.write(submit, NOW).data_coding == data_coding


def test_kept_texts_are_bounded() -> None:
    writer = Writer(settings())
    for number in range(10_000):
        (submit,) = submits_of(writer, f"Hello {number}", sender=str(10_000 + number))
        assert writer.write(submit, NOW).short_message == f"Hello {number}".encode()
        assert writer.write(submit, NOW).source == str(10_000 + number)
    writer.write(submits_of(writer, "x" * 1_025)[0], NOW)
    assert len(writer._parts) <= 2048
    assert max(len(body) for body, *_ in writer._parts) <= 1_024
    assert len(writer._sources) <= 2048


def test_query_names_the_sender_as_the_submit_did() -> None:
    writer = Writer(settings())
    query = writer.query("42", "+56912345678")
    assert (query.message_id, query.source_ton, query.source_npi, query.source) == ("42", 1, 1, "56912345678")
    assert writer.query("42", "").source == ""

"""What a deliver_sm says, in the forms that carriers really use."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.carriers.interface import Inbound, Receipt
from heliograph.carriers.settings import SmppSettings
from heliograph.carriers.smpp.ids import Ids
from heliograph.carriers.smpp.pdu import DataSm, DeliverSm, Tag
from heliograph.carriers.smpp.receipts import Reader, UnreadableError, state_of
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.text import Encoding, encode, pack

USUAL = "id:0123456789 sub:001 dlvrd:001 submit date:2611231401 done date:2611231402 stat:DELIVRD err:000 text:Hello"


def reader(**changes: Any) -> Reader:
    settings = SmppSettings(host="localhost", system_id="us", **changes)
    return Reader(settings, Ids(settings.message_ids))


def read(text: str = "", *tlvs: tuple[int, bytes], **changes: Any) -> Receipt | Inbound:
    return reader(**changes).read(DeliverSm(esm_class=4, short_message=text.encode("latin-1"), tlvs=tlvs))


@pytest.mark.parametrize(
    ("text", "receipt"),
    [
        (USUAL, Receipt("123456789", ReceiptState.DELIVERED)),
        (USUAL.replace("submit date", "submitdate"), Receipt("123456789", ReceiptState.DELIVERED)),
        (USUAL.replace("2611231401", "261123140159"), Receipt("123456789", ReceiptState.DELIVERED)),
        (USUAL.replace("2611231402", "0000000000"), Receipt("123456789", ReceiptState.DELIVERED)),
        (USUAL.replace("sub:001 dlvrd:001 ", ""), Receipt("123456789", ReceiptState.DELIVERED)),
        (USUAL.replace(" text:Hello", ""), Receipt("123456789", ReceiptState.DELIVERED)),
        (USUAL.replace("text:", "Text:"), Receipt("123456789", ReceiptState.DELIVERED)),
        (USUAL.replace("err:000", "err:"), Receipt("123456789", ReceiptState.DELIVERED)),
        (USUAL.replace("err:000 ", ""), Receipt("123456789", ReceiptState.DELIVERED)),
        (USUAL.upper(), Receipt("123456789", ReceiptState.DELIVERED)),
        (USUAL + "\0", Receipt("123456789", ReceiptState.DELIVERED)),
        ("id:7c-AF_01.x stat:REJECTED err:00B", Receipt("7c-AF_01.x", ReceiptState.REJECTED, error="00B")),
        ("stat:UNDELIV id:7 err:011", Receipt("7", ReceiptState.UNDELIVERABLE, error="011")),
        ("id: 7 stat: EXPIRED err: 5 text: id:8 stat:DELIVRD", Receipt("7", ReceiptState.EXPIRED, error="5")),
        ("id:7 err: stat:DELIVRD", Receipt("7", ReceiptState.DELIVERED)),
        ("id:7\nstat:DELIVRD\r\ntext:x", Receipt("7", ReceiptState.DELIVERED)),
        ("id:7 stat:DELIVRD text:id:8 stat:UNDELIV err:099", Receipt("7", ReceiptState.DELIVERED)),
        ("id:7 stat:DELIVRD id:8 stat:UNDELIV", Receipt("7", ReceiptState.DELIVERED)),
    ],
)
def test_texts_seen_in_the_wild(text: str, receipt: Receipt) -> None:
    assert read(text) == receipt


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("ENROUTE", ReceiptState.ENROUTE),
        ("SCHEDULED", ReceiptState.SCHEDULED),
        ("BUFFRED", ReceiptState.ENROUTE),
        ("ACCEPTD", ReceiptState.ACCEPTED),
        ("ACKED", ReceiptState.ENROUTE),
        ("DELIVRD", ReceiptState.DELIVERED),
        ("EXPIRED", ReceiptState.EXPIRED),
        ("DELETED", ReceiptState.DELETED),
        ("UNDELIV", ReceiptState.UNDELIVERABLE),
        ("SKIPPED", ReceiptState.SKIPPED),
        ("UNKNOWN", ReceiptState.UNKNOWN),
        ("REJECTD", ReceiptState.REJECTED),
        ("REJECTED", ReceiptState.REJECTED),
        ("delivrd", ReceiptState.DELIVERED),
    ],
)
def test_every_word_for_a_state(word: str, state: ReceiptState) -> None:
    assert read(f"id:7 stat:{word}") == Receipt("7", state)


@pytest.mark.parametrize("number", range(10))
def test_every_number_for_a_state(number: int) -> None:
    told = read("", (Tag.RECEIPTED_MESSAGE_ID, b"0012ab\0"), (Tag.MESSAGE_STATE, bytes((number,))))
    assert told == Receipt("12ab", ReceiptState(number))
    assert state_of(number) is ReceiptState(number)
    assert state_of(10) is None


def test_tlvs_go_before_the_text_and_either_may_be_missing() -> None:
    id_, state = (Tag.RECEIPTED_MESSAGE_ID, b"99\0"), (Tag.MESSAGE_STATE, b"\x05")
    assert read(USUAL, id_, state) == Receipt("99", ReceiptState.UNDELIVERABLE)
    assert read(USUAL, id_) == Receipt("99", ReceiptState.DELIVERED)
    assert read(USUAL, state) == Receipt("123456789", ReceiptState.UNDELIVERABLE)
    for empty in (b"", b"\0"):
        assert read(USUAL, (Tag.RECEIPTED_MESSAGE_ID, empty)) == Receipt("123456789", ReceiptState.DELIVERED)
    for strange in (b"", b"\x63", b"\0\x02"):
        assert read(USUAL, (Tag.MESSAGE_STATE, strange)) == Receipt("123456789", ReceiptState.DELIVERED)


def test_a_receipt_may_be_in_the_payload_in_a_data_sm_or_in_ucs2() -> None:
    told = Receipt("123456789", ReceiptState.DELIVERED)
    assert read("", (Tag.MESSAGE_PAYLOAD, USUAL.encode())) == told
    assert reader().read(DataSm(esm_class=4, tlvs=((Tag.MESSAGE_PAYLOAD, USUAL.encode()),))) == told
    assert reader().read(DataSm(tlvs=((Tag.RECEIPTED_MESSAGE_ID, b"7\0"), (Tag.MESSAGE_STATE, b"\x02")))) == Receipt(
        "7", ReceiptState.DELIVERED
    )
    ucs2 = DeliverSm(esm_class=4, data_coding=8, short_message=USUAL.encode("utf-16-be"))
    assert reader().read(ucs2) == told


@pytest.mark.parametrize("esm_class", [0x04, 0x07, 0x20, 0x44, 0x84])
def test_esm_class_tells_a_receipt_whatever_else_it_has(esm_class: int) -> None:
    header = b"\x05\x00\x03\x01\x01\x01" if esm_class & 0x40 else b""
    told = reader().read(DeliverSm(esm_class=esm_class, short_message=header + b"id:7 stat:DELIVRD"))
    assert told == Receipt("7", ReceiptState.DELIVERED)


def test_nobody_forges_a_receipt_by_writing_one() -> None:
    assert isinstance(reader().read(DeliverSm(source="1", short_message=USUAL.encode())), Inbound)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "without a message id"),
        ("stat:DELIVRD", "without a message id"),
        ("id: stat:DELIVRD", "without a message id"),
        ("text:id:7 stat:DELIVRD", "without a message id"),
        ("id:7", "'7' without a state"),
        ("id:7 stat:HAPPY", "'HAPPY'"),
        ("id:7 text:stat:DELIVRD", "'7' without a state"),
        ("id:7 text:well stat:DELIVRD", "'7' without a state"),
    ],
)
def test_what_says_nothing_is_refused_and_told_why(text: str, named: str) -> None:
    with pytest.raises(UnreadableError, match=named):
        read(text)


def test_ids_are_those_of_the_answers() -> None:
    assert read("id:0031 stat:DELIVRD", message_ids="resp-hex-dlr-dec") == Receipt("31", ReceiptState.DELIVERED)
    assert read("id:1F stat:DELIVRD", message_ids="resp-dec-dlr-hex") == Receipt("31", ReceiptState.DELIVERED)


@pytest.mark.parametrize(
    ("tags", "tlvs", "network"),
    [
        ((), ((0x1503, b"730"), (0x1504, b"01")), ""),
        ((0x1503, 0x1504), ((0x1503, b"730\0"), (0x1504, b"01\0")), "73001"),
        ((0x1503, 0x1504), ((0x1503, b"730"), (0x1504, b"1")), "73001"),
        ((0x1503, 0x1504), ((0x1503, b"310"), (0x1504, b"410")), "310410"),
        ((0x1503, 0x1504), ((0x1503, b"\x02\xda"), (0x1504, b"\x00\x01")), "73001"),
        ((0x1503, 0x1504), ((0x1503, b"730"),), ""),
        ((0x1503, 0x1504), ((0x1503, b"Chile"), (0x1504, b"01")), ""),
        ((0x1503, 0x1504), ((0x1503, b"7300"), (0x1504, b"01")), ""),
        ((0x1401,), ((0x1401, b"73001\0"),), "73001"),
        ((0x1401,), ((0x1401, b"730-01"),), "73001"),
        ((0x1401,), ((0x1401, b"73"),), ""),
        ((0x1401,), ((0x1401, b""),), ""),
        ((0x1401,), (), ""),
    ],
)
def test_the_network_is_read_from_the_vendors_tlvs(tags: tuple[int, ...], tlvs: Any, network: str) -> None:
    assert read("id:7 stat:DELIVRD", *tlvs, network_tlvs=tags) == Receipt("7", ReceiptState.DELIVERED, network)


def test_the_networks_error_is_told_where_the_text_has_none() -> None:
    code = (Tag.NETWORK_ERROR_CODE, b"\x03\x00\x0b")
    assert read("id:7 stat:UNDELIV err:099", code) == Receipt("7", ReceiptState.UNDELIVERABLE, error="099")
    assert read("id:7 stat:UNDELIV err:000", code) == Receipt("7", ReceiptState.UNDELIVERABLE, error="11")
    assert read("id:7 stat:UNDELIV", (Tag.NETWORK_ERROR_CODE, b"\x03")) == Receipt("7", ReceiptState.UNDELIVERABLE)


# -- messages from phones


def inbound(octets: bytes, data_coding: int = 0, esm_class: int = 0, **changes: Any) -> str:
    pdu = DeliverSm(
        source="+56912345678",
        destination="+96000",
        esm_class=esm_class,
        data_coding=data_coding,
        short_message=octets,
    )
    told = reader(**changes).read(pdu)
    assert isinstance(told, Inbound)
    assert (told.sender, told.recipient) == ("56912345678", "96000")
    return told.text


@pytest.mark.parametrize(
    ("octets", "data_coding", "settings", "text"),
    [
        (b"Hola \x00\x1be", 0, {}, "Hola @€"),
        ("Año".encode("latin-1"), 0, {"data_coding_0": "latin1"}, "Año"),
        (pack(encode("hellohello", Encoding.GSM7)), 0, {"data_coding_0": "gsm_packed"}, "hellohello"),
        (b"@plain", 1, {}, "@plain"),
        ("Año".encode("latin-1"), 3, {}, "Año"),
        ("Привет 😀".encode("utf-16-be"), 8, {}, "Привет 😀"),
        (b"\x04\x1f\x04", 8, {}, "П\ufffd"),
        (b"Hola \x00", 0xF0, {}, "Hola @"),
        (b"Hola \x00", 0xF1, {}, "Hola @"),
        (b"a\0b", 3, {}, "a\ufffdb"),
        (b"", 0, {}, ""),
    ],
)
def test_texts_of_phones_are_read_in_their_alphabet(octets: bytes, data_coding: int, settings: Any, text: str) -> None:
    assert inbound(octets, data_coding, **settings) == text


def test_a_header_is_no_text() -> None:
    assert inbound(b"\x05\x00\x03\x2a\x02\x01first", esm_class=0x40) == "first"
    assert inbound(b"\x05\x00\x03\x2a\x02\x01first", esm_class=0x43) == "first"
    packed = b"\x05\x00\x03\x2a\x02\x01" + pack(b"first", 1)
    assert inbound(packed, esm_class=0x40, data_coding_0="gsm_packed") == "first"
    assert inbound(b"\xff", esm_class=0x40) == ""
    assert inbound(b"", esm_class=0x40) == ""


@pytest.mark.parametrize("data_coding", [2, 4, 5, 0xF5, 0xE0])
def test_what_is_no_text_is_refused(data_coding: int) -> None:
    with pytest.raises(UnreadableError, match=f"0x{data_coding:02X}"):
        inbound(b"\x01\x02", data_coding)


def test_a_name_may_write_too() -> None:
    told = reader().read(DeliverSm(source_ton=5, source="Bank", destination="96000", short_message=b"x"))
    assert told == Inbound("Bank", "96000", "x")

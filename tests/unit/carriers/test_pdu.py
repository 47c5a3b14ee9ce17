"""The codec against octets put together by hand from the tables of SMPP 3.4."""

from __future__ import annotations

import pytest

from heliograph.carriers.smpp.pdu import (
    Bind,
    BindResp,
    CancelSm,
    CancelSmResp,
    Command,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    FieldError,
    GenericNack,
    Pdu,
    PduError,
    QuerySm,
    QuerySmResp,
    Status,
    SubmitSm,
    SubmitSmResp,
    Tag,
    Unbind,
    UnbindResp,
    decode,
    encode,
    payload,
)


def octets(*fields: str | bytes) -> bytes:
    """Hexadecimal digits and octets, one after the other."""
    return b"".join(bytes.fromhex(field) if isinstance(field, str) else field for field in fields)


def frame(command_id: int, *body: str | bytes, status: int = 0, sequence: int = 1) -> bytes:
    """A frame with the right length (SMPP 3.4 §3.2)."""
    rest = octets(*body)
    return b"".join(number.to_bytes(4, "big") for number in (16 + len(rest), command_id, status, sequence)) + rest


# SMPP 3.4 §3.2.2 is this very PDU: the example of a bind_transmitter that the specification itself gives.
THE_EXAMPLE = octets(
    "0000002F 00000002 00000000 00000001 534D50503354455354 00 7365637265743038 00 5355424D495431 00 00 01 01 00"
)

EXAMPLES: list[tuple[str, Pdu, bytes]] = [
    (
        "§3.2.2",
        Bind(
            Command.BIND_TRANSMITTER,
            system_id="SMPP3TEST",
            password="secret08",
            system_type="SUBMIT1",
            interface_version=0x00,
            addr_ton=1,
            addr_npi=1,
            sequence=1,
        ),
        THE_EXAMPLE,
    ),
    (
        "§4.1.5, Table 4-5",
        Bind(Command.BIND_TRANSCEIVER, "me", "pw", "", 0x34, 1, 1, "^56", sequence=2),
        frame(9, b"me\0", b"pw\0", b"\0", "34 01 01", b"^56\0", sequence=2),
    ),
    (
        "§4.1.3, Table 4-3",
        Bind(Command.BIND_RECEIVER, "me", "", "VMS", 0x34, sequence=3),
        frame(1, b"me\0", b"\0", b"VMS\0", "34 00 00 00", sequence=3),
    ),
    (
        "§4.1.6, Table 4-6, with sc_interface_version (§5.3.2.25)",
        BindResp(Command.BIND_TRANSCEIVER_RESP, "SMSC", sequence=2, tlvs=((Tag.SC_INTERFACE_VERSION, b"\x34"),)),
        frame(0x80000009, b"SMSC\0", "0210 0001 34", sequence=2),
    ),
    (
        "§4.1.2: no body with an error",
        BindResp(Command.BIND_TRANSMITTER_RESP, status=Status.ESME_RINVPASWD, sequence=1),
        frame(0x80000002, status=0x0E),
    ),
    (
        "§4.4.1, Table 4-10",
        SubmitSm(
            service_type="CMT",
            source_ton=5,
            source_npi=0,
            source="Heliograph",
            destination_ton=1,
            destination_npi=1,
            destination="56912345678",
            esm_class=0x40,
            protocol_id=0x7F,
            priority=1,
            schedule="261123140000000+",
            validity="000000010000000R",
            registered_delivery=1,
            replace_if_present=2,
            data_coding=8,
            default_message_id=3,
            short_message=b"\0H\0i",
            sequence=0x01020304,
        ),
        frame(
            4,
            *(b"CMT\0", "05 00", b"Heliograph\0", "01 01", b"56912345678\0", "40 7F 01"),
            *(b"261123140000000+\0", b"000000010000000R\0", "01 02 08 03", "04", b"\0H\0i"),
            sequence=0x01020304,
        ),
    ),
    (
        "§4.4.1 with message_payload (§5.3.2.32) and sm_length 0",
        SubmitSm(destination="1", tlvs=((Tag.MESSAGE_PAYLOAD, b"long"),), sequence=1),
        frame(4, "00 0000 00 0000", b"1\0", "000000 00 00 00000000 00", "0424 0004", b"long"),
    ),
    ("§4.4.2, Table 4-11", SubmitSmResp("0A1b-9", sequence=1), frame(0x80000004, b"0A1b-9\0")),
    (
        "§4.4.2: no body with an error",
        SubmitSmResp(status=Status.ESME_RTHROTTLED, sequence=1),
        frame(0x80000004, status=0x58),
    ),
    (
        "§4.6.1, Table 4-12, a receipt (§5.2.12) with its optional parameters (§5.3.2.12, §5.3.2.35)",
        DeliverSm(
            source_ton=1,
            source_npi=1,
            source="569",
            destination="747",
            esm_class=0x04,
            short_message=b"id:7",
            sequence=9,
            tlvs=((Tag.RECEIPTED_MESSAGE_ID, b"7\0"), (Tag.MESSAGE_STATE, b"\x02")),
        ),
        frame(
            5,
            *("00 01 01", b"569\0", "00 00", b"747\0", "04 00 00 00 00 00 00 00 00", "04", b"id:7"),
            *("001E 0002", b"7\0", "0427 0001 02"),
            sequence=9,
        ),
    ),
    ("§4.6.2, Table 4-13", DeliverSmResp(sequence=9), frame(0x80000005, "00", sequence=9)),
    (
        "§4.7.1, Table 4-14",
        DataSm("", 1, 1, "569", 1, 1, "570", 0x04, 0x01, 0x08, sequence=5, tlvs=((0x0424, b"\0H"),)),
        frame(0x103, "00 01 01", b"569\0", "01 01", b"570\0", "04 01 08", "0424 0002", b"\0H", sequence=5),
    ),
    ("§4.7.2, Table 4-15", DataSmResp("42", sequence=5), frame(0x80000103, b"42\0", sequence=5)),
    ("§4.8.1, Table 4-17", QuerySm("42", 5, 0, "Us", sequence=6), frame(3, b"42\0", "05 00", b"Us\0", sequence=6)),
    (
        "§4.8.2, Table 4-18",
        QuerySmResp("42", "261123140000000+", 2, 11, sequence=6),
        frame(0x80000003, b"42\0", b"261123140000000+\0", "02 0B", sequence=6),
    ),
    (
        "§4.9.1, Table 4-19",
        CancelSm("CMT", "42", 5, 0, "Us", 1, 1, "569", sequence=7),
        frame(8, b"CMT\0", b"42\0", "05 00", b"Us\0", "01 01", b"569\0", sequence=7),
    ),
    ("§4.9.2", CancelSmResp(status=Status.ESME_RCANCELFAIL), frame(0x80000008, status=0x11, sequence=0)),
    ("§4.11.1", EnquireLink(sequence=0x7FFFFFFF), frame(0x15, sequence=0x7FFFFFFF)),
    ("§4.11.2", EnquireLinkResp(sequence=0x7FFFFFFF), frame(0x80000015, sequence=0x7FFFFFFF)),
    ("§4.2.1", Unbind(sequence=8), frame(6, sequence=8)),
    ("§4.2.2", UnbindResp(sequence=8), frame(0x80000006, sequence=8)),
    ("§4.3.1", GenericNack(status=Status.ESME_RINVCMDID, sequence=8), frame(0x80000000, status=3, sequence=8)),
]

EVERY = pytest.mark.parametrize(("pdu", "wire"), [example[1:] for example in EXAMPLES], ids=[e[0] for e in EXAMPLES])


@EVERY
def test_every_pdu_is_written_as_its_table_says(pdu: Pdu, wire: bytes) -> None:
    assert encode(pdu) == wire


@EVERY
def test_every_pdu_is_read_as_its_table_says(pdu: Pdu, wire: bytes) -> None:
    assert decode(wire) == pdu
    assert type(decode(wire)) is type(pdu)


@EVERY
def test_a_pdu_that_is_cut_short_is_refused(pdu: Pdu, wire: bytes) -> None:
    whole = {len(wire) - sum(4 + len(value) for _, value in pdu.tlvs[number:]) for number in range(len(pdu.tlvs))}
    if wire[4] & 0x80:
        whole.add(16)  # a response may have no body
    for length in set(range(4, len(wire))) - whole:
        with pytest.raises(PduError) as caught:
            decode(length.to_bytes(4, "big") + wire[4:length])
        assert caught.value.status != Status.ESME_ROK


# -- what real peers send


@pytest.mark.parametrize("esm_class", [0x03, 0x43])
def test_esm_class_and_registered_delivery_beyond_the_specification_are_read(esm_class: int) -> None:
    pdu = SubmitSm(destination="1", esm_class=esm_class, registered_delivery=0x11, short_message=b"x", sequence=1)
    assert decode(encode(pdu)) == pdu


def test_latin_1_in_an_address_is_read_and_written() -> None:
    wire = frame(5, "00 05 00", b"Caf\xe9\0", "00 00", b"747\0", "00 00 00 00 00 00 00 00 00 00")
    pdu = decode(wire)
    assert isinstance(pdu, DeliverSm)
    assert pdu.source == "Café"
    assert encode(pdu) == wire


def test_a_password_of_more_than_8_octets_is_read() -> None:
    pdu = Bind(Command.BIND_TRANSCEIVER, "me", "correct horse battery", sequence=1)
    assert decode(encode(pdu)) == pdu


def test_unknown_optional_parameters_are_kept_as_they_are() -> None:
    wire = frame(0x80000005, "00", "1503 0003", b"730", "1503 0000", "FFFF 0001 00")
    pdu = decode(wire)
    assert pdu == DeliverSmResp(sequence=1, tlvs=((0x1503, b"730"), (0x1503, b""), (0xFFFF, b"\0")))
    assert encode(pdu) == wire


def test_a_status_that_nobody_named_is_kept() -> None:
    assert decode(frame(0x80000004, status=0x400)) == SubmitSmResp(status=0x400, sequence=1)


def test_an_error_with_a_body_is_read_as_one_without() -> None:
    assert decode(frame(0x80000004, "00", status=0x58)) == decode(frame(0x80000004, status=0x58))


def test_an_error_with_a_message_id_keeps_it() -> None:
    pdu = decode(frame(0x80000004, b"42\0", status=0x45))
    assert pdu == SubmitSmResp("42", status=0x45, sequence=1)
    assert decode(encode(pdu)) == pdu


def test_a_deliver_sm_resp_without_its_empty_message_id_is_read() -> None:
    assert decode(frame(0x80000005)) == DeliverSmResp(sequence=1)


def test_a_short_message_of_255_octets_as_in_smpp_5_is_read() -> None:
    pdu = SubmitSm(destination="1", short_message=b"x" * 255, sequence=1)
    assert decode(encode(pdu)) == pdu


# -- what is refused, and by which status

MESSAGE = (b"CMT\0", "01 01", b"569\0", "01 01", b"570\0", "00 00 00", b"\0", b"\0", "00 00 00 00", "02", b"hi")


def message(**changed: str | bytes) -> bytes:
    """A submit_sm with one of its fields put otherwise."""
    names = ("service_type", "_s", "source", "_d", "destination", "_e", "schedule", "validity", "_r", "size", "text")
    return frame(4, *(changed.get(name, field) for name, field in zip(names, MESSAGE, strict=True)))


def test_the_message_that_is_changed_below_is_read() -> None:
    assert isinstance(decode(message()), SubmitSm)


REFUSED = {
    "a service_type over 5": (message(service_type=b"123456\0"), Status.ESME_RINVSERTYP, "service_type"),
    "a source over 20": (message(source=b"1" * 21 + b"\0"), Status.ESME_RINVSRCADR, "source"),
    "a destination over 20": (message(destination=b"1" * 21 + b"\0"), Status.ESME_RINVDSTADR, "destination"),
    "a schedule over 16": (message(schedule=b"1" * 17 + b"\0"), Status.ESME_RINVSCHED, "schedule"),
    "a validity over 16": (message(validity=b"1" * 17 + b"\0"), Status.ESME_RINVEXPIRY, "validity"),
    "less text than sm_length": (message(size="03"), Status.ESME_RINVMSGLEN, "short_message"),
    "text after sm_length": (message(size="01"), Status.ESME_RINVOPTPARSTREAM, "tlvs"),
    "no NUL at all": (frame(4, b"CMT"), Status.ESME_RINVSERTYP, "service_type"),
    "a message id over 64": (frame(0x80000004, b"1" * 65 + b"\0"), Status.ESME_RINVMSGID, "message_id"),
    "a NUL in the message id": (frame(0x80000004, b"1\x002\0"), Status.ESME_RINVOPTPARSTREAM, "tlvs"),
    "a system_id over 15": (frame(9, b"1" * 16 + b"\0"), Status.ESME_RINVSYSID, "system_id"),
    "a password over 64": (frame(9, b"\0", b"1" * 65 + b"\0"), Status.ESME_RINVPASWD, "password"),
    "a system_type over 12": (frame(9, b"\0\0", b"1" * 13 + b"\0"), Status.ESME_RINVSYSTYP, "system_type"),
    "an address_range over 40": (
        frame(9, b"\0\0\0", "34 00 00", b"1" * 41 + b"\0"),
        Status.ESME_RINVCMDLEN,
        "address_range",
    ),
    "an integer missing": (frame(3, b"42\0", "01"), Status.ESME_RINVCMDLEN, "source_npi"),
    "a tag alone": (frame(0x80000005, "00", "0427"), Status.ESME_RINVOPTPARSTREAM, "tlvs"),
    "a tag's value cut": (frame(0x80000005, "00", "0427 0002 01"), Status.ESME_RINVOPTPARSTREAM, "0x0427"),
    "octets behind enquire_link": (frame(0x15, "00"), Status.ESME_RINVOPTPARSTREAM, "tlvs"),
    "an unknown command": (frame(0x0F), Status.ESME_RINVCMDID, "0x0000000f"),
    "replace_sm, not served": (frame(Command.REPLACE_SM), Status.ESME_RINVCMDID, "0x00000007"),
}


@pytest.mark.parametrize(("wire", "status", "named"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_read_is_refused_with_the_status_to_answer(wire: bytes, status: int, named: str) -> None:
    with pytest.raises(PduError, match=named) as caught:
        decode(wire)
    assert caught.value.status == status
    assert caught.value.command_id == int.from_bytes(wire[4:8], "big")
    assert caught.value.sequence == 1


def test_octets_that_are_no_header_are_refused() -> None:
    with pytest.raises(PduError, match="15 octets are no header") as caught:
        decode(bytes(15))
    assert (caught.value.status, caught.value.command_id, caught.value.sequence) == (Status.ESME_RINVCMDLEN, 0, 0)


@pytest.mark.parametrize("length", [15, 17, 0xFFFFFFFF])
def test_a_length_that_is_not_the_frames_own_is_refused(length: int) -> None:
    with pytest.raises(PduError, match="command_length says") as caught:
        decode(length.to_bytes(4, "big") + frame(0x15)[4:])
    assert caught.value.status == Status.ESME_RINVCMDLEN


# -- what cannot be written


@pytest.mark.parametrize(
    ("pdu", "field"),
    [
        (SubmitSm(source="1" * 21), "source"),
        (SubmitSm(destination="1\x002"), "destination"),
        (SubmitSm(source="Ελλάδα"), "source"),
        (SubmitSm(service_type="123456"), "service_type"),
        (SubmitSm(validity="1" * 17), "validity"),
        (SubmitSm(schedule="1" * 17), "schedule"),
        (SubmitSm(data_coding=256), "data_coding"),
        (SubmitSm(esm_class=-1), "esm_class"),
        (SubmitSm(short_message=b"x" * 256), "short_message"),
        (SubmitSm(sequence=1 << 32), "sequence"),
        (SubmitSm(sequence=-1), "sequence"),
        (SubmitSm(tlvs=((0x0424, b"x" * 65_536),)), "tlvs"),
        (SubmitSm(tlvs=((0x10000, b""),)), "tlvs"),
        (SubmitSm(tlvs=((1, b"x" * 40_000), (2, b"x" * 30_000))), "tlvs"),
        (SubmitSmResp("1" * 65), "message_id"),
        (SubmitSmResp("1\0"), "message_id"),
        (SubmitSmResp(sequence=-1), "sequence"),
        (SubmitSmResp(status=1 << 32), "status"),
        (Bind(Command.BIND_TRANSCEIVER, "1" * 16), "system_id"),
        (Bind(Command.SUBMIT_SM), "command"),
        (BindResp(Command.BIND_TRANSCEIVER), "command"),
    ],
)
def test_what_does_not_fit_the_wire_is_an_error_that_names_the_field(pdu: Pdu, field: str) -> None:
    with pytest.raises(FieldError, match=f"^{field}: ") as caught:
        encode(pdu)
    assert caught.value.field == field


def test_the_longest_message_payload_there_can_be_fits() -> None:
    pdu = SubmitSm(source="1" * 20, destination="1" * 20, tlvs=((Tag.MESSAGE_PAYLOAD, b"x" * 65_535),))
    assert decode(encode(pdu)) == pdu


# -- the text


def test_the_text_is_in_message_payload_where_there_is_one() -> None:
    both = DeliverSm(short_message=b"short", tlvs=((0x1403, b"?"), (Tag.MESSAGE_PAYLOAD, b"long")))
    assert payload(both) == b"long"
    assert payload(DeliverSm(short_message=b"short")) == b"short"
    assert payload(DataSm(tlvs=((Tag.MESSAGE_PAYLOAD, b""),))) == b""
    assert payload(DataSm()) == b""

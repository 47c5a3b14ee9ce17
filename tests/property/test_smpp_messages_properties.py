"""What holds for every text, however it travels, and for every octet that a carrier could deliver."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from heliograph.carriers.interface import Inbound, Receipt, Submit
from heliograph.carriers.settings import SmppSettings
from heliograph.carriers.smpp.ids import Ids
from heliograph.carriers.smpp.messages import Writer
from heliograph.carriers.smpp.pdu import DataSm, DeliverSm, SubmitSm, Tag, decode, encode, payload
from heliograph.carriers.smpp.receipts import Reader, UnreadableError
from heliograph.messaging import text as texts
from heliograph.messaging.submissions import Request, Submission
from heliograph.messaging.text import ALPHABET, Encoding, compose

FORMS = ("udh8", "udh16", "sar", "payload")
ALPHABETS = ("gsm", "gsm_packed", "latin1")


def repeated(some: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Long texts too, which hypothesis seldom finds by itself: a short one, many times over."""
    return st.builds(lambda text, times: (text * times)[:1_000], some, st.integers(1, 200))


# A carriage return at the end of packed septets may be their filling.
gsm_texts = repeated(st.text(st.sampled_from(sorted(ALPHABET - {"\r"})) | st.sampled_from("€[]a@"), min_size=1))
latin1_texts = repeated(st.text(st.sampled_from("abc[]{}|~^\\ñÑäöü@£ "), min_size=1))
ucs2_texts = repeated(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r") | st.just("😀"), min_size=1)
)
all_texts = gsm_texts | latin1_texts | ucs2_texts
ids = st.integers(min_value=0, max_value=(1 << 63) - 1)
form_of = st.sampled_from(FORMS)
alphabet_of = st.sampled_from(ALPHABETS)


def sent(text: str, id_: int, form: Any, alphabet: Any) -> list[SubmitSm]:
    """What goes over the wire."""
    settings = SmppSettings(host="x", system_id="us", long_messages=form, data_coding_0=alphabet)
    writer = Writer(settings)
    message = compose(text, 0, max_segments=1_000)
    submission = Submission(id_, Request(1, 1, 1, "96000", message, 1, 1 << 50), "56912345678", 1, 1, 0, 0, id_)
    bodies = writer.bodies(message) if message.segments > 1 else [message.body]
    pdus = [
        decode(encode(writer.write(Submit(submission, part, body, len(bodies)), 1)))
        for part, body in enumerate(bodies, 1)
    ]
    assert all(isinstance(pdu, SubmitSm) for pdu in pdus)
    return pdus  # type: ignore[return-value]


def read_part(pdu: SubmitSm, alphabet: str) -> tuple[tuple[int, int, int], str, int]:
    """Reference, count and number of a part, its text, and what it takes of the 140 octets."""
    octets, header, of = payload(pdu), 0, (0, 1, 1)
    tlvs = dict(pdu.tlvs)
    if pdu.esm_class & 0x40:
        header = 1 + octets[0]
        element, wide = octets[1:header], octets[1] == 0x08
        assert element[:2] == (b"\x08\x04" if wide else b"\x00\x03")
        of = (int.from_bytes(element[2:-2], "big"), element[-2], element[-1])
    elif Tag.SAR_MSG_REF_NUM in tlvs:
        of = (int.from_bytes(tlvs[Tag.SAR_MSG_REF_NUM], "big"), tlvs[0x020E][0], tlvs[0x020F][0])
    body = octets[header:]
    if pdu.data_coding == 8:
        return of, body.decode("utf-16-be"), header + len(body)  # half a surrogate pair fails
    if alphabet == "latin1":
        text = body.decode("latin-1")
        return of, text, header + (7 * len(texts.encode(text, Encoding.GSM7)) + 7) // 8
    if alphabet == "gsm_packed":
        return of, texts.decode(texts.unpack(body, -8 * header % 7), Encoding.GSM7), len(octets)
    assert not body.endswith(b"\x1b"), "a pair is cut"
    return of, texts.decode(body, Encoding.GSM7), header + (7 * len(body) + 7) // 8


@given(all_texts, ids, form_of, alphabet_of)
def test_parts_put_together_are_the_text_in_every_form(text: str, id_: int, form: str, alphabet: str) -> None:
    pdus = sent(text, id_, form, alphabet)
    parts = [read_part(pdu, alphabet) for pdu in pdus]
    assert "".join(part for _, part, _ in parts) == text
    assert [number for (_, _, number), _, _ in parts] == list(range(1, len(pdus) + 1))
    assert {count for (_, count, _), _, _ in parts} == {len(pdus)}
    assert len({reference for (reference, _, _), _, _ in parts}) == 1
    for pdu, (_, part, octets) in zip(pdus, parts, strict=True):
        if Tag.MESSAGE_PAYLOAD in dict(pdu.tlvs):
            assert len(pdus) == 1, "whole or in parts"
        else:
            assert octets <= 140
        assert part


@given(gsm_texts | ucs2_texts, ids, st.sampled_from(["udh8", "sar"]), st.sampled_from(["gsm", "gsm_packed"]))
def test_as_many_parts_are_sent_as_are_billed(text: str, id_: int, form: str, alphabet: str) -> None:
    assert len(sent(text, id_, form, alphabet)) == compose(text, 0, max_segments=1_000).segments


@given(all_texts, ids, form_of, alphabet_of)
def test_a_message_sent_again_is_the_same_to_the_octet(text: str, id_: int, form: str, alphabet: str) -> None:
    assert sent(text, id_, form, alphabet) == sent(text, id_, form, alphabet)


@given(st.binary(max_size=200).map(lambda octets: bytes(octet & 0x7F for octet in octets)), st.integers(0, 6))
def test_packed_septets_come_back(septets: bytes, fill_bits: int) -> None:
    packed = texts.pack(septets, fill_bits)
    assert len(packed) == (7 * len(septets) + fill_bits + 7) // 8
    unpacked = texts.unpack(packed, fill_bits)
    ends_with_octet = septets and (7 * len(septets) + fill_bits) % 8 == 0
    assert unpacked == (septets[:-1] if ends_with_octet and septets[-1] == 0x0D else septets)


# -- what carriers deliver

receipt_words = st.sampled_from(
    [
        "id:",
        "stat:",
        "err:",
        "text:",
        "sub:001",
        "submit date:",
        "done date:2611231402",
        "DELIVRD",
        "UNDELIV",
        "7f",
        " ",
    ]
)
bodies = st.binary(max_size=300) | st.lists(receipt_words, max_size=12).map(lambda words: " ".join(words).encode())
tags = st.sampled_from([0x001E, 0x0427, 0x0424, 0x0423, 0x1503, 0x1504, 0x9999])
tlvs = st.lists(st.tuples(tags, st.binary(max_size=70)), max_size=5).map(tuple)
octet = st.integers(0, 255)
addresses = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=20)


@given(
    octet,
    octet,
    bodies,
    tlvs,
    addresses,
    st.sampled_from(["as-is", "resp-hex-dlr-dec", "resp-dec-dlr-hex"]),
    st.sampled_from([(), (0x1503, 0x1504), (0x1503,)]),
    alphabet_of,
    st.booleans(),
)
def test_nothing_delivered_ends_in_another_error_than_unreadable(
    esm_class: int,
    data_coding: int,
    body: bytes,
    tlvs: Any,
    address: str,
    form: Any,
    network: Any,
    alphabet: Any,
    is_data: bool,
) -> None:
    settings = SmppSettings(host="x", system_id="us", message_ids=form, network_tlvs=network, data_coding_0=alphabet)
    fields: dict[str, Any] = {"esm_class": esm_class, "data_coding": data_coding, "source": address}
    if is_data:
        pdu: DataSm | DeliverSm = DataSm(**fields, tlvs=((0x0424, body), *tlvs))
    else:
        pdu = DeliverSm(**fields, short_message=body[:254], tlvs=tlvs)
    try:
        told = Reader(settings, Ids(form)).read(pdu)
    except UnreadableError:
        return
    if isinstance(told, Receipt):
        assert told.ref
        assert told.network == "" or (told.network.isdigit() and 5 <= len(told.network) <= 6)
    else:
        assert isinstance(told, Inbound)
        told.text.encode()  # no half of a surrogate pair
        assert "\0" not in told.text


dates = st.sampled_from(["2611231401", "261123140159", "0000000000", "000000000000", ""])


@given(
    st.from_regex(r"[1-9A-Za-z][0-9A-Za-z_-]{0,30}", fullmatch=True),
    st.sampled_from([("DELIVRD", 2), ("UNDELIV", 5), ("EXPIRED", 3), ("REJECTED", 8), ("REJECTD", 8), ("UNKNOWN", 7)]),
    st.sampled_from(["", "00B", "011", "FF"]),
    st.sampled_from(["submit date:", "submitdate:"]),
    dates,
    st.booleans(),
    st.integers(0, 6),
    st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=30),
)
def test_receipts_are_understood_in_every_odd_form(
    id_: str, state: tuple[str, int], error: str, submit: str, date: str, counts: bool, zeros: int, text: str
) -> None:
    fields = [f"id:{'0' * zeros}{id_}", *(["sub:001 dlvrd:001"] if counts else []), f"{submit}{date}"]
    fields += [f"done date:{date}", f"stat:{state[0]}", f"err:{error}", f"text:{text}"]
    pdu = DeliverSm(esm_class=4, short_message=" ".join(fields).encode("latin-1")[:254])
    told = Reader(SmppSettings(host="x", system_id="us"), Ids("as-is")).read(pdu)
    assert isinstance(told, Receipt)
    assert (told.ref, told.state, told.error) == (id_, state[1], "" if state[0] == "DELIVRD" else error)

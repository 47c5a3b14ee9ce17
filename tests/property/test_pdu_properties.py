"""What must hold of the SMPP codec whatever the fields, whatever the octets, and however they are cut."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from heliograph.carriers.smpp import pdu as codec
from heliograph.carriers.smpp.pdu import (
    MAX_LENGTH,
    RESPONSE,
    Bind,
    BindResp,
    Command,
    FieldError,
    Framer,
    FramingError,
    Pdu,
    PduError,
    Response,
    Status,
    SubmitSm,
    SubmitSmResp,
    decode,
    encode,
)
from heliograph.carriers.smpp.structs import LAYOUTS, STRUCTS, Counted, CString, Kind

MANY = settings(max_examples=500, deadline=None)
LATIN_1 = st.characters(min_codepoint=1, max_codepoint=255)
TLVS = st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=40)), max_size=4).map(tuple)
UINT32 = st.integers(0, 0xFFFFFFFF)


def values(kind: Kind) -> st.SearchStrategy[Any]:
    """What a field of this kind can hold."""
    match kind:
        case CString(size):
            return st.text(LATIN_1, max_size=size - 1)
        case Counted():
            return st.binary(max_size=255)
    return st.integers(0, 255)


@st.composite
def pdus(draw: st.DrawFn) -> Pdu:
    """Any PDU that can be written."""
    command, kind = draw(st.sampled_from(sorted(STRUCTS.items())))
    fields: dict[str, Any] = {name: draw(values(field)) for name, field in LAYOUTS[kind]}
    if kind in (Bind, BindResp):
        fields["command"] = command
    if issubclass(kind, Response):
        fields["status"] = draw(st.sampled_from([0, 0, *Status]) | UINT32)
    return kind(sequence=draw(UINT32), tlvs=draw(TLVS), **fields)


@st.composite
def nearly(draw: st.DrawFn) -> bytes:
    """A frame with some of its octets changed, cut out or put in, its length set right again."""
    frame = bytearray(encode(draw(pdus())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(4, len(frame)))
        frame[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    frame = frame.ljust(16, b"\0")
    return len(frame).to_bytes(4, "big") + bytes(frame[4:])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A frame of some command around any octets."""
    body = draw(st.binary(max_size=80) | st.lists(st.sampled_from([b"\0", b"\1", b"5", b"\xff"])).map(b"".join))
    command = draw(st.sampled_from(sorted(STRUCTS)) | UINT32)
    return codec._HEADER.pack(16 + len(body), command, draw(st.sampled_from([0, 8]) | UINT32), draw(UINT32)) + body


class Refusal(NamedTuple):
    """What a `PduError` says."""

    status: int
    command_id: int
    sequence: int
    detail: str


def read(frame: bytes) -> Pdu | Refusal:
    """Nothing but PduError may be raised."""
    try:
        return decode(frame)
    except PduError as error:
        return Refusal(error.status, error.command_id, error.sequence, error.detail)


def read_generally(frame: bytes) -> Pdu | Refusal:
    """Without the short cuts."""
    try:
        return codec._decode(frame, *codec._HEADER.unpack_from(frame)[1:])
    except PduError as error:
        return Refusal(error.status, error.command_id, error.sequence, error.detail)


def framed(pieces: list[bytes]) -> tuple[list[bytes], str]:
    """The frames found in `pieces`, and what ended it."""
    framer, frames = Framer(), list[bytes]()
    for piece in pieces:
        try:
            frames += framer.feed(piece)
        except FramingError as error:
            return frames + error.frames, str(error)
        assert len(framer._held) < MAX_LENGTH
    return frames, ""


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces, some of them perhaps empty."""
    return [
        data[start:end] for start, end in pairwise([0, *sorted(place % (len(data) + 1) for place in places), len(data)])
    ]


@settings(deadline=None)
@given(pdus())
@example(SubmitSmResp(status=8, tlvs=((0, b""),)))  # its body is octets of 0, and no body to leave out
def test_what_is_written_is_read_back(pdu: Pdu) -> None:
    frame = encode(pdu)
    again = decode(frame)
    assert again == pdu
    assert type(again) is type(pdu)
    assert int.from_bytes(frame[:4], "big") == len(frame)
    assert bool(frame[4] & 0x80) == isinstance(pdu, Response) == bool(int.from_bytes(frame[4:8], "big") & RESPONSE)


@settings(deadline=None)
@given(pdus())
def test_the_short_cuts_write_and_read_what_the_general_way_does(pdu: Pdu) -> None:
    frame = encode(pdu)
    assert codec._encode(pdu) == frame
    assert codec._decode(frame, *codec._HEADER.unpack_from(frame)[1:]) == pdu


@MANY
@given(nearly() | bodies())
@example(codec._HEADER.pack(20, Command.QUERY_SM_RESP, 8, 1) + bytes(4))
def test_what_can_be_read_can_be_written_and_reads_the_same(frame: bytes) -> None:
    pdu = read(frame)
    if isinstance(pdu, Refusal):
        assert pdu.status != Status.ESME_ROK
        assert pdu.detail
        return
    written = encode(pdu)
    assert decode(written) == pdu
    assert encode(decode(written)) == written
    # A PDU has one form, but that a response may leave out a body that says nothing, and a request has no status.
    if isinstance(pdu, Response):
        assert written == frame or not any(written[16:] + frame[16:])
    else:
        assert written == frame[:8] + bytes(4) + frame[12:]


@MANY
@given(nearly() | bodies())
def test_the_short_cuts_refuse_what_the_general_way_refuses(frame: bytes) -> None:
    assert read(frame) == read_generally(frame)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused_by_name(data: bytes) -> None:
    for frame in [data, *framed([data])[0]]:
        assert isinstance(read(frame), Pdu | Refusal)


@settings(deadline=None)
@given(pdus(), st.data())
def test_a_frame_cut_short_is_never_taken_for_a_whole_one(pdu: Pdu, data: st.DataObject) -> None:
    frame = encode(pdu)
    assert isinstance(read(frame[: data.draw(st.integers(0, len(frame) - 1))]), Refusal)
    assert isinstance(read(frame + data.draw(st.binary(min_size=1, max_size=4))), Refusal)


@settings(deadline=None)
@given(
    st.integers(0, 15) | st.integers(MAX_LENGTH + 1, 0xFFFFFFFF), st.lists(pdus(), max_size=3), st.binary(max_size=40)
)
def test_a_length_that_cannot_be_ends_the_stream_and_loses_nothing_before_it(
    length: int, before: list[Pdu], after: bytes
) -> None:
    whole = [encode(pdu) for pdu in before]
    frames, error = framed([b"".join(whole) + length.to_bytes(4, "big") + after])
    assert frames == whole
    assert str(length) in error


@settings(deadline=None)
@given(st.lists(pdus().map(encode) | nearly(), max_size=6), st.binary(max_size=20), st.lists(st.integers(0, 5000)))
def test_frames_are_the_same_however_the_octets_are_cut(frames: list[bytes], rest: bytes, places: list[int]) -> None:
    stream = b"".join(frames) + rest
    assert framed(cut(stream, places)) == framed([stream])
    assert framed([stream])[0][: len(frames)] == frames


@settings(max_examples=20, deadline=None)
@given(st.integers(16, MAX_LENGTH), st.integers(500, 9000))
def test_a_frame_of_any_length_is_held_until_it_is_whole_and_no_longer(length: int, size: int) -> None:
    frame = codec._HEADER.pack(length, 5, 0, 1) + bytes(length - 16)
    assert framed([frame[at : at + size] for at in range(0, length, size)]) == ([frame], "")
    framer = Framer()
    assert framer.feed(frame * 3) == [frame] * 3
    assert framer._held == b""


@settings(deadline=None)
@given(
    st.builds(
        SubmitSm,
        service_type=st.text(max_size=8),
        source=st.text(max_size=25),
        destination=st.text(LATIN_1, max_size=25),
        esm_class=st.integers(-2, 300),
        data_coding=st.integers(-2, 300),
        validity=st.text(LATIN_1, max_size=20),
        short_message=st.binary(max_size=300),
        sequence=st.integers(-1, 1 << 33),
        tlvs=st.lists(st.tuples(st.integers(-1, 0x10001), st.binary(max_size=5)), max_size=2).map(tuple),
    )
)
def test_fields_that_do_not_fit_are_an_error_and_never_other_octets(pdu: SubmitSm) -> None:
    try:
        frame = encode(pdu)
    except FieldError as error:
        named = error.field
    else:
        named = ""
        assert decode(frame) == pdu
    assert named in ("", *SubmitSm.__struct_fields__)

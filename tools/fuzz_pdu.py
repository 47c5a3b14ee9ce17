"""Feed the SMPP code with bytes that a coverage-guided fuzzer (atheris, libFuzzer) makes up from what they reach.

    tools/fuzz_pdu.py [CORPUS] [libFuzzer's options, as -max_total_time=600]

CONTRIBUTING.md has the command that brings atheris with it. CORPUS is where inputs worth keeping are kept, `.dev/fuzz`
by default; seeds are put there first. The first octet of an input says what it is for, the second how the rest is cut:

    frames    any bytes, to the framer; its frames, to the decoder
    body      the body of a frame whose header is right
    esme      what an SMSC says to our session, before and after the bind
    smsc      what an ESME says to it
    receipt   the text of a delivery receipt, or of a message

Nothing may be raised but what the modules name. What can be read can be written, and reads the same; the short cuts of
the codec agree with the general way; the framer finds the same frames however the bytes are cut, and holds less than
one; a session ends each of its requests once, and answers no more than it is asked.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

with atheris.instrument_imports(include=["heliograph.carriers.smpp"]):
    from heliograph.carriers.settings import SmppSettings
    from heliograph.carriers.smpp import pdu as codec
    from heliograph.carriers.smpp.ids import Ids
    from heliograph.carriers.smpp.pdu import (
        HEADER_LENGTH,
        MAX_LENGTH,
        RESPONSE,
        Bind,
        BindResp,
        Command,
        DataSm,
        DeliverSm,
        Framer,
        FramingError,
        Pdu,
        PduError,
        Request,
        SubmitSm,
        SubmitSmResp,
        Tag,
        decode,
        encode,
    )
    from heliograph.carriers.smpp.receipts import Reader, UnreadableError
    from heliograph.carriers.smpp.session import Answer, Closed, Event, Received, Role, Session, Unanswered

COMMANDS = [*Command, 0, 0x7FFFFFFF]
READER = Reader(SmppSettings(host="localhost", system_id="fuzz"), Ids("as-is"))


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    """`data` in pieces of `size` octets; 0 is one piece."""
    for at in range(0, len(data), size or len(data) or 1):
        yield data[at : at + (size or len(data))]


def framed(pieces: Iterator[bytes]) -> tuple[list[bytes], str]:
    """The frames, and what went wrong in the end."""
    framer, frames = Framer(), list[bytes]()
    for piece in pieces:
        try:
            frames += framer.feed(piece)
        except FramingError as error:
            return frames + error.frames, str(error)
        assert len(framer._held) < MAX_LENGTH
    return frames, ""


def decoded(frame: bytes) -> Pdu | None:
    """What `frame` says, when it says anything."""
    try:
        pdu = decode(frame)
    except PduError:
        return None
    again = encode(pdu)
    assert decode(again) == pdu, "decode∘encode is no identity"
    assert encode(decode(again)) == again, "what we write is not canonical"
    assert codec._encode(pdu) == again, "the short cut writes otherwise"
    assert codec._decode(frame, *codec._HEADER.unpack_from(frame)[1:]) == pdu, "the short cut reads otherwise"
    if isinstance(pdu, DeliverSm | DataSm):
        read(pdu)
    return pdu


def read(pdu: DeliverSm | DataSm) -> None:
    """As a receipt or a message."""
    try:
        READER.read(pdu)
    except UnreadableError:
        pass


def fuzz_frames(cut: int, data: bytes) -> None:
    """Any bytes."""
    whole, cutted = framed(chunks(data, 0)), framed(chunks(data, cut))
    assert whole == cutted, "frames depend on how the bytes are cut"
    for frame in whole[0]:
        decoded(frame)


def fuzz_body(cut: int, data: bytes) -> None:
    """A body with the right header; the second octet chooses the command, the third the status."""
    status, body = data[:1], data[1:]
    command = COMMANDS[cut % len(COMMANDS)]
    header = codec._HEADER.pack(HEADER_LENGTH + len(body), command, int.from_bytes(status, "big"), 7)
    decoded(header + body)


def talk(session: Session, cut: int, data: bytes, tokens: set[object]) -> None:
    """All of the session from here to its end; `tokens` are those of the requests it has out."""
    now, events = 1.0, list[Event]()
    session.outgoing()
    for piece in chunks(data, cut):
        now += 0.001
        got = session.receive(piece, now)
        for event in got:
            if isinstance(event, Received) and isinstance(event.pdu, Bind):
                command = Command(event.pdu.command | RESPONSE)
                session.respond(BindResp(command, "us", sequence=event.pdu.sequence, status=cut & 0x0D))
        events += got
        if len(events) % 3 == 0:
            events += session.tick(now)
    assert len(session.outgoing()) <= len(data) + 4 * HEADER_LENGTH, "more answers than questions"
    session.next_tick()
    events += session.tick(now + 1000)
    events += session.lost("the end")
    assert session.receive(data, now + 1001) == [], "a session that is over speaks"
    ended = [event.token for event in events if isinstance(event, Answer | Unanswered)]
    assert len(ended) == len(set(ended)), "a request that ended twice"
    assert set(ended) == tokens, "a request that did not end"
    assert sum(type(event) is Closed for event in events) == 1, "not closed once"


def fuzz_esme(cut: int, data: bytes) -> None:
    """What an SMSC says: after the bind and with four messages out, when the cut is even; else to the bind itself."""
    session = Session(Role.ESME, window=4, now=0.0)
    session.request(Bind(Command.BIND_TRANSCEIVER, "us"), now=0.0)
    tokens: set[object] = set()
    if cut % 2 == 0:
        session.receive(encode(BindResp(Command.BIND_TRANSCEIVER_RESP, "them", sequence=1)), 0.5)
        session.submit([(SubmitSm(destination="569"), token) for token in range(4)], 0.6)
        tokens = set(range(4))
    talk(session, cut, data, tokens)


def fuzz_smsc(cut: int, data: bytes) -> None:
    """What an ESME says: after the bind and with a deliver_sm out, when the cut is even; else from the start."""
    session = Session(Role.SMSC, window=4, now=0.0)
    tokens: set[object] = set()
    if cut % 2 == 0:
        session.receive(encode(Bind(Command.BIND_TRANSCEIVER, "them", sequence=1)), 0.1)
        session.respond(BindResp(Command.BIND_TRANSCEIVER_RESP, "us", sequence=1))
        session.submit([(DeliverSm(source="569"), "receipt")], 0.6)
        tokens = {"receipt"}
    talk(session, cut, data, tokens)


def fuzz_receipt(cut: int, data: bytes) -> None:
    """The third octet is the data_coding; every second text is a receipt, every third comes as message_payload."""
    coding, text = int.from_bytes(data[:1], "big"), data[1:]
    esm_class = (0x04 if cut % 2 else 0x00) | (cut & 0x40)
    if cut % 3:
        read(DeliverSm(esm_class=esm_class, data_coding=coding, short_message=text[:255]))
    else:
        read(DataSm(esm_class=esm_class, data_coding=coding, tlvs=((Tag.MESSAGE_PAYLOAD, text),)))


TARGETS = [fuzz_frames, fuzz_body, fuzz_esme, fuzz_smsc, fuzz_receipt]


def fuzz(data: bytes) -> None:
    """One input."""
    if len(data) >= 2:
        TARGETS[data[0] % len(TARGETS)](data[1], data[2:])


RECEIPT = (
    b"id:0123456789 sub:001 dlvrd:001 submit date:2611231200 done date:2611231201 stat:DELIVRD err:000 text:Hello id:7"
)
SEEDS: list[Request] = [
    Bind(Command.BIND_TRANSCEIVER, "us", "secret", "type", address_range="^56", sequence=1),
    SubmitSm(
        "", 5, 0, "Heliograph", 1, 1, "56912345678", validity="000000010000000R", short_message=b"Hello", sequence=2
    ),
    DeliverSm(
        source="56912345678", esm_class=4, short_message=RECEIPT, sequence=3, tlvs=((0x1E, b"7\0"), (0x427, b"\2"))
    ),
    DataSm(source="569", esm_class=4, sequence=4, tlvs=((0x424, RECEIPT), (0x1503, b"730"), (0x1504, b"01"))),
    SubmitSm("5" * 5, 1, 1, "2" * 20, 1, 1, "2" * 20, 0, 0, 0, "1" * 16, "1" * 16, sequence=2),  # all at their limits
    codec.QuerySm("0123456789", 1, 1, "569", sequence=5),
    codec.CancelSm("", "0123456789", 1, 1, "569", 1, 1, "570", sequence=6),
    codec.EnquireLink(sequence=7),
    codec.Unbind(sequence=8),
]
ANSWERS: list[Pdu] = [
    BindResp(Command.BIND_TRANSCEIVER_RESP, "them", sequence=1, tlvs=((0x210, b"\x34"),)),
    SubmitSmResp("0123456789ABCDEF", sequence=2),
    SubmitSmResp("6" * 64, sequence=2),
    SubmitSmResp(sequence=3, status=0x58),
    SubmitSmResp(sequence=4, status=0x08, tlvs=((0, b""),)),
    codec.DeliverSmResp(sequence=1),
    codec.DataSmResp("1", sequence=4),
    codec.QuerySmResp("0123456789", "2611231201000000", 2, 0, sequence=5),
    codec.CancelSmResp(sequence=6),
    codec.EnquireLinkResp(sequence=7),
    codec.UnbindResp(sequence=8),
    codec.GenericNack(sequence=4, status=3),
]


def write_seeds(corpus: Path) -> None:
    """Inputs to begin with: every PDU, alone and in a row, for each of the targets."""
    corpus.mkdir(parents=True, exist_ok=True)
    frames = [encode(pdu) for pdu in [*SEEDS, *ANSWERS]]
    heads = [bytes((target, cut)) for target in (0, 2, 3) for cut in (0, 7)]
    inputs = [head + frame for frame in [*frames, b"".join(frames)] for head in heads]
    for frame in frames:
        command = int.from_bytes(frame[4:8], "big")
        inputs += [bytes((1, COMMANDS.index(command), status)) + frame[HEADER_LENGTH:] for status in (0, 8)]
    inputs += [bytes((4, cut, 0)) + RECEIPT for cut in (0, 1, 3, 0x44)]
    for number, octets in enumerate(inputs):
        (corpus / f"seed-{number:03}").write_bytes(octets)


def main() -> None:
    """See the module's docstring."""
    options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
    paths = [argument for argument in sys.argv[1:] if not argument.startswith("-")] or [".dev/fuzz"]
    if not Path(paths[0]).is_file():  # a file is one input to run again
        write_seeds(Path(paths[0]))
    atheris.Setup([sys.argv[0], "-max_len=2048", "-rss_limit_mb=1024", *options, *paths], fuzz)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

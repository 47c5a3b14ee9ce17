"""What a submit_sm says, and what is said in a deliver_sm. Nothing here knows a socket or a clock."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from heliograph.carriers.smpp.pdu import ESM_RECEIPT, ESM_UDHI, DeliverSm, SubmitSm, Tag, payload
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.text import Encoding, compose, decode, encode, split

_SAR = (Tag.SAR_MSG_REF_NUM, Tag.SAR_SEGMENT_SEQNUM, Tag.SAR_TOTAL_SEGMENTS)  # SMPP 3.4 §5.3.2.22 to §5.3.2.24
_RECEIPTED_ID, _STATE = int(Tag.RECEIPTED_MESSAGE_ID), int(Tag.MESSAGE_STATE)
_MAX_PARTS = 255

# SMPP 3.4 appendix B; SCHEDULED and SKIPPED as SMPP 5.0 and the field write them.
_WORDS = {
    ReceiptState.SCHEDULED: "SCHEDULED",
    ReceiptState.ENROUTE: "ENROUTE",
    ReceiptState.DELIVERED: "DELIVRD",
    ReceiptState.EXPIRED: "EXPIRED",
    ReceiptState.DELETED: "DELETED",
    ReceiptState.UNDELIVERABLE: "UNDELIV",
    ReceiptState.ACCEPTED: "ACCEPTD",
    ReceiptState.UNKNOWN: "UNKNOWN",
    ReceiptState.REJECTED: "REJECTD",
    ReceiptState.SKIPPED: "SKIPPED",
}


class Part(msgspec.Struct, frozen=True):
    """A submit_sm read: which part of how many, and its text. `reference` is 0 for a message of one part."""

    reference: int
    part: int
    parts: int
    text: str

    @property
    def hash(self) -> str:
        """What identifies the text in a log that is not to hold it."""
        return hashlib.sha256(self.text.encode(errors="surrogatepass")).hexdigest()[:16]


def read(submit: SubmitSm) -> Part:
    """Never fails: what cannot be read is shown as U+FFFD or left out of the text."""
    octets = payload(submit)
    reference, part, parts = 0, 1, 1
    if submit.esm_class & ESM_UDHI and octets:
        header, octets = octets[1 : 1 + octets[0]], octets[1 + octets[0] :]
        reference, part, parts = _concatenation(header)
    elif submit.tlvs:
        tlvs = dict(submit.tlvs)
        if all(tag in tlvs for tag in _SAR):
            reference, part, parts = [int.from_bytes(tlvs[tag], "big") for tag in _SAR]
    return Part(reference, part, parts, _text(octets, submit.data_coding))


def _concatenation(header: bytes) -> tuple[int, int, int]:
    """Reference, number and count of a part, by its user data header (3GPP TS 23.040 §9.2.3.24.1 and .8)."""
    at = 0
    while at + 2 <= len(header):
        element, length = header[at], header[at + 1]
        value = header[at + 2 : at + 2 + length]
        if element == 0x00 and len(value) == 3:
            return value[0], value[2], value[1]
        if element == 0x08 and len(value) == 4:
            return int.from_bytes(value[:2], "big"), value[3], value[2]
        at += 2 + length
    return 0, 1, 1


def _text(octets: bytes, data_coding: int) -> str:
    """SMPP 3.4 §5.2.19; data_coding 0 is GSM 03.38 here, an octet to each septet."""
    match data_coding:
        case 0:
            return decode(octets, Encoding.GSM7)
        case 8:
            return octets.decode("utf-16-be", "replace")
        case _:
            return octets.decode("latin-1")


def receipt(
    submit: SubmitSm, id_: str, state: ReceiptState, taken: str, done: str, *, text: bool, tlvs: bool
) -> DeliverSm:
    """The delivery receipt of a message, in one form or both (SMPP 3.4 appendix B, §5.2.12). `taken` and `done` are
    written as YYMMDDhhmm.
    """
    body = b""
    if text:
        good = state is ReceiptState.DELIVERED
        begin = payload(submit)[:20] if submit.data_coding == 0 and not submit.esm_class & ESM_UDHI else b""
        body = (
            f"id:{id_} sub:001 dlvrd:00{good:d} submit date:{taken} done date:{done} stat:{_WORDS[state]}"
            f" err:00{not good:d} text:"
        ).encode("latin-1") + begin
    return DeliverSm(
        source_ton=submit.destination_ton,
        source_npi=submit.destination_npi,
        source=submit.destination,
        destination_ton=submit.source_ton,
        destination_npi=submit.source_npi,
        destination=submit.source,
        esm_class=ESM_RECEIPT,
        short_message=body,
        tlvs=((_RECEIPTED_ID, id_.encode() + b"\0"), (_STATE, bytes((state,)))) if tlvs else (),
    )


def is_receipt(deliver: DeliverSm) -> bool:
    """Whether it is one of `receipt`."""
    return bool(deliver.esm_class & ESM_RECEIPT)


def inbound(sender: str, recipient: str, text: str, reference: int) -> Sequence[DeliverSm]:
    """A message that somebody wrote, in as many parts as it needs; `reference` joins them.

    Raises `CallerError` when no message can hold the text.
    """
    whole = compose(text, 0, max_segments=_MAX_PARTS)
    bodies = [encode(body, whole.encoding) for body in split(whole)]
    header = bytes((5, 0, 3, reference & 0xFF, len(bodies)))
    return [
        DeliverSm(
            source_ton=1,
            source_npi=1,
            source=sender,
            destination=recipient,
            esm_class=ESM_UDHI if len(bodies) > 1 else 0,
            data_coding=int(whole.encoding),
            short_message=(header + bytes((number,)) + body) if len(bodies) > 1 else body,
        )
        for number, body in enumerate(bodies, 1)
    ]

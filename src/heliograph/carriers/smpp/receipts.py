"""What a deliver_sm or data_sm says: a delivery receipt, or a message that somebody wrote. No I/O and no clock.

A receipt's text is the carrier's own (SMPP 3.4 appendix B is an example, and no two carriers follow it alike), so it is
read for what is needed, and the TLVs come first. Its dates carry no zone: nobody reads them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from heliograph.carriers.interface import Inbound, Receipt
from heliograph.carriers.settings import SmppSettings
from heliograph.carriers.smpp.ids import Ids
from heliograph.carriers.smpp.pdu import ESM_RECEIPT, ESM_TYPE, ESM_UDHI, DataSm, DeliverSm, Tag, payload
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.text import Encoding, decode, unpack

_RECEIPTS = (ESM_RECEIPT, 0x20)  # esm_class: a receipt, or an intermediate notification (SMPP 3.4 §5.2.12)
# Reading a member of the class costs 0.1 µs in Python 3.11.
_DELIVERED = ReceiptState.DELIVERED
_ID, _STATE, _NETWORK_ERROR = Tag.RECEIPTED_MESSAGE_ID, Tag.MESSAGE_STATE, Tag.NETWORK_ERROR_CODE
_STATES = {int(state): state for state in ReceiptState}
_BY_OCTET = {bytes((number,)): state for number, state in _STATES.items()}
_WORDS = {
    "SCHEDULED": ReceiptState.SCHEDULED,
    "ENROUTE": ReceiptState.ENROUTE,
    "BUFFRED": ReceiptState.ENROUTE,
    "ACKED": ReceiptState.ENROUTE,
    "ACCEPTD": ReceiptState.ACCEPTED,
    "DELIVRD": ReceiptState.DELIVERED,
    "EXPIRED": ReceiptState.EXPIRED,
    "DELETED": ReceiptState.DELETED,
    "UNDELIV": ReceiptState.UNDELIVERABLE,
    "UNKNOWN": ReceiptState.UNKNOWN,
    "REJECTD": ReceiptState.REJECTED,
    "REJECTED": ReceiptState.REJECTED,
    "SKIPPED": ReceiptState.SKIPPED,
}
# SMPP 3.4 appendix B to the letter, which is quickly read.
_USUAL = re.compile(
    r"id:(\S+) sub:[0-9]+ dlvrd:[0-9]+ submit date:[0-9]+ done date:[0-9]+ stat:([A-Z]+) err:([0-9A-Za-z]+) text:",
    re.ASCII | re.IGNORECASE,
)
_USERS_TEXT = re.compile(r"(?:^|\s)text:", re.IGNORECASE)  # from here on it is the user's
# A field may be empty: then the next one's name follows.
_FIELD = re.compile(
    r"(?:^|\s)(id|stat|err):[ ]*((?!(?:id|sub|dlvrd|submit ?date|done ?date|stat|err):)\S*)", re.IGNORECASE | re.ASCII
)
_NUMBER = re.compile(r"[0-9]+", re.ASCII)


class UnreadableError(ValueError):
    """A deliver_sm or data_sm that says nothing that can be understood; the text says why."""


class _Told(NamedTuple):
    """What a receipt's text has of these fields."""

    id: str = ""
    stat: str = ""
    err: str = ""


class Reader:
    """Reads what one carrier delivers; `ids` are its message ids."""

    def __init__(self, settings: SmppSettings, ids: Ids) -> None:
        self._ids = ids
        self._alphabet = settings.data_coding_0
        self._network_tags = settings.network_tlvs

    def read(self, pdu: DeliverSm | DataSm) -> Receipt | Inbound:
        """Raises `UnreadableError`, and nothing else."""
        tlvs = dict(pdu.tlvs)
        if pdu.esm_class & ESM_TYPE in _RECEIPTS or _ID in tlvs:
            return self._receipt(pdu, tlvs)
        # Parts of a long message are messages of their own here.
        text = self._text(pdu).replace("\0", "\ufffd")
        return Inbound(pdu.source.removeprefix("+"), pdu.destination.removeprefix("+"), text)

    def _receipt(self, pdu: DeliverSm | DataSm, tlvs: dict[int, bytes]) -> Receipt:
        id_ = tlvs.get(_ID, b"").split(b"\0", 1)[0].decode("latin-1").strip()
        state = _BY_OCTET.get(tlvs.get(_STATE, b""))
        error = ""
        if not (id_ and state is _DELIVERED):
            told = _told(pdu)
            id_ = id_ or told.id
            if not id_:
                raise UnreadableError("a receipt without a message id")
            state = _WORDS.get(told.stat.upper()) if state is None else state
            if state is None:
                raise UnreadableError(f"a receipt for {id_[:65]!r} without a state that is known: {told.stat[:20]!r}")
            if state is not _DELIVERED:
                error = _error(told.err, tlvs)
        return Receipt(self._ids.of_receipt(id_), state, self._network(tlvs) if self._network_tags else "", error)

    def _network(self, tlvs: dict[int, bytes]) -> str:
        """MCC and MNC, from one vendor TLV or from one each."""
        values = [tlvs.get(tag, b"") for tag in self._network_tags[:2]]
        if len(values) == 2:
            mcc, mnc = (_digits(value) for value in values)
            return _network(mcc.zfill(3), mnc.zfill(2)) if mcc and mnc else ""
        both = "".join(_NUMBER.findall(values[0].decode("latin-1")))
        return _network(both[:3], both[3:])

    def _text(self, pdu: DeliverSm | DataSm) -> str:
        """The text of a message, by its data_coding (SMPP 3.4 §5.2.19)."""
        octets, data_coding = _without_header(pdu), pdu.data_coding
        if data_coding & 0xF4 == 0xF0:  # a message class and the GSM alphabet (3GPP TS 23.038 §4)
            data_coding = 0
        match data_coding:
            case 8:
                return decode(octets, Encoding.UCS2)
            case 1 | 3:
                return octets.decode("latin-1")
            case 0 if self._alphabet == "latin1":
                return octets.decode("latin-1")
            case 0 if self._alphabet == "gsm_packed":
                header_octets = len(payload(pdu)) - len(octets)
                return decode(unpack(octets, -8 * header_octets % 7), Encoding.GSM7)
            case 0:
                return decode(octets, Encoding.GSM7)
            case _:
                raise UnreadableError(f"a message in data_coding 0x{data_coding:02X}, which is no text known here")


def state_of(message_state: int) -> ReceiptState | None:
    """The message_state of a query_sm_resp (SMPP 3.4 §5.2.28); None for one that nobody knows."""
    return _STATES.get(message_state)


def _without_header(pdu: DeliverSm | DataSm) -> bytes:
    octets = payload(pdu)
    if pdu.esm_class & ESM_UDHI and octets:
        return octets[1 + octets[0] :]
    return octets


def _told(pdu: DeliverSm | DataSm) -> _Told:
    """The fields of a receipt's text, the first of each name."""
    body = _without_header(pdu)
    text = decode(body, Encoding.UCS2) if pdu.data_coding == 8 else body.decode("latin-1")
    if usual := _USUAL.match(text):
        return _Told(*usual.groups())
    if users := _USERS_TEXT.search(text):
        text = text[: users.start()]
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(text.replace("\0", " ")):
        fields.setdefault(name.lower(), value)
    return _Told(**fields)


def _error(err: str, tlvs: dict[int, bytes]) -> str:
    """The carrier's own code, as it wrote it, or that of the network (SMPP 3.4 §5.3.2.31); zero says nothing."""
    if err.strip("0"):
        return err[:20]
    code = int.from_bytes(tlvs.get(_NETWORK_ERROR, b"")[1:3], "big")
    return str(code) if code else ""


def _digits(value: bytes) -> str:
    """A number as a vendor writes it: in digits, or in one or two octets."""
    text = value.rstrip(b"\0").decode("latin-1").strip()
    if _NUMBER.fullmatch(text):
        return text
    return str(int.from_bytes(value, "big")) if 0 < len(value) <= 2 else ""


def _network(mcc: str, mnc: str) -> str:
    """Digits of a network, or "" when they are none: three and two or three (ITU-T E.212)."""
    return mcc + mnc if len(mcc) == 3 and len(mnc) in (2, 3) else ""

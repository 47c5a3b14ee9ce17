"""How a part of a message is written as a submit_sm, by a carrier's settings. No I/O and no clock.

A long message travels in one of four forms: parts with a concatenation header in front of the text (3GPP TS 23.040
§9.2.3.24.1, its reference in 8 or 16 bits), parts numbered by the sar_* TLVs (SMPP 3.4 §5.3.2.22–24), or whole, in
message_payload (SMPP 3.4 §5.3.2.32), for the carrier to cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from heliograph.carriers.interface import Submit
from heliograph.carriers.settings import SmppSettings
from heliograph.carriers.smpp.pdu import ESM_UDHI, QuerySm, SubmitSm, Tag, Tlvs
from heliograph.messaging import senders
from heliograph.messaging.senders import SenderKind
from heliograph.messaging.text import HEADER_OCTETS, LONG_HEADER_OCTETS, Encoding, Text, encode, pack, split

_GSM7, _UCS2 = Encoding.GSM7, Encoding.UCS2
_ALONE_OCTETS = 140  # what a short message holds (3GPP TS 23.040 §9.2.3.24)
_SEPTETS_ALONE = 160
_LONGEST_VALIDITY_SECONDS = 63 * 7 * 86_400  # 3GPP TS 23.040 §9.2.3.12.1
# Texts repeat, so what they come to is kept: a bounded number, each of bounded length, some 8 MB at worst.
_KEPT = 2048
_KEPT_LENGTH = 1024


class NotWritableError(ValueError):
    """A message that has no place in a submit_sm; the text says why."""


class Address(msgspec.Struct, frozen=True, gc=False):
    """An address and its type of number and numbering plan (SMPP 3.4 §5.2.5–8)."""

    ton: int
    npi: int
    digits: str


_NOBODY = Address(0, 0, "")


class _Written(msgspec.Struct, frozen=True, gc=False):
    """A part's text as it goes on the wire, without its header. A long one goes in message_payload."""

    data_coding: int
    octets: bytes
    long: bool


class Writer:
    """Writes the parts of messages for one carrier."""

    def __init__(self, settings: SmppSettings) -> None:
        self._form = settings.long_messages
        self._alphabet = settings.data_coding_0
        self._header_octets = LONG_HEADER_OCTETS if self._form == "udh16" else HEADER_OCTETS
        self._service_type = settings.service_type
        self._registered_delivery = settings.registered_delivery
        self._validity = settings.validity
        self._destination_ton, self._destination_npi = _types_of(settings.destination)
        self._types = {
            SenderKind.ALPHANUMERIC: _types_of(settings.source_alphanumeric),
            SenderKind.INTERNATIONAL: _types_of(settings.source_international),
            SenderKind.SHORT_CODE: _types_of(settings.source_short_code),
        }
        self._sources: dict[str, Address] = {}
        self._parts: dict[tuple[str, int, str, int], _Written] = {}

    def bodies(self, text: Text) -> Sequence[str]:
        """See `Carrier.bodies`."""
        if text.segments == 1 or self._form == "payload":
            return [text.body]
        if text.encoding == _GSM7 and not self._is_gsm(text.body):
            # Where there is no GSM alphabet, Latin-1 has no place for all of it: UCS-2, in as many parts as that needs.
            text = Text(text.body, _UCS2, text.segments)
        return split(text, self._header_octets)

    def write(self, submit: Submit, now_utc_ms: int) -> SubmitSm:
        """The submit_sm of a part, with sequence number 0.

        Raises `NotWritableError`.
        """
        submission = submit.submission
        request = submission.request
        source = self._sources.get(request.sender) or self._source(request.sender)
        parts = submit.parts
        text = request.text
        written = self._parts.get((text.body, text.encoding, submit.body, parts)) or self._written(submit)
        esm_class, short_message = 0, written.octets
        tlvs: Tlvs = ()
        if written.long:
            short_message, tlvs = b"", ((Tag.MESSAGE_PAYLOAD, written.octets),)
        elif parts > 1:
            esm_class, short_message, tlvs = self._numbered(submit, short_message)
        return SubmitSm(
            service_type=self._service_type,
            source_ton=source.ton,
            source_npi=source.npi,
            source=source.digits,
            destination_ton=self._destination_ton,
            destination_npi=self._destination_npi,
            destination=submission.recipient,
            esm_class=esm_class,
            validity=validity_period((request.expires_utc_ms - now_utc_ms) // 1000) if self._validity else "",
            registered_delivery=self._registered_delivery,
            data_coding=written.data_coding,
            short_message=short_message,
            tlvs=tlvs,
        )

    def query(self, message_id: str, sender: str) -> QuerySm:
        """Asks what became of a part; its sender must be that of the submit_sm (SMPP 3.4 §4.8.1).

        Raises `NotWritableError`.
        """
        source = self._sources.get(sender) or self._source(sender) if sender else _NOBODY
        return QuerySm(message_id=message_id, source_ton=source.ton, source_npi=source.npi, source=source.digits)

    def _numbered(self, submit: Submit, octets: bytes) -> tuple[int, bytes, Tlvs]:
        """esm_class, short_message and TLVs of one part of several. All parts have the same reference, in every try."""
        reference = submit.submission.id
        count = bytes((submit.parts, submit.part))
        match self._form:
            case "udh16":
                return ESM_UDHI, b"\x06\x08\x04" + (reference & 0xFFFF).to_bytes(2, "big") + count + octets, ()
            case "sar":
                return 0, octets, sar_tlvs(reference & 0xFFFF, submit.parts, submit.part)
            case _:
                return ESM_UDHI, b"\x05\x00\x03" + bytes((reference & 0xFF,)) + count + octets, ()

    def _source(self, sender: str) -> Address:
        ton, npi = self._types[senders.kind(sender)]
        digits = sender.removeprefix("+")
        if not all(" " <= character <= "\xff" for character in digits):
            raise NotWritableError(f"the sender {sender!r} has a character that no address holds (Latin-1)")
        source = Address(ton, npi, digits)
        _keep(self._sources, sender, source)
        return source

    def _written(self, submit: Submit) -> _Written:
        if submit.parts > 255:
            raise NotWritableError(f"{submit.parts} parts are more than can be numbered (255)")
        text = submit.submission.request.text
        written = self._encoded(text, submit.body, submit.parts)
        if len(text.body) <= _KEPT_LENGTH:
            _keep(self._parts, (text.body, text.encoding, submit.body, submit.parts), written)
        return written

    def _encoded(self, text: Text, body: str, parts: int) -> _Written:
        """One alphabet for all parts: the whole text decides."""
        if text.encoding == _UCS2 or not self._is_gsm(text.body):
            octets = encode(body, _UCS2)
            return _Written(8, octets, parts == 1 and len(octets) > _ALONE_OCTETS)
        septets = encode(body, _GSM7)
        is_long = parts == 1 and len(septets) > _SEPTETS_ALONE
        if self._alphabet == "latin1":
            return _Written(0, body.encode("latin-1"), is_long)
        if self._alphabet == "gsm":
            return _Written(0, septets, is_long)
        has_header = parts > 1 and self._form in ("udh8", "udh16")
        # The text begins with a whole septet after the header (3GPP TS 23.040 §9.2.3.24).
        return _Written(0, pack(septets, -8 * self._header_octets % 7 if has_header else 0), is_long)

    def _is_gsm(self, body: str) -> bool:
        """Whether a text of the GSM alphabet can go with data_coding 0 here."""
        return self._alphabet != "latin1" or _is_latin1(body)


def sar_tlvs(reference: int, parts: int, part: int) -> Tlvs:
    """SMPP 3.4 §5.3.2.22–24."""
    return (
        (Tag.SAR_MSG_REF_NUM, reference.to_bytes(2, "big")),
        (Tag.SAR_TOTAL_SEGMENTS, bytes((parts,))),
        (Tag.SAR_SEGMENT_SEQNUM, bytes((part,))),
    )


@lru_cache(_KEPT)
def validity_period(seconds: int) -> str:
    """A time from now in the relative form, YYMMDDhhmmss000R (SMPP 3.4 §7.1.1.2), a month taken as 30 days and a year
    as 360: at least a second, at most 63 weeks.
    """
    minutes, second = divmod(min(max(seconds, 1), _LONGEST_VALIDITY_SECONDS), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    months, day = divmod(days, 30)
    year, month = divmod(months, 12)
    return f"{year:02}{month:02}{day:02}{hour:02}{minute:02}{second:02}000R"


def _types_of(setting: str) -> tuple[int, int]:
    """TON and NPI, written like 1/1 (SMPP 3.4 §5.2.5, §5.2.6)."""
    ton, npi = setting.split("/")
    return int(ton), int(npi)


def _is_latin1(body: str) -> bool:
    try:
        body.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _keep(kept: dict, key: object, value: object) -> None:  # type: ignore[type-arg]
    """Remember, forgetting everything now and then rather than growing."""
    if len(kept) >= _KEPT:
        kept.clear()
    kept[key] = value

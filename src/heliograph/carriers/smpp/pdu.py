"""The SMPP 3.4 codec: bytes to PDUs and back. No I/O, no state, and all of its names in one place.

Each PDU is a struct whose annotated fields are its mandatory parameters, in the order of the wire: the layout is read
off the struct. One general reader and one general writer serve them all, and say which field is at fault. The PDUs of
the hot path, submit_sm and deliver_sm and their responses, are tried by a short cut first; where anything is unusual
it gives up, and the general way decides.

What goes wrong ends in one of three, all of them `ValueError`:

    FieldError      ours: the PDU cannot be written
    PduError        theirs: one frame cannot be read; the ones after it can
    FramingError    theirs: where the next frame begins is lost, and with it the connection
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from heliograph.carriers.smpp.codes import ESM_RECEIPT, ESM_TYPE, ESM_UDHI, RESPONSE, Command, Status, Tag
from heliograph.carriers.smpp.framing import HEADER_LENGTH, MAX_LENGTH, Framer, FramingError
from heliograph.carriers.smpp.structs import (
    COMMANDS,
    LAYOUTS,
    STRUCTS,
    Bind,
    BindResp,
    CancelSm,
    CancelSmResp,
    Counted,
    CString,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Kind,
    Octet,
    Pdu,
    QuerySm,
    QuerySmResp,
    Request,
    Response,
    SubmitSm,
    SubmitSmResp,
    Tlvs,
    Unbind,
    UnbindResp,
    payload,
)

__all__ = [
    "ESM_RECEIPT",
    "ESM_TYPE",
    "ESM_UDHI",
    "HEADER_LENGTH",
    "MAX_LENGTH",
    "RESPONSE",
    "Bind",
    "BindResp",
    "CancelSm",
    "CancelSmResp",
    "Command",
    "DataSm",
    "DataSmResp",
    "DeliverSm",
    "DeliverSmResp",
    "EnquireLink",
    "EnquireLinkResp",
    "FieldError",
    "Framer",
    "FramingError",
    "GenericNack",
    "Pdu",
    "PduError",
    "QuerySm",
    "QuerySmResp",
    "Request",
    "Response",
    "Status",
    "SubmitSm",
    "SubmitSmResp",
    "Tag",
    "Tlvs",
    "Unbind",
    "UnbindResp",
    "decode",
    "encode",
    "payload",
]


class FieldError(ValueError):
    """A PDU of ours does not fit the wire. `field` names the one at fault."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field


class PduError(ValueError):
    """A frame that cannot be read. `status` is what to answer it with; `command_id` and `sequence` are as its header
    says, 0 where it has none.
    """

    def __init__(self, status: int, command_id: int, sequence: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.command_id = command_id
        self.sequence = sequence
        self.detail = detail


# What to answer where one field is at fault; any other is a length that does not add up.
_AT_FAULT = {
    "service_type": Status.ESME_RINVSERTYP,
    "source": Status.ESME_RINVSRCADR,
    "destination": Status.ESME_RINVDSTADR,
    "schedule": Status.ESME_RINVSCHED,
    "validity": Status.ESME_RINVEXPIRY,
    "short_message": Status.ESME_RINVMSGLEN,
    "message_id": Status.ESME_RINVMSGID,
    "system_id": Status.ESME_RINVSYSID,
    "password": Status.ESME_RINVPASWD,
    "system_type": Status.ESME_RINVSYSTYP,
    "tlvs": Status.ESME_RINVOPTPARSTREAM,
}

# SMPP 3.4 §3.2: command_length, command_id, command_status, sequence_number
_HEADER = struct.Struct(">IIII")
_TLV = struct.Struct(">HH")  # SMPP 3.4 §5.3.1: tag, length


# -- writing


def encode(pdu: Pdu) -> bytes:
    """The whole frame of `pdu`. Raises `FieldError`."""
    quick = _QUICK_WRITERS.get(type(pdu))
    return quick(pdu) or _encode(pdu) if quick is not None else _encode(pdu)


def _encode(pdu: Pdu) -> bytes:
    layout = LAYOUTS[type(pdu)]
    command = pdu.command if isinstance(pdu, Bind | BindResp) else COMMANDS[type(pdu)]
    if STRUCTS.get(command) is not type(pdu):
        raise FieldError("command", f"{command!r} is no command of a {type(pdu).__name__}")
    status = pdu.status if isinstance(pdu, Response) else 0
    parts = [_write_field(name, kind, getattr(pdu, name)) for name, kind in layout]
    parts += [_write_tlv(tag, value) for tag, value in pdu.tlvs]
    body = b"".join(parts)
    if status and not any(body) and not pdu.tlvs:
        body = b""  # SMPP 3.4 §4.1.2, §4.4.2 and others: a response that reports an error has none
    length = HEADER_LENGTH + len(body)
    if length > MAX_LENGTH:
        raise FieldError("tlvs", f"the frame would have {length} octets, the most is {MAX_LENGTH}")
    for name, number in (("status", status), ("sequence", pdu.sequence)):
        if not 0 <= number <= 0xFFFFFFFF:
            raise FieldError(name, f"{number} does not fit 32 bits")
    return _HEADER.pack(length, command, status, pdu.sequence) + body


def _write_field(name: str, kind: Kind, value: Any) -> bytes:
    octets: bytes
    match kind:
        case Octet():
            if not 0 <= value <= 0xFF:
                raise FieldError(name, f"{value} does not fit one octet")
            return bytes((value,))
        case CString(size):
            try:
                octets = value.encode("latin-1")
            except UnicodeEncodeError:
                raise FieldError(name, f"{value!r} has characters beyond Latin-1") from None
            if len(octets) >= size:
                raise FieldError(name, f"{value!r} has {len(octets)} octets, the most is {size - 1}")
            if 0 in octets:
                raise FieldError(name, f"{value!r} has a NUL in it")
            return octets + b"\0"
        case Counted():
            if len(value) > 0xFF:
                raise FieldError(name, f"{len(value)} octets, the most is 255")
            octets = value
            return bytes((len(octets),)) + octets


def _write_tlv(tag: int, value: bytes) -> bytes:
    if not 0 <= tag <= 0xFFFF or len(value) > 0xFFFF:
        raise FieldError("tlvs", f"tag {tag:#06x} with {len(value)} octets does not fit")
    return _TLV.pack(tag, len(value)) + value


# -- reading


def decode(frame: bytes) -> Pdu:
    """The PDU of one whole frame. Raises `PduError`."""
    try:
        length, command_id, status, sequence = _HEADER.unpack_from(frame)
    except struct.error:
        raise PduError(Status.ESME_RINVCMDLEN, 0, 0, f"{len(frame)} octets are no header") from None
    if length != len(frame):
        raise PduError(
            Status.ESME_RINVCMDLEN, command_id, sequence, f"{len(frame)} octets, but command_length says {length}"
        )
    quick = _QUICK_READERS.get(command_id)
    if quick is not None:
        pdu = quick(frame, status, sequence)
        if pdu is not None:
            return pdu
    return _decode(frame, command_id, status, sequence)


def _decode(frame: bytes, command_id: int, status: int, sequence: int) -> Pdu:
    try:
        command = Command(command_id)
        kind = STRUCTS[command]
    except (ValueError, KeyError):
        raise PduError(
            Status.ESME_RINVCMDID, command_id, sequence, f"command {command_id:#010x} is not served"
        ) from None
    own: dict[str, Any] = {"command": command} if kind in (Bind, BindResp) else {}
    own["sequence"] = sequence
    if issubclass(kind, Response):
        own["status"] = status
        if len(frame) == HEADER_LENGTH:
            return kind(**own)  # its fields stay empty; so are those of a deliver_sm_resp from the careless
    at, name = HEADER_LENGTH, "tlvs"
    try:
        for name, field in LAYOUTS[kind]:
            own[name], at = _read_field(frame, at, field)
        name = "tlvs"
        own["tlvs"] = _read_tlvs(frame, at)
    except _Misread as error:
        detail = f"{command.name.lower()}: {name} {error}"
        raise PduError(_AT_FAULT.get(name, Status.ESME_RINVCMDLEN), command_id, sequence, detail) from None
    return kind(**own)


class _Misread(Exception):
    """A field that does not end where it should."""


def _read_field(frame: bytes, at: int, kind: Kind) -> tuple[Any, int]:
    """A field's value, and where the next one begins."""
    if at >= len(frame):
        raise _Misread("is missing")
    match kind:
        case Octet():
            return frame[at], at + 1
        case CString(size):
            end = frame.find(0, at, at + size)
            if end < 0:
                raise _Misread(f"has no NUL within {size} octets")
            return frame[at:end].decode("latin-1"), end + 1
        case Counted():
            end = at + 1 + frame[at]
            if end > len(frame):
                raise _Misread(f"should have {frame[at]} octets, and {len(frame) - at - 1} follow")
            return frame[at + 1 : end], end


def _read_tlvs(frame: bytes, at: int) -> Tlvs:
    found = []
    while at < len(frame):
        if len(frame) - at < _TLV.size:
            raise _Misread(f"end in {len(frame) - at} odd octets")
        tag, size = _TLV.unpack_from(frame, at)
        at += _TLV.size
        if at + size > len(frame):
            raise _Misread(f"say that {tag:#06x} has {size} octets, and {len(frame) - at} follow")
        found.append((tag, frame[at : at + size]))
        at += size
    return tuple(found)


# -- the short cuts: None where the general way is to decide, or to say what is wrong

_QuickWriter: TypeAlias = Callable[[Any], bytes | None]
_QuickReader: TypeAlias = Callable[[bytes, int, int], Pdu | None]

# The mandatory parameters of submit_sm and deliver_sm, sm_length being the last. Written as text, so that an integer
# beyond one octet becomes a character beyond Latin-1.
_MESSAGE = "%s\0%c%c%s\0%c%c%s\0%c%c%c%s\0%s\0%c%c%c%c%c"


def _write_message(command: int, pdu: SubmitSm | DeliverSm) -> bytes | None:
    service_type, source, destination = pdu.service_type, pdu.source, pdu.destination
    schedule, validity, message = pdu.schedule, pdu.validity, pdu.short_message
    if len(service_type) > 5 or len(source) > 20 or len(destination) > 20 or len(schedule) > 16 or len(validity) > 16:
        return None
    if "\0" in f"{service_type}{source}{destination}{schedule}{validity}":
        return None
    # fmt: off
    values = (
        service_type, pdu.source_ton, pdu.source_npi, source, pdu.destination_ton, pdu.destination_npi, destination,
        pdu.esm_class, pdu.protocol_id, pdu.priority, schedule, validity, pdu.registered_delivery,
        pdu.replace_if_present, pdu.data_coding, pdu.default_message_id, len(message),
    )
    # fmt: on
    tlvs = b"".join([_write_tlv(tag, value) for tag, value in pdu.tlvs]) if pdu.tlvs else b""
    try:
        mandatory = (_MESSAGE % values).encode("latin-1")
        length = HEADER_LENGTH + len(mandatory) + len(message) + len(tlvs)
        header = _HEADER.pack(length, command, 0, pdu.sequence)
    except (UnicodeEncodeError, OverflowError, struct.error):
        return None
    return header + mandatory + message + tlvs if length <= MAX_LENGTH else None


def _read_message(kind: type[SubmitSm | DeliverSm], frame: bytes, _status: int, sequence: int) -> Pdu | None:
    text = frame.decode("latin-1")
    try:
        # Where each string ends; every search begins behind the integers between it and the one before.
        service = text.index("\0", HEADER_LENGTH)
        source = text.index("\0", service + 3)
        destination = text.index("\0", source + 3)
        schedule = text.index("\0", destination + 4)
        validity = text.index("\0", schedule + 1)
        registered, replace, coding, default, size = frame[validity + 1 : validity + 6]
    except ValueError:
        return None
    end = validity + 6 + size
    if service > 21 or source - service > 23 or destination - source > 23 or schedule - destination > 20:
        return None
    if validity - schedule > 17 or end > len(frame):
        return None
    try:
        tlvs = _read_tlvs(frame, end) if end < len(frame) else ()
    except _Misread:
        return None
    # fmt: off
    return kind(
        text[HEADER_LENGTH:service],
        frame[service + 1], frame[service + 2], text[service + 3 : source],
        frame[source + 1], frame[source + 2], text[source + 3 : destination],
        frame[destination + 1], frame[destination + 2], frame[destination + 3],
        text[destination + 4 : schedule], text[schedule + 1 : validity],
        registered, replace, coding, default, frame[validity + 6 : end],
        sequence=sequence, tlvs=tlvs,
    )
    # fmt: on


def _write_message_id(command: int, pdu: SubmitSmResp | DeliverSmResp) -> bytes | None:
    message_id = pdu.message_id
    if pdu.status or pdu.tlvs or len(message_id) > 64 or "\0" in message_id or not message_id.isascii():
        return None
    try:
        return _HEADER.pack(HEADER_LENGTH + 1 + len(message_id), command, 0, pdu.sequence) + message_id.encode() + b"\0"
    except struct.error:
        return None


def _read_message_id(kind: type[SubmitSmResp | DeliverSmResp], frame: bytes, status: int, sequence: int) -> Pdu | None:
    last = len(frame) - 1
    if frame.find(0, HEADER_LENGTH) != last or last > HEADER_LENGTH + 64:
        return None
    return kind(frame[HEADER_LENGTH:last].decode("latin-1"), sequence=sequence, status=status)


_QUICK_WRITERS: dict[type[Pdu], _QuickWriter] = {
    SubmitSm: partial(_write_message, int(Command.SUBMIT_SM)),
    DeliverSm: partial(_write_message, int(Command.DELIVER_SM)),
    SubmitSmResp: partial(_write_message_id, int(Command.SUBMIT_SM_RESP)),
    DeliverSmResp: partial(_write_message_id, int(Command.DELIVER_SM_RESP)),
}
_QUICK_READERS: dict[int, _QuickReader] = {
    Command.SUBMIT_SM: partial(_read_message, SubmitSm),
    Command.DELIVER_SM: partial(_read_message, DeliverSm),
    Command.SUBMIT_SM_RESP: partial(_read_message_id, SubmitSmResp),
    Command.DELIVER_SM_RESP: partial(_read_message_id, DeliverSmResp),
}

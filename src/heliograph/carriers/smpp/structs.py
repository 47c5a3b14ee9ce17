"""The PDUs of SMPP 3.4 as structs. Their annotated fields are the mandatory parameters, in the order of the wire: each
struct is the layout of its PDU, which `LAYOUTS` reads off it. Sequence number, status and optional
parameters come last, by keyword.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeAlias, get_args, get_origin, get_type_hints

import msgspec

from heliograph.carriers.smpp.codes import Command, Tag

Tlvs: TypeAlias = tuple[tuple[int, bytes], ...]
"""Optional parameters in the order of the wire, also those that nobody here knows (SMPP 3.4 §5.3)."""


class CString(NamedTuple):
    """A C-octet string of at most `size` octets, its NUL included (SMPP 3.4 §3.1). A str here, by way of Latin-1."""

    size: int


class Octet(NamedTuple):
    """An integer of one octet."""


class Counted(NamedTuple):
    """An octet string after its length in one octet: sm_length and short_message (SMPP 3.4 §5.2.21, §5.2.22)."""


Kind: TypeAlias = CString | Octet | Counted

_Int: TypeAlias = Annotated[int, Octet()]
_Bytes: TypeAlias = Annotated[bytes, Counted()]
_Address: TypeAlias = Annotated[str, CString(21)]  # SMPP 3.4 §5.2.8
_LongAddress: TypeAlias = Annotated[str, CString(65)]  # in data_sm, SMPP 3.4 §4.7.1
_MessageId: TypeAlias = Annotated[str, CString(65)]  # SMPP 3.4 §5.2.23
_ServiceType: TypeAlias = Annotated[str, CString(6)]  # SMPP 3.4 §5.2.11
_SystemId: TypeAlias = Annotated[str, CString(16)]  # SMPP 3.4 §5.2.1
_SystemType: TypeAlias = Annotated[str, CString(13)]  # SMPP 3.4 §5.2.3
_AddressRange: TypeAlias = Annotated[str, CString(41)]  # SMPP 3.4 §5.2.7
_Time: TypeAlias = Annotated[str, CString(17)]  # SMPP 3.4 §7.1.1, or empty
# 9 octets in SMPP 3.4 §5.2.2, but carriers hand out longer ones; whether ours may be longer is a carrier's setting.
_Password: TypeAlias = Annotated[str, CString(65)]


class Request(msgspec.Struct, gc=False, kw_only=True):
    """What every request has. Whoever sends it sets `sequence` last, so structs can be changed."""

    sequence: int = 0
    tlvs: Tlvs = ()


class Response(msgspec.Struct, gc=False, kw_only=True):
    """What every response has. With a `status` other than 0 it may come without a body: its fields are empty then."""

    sequence: int = 0
    status: int = 0
    tlvs: Tlvs = ()


class Bind(Request, gc=False):
    """bind_transmitter, bind_receiver or bind_transceiver, as `command` says (SMPP 3.4 §4.1)."""

    command: Command
    system_id: _SystemId = ""
    password: _Password = ""
    system_type: _SystemType = ""
    interface_version: _Int = 0x34
    addr_ton: _Int = 0
    addr_npi: _Int = 0
    address_range: _AddressRange = ""


class BindResp(Response, gc=False):
    """The answer to a `Bind`, `command` being one of the three responses (SMPP 3.4 §4.1.2)."""

    command: Command
    system_id: _SystemId = ""


class _Message(Request, gc=False):
    """What submit_sm and deliver_sm have in common, which is all of it."""

    service_type: _ServiceType = ""
    source_ton: _Int = 0
    source_npi: _Int = 0
    source: _Address = ""
    destination_ton: _Int = 0
    destination_npi: _Int = 0
    destination: _Address = ""
    esm_class: _Int = 0
    protocol_id: _Int = 0
    priority: _Int = 0
    schedule: _Time = ""
    validity: _Time = ""
    registered_delivery: _Int = 0
    replace_if_present: _Int = 0
    data_coding: _Int = 0
    default_message_id: _Int = 0
    short_message: _Bytes = b""


class SubmitSm(_Message, gc=False):
    """SMPP 3.4 §4.4.1."""


class SubmitSmResp(Response, gc=False):
    """SMPP 3.4 §4.4.2."""

    message_id: _MessageId = ""


class DeliverSm(_Message, gc=False):
    """SMPP 3.4 §4.6.1."""


class DeliverSmResp(Response, gc=False):
    """SMPP 3.4 §4.6.2: `message_id` is unused and empty."""

    message_id: _MessageId = ""


class DataSm(Request, gc=False):
    """SMPP 3.4 §4.7.1: the text is in message_payload."""

    service_type: _ServiceType = ""
    source_ton: _Int = 0
    source_npi: _Int = 0
    source: _LongAddress = ""
    destination_ton: _Int = 0
    destination_npi: _Int = 0
    destination: _LongAddress = ""
    esm_class: _Int = 0
    registered_delivery: _Int = 0
    data_coding: _Int = 0


class DataSmResp(Response, gc=False):
    """SMPP 3.4 §4.7.2."""

    message_id: _MessageId = ""


class QuerySm(Request, gc=False):
    """SMPP 3.4 §4.8.1."""

    message_id: _MessageId = ""
    source_ton: _Int = 0
    source_npi: _Int = 0
    source: _Address = ""


class QuerySmResp(Response, gc=False):
    """SMPP 3.4 §4.8.2."""

    message_id: _MessageId = ""
    final_date: _Time = ""
    message_state: _Int = 0
    error_code: _Int = 0


class CancelSm(Request, gc=False):
    """SMPP 3.4 §4.9.1."""

    service_type: _ServiceType = ""
    message_id: _MessageId = ""
    source_ton: _Int = 0
    source_npi: _Int = 0
    source: _Address = ""
    destination_ton: _Int = 0
    destination_npi: _Int = 0
    destination: _Address = ""


class CancelSmResp(Response, gc=False):
    """SMPP 3.4 §4.9.2."""


class EnquireLink(Request, gc=False):
    """SMPP 3.4 §4.11.1."""


class EnquireLinkResp(Response, gc=False):
    """SMPP 3.4 §4.11.2."""


class Unbind(Request, gc=False):
    """SMPP 3.4 §4.2.1."""


class UnbindResp(Response, gc=False):
    """SMPP 3.4 §4.2.2."""


class GenericNack(Response, gc=False):
    """SMPP 3.4 §4.3.1: the answer to what could not be understood."""


Pdu: TypeAlias = Request | Response


def payload(pdu: SubmitSm | DeliverSm | DataSm) -> bytes:
    """The octets of the message: of message_payload where there is one, else of short_message (SMPP 3.4 §5.3.2.32)."""
    for tag, value in pdu.tlvs:
        if tag == Tag.MESSAGE_PAYLOAD:
            return value
    return b"" if isinstance(pdu, DataSm) else pdu.short_message


# -- their layouts

STRUCTS: dict[Command, type[Pdu]] = {
    Command.BIND_RECEIVER: Bind,
    Command.BIND_TRANSMITTER: Bind,
    Command.BIND_TRANSCEIVER: Bind,
    Command.BIND_RECEIVER_RESP: BindResp,
    Command.BIND_TRANSMITTER_RESP: BindResp,
    Command.BIND_TRANSCEIVER_RESP: BindResp,
    Command.SUBMIT_SM: SubmitSm,
    Command.SUBMIT_SM_RESP: SubmitSmResp,
    Command.DELIVER_SM: DeliverSm,
    Command.DELIVER_SM_RESP: DeliverSmResp,
    Command.DATA_SM: DataSm,
    Command.DATA_SM_RESP: DataSmResp,
    Command.QUERY_SM: QuerySm,
    Command.QUERY_SM_RESP: QuerySmResp,
    Command.CANCEL_SM: CancelSm,
    Command.CANCEL_SM_RESP: CancelSmResp,
    Command.ENQUIRE_LINK: EnquireLink,
    Command.ENQUIRE_LINK_RESP: EnquireLinkResp,
    Command.UNBIND: Unbind,
    Command.UNBIND_RESP: UnbindResp,
    Command.GENERIC_NACK: GenericNack,
}
COMMANDS = {kind: command for command, kind in STRUCTS.items() if kind not in (Bind, BindResp)}


def _layout(kind: type[Pdu]) -> tuple[tuple[str, Kind], ...]:
    """The mandatory parameters of a PDU in the order of the wire: its annotated fields."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple(
        (name, get_args(hints[name])[1]) for name in kind.__struct_fields__ if get_origin(hints[name]) is Annotated
    )


LAYOUTS = {kind: _layout(kind) for kind in STRUCTS.values()}

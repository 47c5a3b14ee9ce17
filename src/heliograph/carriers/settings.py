"""What there is to set of a carrier, by its kind: read from the settings file and from what `carrier add` stored.

Each field carries its description and its bounds, as those in `config.settings` do.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from heliograph.messaging.retry import DoubtPolicy, SubmitClass

_Some = Meta(min_length=1)
_Port = Meta(ge=1, le=65535)
_Octet = Meta(ge=0, le=255)
_Tag = Meta(ge=0, le=0xFFFF)
_Delay = Meta(ge=0, le=3_600_000)
_Timer = Meta(gt=0, le=3_600)
_Pause = Meta(ge=0, le=86_400)


def _up_to(most: int) -> Meta:
    return Meta(ge=1, le=most)


def _is(description: str) -> Meta:
    return Meta(description=description)


Window = Annotated[
    int, _up_to(100_000), _is("Submits without a stored outcome, at most: after a crash no more are in doubt.")
]
Backlog = Annotated[
    int, _up_to(1_000_000_000), _is("Messages that may wait for the carrier; past it requests get 503.")
]
Doubt = Annotated[
    DoubtPolicy, _is("Messages sent and never answered: resend them (some may arrive twice) or hold them.")
]


class SimulatorSettings(Struct, frozen=True, tag_field="kind", tag="simulator"):
    """A carrier that only plays one."""

    window: Window = 1_000
    backlog: Backlog = 5_000_000
    answer_ms: Annotated[int, _Delay, _is("The simulator answers a submit after about this time.")] = 5
    receipt_ms: Annotated[int, _Delay, _is("The simulator's receipt follows after about this time.")] = 200
    late_ms: Annotated[int, _Delay, _is("As receipt_ms, for the number whose receipt is late.")] = 30_000
    doubt: Doubt = DoubtPolicy.RESEND


class SmppSettings(Struct, frozen=True, tag_field="kind", tag="smpp"):
    """A carrier reached over SMPP 3.4 (or 5.0)."""

    host: Annotated[str, _Some, _is("The carrier's SMSC: a host name or an IP address.")]
    system_id: Annotated[str, Meta(max_length=15), _is("Who we are there.")]
    password: Annotated[
        str, Meta(max_length=64), _is("What proves it; more than 8 characters only with long_password.")
    ] = ""
    port: Annotated[int, _Port, _is("The SMSC's TCP port.")] = 2775
    system_type: Annotated[
        str, Meta(max_length=12), _is("The system_type of the bind, where the carrier wants one.")
    ] = ""
    long_password: Annotated[bool, _is("Send a password of more than 8 characters, which SMPP 3.4 does not allow.")] = (
        False
    )
    interface_version: Annotated[Literal[0x34, 0x50], _is("The SMPP version of the bind: 52 is 3.4, 80 is 5.0.")] = 0x34
    bind: Annotated[
        Literal["transceiver", "transmitter_receiver"], _is("One bind for both ways, or a pair of one for each.")
    ] = "transceiver"
    binds: Annotated[int, _up_to(64), _is("How many such binds (or pairs) are held open.")] = 1
    ordered: Annotated[bool, _is("Keep the order of acceptance on the wire; binds must be 1.")] = False
    addr_ton: Annotated[int, _Octet, _is("The addr_ton of the bind.")] = 0
    addr_npi: Annotated[int, _Octet, _is("The addr_npi of the bind.")] = 0
    address_range: Annotated[str, Meta(max_length=40), _is("The address_range of the bind.")] = ""
    tls: Annotated[bool, _is("Speak TLS.")] = False
    tls_ca: Annotated[str, _is("A PEM file with the authorities to trust; empty for the system's.")] = ""
    tls_cert: Annotated[str, _is("A PEM file with our client certificate.")] = ""
    tls_key: Annotated[str, _is("A PEM file with its private key.")] = ""
    tls_server_name: Annotated[str, _is("The name that the SMSC's certificate must bear; empty for host.")] = ""
    window: Window = 100
    backlog: Backlog = 5_000_000
    throughput: Annotated[
        float, Meta(ge=0, le=100_000), _is("submit_sm a second, at most, all binds together; 0 for no limit.")
    ] = 0.0
    connect_seconds: Annotated[float, _Timer, _is("Connecting and binding must be done by then.")] = 15.0
    response_seconds: Annotated[float, _Timer, _is("A submit_sm not answered by then has an unknown outcome.")] = 60.0
    enquire_link_seconds: Annotated[
        float, _Timer, _is("After such a silence of the peer it is asked whether it lives.")
    ] = 30.0
    reconnect_seconds: Annotated[
        float,
        _Timer,
        _is("The first pause before connecting again; it doubles, with jitter, up to reconnect_max_seconds."),
    ] = 1.0
    reconnect_max_seconds: Annotated[float, _Timer, _is("The longest pause before connecting again.")] = 60.0
    fault_seconds: Annotated[
        float,
        _Timer,
        _is("The pause after the carrier refused us as a client (a wrong password): it does not pass by itself."),
    ] = 300.0
    service_type: Annotated[str, Meta(max_length=5), _is("The service_type of each submit_sm.")] = ""
    source_alphanumeric: Annotated[
        str, Meta(pattern=r"^[0-9]{1,3}/[0-9]{1,3}\Z"), _is("TON/NPI of an alphanumeric sender.")
    ] = "5/0"
    source_international: Annotated[
        str, Meta(pattern=r"^[0-9]{1,3}/[0-9]{1,3}\Z"), _is("TON/NPI of a number as sender.")
    ] = "1/1"
    source_short_code: Annotated[
        str, Meta(pattern=r"^[0-9]{1,3}/[0-9]{1,3}\Z"), _is("TON/NPI of a short code (up to 7 digits) as sender.")
    ] = "3/0"
    destination: Annotated[str, Meta(pattern=r"^[0-9]{1,3}/[0-9]{1,3}\Z"), _is("TON/NPI of a recipient.")] = "1/1"
    registered_delivery: Annotated[
        int, _Octet, _is("The registered_delivery of each submit_sm: 1 asks for a receipt.")
    ] = 1
    validity: Annotated[bool, _is("Tell the carrier how long a message is valid.")] = True
    data_coding_0: Annotated[
        Literal["gsm", "gsm_packed", "latin1"],
        _is("What data_coding 0 means there: GSM 03.38 an octet each, or packed, or Latin-1."),
    ] = "gsm"
    long_messages: Annotated[
        Literal["udh8", "udh16", "sar", "payload"],
        _is("How a message of several parts goes: UDH with an 8 or 16 bit reference, sar_* TLVs, or message_payload."),
    ] = "udh8"
    message_ids: Annotated[
        Literal["as-is", "resp-hex-dlr-dec", "resp-dec-dlr-hex"],
        _is("How the id in a receipt is written, beside that in the submit_sm_resp."),
    ] = "as-is"
    network_tlvs: Annotated[
        tuple[Annotated[int, _Tag], ...],
        _is("Vendor TLVs that carry the MCC and the MNC, or both in one, in that order; seen: 5379 and 5380, 5121."),
    ] = ()
    statuses: Annotated[
        dict[str, SubmitClass], _is('What a command_status means here, where that differs: {"0x45" = "permanent"}.')
    ] = field(default_factory=dict)
    query_after_seconds: Annotated[
        float, _Pause, _is("Ask by query_sm for a receipt that has not come so long after the answer; 0 for never.")
    ] = 0.0
    doubt: Doubt = DoubtPolicy.RESEND


CarrierSettings = SimulatorSettings | SmppSettings

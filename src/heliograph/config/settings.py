"""All settings, as frozen structs: each field carries its description, its bounds and its default.

They are the reference: `catalogue.reference` lists them for the commands and the docs.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from heliograph.carriers.settings import CarrierSettings, SimulatorSettings

MAX_PRICE = 100_000  # of a segment: what the largest request costs stays within 64 bits

_Some = Meta(min_length=1)
_Port = Meta(ge=1, le=65535)
_Parts = Meta(ge=1, le=255)  # what the header of a part can count
_Hour = Meta(gt=0, le=3_600)
_Wait = Meta(ge=0, le=300)
_Currency = Meta(pattern=r"^[A-Z]{3}\Z")
_Timeout = Meta(gt=0, le=60)  # as in webhooks.sender


def _up_to(most: int) -> Meta:
    return Meta(ge=1, le=most)


def _is(description: str) -> Meta:
    return Meta(description=description)


class DataSettings(Struct, frozen=True):
    """Where the data are."""

    dir: Annotated[str, _Some, _is("The data folder: database, keys, carriers' logs. On a local disk.")] = (
        "./heliograph-data"
    )


class HttpSettings(Struct, frozen=True):
    """The server's door."""

    host: Annotated[str, _Some, _is("The address to listen on; 0.0.0.0 or :: for all of them.")] = "127.0.0.1"
    port: Annotated[int, _Port, _is("The TCP port to listen on.")] = 8747
    tls_cert: Annotated[str, _is("A PEM file with the certificate chain; with tls_key it turns TLS on.")] = ""
    tls_key: Annotated[str, _is("A PEM file with the certificate's private key.")] = ""
    lean_door: Annotated[bool, _is("Answer the hot sends without Starlette: faster, and otherwise the same.")] = True
    max_body_bytes: Annotated[int, _up_to(67_108_864), _is("A request with a longer body gets 413.")] = 1_048_576
    max_header_bytes: Annotated[int, _up_to(1_048_576), _is("A longer request line and headers together get 431.")] = (
        32_768
    )
    request_timeout_seconds: Annotated[
        float, _Hour, _is("A request not received whole by then has its connection closed.")
    ] = 30.0
    keep_alive_seconds: Annotated[int, _up_to(3_600), _is("An idle connection is closed after this time.")] = 75
    max_connections: Annotated[
        int,
        _up_to(1_000_000),
        _is("Connections at once; what comes on top is turned away. The limit of open files is raised to fit."),
    ] = 10_000
    trusted_proxies: Annotated[
        tuple[str, ...], _is("Networks of proxies whose word on the caller's address is taken, e.g. 10.0.0.5.")
    ] = ()
    drain_seconds: Annotated[
        float, _Wait, _is("Told to stop, the server takes new connections for so long, and refuses sends with 503.")
    ] = 0.0


class LimitsSettings(Struct, frozen=True):
    """What one request may ask for, and how much may wait."""

    recipients: Annotated[int, _up_to(100_000), _is("Recipients of one request, at most.")] = 1_000
    segments: Annotated[int, _Parts, _is("Segments of one message, at most.")] = 10
    waiting_rows: Annotated[
        int,
        _up_to(10_000_000),
        _is("Rows that may wait to be stored; past it requests get 503 and nothing is accepted."),
    ] = 200_000
    failed_tokens_per_minute: Annotated[
        int, _up_to(1_000_000), _is("Refused token requests from one address in a minute; past it it gets 429.")
    ] = 30


class MessagesSettings(Struct, frozen=True):
    """What happens to messages."""

    default_carrier: Annotated[str, _is("The carrier of accounts that have none of their own; empty for none.")] = (
        "simulator"
    )
    stop_seconds: Annotated[
        float, _Wait, _is("Told to stop, the server waits so long, at most, for what is on the wire to a carrier.")
    ] = 10.0
    currency: Annotated[str, _Currency, _is("What amounts are in, as ISO 4217 has it: three capitals.")] = "USD"


class CallbacksSettings(Struct, frozen=True):
    """Callbacks to customers."""

    allow_networks: Annotated[
        tuple[str, ...], _is("Networks that callbacks may go to although they are not public, e.g. 127.0.0.0/8.")
    ] = ()
    timeout_seconds: Annotated[
        float, _Timeout, _is("A customer's server that has not answered by then has not acknowledged.")
    ] = 15.0
    in_flight: Annotated[int, _up_to(10_000), _is("Callbacks under way at once, all customers together.")] = 256
    in_flight_per_endpoint: Annotated[int, _up_to(10_000), _is("Callbacks under way at once to one customer.")] = 32


class LogSettings(Struct, frozen=True):
    """The server's log: one JSON object a line, never texts or secrets."""

    level: Annotated[Literal["debug", "info", "warning", "error"], _is("The least that is logged.")] = "info"
    file: Annotated[str, _is("The file to append to; empty for standard error.")] = ""
    access: Annotated[bool, _is("Log a line for every request.")] = True


class MetricsSettings(Struct, frozen=True):
    """The figures at /metrics."""

    allow_networks: Annotated[
        tuple[str, ...], _is("Networks whose callers may read /metrics; to all others it is not there.")
    ] = ("127.0.0.0/8", "::1/128")


Prices = dict[str, dict[str, str]]


class Settings(Struct, frozen=True):
    """All settings of an installation. `prices` is price list → prefix → price of a segment; `carriers` is by name."""

    data: DataSettings = DataSettings()
    http: HttpSettings = HttpSettings()
    limits: LimitsSettings = LimitsSettings()
    messages: MessagesSettings = MessagesSettings()
    prices: Prices = field(default_factory=lambda: {"default": {"": "1.00"}})
    callbacks: CallbacksSettings = CallbacksSettings()
    carriers: dict[str, CarrierSettings] = field(default_factory=lambda: {"simulator": SimulatorSettings()})
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()

    @property
    def base_url(self) -> str:
        """The URL under which a client on this machine reaches the server."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.http.host, self.http.host)  # noqa: S104
        scheme = "https" if self.http.tls_cert else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.http.port}"

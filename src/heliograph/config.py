"""Settings: a TOML file under environment variables, validated once into frozen structs.

`HELIOGRAPH_<SECTION>__<KEY>` goes before the file, e.g. `HELIOGRAPH_HTTP__PORT=9000`; lists are comma-separated, and
a table's table takes another `__`: `HELIOGRAPH_CARRIERS__SIMULATOR__WINDOW=50`. What is not a setting is refused, with
all problems told at once. Paths are relative to the working directory.

The structs are the reference: each field carries its description, and `reference()` lists them for the commands and
the docs.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import ssl
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct, field

from heliograph.messaging.numbers import PrefixMap
from heliograph.messaging.pricing import MICROS, parse_money
from heliograph.messaging.retry import DoubtPolicy
from heliograph.webhooks.guard import parse_networks

PREFIX = "HELIOGRAPH_"
DATA_VARIABLE = "HELIOGRAPH_DATA"  # what the commands read; the same as HELIOGRAPH_DATA__DIR

_Some = Meta(min_length=1)
_Port = Meta(ge=1, le=65535)
_Parts = Meta(ge=1, le=255)  # what the header of a part can count
_Hour = Meta(gt=0, le=3_600)
_Delay = Meta(ge=0, le=3_600_000)
_Timeout = Meta(gt=0, le=60)  # as in webhooks.sender

# Read by commands and tests, not settings.
_OTHERS = ("CONFIG", "COMMAND", "WEBHOOK_SECRET", "TEST_SEED", "SIM_SEED", "SIM_SEEDS")
# What Kubernetes tells of services named heliograph and heliograph-….
_KUBERNETES = re.compile(r"(.+_)?(SERVICE_(HOST|PORT(_.+)?)|PORT_[0-9]+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR))")
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(?!(.*\.)?[0-9]+\.?\Z)(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.I | re.A
)
_CARRIER_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.A)  # names its log, too
_MAX_PRICE = 100_000  # of a segment: what the largest request costs stays within 64 bits


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
        int, _up_to(1_000_000), _is("Connections at once; what comes on top is turned away.")
    ] = 10_000
    trusted_proxies: Annotated[
        tuple[str, ...], _is("Networks of proxies whose word on the caller's address is taken, e.g. 10.0.0.5.")
    ] = ()


class LimitsSettings(Struct, frozen=True):
    """What one request may ask for, and how much may wait."""

    recipients: Annotated[int, _up_to(100_000), _is("Recipients of one request, at most.")] = 1_000
    segments: Annotated[int, _Parts, _is("Segments of one message, at most.")] = 10
    waiting_rows: Annotated[
        int,
        _up_to(10_000_000),
        _is("Rows that may wait to be stored; past it requests get 503 and nothing is accepted."),
    ] = 200_000


class MessagesSettings(Struct, frozen=True):
    """What happens to messages."""

    default_carrier: Annotated[str, _is("The carrier of accounts that have none of their own.")] = "simulator"


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


class CarrierSettings(Struct, frozen=True):
    """One carrier."""

    kind: Annotated[Literal["simulator"], _is("What the carrier is.")] = "simulator"
    window: Annotated[
        int, _up_to(100_000), _is("Submits without a stored outcome, at most: after a crash no more are in doubt.")
    ] = 1_000
    backlog: Annotated[
        int, _up_to(1_000_000_000), _is("Messages that may wait for the carrier; past it requests get 503.")
    ] = 5_000_000
    answer_ms: Annotated[int, _Delay, _is("The simulator answers a submit after about this time.")] = 5
    receipt_ms: Annotated[int, _Delay, _is("The simulator's receipt follows after about this time.")] = 200
    doubt: Annotated[
        DoubtPolicy, _is("Messages sent and never answered: resend them (some may arrive twice) or hold them.")
    ] = DoubtPolicy.RESEND


class LogSettings(Struct, frozen=True):
    """The server's log: one JSON object a line, never texts or secrets."""

    level: Annotated[Literal["debug", "info", "warning", "error"], _is("The least that is logged.")] = "info"
    file: Annotated[str, _is("The file to append to; empty for standard error.")] = ""
    access: Annotated[bool, _is("Log a line for every request.")] = True


Prices = dict[str, dict[str, str]]


class Settings(Struct, frozen=True):
    """All settings of an installation. `prices` is price list → prefix → price of a segment; `carriers` is by name."""

    data: DataSettings = DataSettings()
    http: HttpSettings = HttpSettings()
    limits: LimitsSettings = LimitsSettings()
    messages: MessagesSettings = MessagesSettings()
    prices: Prices = field(default_factory=lambda: {"default": {"": "1.00"}})
    callbacks: CallbacksSettings = CallbacksSettings()
    carriers: dict[str, CarrierSettings] = field(default_factory=lambda: {"simulator": CarrierSettings()})
    log: LogSettings = LogSettings()

    @staticmethod
    def load(path: Path | None, env: Mapping[str, str]) -> Settings:
        """The settings of a file (None for none) and an environment. Raises `ConfigError`."""
        return read(path, env).settings

    @property
    def base_url(self) -> str:
        """The URL under which a client on this machine reaches the server."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.http.host, self.http.host)  # noqa: S104
        scheme = "https" if self.http.tls_cert else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.http.port}"


Where = tuple[str, ...]
"""Where a setting is: section and key, with the name of the table's entry between them for carriers and prices."""


class Setting(Struct, frozen=True):
    """One setting as the reference has it; of carriers and price lists, that of the default one."""

    path: Where
    description: str
    default: Any
    bounds: str = ""  # as people write them; "" where there are none

    @property
    def name(self) -> str:
        """Dotted, as people write it."""
        return dotted(self.path)

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return PREFIX + "__".join(self.path).upper()


class Effective(Struct, frozen=True):
    """Settings, and where each that is not a default came from, by dotted name."""

    settings: Settings
    origins: dict[str, str]


class ConfigError(Exception):
    """The settings are not usable; `problems` has a line for each reason, with the remedy."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class _Given(Struct, frozen=True):
    """A value as it was given: `where` names the file or variable, `text` says that it is a string for any type."""

    where: str
    value: Any
    text: bool = False


_SECTIONS: dict[str, type[Struct]] = {
    name: kind for name, kind in get_type_hints(Settings).items() if isinstance(kind, type) and issubclass(kind, Struct)
}


def reference() -> list[Setting]:
    """Every setting, in the order of the structs."""
    found: list[Setting] = []
    for section in Settings.__struct_fields__:
        if section in _SECTIONS:
            found += _fields((section,), _SECTIONS[section])
        elif section == "carriers":
            found += _fields((section, "simulator"), CarrierSettings)
        else:
            price = 'The price of a segment to numbers with this prefix ("" for all others), a decimal string.'
            found.append(Setting((section, "default", ""), price, "1.00", f"0 to {_MAX_PRICE}"))
    return found


def values(settings: Settings) -> dict[Where, Any]:
    """The settings, flat."""
    flat: dict[Where, Any] = {}

    def walk(path: Where, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk((*path, key), inner)
        else:
            flat[path] = value

    walk((), msgspec.to_builtins(settings))
    return flat


def read(
    path: Path | None,
    env: Mapping[str, str],
    *,
    preset: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
) -> Effective:
    """Settings with their origins. Raises `ConfigError`.

    `preset` replaces defaults and `given`, from the command line, goes before everything; both by dotted name.
    """
    of_file = dict(_of_file(path)) if path else {}
    tables = {at[0] for at in of_file}
    defaults = values(Settings())
    entries = {at: _Given("", defaults[at]) for at in defaults if at[0] not in tables and at[0] not in _SECTIONS}
    entries |= {tuple(name.split(".")): _Given("preset", value) for name, value in (preset or {}).items()}
    entries |= of_file
    problems: list[str] = []
    entries |= _of_environment(env, problems)
    entries |= {tuple(name.split(".")): _Given("command line", value) for name, value in (given or {}).items()}
    tree: dict[str, Any] = {}
    for at, entry in entries.items():
        _enter(tree, at, entry, problems)
    if problems:
        raise ConfigError(problems)
    settings = msgspec.convert(tree, Settings)
    variables = {dotted(at): entry.where for at, entry in entries.items() if entry.text}
    problems = [f"{path or 'settings'}: {problem}" for problem in _inconsistent(settings, variables)]
    if problems:
        raise ConfigError(problems)
    return Effective(settings, {dotted(at): entry.where for at, entry in entries.items() if entry.where})


def dotted(path: Where) -> str:
    """A path as people write it; what TOML would not read bare is in quotes."""
    return ".".join(part if part.replace("-", "").replace("_", "").isalnum() else json.dumps(part) for part in path)


def toml(value: Any) -> str:
    """A value as TOML has it."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False, default=str)


# -- reading


def _fields(path: Where, kind: type[Struct]) -> list[Setting]:
    hints = get_type_hints(kind, include_extras=True)
    defaults = msgspec.to_builtins(kind())
    return [
        Setting(
            (*path, key), hints[key].__metadata__[-1].description, defaults[key], _bounds(hints[key].__metadata__[0])
        )
        for key in defaults
    ]


def _bounds(meta: Meta) -> str:
    if meta.le is None:
        return ""
    return f"{meta.ge} to {meta.le}" if meta.ge is not None else f"more than {meta.gt}, at most {meta.le}"


def _of_file(path: Path) -> Iterator[tuple[Where, _Given]]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        remedy = "`heliograph config init` writes one"
        raise ConfigError([f"{path}: cannot be read ({error.strerror}); {remedy}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from error
    for section, value in tree.items():
        for at, leaf in _leaves((section,), value):
            yield at, _Given(str(path), leaf)


def _leaves(path: Where, value: Any) -> Iterator[tuple[Where, Any]]:
    """The values below a path. An empty table is one too, unless it is a section that has a struct."""
    if not isinstance(value, dict) or (not value and path[0] not in _SECTIONS):
        yield path, value
        return
    for key, inner in value.items():
        yield from _leaves((*path, key), inner)


def _of_environment(env: Mapping[str, str], problems: list[str]) -> dict[Where, _Given]:
    found: dict[Where, _Given] = {}
    if folder := env.get(DATA_VARIABLE):
        found["data", "dir"] = _Given(DATA_VARIABLE, folder, text=True)
    for variable in sorted(env):
        value = env[variable]
        if variable.startswith(PREFIX) and "__" in variable:
            found[tuple(variable.removeprefix(PREFIX).lower().split("__"))] = _Given(variable, value, text=True)
        elif variable.startswith(PREFIX):
            problems += _unknown(variable, value)
    return found


def _unknown(variable: str, value: str) -> Iterator[str]:
    """What is wrong with a variable that is not written like a setting: nothing, if somebody reads it."""
    others = [DATA_VARIABLE, *(PREFIX + name for name in _OTHERS)]
    of_kubernetes = _KUBERNETES.fullmatch(variable.removeprefix(PREFIX)) or re.match("(tcp|udp|sctp)://", value)
    if variable in others or of_kubernetes:
        return
    settings = reference()
    mistaken = {PREFIX + "_".join(setting.path).upper(): setting.variable for setting in settings}
    if variable in mistaken:
        yield f"{variable} is not a setting; it is written with two underscores: {mistaken[variable]}"
        return
    near = difflib.get_close_matches(variable, [*others[:4], *(setting.variable for setting in settings)], 1, 0.0)
    yield f"{variable} is read by nobody; did you mean {near[0]}? If it is another program's, rename it"


def _enter(tree: dict[str, Any], at: Where, entry: _Given, problems: list[str]) -> None:
    """Check one value and put it into its place in the tree."""
    hint = _type_of(at)
    if hint is None:
        problems.append(f"{entry.where}: {dotted(at)} = {toml(entry.value)} is not a setting{_suggestion(at)}")
        return
    try:
        value = _converted(entry, hint)
    except msgspec.ValidationError as error:
        problems.append(_complaint(at, entry, error))
        return
    for part in at[:-1]:
        tree = tree.setdefault(part, {})
    tree[at[-1]] = msgspec.to_builtins(value)


def _type_of(at: Where) -> Any:
    """The type of the setting at a path; None when there is none."""
    match at:
        case ("prices", _, _):
            return str
        case ("carriers", name, key) if name:
            return get_type_hints(CarrierSettings, include_extras=True).get(key)
        case ("carriers", _) | ("prices", _):  # an empty table: nothing but defaults, no prices at all
            return dict[str, str]
        case (section, key) if section in _SECTIONS:
            return get_type_hints(_SECTIONS[section], include_extras=True).get(key)
    return None


def _converted(entry: _Given, hint: Any) -> Any:
    if entry.text and getattr(hint, "__origin__", None) == tuple[str, ...]:
        return tuple(part.strip() for part in entry.value.split(",") if part.strip())
    value = msgspec.convert(entry.value, hint, strict=not entry.text)
    if isinstance(value, float) and not math.isfinite(value):
        raise msgspec.ValidationError("Expected a finite number")
    if "\0" in str(value):
        raise msgspec.ValidationError("Expected a text without U+0000")
    return value


def _complaint(at: Where, entry: _Given, error: Exception) -> str:
    reason = str(error).replace("`", "")
    of_section = [one for one in reference() if one.path[0] == at[0]]
    known = next((one for one in of_section if at[0] == "prices" or one.path[-1] == at[-1]), None)
    bounds = f", the bounds are {known.bounds}" if known and known.bounds else ""
    remedy = f"; the default is {toml(known.default)}{bounds}. {known.description}" if known else ""
    return f"{entry.where}: {dotted(at)} = {toml(entry.value)}: {reason[:1].lower()}{reason[1:]}{remedy}"


def _suggestion(at: Where) -> str:
    """The remedy for a name that is not known: the nearest that is."""
    known = reference()
    sections = list(dict.fromkeys(one.path[0] for one in known))
    key = at[-1] if len(at) > 1 else ""
    if at[0] in sections:
        keys = [one.path[-1] for one in known if one.path[0] == at[0]]
        near = difflib.get_close_matches(key, keys, 1, 0.5)
        if near:
            return f"; did you mean {dotted((*at[:-1], near[0]))}?"
        return f"; the settings of [{at[0]}] are {', '.join(map(dotted, zip(keys)))}"
    near = difflib.get_close_matches(at[0], sections, 1, 0.6)
    candidates = [one.name for one in known if key and one.path[-1] == key and (not near or one.path[0] == near[0])]
    if candidates or near:
        return f"; did you mean {candidates[0] if candidates else f'[{near[0]}]'}?"
    return f"; the sections are {', '.join(sections)}"


# -- what must fit together


def _inconsistent(settings: Settings, variables: Mapping[str, str]) -> Iterator[str]:
    if not _is_host(settings.http.host):
        usual = "127.0.0.1 is this machine alone, 0.0.0.0 and :: are all its addresses"
        yield f"http.host = {toml(settings.http.host)} is neither an IP address nor a host name; {usual}"
    yield from _wrong_tls(settings.http)
    yield from _wrong_prices(settings.prices)
    yield from _wrong_carriers(settings)
    callbacks = settings.callbacks
    lists = {
        "callbacks.allow_networks": callbacks.allow_networks,
        "http.trusted_proxies": settings.http.trusted_proxies,
    }
    for name, networks in lists.items():
        try:
            parse_networks(networks)
        except ValueError as error:
            commas = f"; in {variables[name]} commas separate entries" if name in variables else ""
            yield f"{name}: {error}{commas}"
    if callbacks.in_flight_per_endpoint > callbacks.in_flight:
        yield "callbacks.in_flight_per_endpoint is more than callbacks.in_flight; lower it, or raise the other"


def _is_host(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return _HOST_NAME.fullmatch(host) is not None
    return True


def _wrong_tls(http: HttpSettings) -> Iterator[str]:
    files = {"http.tls_cert": http.tls_cert, "http.tls_key": http.tls_key}
    given = [value for value in files.values() if value]
    if len(given) == 1:
        yield "http.tls_cert and http.tls_key: TLS needs a certificate and its key; set both or neither"
    elif given:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(http.tls_cert, http.tls_key, password=lambda: "")
        except OSError as error:
            reason = f"not PEM, or of another key ({error})" if isinstance(error, ssl.SSLError) else error.strerror
            names = " and ".join(f"{name} = {toml(value)}" for name, value in files.items())
            yield f"{names}: {reason}; give PEM files of a certificate and its key, without a password"


def _wrong_prices(prices: Prices) -> Iterator[str]:
    if "default" not in prices:
        yield "prices has no list `default`, which accounts have unless told otherwise; add [prices.default]"
    for name, entries in prices.items():
        for prefix, price in entries.items():
            try:
                PrefixMap({prefix: price})
                if not 0 <= parse_money(price) <= _MAX_PRICE * MICROS:
                    raise ValueError(f"a price is zero or more, and at most {_MAX_PRICE}")
            except ValueError as error:
                yield f"{dotted(('prices', name, prefix))} = {toml(price)}: {error}"


def _wrong_carriers(settings: Settings) -> Iterator[str]:
    default, carriers = settings.messages.default_carrier, settings.carriers
    if default not in carriers:
        known = ", ".join(carriers) or "there are none"
        yield f"messages.default_carrier = {toml(default)} is not one of [carriers]: {known}; name one, or add it"
    for name, carrier in carriers.items():
        if not _CARRIER_NAME.fullmatch(name):
            yield f"{dotted(('carriers', name))}: the name of a carrier has 1 to 64 letters, digits, - and _; rename it"
        if carrier.window < settings.limits.segments:
            yield (
                f"{dotted(('carriers', name))}.window = {carrier.window} is less than limits.segments ="
                f" {settings.limits.segments}, so a message of that many would never fit; raise it, or lower the other"
            )

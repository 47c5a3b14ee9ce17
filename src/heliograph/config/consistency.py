"""What must fit together: settings that are right one by one and wrong beside each other, or beside this machine."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from heliograph.carriers.checks import unusable, wrong_name
from heliograph.config.catalogue import dotted, toml
from heliograph.config.settings import MAX_PRICE, HttpSettings, Prices, Settings
from heliograph.messaging.numbers import PrefixMap
from heliograph.messaging.pricing import MICROS, parse_money
from heliograph.webhooks.guard import parse_networks

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(?!(.*\.)?[0-9]+\.?\Z)(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.I | re.A
)


def inconsistent(settings: Settings, variables: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with settings that are right one by one; `variables` names those that came from a variable."""
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
        "metrics.allow_networks": settings.metrics.allow_networks,
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
                if not 0 <= parse_money(price) <= MAX_PRICE * MICROS:
                    raise ValueError(f"a price is zero or more, and at most {MAX_PRICE}")
            except ValueError as error:
                yield f"{dotted(('prices', name, prefix))} = {toml(price)}: {error}"


def _wrong_carriers(settings: Settings) -> Iterator[str]:
    default, carriers = settings.messages.default_carrier, settings.carriers
    if default and default not in carriers:
        known = ", ".join(carriers) or "there are none"
        yield f"messages.default_carrier = {toml(default)} is not one of [carriers]: {known}; name one, or add it"
    for name, carrier in carriers.items():
        if trouble := wrong_name(name):
            yield f"{dotted(('carriers', name))}: {trouble}"
        for key, trouble in unusable(carrier, settings.limits.segments):
            yield f"{dotted(('carriers', name, key))}{trouble}"

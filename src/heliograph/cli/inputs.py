"""What people type, as the program has it; what is wrong is refused with its value and a remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network

from heliograph.cli.common import WRONG, refuse
from heliograph.cli.times import duration_seconds
from heliograph.messaging import senders
from heliograph.messaging.countries import known_countries
from heliograph.messaging.errors import CallerError
from heliograph.messaging.numbers import NumberPolicy, normalise
from heliograph.messaging.pricing import parse_money
from heliograph.webhooks.guard import check_url

_TOO_MUCH = re.compile(r"-?[0-9]{13,}(\.[0-9]{1,6})?", re.ASCII)
_LARGEST = "999999999999.999999"
_OURS = re.compile(r"\+?([0-9]{3,15})", re.ASCII)
_MOST_PER_MINUTE = 1_000_000
_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)
_SHORTEST_SECONDS, _LONGEST_SECONDS = 60, 7 * 86_400
_SAID_FOR = {"UK": "GB", "EL": "GR"}  # codes in common use that ISO 3166 does not have


def checked_senders(values: Sequence[str]) -> list[str]:
    """Senders that are well-formed."""
    for value in values:
        senders.check(value, None)
    return list(values)


def inbound_numbers(option: str, values: Sequence[str]) -> list[str]:
    """The digits of numbers and short codes of ours."""
    return [_inbound_number(option, value) for value in values]


def _inbound_number(option: str, value: str) -> str:
    ours = _OURS.fullmatch(value)
    if ours is None:
        refuse(
            f"{option} {value[:40]!r}: neither a number nor a short code; write its 3 to 15 digits, like 96000", WRONG
        )
    return ours[1]


def micros_of(amount: str) -> int:
    """The micro-units of an amount."""
    try:
        return parse_money(amount)
    except ValueError as error:
        too_much = f"{amount[:40]} is too much; the largest amount is {_LARGEST}"
        refuse(too_much if _TOO_MUCH.fullmatch(amount) else str(error), WRONG)


def per_minute_of(text: str) -> int:
    """A rate limit, 0 for none."""
    if text == "none":
        return 0
    if not _COUNT.fullmatch(text) or not 1 <= int(text) <= _MOST_PER_MINUTE:
        refuse(
            f"--per-minute {text[:40]!r}: write a number from 1 to {_MOST_PER_MINUTE:,}, or none for no limit", WRONG
        )
    return int(text)


def country_of(code: str) -> str:
    """The ISO 3166 code of a country."""
    known = known_countries()
    if code.upper() in known:
        return code.upper()
    near = [_SAID_FOR[code.upper()]] if code.upper() in _SAID_FOR else []
    if not near and 1 < len(code) <= 3:
        near = difflib.get_close_matches(code.upper(), sorted(known), 1, 0.5)
    meant = f"did you mean {near[0]}?" if near else "write codes of two letters, like GB,IE"
    return refuse(f"--only {code[:40]!r} is no country that has numbers, by ISO 3166 code; {meant}", WRONG)


def network_of(text: str) -> str:
    """A network as it is stored, an address as the network of it alone."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        refuse(f"{text[:60]!r} is no address or network; write it like 203.0.113.7, 10.1.0.0/16 or fd00::/8", WRONG)
    if ip_interface(text).ip != network.network_address:
        refuse(f"{text} names a host in a network; write {network} for the network, or the address alone", WRONG)
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is not None and network.prefixlen >= 96:
        return str(IPv4Network((mapped, network.prefixlen - 96)))
    return str(network)


def recipient_of(option: str, text: str) -> str:
    """The digits of a recipient's number."""
    try:
        return normalise(text, NumberPolicy.SYNTAX, plus_required=False)
    except CallerError as error:
        refuse(f"{option} {error.detail}", WRONG)


def validity_of(text: str) -> int:
    """The seconds of a validity."""
    seconds = duration_seconds(text)
    if seconds is None or not _SHORTEST_SECONDS <= seconds <= _LONGEST_SECONDS:
        refuse(f"a validity of {text[:40]!r}: write it like 30m, 48h or 2d, from 1 minute to 7 days", WRONG)
    return seconds


def url_of(text: str) -> str:
    """A callback URL, "" for none."""
    try:
        return check_url(text) if text else ""
    except ValueError as error:
        refuse(str(error), WRONG)


def require_alone(option: str, *others: list[str]) -> None:
    """Refuse an option that says all there is to say beside others."""
    if any(others):
        refuse(f"{option} goes with nothing else; leave out one or the other", WRONG)

"""Whether a carrier's settings, right one by one, fit together and this machine: asked before a file is taken, before
`carrier add` stores them, and before a server runs what was stored.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from heliograph.carriers.settings import CarrierSettings, SmppSettings
from heliograph.messaging.retry import SubmitClass

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.A)  # names its log, too
_STATUS = re.compile(r"0x[0-9a-f]{1,8}|[0-9]{1,10}", re.A | re.I)
_LARGEST_STATUS = 0xFFFFFFFF
_NO_ANSWERS = frozenset({SubmitClass.TAKEN, SubmitClass.NOT_SENT, SubmitClass.UNKNOWN})
REFUSALS = [one.value for one in SubmitClass if one not in _NO_ANSWERS]  # what a command_status may mean
_SHORT_PASSWORD = 8  # SMPP 3.4 §4.1.1: nine octets, one of which is the NUL
_HOST = re.compile(r"[^\s\x00-\x20/@]{1,253}")


def wrong_name(name: str) -> str:
    """What is wrong with the name of a carrier; "" when nothing is."""
    return "" if _NAME.fullmatch(name) else "the name of a carrier has 1 to 64 letters, digits, - and _; rename it"


def unusable(settings: CarrierSettings, max_segments: int) -> Iterator[tuple[str, str]]:
    """What cannot be used: the setting's key, and the rest of the sentence that begins with its name."""
    if settings.window < max_segments:
        yield (
            "window",
            f" = {settings.window} is less than limits.segments = {max_segments}, so a message of that many would"
            " never fit; raise it, or lower the other",
        )
    if isinstance(settings, SmppSettings):
        if settings.window == max_segments and settings.long_messages == "udh16":
            yield (
                "window",
                f" = {settings.window} is less than {max_segments + 1}, the parts that a message of limits.segments ="
                f" {max_segments} may take with long_messages = udh16; raise it",
            )
        yield from _wrong_bind(settings)
        yield from _wrong_statuses(settings.statuses)
        yield from _wrong_tls(settings)
        yield from _wrong_types(settings)


def status_of(text: str) -> int | None:
    """A command_status as people write it, 0x45 or 69; None for what is none."""
    if not _STATUS.fullmatch(text):
        return None
    number = int(text, 16) if text[:2] in ("0x", "0X") else int(text)
    return number if number <= _LARGEST_STATUS else None


def _wrong_bind(settings: SmppSettings) -> Iterator[tuple[str, str]]:
    if not _HOST.fullmatch(settings.host):
        yield "host", f" = {json.dumps(settings.host)} is neither a host name nor an IP address; the port is a setting"
    for key in ("system_id", "password", "system_type", "address_range", "service_type"):
        if not _is_latin1(getattr(settings, key)):
            yield key, " has a character that SMPP cannot carry; write it in Latin-1"
    if len(settings.password) > _SHORT_PASSWORD and not settings.long_password:
        yield (
            "password",
            f" has {len(settings.password)} characters, and SMPP 3.4 allows {_SHORT_PASSWORD}; where the carrier takes"
            " a longer one, set long_password = true",
        )
    if settings.ordered and settings.binds != 1:
        yield "ordered", f" = true with binds = {settings.binds}: several binds keep no order; set binds = 1"
    if settings.binds > settings.window:
        yield (
            "binds",
            f" = {settings.binds} is more than window = {settings.window}, which they share; lower it, or raise the"
            " other",
        )
    if settings.reconnect_seconds > settings.reconnect_max_seconds:
        yield (
            "reconnect_seconds",
            f" = {settings.reconnect_seconds:g} is more than reconnect_max_seconds ="
            f" {settings.reconnect_max_seconds:g}; lower it, or raise the other",
        )


def _is_latin1(text: str) -> bool:
    return all(" " <= character <= "\xff" for character in text)


def _wrong_statuses(statuses: Mapping[str, SubmitClass]) -> Iterator[tuple[str, str]]:
    seen: dict[int, str] = {}
    for text, meaning in statuses.items():
        if meaning in _NO_ANSWERS:
            yield "statuses", f".{text} = {json.dumps(meaning)}: no refusal means that; write {', '.join(REFUSALS)}"
        number = status_of(text)
        if number is None:
            yield "statuses", f" names {text[:40]!r}, which is no command_status; write it like 0x45 or 69"
        elif number == 0:
            yield "statuses", f" names {text!r}, which means that the carrier took the message; leave it out"
        elif number in seen:
            yield "statuses", f" names {seen[number]!r} and {text!r}, which are the same; leave one out"
        else:
            seen[number] = text


def _wrong_tls(settings: SmppSettings) -> Iterator[tuple[str, str]]:
    files = {key: getattr(settings, key) for key in ("tls_ca", "tls_cert", "tls_key")}
    given = {key: path for key, path in files.items() if path}
    if not settings.tls:
        for key in [*given, *(["tls_server_name"] if settings.tls_server_name else [])]:
            yield key, " is set, and tls is false: nothing would be encrypted; set tls = true, or leave it out"
        return
    if bool(settings.tls_cert) != bool(settings.tls_key):
        present, missing = ("tls_cert", "tls_key") if settings.tls_cert else ("tls_key", "tls_cert")
        yield present, f" is set without {missing}; a certificate and its key go together: set both or neither"
        return
    unreadable = {key: why for key, path in given.items() if (why := _unreadable(path))}
    for key, why in unreadable.items():
        yield key, f" = {json.dumps(given[key])}: {why}; name a PEM file that the server may read"
    if unreadable:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if settings.tls_ca:
            context.load_verify_locations(settings.tls_ca)
    except ssl.SSLError as error:
        yield "tls_ca", f" = {json.dumps(settings.tls_ca)} is not PEM ({error}); name a PEM file with certificates"
    try:
        if settings.tls_cert:
            context.load_cert_chain(settings.tls_cert, settings.tls_key, password=lambda: "")
    except ssl.SSLError as error:
        yield (
            "tls_cert",
            f" = {json.dumps(settings.tls_cert)} is not PEM, or of another key ({error}); name PEM files of a"
            " certificate and its key, without a password",
        )


def _unreadable(path: str) -> str:
    try:
        with Path(path).open("rb"):
            return ""
    except (OSError, ValueError) as error:
        return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _wrong_types(settings: SmppSettings) -> Iterator[tuple[str, str]]:
    """TON/NPI are written N/N, by their pattern; each is an octet."""
    for key in ("source_alphanumeric", "source_international", "source_short_code", "destination"):
        value: str = getattr(settings, key)
        if any(int(part) > 0xFF for part in value.split("/")):
            yield key, f" = {json.dumps(value)}: TON and NPI are from 0 to 255; write it like 1/1"

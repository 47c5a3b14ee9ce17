"""Text of a message: which alphabet it travels in, and how many parts it is billed as."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError


class Encoding(IntEnum):
    """The alphabet a message travels in; the values are SMPP data_coding (SMPP 3.4 §5.2.19)."""

    GSM7 = 0
    UCS2 = 8


_GSM7, _UCS2 = Encoding.GSM7, Encoding.UCS2  # reading a member of the class costs 0.1 µs in Python 3.11


@dataclass(frozen=True, slots=True)
class Text:
    """A text that passed every check. `segments` is the number of parts sent and billed."""

    body: str
    encoding: Encoding
    segments: int


# -- the GSM 7 bit default alphabet

# 3GPP TS 23.038 §6.2.1, in the order of the codes; 0x1B is the escape to the extension table and no character.
_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# 3GPP TS 23.038 §6.2.1.1: the basic character whose code follows the escape, and what the pair stands for.
_EXTENSION = dict(zip("\nΛ()/<=>¡e", "\f^{}\\[~]|€", strict=True))

ALPHABET = frozenset(_BASIC) - {"\x1b"} | frozenset(_EXTENSION.values())
"""Every character that GSM 7-bit can carry, those of the extension table included."""

# Septets are ASCII, so `encode` fails on what is beyond it; ASCII outside the alphabet is moved there to fail too.
_TO_SEPTETS: dict[int, int | str] = dict.fromkeys(range(128), "\ufffd")
_TO_SEPTETS.update((ord(char), code) for code, char in enumerate(_BASIC) if char != "\x1b")
_TO_SEPTETS.update((ord(char), f"\x1b{chr(_BASIC.index(basic))}") for basic, char in _EXTENSION.items())
_FROM_SEPTETS = dict(enumerate(_BASIC))

_PAIR = re.compile("\x1b(.?)", re.DOTALL)
# An escape that leads nowhere, or to a further table, is shown as a space (3GPP TS 23.038 §6.2.1 and §6.2.1.1).
_AFTER_ESCAPE = _EXTENSION | {"": " ", "\x1b": " "}
_UNDEFINED_PAIR = re.compile(rb"\x1b(?![\x0a\x14()/<=>@e])")


def encode(body: str, encoding: Encoding) -> bytes:
    """The octets of `body` as they go on the wire: one unpacked septet each for GSM7, UTF-16-BE for UCS2.

    Raises `UnicodeEncodeError` when a character has no place in the encoding.
    """
    if encoding == _GSM7:
        return body.translate(_TO_SEPTETS).encode("ascii")
    return body.encode("utf-16-be")


def decode(data: bytes, encoding: Encoding) -> str:
    """The text of octets that came from the wire; never fails, as there is nobody left to correct them.

    An undefined extension pair is shown as its basic character (3GPP TS 23.038 §6.2.1.1), the rest as U+FFFD.
    """
    if encoding == _UCS2:
        return data.decode("utf-16-be", "replace")
    body = data.decode("ascii", "replace").translate(_FROM_SEPTETS)
    if "\x1b" in body:
        body = _PAIR.sub(lambda pair: _AFTER_ESCAPE.get(pair[1], pair[1]), body)
    return body


_CARRIAGE_RETURN = 0x0D


def pack(septets: bytes, fill_bits: int = 0) -> bytes:
    """Septets as `encode` makes them, eight in seven octets (3GPP TS 23.038 §6.1.2.1.1), after `fill_bits` zero bits.

    Seven bits left over would be an @ that nobody wrote, so they hold a carriage return (§6.1.2.3.1).
    """
    bits, shift = 0, fill_bits
    for septet in septets:
        bits |= septet << shift
        shift += 7
    if shift % 8 == 1:
        bits |= _CARRIAGE_RETURN << shift
    return bits.to_bytes((shift + 7) // 8, "little")


def unpack(octets: bytes, fill_bits: int = 0) -> bytes:
    """What `pack` packed; a carriage return that ends with the last octet counts as its filling."""
    bits = int.from_bytes(octets, "little") >> fill_bits
    count = max(0, (8 * len(octets) - fill_bits) // 7)
    septets = bytes((bits >> 7 * index) & 0x7F for index in range(count))
    filled = count and (7 * count + fill_bits) % 8 == 0 and septets[-1] == _CARRIAGE_RETURN
    return septets[:-1] if filled else septets


# -- parts


@dataclass(frozen=True, slots=True)
class _Capacity:
    """What a short message holds, in octets as `encode` makes them: `alone`, and as a part of several beside a header
    of so many octets (`parts`).

    A unit has `width` octets; the next unit belongs to it when its first octet is in `opens_pair`.
    """

    width: int
    alone: int
    parts: dict[int, int]
    opens_pair: bytes


HEADER_OCTETS = 6  # of a concatenation header with an 8-bit reference (3GPP TS 23.040 §9.2.3.24.1)
LONG_HEADER_OCTETS = 7  # with a 16-bit one (3GPP TS 23.040 §9.2.3.24.8)

_CAPACITY = {
    # 140 octets hold 160 septets, or 153 or 152 beside a concatenation header.
    _GSM7: _Capacity(width=1, alone=160, parts={HEADER_OCTETS: 153, LONG_HEADER_OCTETS: 152}, opens_pair=b"\x1b"),
    # 70 UTF-16 units, or 67 or 66; a high surrogate begins with D8–DB.
    _UCS2: _Capacity(
        width=2,
        alone=140,
        parts={HEADER_OCTETS: 134, LONG_HEADER_OCTETS: 132},
        opens_pair=bytes(range(0xD8, 0xDC)),
    ),
}


def split(text: Text, header_octets: int = HEADER_OCTETS) -> list[str]:
    """The bodies of the parts, in order: `text.segments` of them with the usual header, each of which `encode` takes
    with `text.encoding`.
    """
    if text.segments == 1:
        return [text.body]
    octets = encode(text.body, text.encoding)
    return [decode(part, text.encoding) for part in _parts(octets, text.encoding, header_octets)]


def _parts(octets: bytes, encoding: Encoding, header_octets: int = HEADER_OCTETS) -> list[bytes]:
    """`octets` cut into parts as long as may be. No cut goes through an extension pair or a surrogate pair."""
    capacity = _CAPACITY[encoding]
    size = len(octets)
    if size <= capacity.alone:
        return [octets]
    room = capacity.parts[header_octets]
    parts = []
    start = 0
    while start < size:
        end = start + room
        if end < size and octets[end - capacity.width] in capacity.opens_pair:
            end -= capacity.width
        parts.append(octets[start:end])
        start = end
    return parts


# -- what a caller sends

# Texts repeat, so their answers are kept: a bounded number, each of bounded length, some 5 MB at worst.
_KEPT_TEXTS = 2048
_KEPT_LENGTH = 480


def compose(text: str, charset: int, *, max_segments: int, pointer: str = "/message/text") -> Text:
    """Check a caller's text, choose its encoding and count its parts.

    `charset` is RealTime's: 0 the server chooses (GSM7 where every character fits, UCS2 otherwise), 1 GSM7,
    6 UCS-2 in hexadecimal, 8 percent-encoded GSM 03.38 code points. `pointer` (RFC 6901) goes into errors.

    Raises `CallerError`: TEXT_EMPTY, TEXT_INVALID, TEXT_NOT_ENCODABLE, TEXT_TOO_LONG or CHARSET_INVALID.
    """
    try:
        if len(text) <= _KEPT_LENGTH:
            return _kept(text, charset, max_segments)
        return _compose(text, charset, max_segments)
    except CallerError as error:
        error.point_at(pointer)
        raise


def _compose(text: str, charset: int, max_segments: int) -> Text:
    read = _READERS.get(charset)
    if read is None:
        raise CallerError(errors.CHARSET_INVALID, f"{charset} is not a charset; leave it out or use 0, 1, 6 or 8.")
    if not text:
        raise CallerError(errors.TEXT_EMPTY, "The text is empty; a message needs at least one character.")
    body, encoding, octets = read(text)
    segments = len(_parts(octets, encoding))
    if segments > max_segments:
        detail = (
            f"The text needs {segments} segments and the limit is {max_segments}; shorten it or send several messages."
        )
        raise CallerError(errors.TEXT_TOO_LONG, detail, facts=_too_long(octets, encoding, segments, max_segments))
    return Text(body, encoding, segments)


_kept = lru_cache(_KEPT_TEXTS)(_compose)

_Read = tuple[str, Encoding, bytes]
"""A text's body, its encoding, and the octets of the one in the other."""


def _read_any(text: str) -> _Read:
    if ALPHABET.issuperset(text):
        return text, _GSM7, encode(text, _GSM7)
    return text, _UCS2, _utf16(text)


def _read_gsm(text: str) -> _Read:
    return text, _GSM7, _septets(text)


def _read_hex(text: str) -> _Read:
    if stray := _NOT_HEX.search(text):
        raise _invalid(
            f"{_named(stray[0])} at index {stray.start()} is not hexadecimal; charset 6 has digits and A to F."
        )
    if len(text) % 4:
        raise _invalid(
            f"{len(text)} hexadecimal digits are not whole characters; charset 6 has four to each UTF-16 unit."
        )
    octets = bytes.fromhex(text)
    body = octets.decode("utf-16-be", "surrogatepass")
    return body, _UCS2, _utf16(body)


def _read_percent(text: str) -> _Read:
    septets = _septets(text)
    if bad := _BAD_ESCAPE.search(text):
        raise _invalid(f"{bad[0]!r} at index {bad.start()} is none of the escapes %00 to %7F; a percent sign is %25.")
    # "%", digits and letters have their ASCII codes in the GSM alphabet too, and no extension pair contains a 25.
    octets = unquote_to_bytes(septets)
    if pair := _UNDEFINED_PAIR.search(octets):
        code = octets[pair.end() :][:1].hex().upper() or "nothing"
        raise _invalid(f"%1B followed by {code} is no character of the extension table (3GPP TS 23.038 §6.2.1.1).")
    return decode(octets, _GSM7), _GSM7, octets


def _too_long(octets: bytes, encoding: Encoding, segments: int, max_segments: int) -> dict[str, int | str]:
    """Lengths are in what an alphabet counts: septets, or UTF-16 units. `max_length` is how much of this very text
    fits: a pair that would be cut goes into the next part whole, so a part may hold a unit less than it has room for.
    """
    capacity = _CAPACITY[encoding]
    fitting = _parts(octets, encoding)[:max_segments]
    room = capacity.alone if max_segments == 1 else sum(len(part) for part in fitting)
    return {
        "length": len(octets) // capacity.width,
        "max_length": room // capacity.width,
        "segments": segments,
        "max_segments": max_segments,
        "encoding": encoding.name.lower(),
    }


_READERS = {0: _read_any, 1: _read_gsm, 6: _read_hex, 8: _read_percent}
_NOT_HEX = re.compile("[^0-9A-Fa-f]")
_BAD_ESCAPE = re.compile("%(?![0-7][0-9A-Fa-f]).{0,2}", re.DOTALL)


def _septets(text: str) -> bytes:
    try:
        return encode(text, _GSM7)
    except UnicodeEncodeError:
        _utf16(text)  # what is no text at all is told so first
        index = next(index for index, char in enumerate(text) if char not in ALPHABET)
        detail = (
            f"{_named(text[index])} at index {index} is not in the GSM 7-bit alphabet; replace it or send charset 0."
        )
        raise CallerError(errors.TEXT_NOT_ENCODABLE, detail) from None


def _utf16(text: str) -> bytes:
    if "\0" in text:
        raise _invalid(f"The text contains U+0000 at index {text.index(chr(0))}; remove it.")
    try:
        return encode(text, _UCS2)
    except UnicodeEncodeError as error:
        raise _invalid(
            f"U+{ord(text[error.start]):04X} at index {error.start} is half a surrogate pair; send both halves."
        ) from None


def _invalid(detail: str) -> CallerError:
    return CallerError(errors.TEXT_INVALID, detail)


def _named(char: str) -> str:
    """A character for people: its look and its code point."""
    return f"{char!r} (U+{ord(char):04X})"

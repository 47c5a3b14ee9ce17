"""The sender of a message: what the phone shows as its origin."""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache

from heliograph.messaging import errors
from heliograph.messaging.text import Encoding, encode


class SenderKind(IntEnum):
    """What a sender is; the values are SMPP types of number (SMPP 3.4 §5.2.5)."""

    INTERNATIONAL = 1
    SHORT_CODE = 3
    ALPHANUMERIC = 5


_NUMERIC = re.compile(r"\+?[0-9]{3,15}")
_INTERNATIONAL = re.compile(r"\+[0-9]+|[1-9][0-9]{7,14}")
_CONTROLS = frozenset("\n\r\f")
# An alphanumeric address has room for 11 septets (3GPP TS 23.040 §9.1.2.5), and an extension character takes two.
_ROOM = 11


def check(sender: str, allowed: frozenset[str] | None, *, pointer: str = "/sender") -> None:
    """Check a sender against the rules and the account's list, upper and lower case as written; None allows any.

    Raises `CallerError` with `pointer`: SENDER_MALFORMED or SENDER_NOT_ALLOWED.
    """
    if not (_NUMERIC.fullmatch(sender) or (len(sender) <= _ROOM and _is_name(sender))):
        detail = (
            f"{sender[:40]!r} is neither 1 to 11 characters of the GSM alphabet (each of ^{{}}\\[~]|€ counts twice)"
            " with a letter among them, nor a number of 3 to 15 digits."
        )
        raise errors.CallerError(errors.SENDER_MALFORMED, detail, pointer=pointer)
    if allowed is not None and sender not in allowed:
        detail = f"{sender!r} is not a sender of this account; use one that is, or ask the operator to add it."
        raise errors.CallerError(errors.SENDER_NOT_ALLOWED, detail, pointer=pointer)


def kind(sender: str) -> SenderKind:
    """What a sender that passed `check` is. Without `+`, 8 digits and more are international, unless 0 comes first."""
    if not _NUMERIC.fullmatch(sender):
        return SenderKind.ALPHANUMERIC
    return SenderKind.INTERNATIONAL if _INTERNATIONAL.fullmatch(sender) else SenderKind.SHORT_CODE


@lru_cache(4096)
def _is_name(sender: str) -> bool:
    try:
        septets = encode(sender, Encoding.GSM7)
    except UnicodeEncodeError:
        return False
    return len(septets) <= _ROOM and _CONTROLS.isdisjoint(sender) and any(map(str.isalpha, sender))

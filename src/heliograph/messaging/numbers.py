"""Phone numbers: E.164 digits without `+` inside, whatever a caller wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, TypeVar

from heliograph.messaging import errors

if TYPE_CHECKING:
    import phonenumbers


class NumberPolicy(StrEnum):
    """What a number must pass besides its syntax; each asks more than the one before."""

    SYNTAX = "syntax"
    POSSIBLE = "possible"
    """Its country code exists and numbers of this length exist there."""
    VALID = "valid"
    """It lies in a range that is in use; the tables lag behind, so some real mobiles fail."""


_SYNTAX, _VALID = NumberPolicy.SYNTAX, NumberPolicy.VALID  # reading a member of the class costs 0.1 µs in Python 3.11

# ITU-T E.164 §6.2.1: at most 15 digits with the country code, which begins with no 0.
_read = re.compile(r"\+?([1-9][0-9]{7,14})").fullmatch


def normalise(value: str, policy: NumberPolicy, *, plus_required: bool, pointer: str = "") -> str:
    """The E.164 digits of `value`, without `+`. It is read as an international number, never as a national one.

    Raises `CallerError(RECIPIENT_INVALID)` with `pointer` when `value` is no such number or `policy` refuses it.
    """
    match = _read(value)
    if match is None or (plus_required and value[0] != "+"):
        example = "+56912345678" if plus_required else "56912345678"
        reason = (
            f"is not an international number of 8 to 15 digits; write the country code and all digits, like {example}"
        )
        raise _refusal(value, reason, pointer)
    digits = match[1]
    if policy != _SYNTAX:
        if reason := _impossible(digits[:3], len(digits)):
            raise _refusal(value, reason, pointer)
        if policy == _VALID and not _in_use(digits):
            raise _refusal(value, "is in no range of numbers that is in use; check its digits", pointer)
    return digits


def _refusal(value: str, reason: str, pointer: str) -> errors.CallerError:
    shown = value if len(value) <= 40 else value[:40] + "…"
    detail = f"{shown!r} {reason}."
    return errors.CallerError(errors.RECIPIENT_INVALID, detail, pointer=pointer, facts={"value": shown})


@lru_cache(8192)
def _impossible(head: str, length: int) -> str:
    """Why no number of `length` digits begins with the three digits `head`, or "" when such numbers are possible.

    libphonenumber judges what is possible by country and length alone, so a few thousand answers serve all numbers.
    """
    # Imported here so that the `syntax` policy does without the package.
    from phonenumbers import ValidationResult, is_possible_number_with_reason

    number = parsed(head.ljust(length, "1"))
    if number is None:
        return "begins with no country code; write the number in international form"
    verdict = is_possible_number_with_reason(number)
    if verdict == ValidationResult.IS_POSSIBLE:
        return ""
    what = {
        ValidationResult.TOO_SHORT: "has too few digits",
        ValidationResult.TOO_LONG: "has too many digits",
        ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "has the length of a local number",
    }.get(verdict, "has a wrong number of digits")
    return f"{what} for country code {number.country_code}; write the whole number in international form"


@lru_cache(16384)
def _in_use(digits: str) -> bool:
    from phonenumbers import is_valid_number

    number = parsed(digits)
    return number is not None and is_valid_number(number)


def parsed(digits: str) -> phonenumbers.PhoneNumber | None:
    """`digits` as libphonenumber has numbers, or None when they begin with no country code.

    Not by its `parse`, which takes out a national prefix, the 0 of 44 07911…, and so passes numbers that are not E.164.
    """
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneNumber

    for end in (1, 2, 3):
        if int(digits[:end]) in COUNTRY_CODE_TO_REGION_CODE:
            national = digits[end:]
            zeros = min(len(national) - len(national.lstrip("0")), len(national) - 1)
            return PhoneNumber(
                country_code=int(digits[:end]),
                national_number=int(national),
                italian_leading_zero=zeros > 0,
                number_of_leading_zeros=zeros or None,
            )
    return None


Value = TypeVar("Value")
_HEAD = 3


class PrefixMap(Generic[Value]):
    """Finds the value of the longest prefix of a number; the prefix "" stands for every number."""

    def __init__(self, entries: Mapping[str, Value]) -> None:
        """Raises `ValueError` when a prefix is not made of digits."""
        values = dict(entries)
        for prefix in values:
            if prefix and not (prefix.isascii() and prefix.isdigit()):
                raise ValueError(
                    f"{prefix!r} is not a prefix of a number; use digits only, or nothing for every number"
                )
        self._values = values
        # The lengths to try, longest first, by the first digits: few prefixes are as long as the longest.
        short = {len(prefix) for prefix in values if len(prefix) < _HEAD}
        under: dict[str, set[int]] = {}
        for prefix in values:
            if len(prefix) >= _HEAD:
                under.setdefault(prefix[:_HEAD], set(short)).add(len(prefix))
        self._short = tuple(sorted(short, reverse=True))
        self._under = {head: tuple(sorted(lengths, reverse=True)) for head, lengths in under.items()}

    def get(self, digits: str) -> Value | None:
        """The value for a number in E.164 digits, or None when no prefix of it has one."""
        values = self._values
        for length in self._under.get(digits[:_HEAD], self._short):
            value = values.get(digits[:length])
            if value is not None:
                return value
        return None

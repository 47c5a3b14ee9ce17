"""Times as RFC 3339 has them: read with any offset, written in UTC with whole seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_read = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
).fullmatch


def parse_time(text: str) -> int | None:
    """UTC milliseconds, or None for what RFC 3339 §5.6 does not know. A leap second is the moment after it."""
    match = _read(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(number) for number in match.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = match.groups()[6:]
    if second > 60 or int(offset_hours or 0) > 23 or int(offset_minutes or 0) > 59:
        return None
    try:
        local = datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    offset = 60 * int(offset_hours or 0) + int(offset_minutes or 0)
    milliseconds = int((fraction or "")[:3].ljust(3, "0"))
    utc_ms = (local - _EPOCH) // _MS + 1000 * second + milliseconds
    return utc_ms - 60_000 * (-offset if sign == "-" else offset)


def show_time(utc_ms: int) -> str:
    """`2026-01-02T03:04:05Z`: parts of a second are left out."""
    return _second(utc_ms // 1000)


@lru_cache(1024)
def _second(utc_s: int) -> str:
    return (_EPOCH + timedelta(seconds=utc_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


def show_time_rounded_up(utc_ms: int) -> str:
    """The same, never before the moment."""
    return show_time(utc_ms + 999)

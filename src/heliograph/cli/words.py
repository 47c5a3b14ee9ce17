"""How sizes, times and numbers are said to people."""

from __future__ import annotations

import datetime


def show_size(length: int) -> str:
    """Bytes as people say them, in powers of 1024."""
    if length < 1024:
        return f"{length} B"
    size = float(length)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1023.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"


def show_duration(milliseconds: int) -> str:
    """A length of time in its largest unit, rounded down."""
    seconds = milliseconds // 1000
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            return count(seconds // length, unit)
    return count(seconds, "second")


def show_instant(utc_ms: int) -> str:
    """An instant in UTC, to the second, whatever the machine's clock may say."""
    try:
        moment = datetime.datetime.fromtimestamp(utc_ms / 1000, datetime.UTC)
    except (OverflowError, ValueError):
        return f"{utc_ms} ms after 1970"
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def year(utc_ms: int) -> int:
    """The year of an instant, in UTC; 0 for one that no calendar has."""
    try:
        return datetime.datetime.fromtimestamp(utc_ms / 1000, datetime.UTC).year
    except (OverflowError, ValueError):
        return 0


def count(number: int, what: str) -> str:
    """A number of things, in the plural unless it is one."""
    return f"{number:,} {what}{'s' * (number != 1)}"
